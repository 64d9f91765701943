"""The kinds of lines of the log, as the daemon's table of them has them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEVELS = {"CRITICAL": ("error", "3"), "WARNING": ("warning", "4"), "MESSAGE": ("notice", "5"),
          "INFO": ("info", "6")}


class Kind:
    """A kind: its name, the word of the enumeration, the message id, the level and its priority."""

    def __init__(self, word, name, message_id, level):
        self.word, self.name, self.id = word, name, message_id
        self.level, self.priority = LEVELS[level]


def read_kinds():
    text = (ROOT / "qmp" / "qmp-log-messages.c").read_text()
    found = re.findall(r'\[QMP_LOG_(\w+)\] = \{\s*"([a-z-]+)",\s*"([0-9a-f]{32})",'
                       r"\s*G_LOG_LEVEL_(\w+)\s*\}", text)
    assert len(found) == text.count("[QMP_LOG_") - text.count("[QMP_LOG_N_MESSAGES]")
    return {name: Kind(word, name, message_id, level) for word, name, message_id, level in found}


KINDS = read_kinds()
