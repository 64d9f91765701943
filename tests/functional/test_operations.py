"""docs/operations.md explains every line of the log, every event and every limit."""

import re
import subprocess
from pathlib import Path

from qmp_client import DEADLINE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
FORMAT_MACRO = r"\b(?:PRI\w+|G_\w+_FORMAT)\b"
LOGGING = re.compile(r'\b(?:g_error|g_warning|g_message|qmp_log_limit_warn)\([^";{]*?'
                     r'((?:"(?:[^"\\]|\\.)*"\s*(?:' + FORMAT_MACRO + r'\s*)?)+)')
SOURCES = [path for folder in ("loop", "iothreads", "sockets", "qmp", "objects", "daemon")
           for path in sorted((ROOT / folder).rglob("*.c"))]


def table_words(title):
    """What stands in backquotes in the section @title."""
    [section] = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`]+)`", section)


def messages(path):
    """The format strings of what a source file logs for an operator."""
    for literals in LOGGING.findall(path.read_text()):
        yield "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', re.sub(FORMAT_MACRO, '"d"', literals)))


def as_shown(text):
    """A pattern for the line of the page that stands for the format string @text."""
    parts = re.split(r"%[-+ #0-9.]*(?:hh?|ll?|z|j|t)?[a-zA-Z]", text)
    return "(SOCKET: |stall watch: )?" + "([A-Z]+|16|: |)".join(re.escape(part) for part in parts)


def test_each_line_of_the_log_is_explained():
    shown = table_words("The log")
    texts = {text for path in SOURCES for text in messages(path)}
    # Those of qmp-log-limit.c, which are on behalf of others.
    texts -= {"%s: %s", "%s: %u further %s"}
    assert len(texts) > 15
    assert {"ending on signal %s", "turned a client away (%s), for there are %u already"} <= texts
    assert [text for text in texts
            if not any(re.fullmatch(as_shown(text), line) for line in shown)] == []


def test_each_event_is_explained(start_daemon):
    daemon = start_daemon()
    with daemon.connect() as session:
        schema = session.command("query-qmp-schema")
    events = {entry["name"] for entry in schema if entry["meta-type"] == "event"}
    assert "SHUTDOWN" in events
    assert events == {word for word in table_words("Events") if re.fullmatch("[A-Z_]+", word)}


def test_each_option_that_is_a_limit_is_explained(evloopd):
    shown = subprocess.run([evloopd, "--help"], stdout=subprocess.PIPE, text=True, check=True,
                           timeout=DEADLINE).stdout
    options = set(re.findall(r"--(?:max-[a-z-]+|[a-z-]+-timeout|[a-z-]+-threshold-ms)", shown))
    assert len(options) > 4
    assert options == {word for word in table_words("Limits") if word.startswith("--")} - {"--qmp"}


def test_the_limits_of_the_unit_are_those_of_the_page():
    unit = (ROOT / "daemon" / "systemd" / "evloopd.service.in").read_text()
    for name, shown in (("LimitNOFILE", "524288"), ("WatchdogSec", "30")):
        assert f"{name}={shown}\n" in unit
        [row] = re.findall(rf"^\| .*`{name}=`.*$", PAGE[PAGE.index("\n## Limits"):], re.MULTILINE)
        assert shown in row
