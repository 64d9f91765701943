"""A program in a terminal of its own, and what its user sees there."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unicodedata

from qmp_client import DEADLINE

CSI = re.compile(r"\x1b\[([?>]?)([0-9;]*)([@-~])")
CUT_SHORT = re.compile(r"\x1b(\[[?>]?[0-9;]*)?$")


class Screen:
    """The lines of a terminal, those that have scrolled out of it too."""

    def __init__(self, columns):
        self.columns = columns
        self.lines = [[]]
        self.row = self.column = 0
        self.saved = ([[]], 0, 0)
        self.rest = ""
        self.unknown = []  # control sequences that are not understood
        self.bells = 0

    def feed(self, text):
        text = self.rest + text
        self.rest = ""
        while text:
            if CUT_SHORT.match(text):
                self.rest = text
                return
            match = CSI.match(text)
            if match:
                self.control(*match.groups())
                text = text[match.end():]
            elif text[0] == "\x1b":
                self.unknown.append(text[:2])
                text = text[2:]
            else:
                self.put(text[0])
                text = text[1:]

    def go(self, row, column):
        self.row, self.column = max(row, 0), max(column, 0)
        while len(self.lines) <= self.row:
            self.lines.append([])

    def put(self, char):
        if char == "\r":
            self.go(self.row, 0)
        elif char == "\n":
            self.go(self.row + 1, self.column)
        elif char == "\b":
            self.go(self.row, min(self.column, self.columns - 1) - 1)
        elif char == "\a":
            self.bells += 1
        elif ord(char) < 32 or 0x7f <= ord(char) < 0xa0:
            self.unknown.append(char)
        elif unicodedata.combining(char):
            self.lines[self.row][self.column - 1] += char
        else:
            if self.column >= self.columns:  # wraps when something follows, not before
                self.go(self.row + 1, 0)
            cells = [char, ""] if unicodedata.east_asian_width(char) in "WF" else [char]
            line = self.lines[self.row]
            line.extend(" " * (self.column - len(line)))
            line[self.column:self.column + len(cells)] = cells
            self.column += len(cells)

    def control(self, private, numbers, name):
        count = int(numbers.split(";")[0] or 1) if not private else 1
        line = self.lines[self.row]
        if name == "A":
            self.go(self.row - count, self.column)
        elif name == "B":
            self.go(self.row + count, self.column)
        elif name == "C":
            self.go(self.row, min(self.column + count, self.columns - 1))
        elif name == "D":
            self.go(self.row, self.column - count)
        elif name == "G":
            self.go(self.row, count - 1)
        elif name == "H":
            self.lines, self.row, self.column = [[]], 0, 0
        elif name == "K" and not numbers:
            del line[self.column:]
        elif name == "J" and not numbers:
            del line[self.column:], self.lines[self.row + 1:]
        elif name == "P":
            del line[self.column:self.column + count]
        elif name == "@":
            line[self.column:self.column] = " " * count
        elif (private, numbers) == ("?", "1049") and name in "hl":  # another screen, and back
            other = (self.lines, self.row, self.column)
            self.lines, self.row, self.column = ([[]], 0, 0) if name == "h" else self.saved
            self.saved = other
        elif name not in "mhl":
            self.unknown.append((private, numbers, name))

    def text(self):
        return ["".join(line).rstrip() for line in self.lines]

    def current(self):
        """The line that the cursor is in, up to it."""
        return "".join(self.lines[self.row][:self.column])


class Terminal:
    """A program, and its screen."""

    def __init__(self, command, env, rows=40, columns=120, **options):
        self.fd, slave = pty.openpty()
        self.resize(rows, columns)
        self.modes = termios.tcgetattr(slave)
        self.screen = Screen(columns)
        self.raw = ""
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env,
                                        start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                                        **options)
        self.slave = slave  # kept open: its modes are looked at when the program has ended

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_some(self, timeout):
        if not select.select([self.fd], [], [], timeout)[0]:
            return False
        text = os.read(self.fd, 65536).decode(errors="replace")
        self.raw += text
        self.screen.feed(text)
        return True

    def wait_for(self, condition):
        """Until the screen fulfils it."""
        deadline = time.monotonic() + DEADLINE
        while not condition(self.screen):
            assert self.read_some(max(0, deadline - time.monotonic())), "\n".join(
                self.screen.text())

    def expect(self, *parts):
        """Until a line for each of these has come, anywhere."""
        self.wait_for(lambda screen: all(any(part in line for line in screen.text())
                                         for part in parts))

    def expect_line(self, line):
        """Until the line of the cursor is this one."""
        self.wait_for(lambda screen: screen.text()[screen.row] == line)

    def wait_for_modes(self):
        """Until the terminal is as it was before the program: a command of it runs."""
        deadline = time.monotonic() + DEADLINE
        while not self.modes_are_restored():
            assert time.monotonic() < deadline, "\n".join(self.screen.text())
            self.read_some(0.002)

    def clear(self):
        """Forget all but the line of the cursor."""
        self.screen.lines = [self.screen.lines[self.screen.row]]
        self.screen.row = 0

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """Its status, once it has ended."""
        deadline = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "\n".join(self.screen.text())
            self.read_some(0.01)
        while self.read_some(0):
            pass
        return self.process.returncode

    def modes_are_restored(self):
        return termios.tcgetattr(self.slave) == self.modes

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.slave)
        os.close(self.fd)
