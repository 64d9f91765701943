"""Measuring programs, run in turns, and their figures; see docs/benchmarks.md.

A suite is a list of measurements and the columns that they can be taken in. Each measurement runs
once in every column, then again from the start, so that whatever changes about the machine
meanwhile meets all columns alike.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

HALT_POLL = "/sys/module/haltpoll/parameters/guest_halt_poll_ns"

TIMEOUT = 300  # seconds that one run of a measuring program may take
NOT_AVAILABLE = 77  # exit status: there is no such thing here


@dataclass
class Row:
    """A line of the table: one field of what the measuring program prints."""

    label: str
    field: str
    unit: str
    digits: int = 0
    to_reach: str = ""
    beside: str = ""  # what the ratio is to, where a suite has several answers
    alone: str = ""  # the label for where the row stands alone


class Suite:
    """Measurements of one kind, and what each turn of them printed.

    A subclass has name, columns, measures (with name, rows and turns(rounds) each),
    command(measure, column) and table().
    """

    def __init__(self, options):
        self.options = options
        self.programs = Path(options.build_dir).resolve() / "bench"
        self.results = {}  # results[measure][column] is the list of what each turn printed

    def wanted(self):
        """The measurements that --only leaves."""
        only = self.options.only
        return [m for m in self.measures if not only or m.name in only or self.name in only]

    def run(self):
        """Take turns: in each one every column that can be measured runs once."""
        for measure in self.wanted():
            turns = measure.turns(self.options.rounds)
            self.results[measure.name] = {column: [] for column in self.columns}
            note(f"{measure.name}: {turns} {'turn' if turns == 1 else 'turns'}")
            for _ in range(turns):
                for column in self.columns:
                    self.take_turn(measure, column)

    def take_turn(self, measure, column):
        """Run one measuring program once. What fails is said, and not tried again."""
        turns = self.results[measure.name][column]
        command = self.command(measure, column)
        if not command or None in turns:
            return
        command[0] = str(self.programs / command[0])
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT
            )
            if done.returncode == NOT_AVAILABLE:
                note(f"{measure.name}: {column} is n/a: {done.stderr.strip()}")
                turns.append(None)
                return
            if done.returncode != 0:
                raise ValueError(done.stderr.strip() or f"exit status {done.returncode}")
            turns.append(json.loads(done.stdout))
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            note(f"{measure.name}: {column}: {error}")
            turns.append(None)

    def figure(self, measure, column, row):
        """The median over the turns, or None where there is no figure."""
        turns = self.results[measure.name].get(column, [])
        values = [turn and turn[row.field] for turn in turns]
        return None if not values or None in values else statistics.median(values)

    def medians(self):
        """All figures, for those who read the file."""
        return {
            m.name: {c: {r.field: self.figure(m, c, r) for r in m.rows} for c in self.columns}
            for m in self.wanted()
        }


def note(text):
    """Say something that is not part of the table."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def cell(value, row):
    """A figure as the table shows it."""
    return "n/a" if value is None else f"{value:,.{row.digits}f}"


def read_line(path, otherwise):
    """The first line of a file, or something else if there is none."""
    try:
        return Path(path).read_text().split("\n", 1)[0]
    except OSError:
        return otherwise


def about_this_machine():
    """What the figures depend on. How a processor sleeps decides what a wake-up costs."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "kernel": platform.release(),
        "processors": len(os.sched_getaffinity(0)),
        "idle_driver": read_line("/sys/devices/system/cpu/cpuidle/current_driver", "unknown"),
        "guest_halt_poll_ns": read_line(HALT_POLL, "n/a"),
        "load": os.getloadavg()[0],
    }


def print_table(lines):
    """Print lists of cells in columns: the first and the last two are text, the others figures."""
    lines = list(lines)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    left = {0, len(widths) - 2, len(widths) - 1}
    for line in lines:
        cells = [
            text.ljust(width) if i in left else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths))
        ]
        print("  ".join(cells).rstrip())
