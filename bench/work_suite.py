"""Work on the daemon's loops beside the bare thing: what is measured, and its table; see
docs/benchmarks.md."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from turns import Row, Suite, cell

OURS = "evloopd"
BARE = "bare"


@dataclass
class Measure:
    """A measuring program, which without a server measures the bare thing."""

    name: str
    program: str
    quick: str  # the options that replace the program's with --quick
    rows: list
    bare: bool = True

    def turns(self, rounds):
        """How many turns there are in that many rounds."""
        return rounds


MEASURES = (
    Measure(
        "work-timer",
        "work-timer",
        "-s 1",
        [
            Row("how late a timer at 10 kHz fires, median", "median_us", "us", 2, "1.1 x bare"),
            Row("  at the most", "max_us", "us", 1),
            Row("  periods missed", "missed", "", 0, "none"),
        ],
    ),
    Measure(
        "work-timer-polled",
        "work-timer -b 200000",
        "-s 1",
        [
            Row("  with poll-max-ns 200 us, bare: spinning; median", "median_us", "us", 2),
            Row("  at the most", "max_us", "us", 1),
            Row("  periods missed", "missed", "", 0, "none"),
        ],
    ),
    Measure(
        "work-kick",
        "work-kick",
        "-n 1000",
        [
            Row("a notifier kicked, and the next one of its chain, median", "median_us", "us", 1,
                "1.1 x bare"),
            Row("  p99", "p99_us", "us", 1),
        ],
    ),
    Measure(
        "work-move",
        "work-move",
        "-n 50",
        [
            Row("a relay with 200 connections moved, median", "median_us", "us", 0, "1,000"),
            Row("  p99", "p99_us", "us", 0),
            Row("  64 bytes through it meanwhile, at the most", "longest_us", "us", 0),
        ],
        bare=False,
    ),
)


class WorkSuite(Suite):
    """Timers, notifiers and relays in the daemon."""

    name = "work"
    columns = (OURS, BARE)
    measures = MEASURES

    def __init__(self, options, folder):
        super().__init__(options)
        self.socket = str(Path(folder) / "qmp.sock")
        self.evloopd = shutil.which(options.evloopd)

    def command(self, measure, column):
        """The program with its options for this column, or None."""
        words = [*measure.program.split(), *(measure.quick.split() if self.options.quick else ())]
        if column == BARE:
            return words if measure.bare else None
        if not self.evloopd:
            return None
        server = [os.path.abspath(self.evloopd), "--qmp", f"unix:{self.socket}", "--debug-commands"]
        return [*words, self.socket, *server]

    def table(self):
        """The lines of the table, as lists of cells."""
        yield ["", *self.columns, "ratio", "unit", "to reach"]
        for measure in self.wanted():
            for row in measure.rows:
                ours, bare = (self.figure(measure, column, row) for column in self.columns)
                ratio = f"{ours / bare:.2f}" if ours is not None and bare else ""
                cells = [cell(ours, row), cell(bare, row) if measure.bare else "", ratio]
                yield [row.label, *cells, row.unit, row.to_reach]

    def summary(self):
        """The lines of a table in Markdown: what has something to reach."""
        yield f"| measure | {OURS} | {BARE} | ratio | to reach |"
        yield "|---|---|---|---|---|"
        for label, ours, bare, ratio, unit, to_reach in list(self.table())[1:]:
            if to_reach:
                bare = bare and f"{bare} {unit}"
                yield f"| {label.strip()} | {ours} {unit} | {bare} | {ratio} | {to_reach} |"
