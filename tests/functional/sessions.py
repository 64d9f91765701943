"""Sessions that a document shows: taken out of it, typed into shells, and what comes compared.

A session is a block of lines: what is typed stands after a prompt, "$ " or "# " for root, or that of
evloopctl's own shell, and goes on after "> ", and after a backslash at a line's end; the lines up to
the next prompt are what it prints. A line "..." stands for any lines. What else differs from one run to the next is listed by a
mark before the block, as <!-- varies: 4711 --> in Markdown and .\\" varies: 4711 in a manual page;
"numbers" stands for all of them. What is true of the installed service only stands after the mark
<!-- only as installed -->.
"""

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from typing import NamedTuple

from qmp_client import DEADLINE

END_OF_OUTPUT = "\036"  # the shells' prompt
EVLOOPCTL_PROMPT = "evloopd> "
# What a shell says of a job that has ended comes before one of the prompts that follow.
JOB_HAS_ENDED = re.compile(r"^\[\d+\][-+ ] +(Done|Exit \d+|Terminated) .*\n", re.MULTILINE)
NUMBER = r"\d+(?:\.\d+)?"


class Step(NamedTuple):
    """Something that is typed, and what is shown to come of it."""

    typed: str
    shown: str
    by_root: bool = False
    varies: tuple = ()
    installed: bool = False  # true of the installed service only


class File(NamedTuple):
    """A file that the reader is to make."""

    path: str
    text: str


def parse_session(block, varies=(), installed=False):
    """The steps of one block."""
    parts = re.split(r"^([$#]|evloopd>) ((?:.*\\\n)*.*\n(?:> .*\n)*)", block, flags=re.MULTILINE)
    assert parts[0] == "", f"output before the first command: {parts[0]!r}"
    return [Step(re.sub(r"^> ", "", typed, flags=re.MULTILINE).rstrip("\n"),
                 shown.replace("\\\n", ""), prompt == "#", tuple(varies), installed)
            for prompt, typed, shown in zip(parts[1::3], parts[2::3], parts[3::3])]


MARKED_BLOCK = re.compile(r"^(?:<!-- varies: (?P<varies>[^\n]*) -->\n)?"
                          r"(?P<installed><!-- only as installed -->\n)?"
                          r"```console\n(?P<session>.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`(?P<path>/\S+)`:\n\n```json\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)


def console_blocks(text):
    """The ```console blocks of a Markdown text, each a list of steps."""
    return [parse_session(match["session"], (match["varies"] or "").split(),
                          match["installed"] is not None)
            for match in MARKED_BLOCK.finditer(text)]


def steps_and_files(text):
    """All that the reader of a Markdown text is to do, in order."""
    found = [(match.start(), File(match["path"], match["text"])) for match in FILE.finditer(text)]
    for match, steps in zip(MARKED_BLOCK.finditer(text), console_blocks(text)):
        found += [(match.start(), step) for step in steps]
    return [part for _, part in sorted(found, key=lambda item: item[0])]


# ---- typing ----


class Shell:
    """A shell on a terminal of its own."""

    def __init__(self, prefix=(), **options):
        self.master, slave = os.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.OPOST
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        settings = [f"PS1={END_OF_OUTPUT}", "PS2=", "TERM=dumb", "PAGER=cat",
                    "HISTFILE="]
        self.proc = subprocess.Popen(
            [*prefix, "setsid", "--ctty", "env", *settings,
             "bash", "--noprofile", "--norc", "--noediting", "-i"],
            stdin=slave, stdout=slave, stderr=slave, **options)
        os.close(slave)
        self.read_output()

    def read_output(self):
        """What is printed up to the next prompt."""
        output = b""
        deadline = time.monotonic() + DEADLINE
        while not output.endswith((END_OF_OUTPUT.encode(), EVLOOPCTL_PROMPT.encode())):
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.master], [], [], left)[0], \
                f"no end of it: {output.decode(errors='replace')}"
            output += os.read(self.master, 65536)
        return output.decode().removesuffix(END_OF_OUTPUT).removesuffix(EVLOOPCTL_PROMPT)

    def type(self, command):
        """Type @command: what it prints."""
        os.write(self.master, f"{command}\n".encode())
        return re.sub(rf"^{re.escape(command)}\r?\n", "", self.read_output())  # where it is shown

    def close(self):
        """Hang up: jobs in the background that are left end too."""
        os.close(self.master)
        try:
            self.proc.wait(DEADLINE)
        finally:
            self.proc.kill()
            self.proc.wait()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


# ---- comparing ----


def line_pattern(line, varies):
    """A pattern for what a line of a document may stand for: columns may have other widths."""
    words = [re.escape(word) for word in sorted(varies, key=len, reverse=True)
             if word != "numbers"]
    if "numbers" in varies:
        words.append(NUMBER)
    pattern = ""
    for part in re.split(rf"({'|'.join(words)})" if words else "$^", line.rstrip()):
        if re.fullmatch(NUMBER, part) and "numbers" in varies:
            pattern += NUMBER
        elif part in varies:
            pattern += r"[^\s\",]+"
        else:
            pattern += re.sub(r"(?:\\ |\s)+", " +", re.escape(part))
    return pattern


def is_shown(shown, seen, varies=()):
    """Whether a document that shows @shown is right about @seen."""
    lines = [r"(?:.*\n)*?" if line == "..." else line_pattern(line, varies) + r" *\n"
             for line in shown.splitlines()]
    seen = JOB_HAS_ENDED.sub("", seen.replace("\r\n", "\n"))
    return re.fullmatch("".join(lines), seen) is not None


def check_step(step, seen):
    assert is_shown(step.shown, seen, step.varies), \
        f"{step.typed}\nis shown to print:\n{step.shown}\nand prints:\n{seen}"
