"""The loop beside its peers: what is measured, and its table; see docs/benchmarks.md."""

import os
from dataclasses import dataclass
from pathlib import Path

from turns import Row, Suite, cell

OURS = ("aio-io_uring", "aio-epoll", "aio-poll")  # the first that has a figure stands for us
PEERS = ("libev", "libuv", "libevent", "glib", "sd-event")
BARE = "bare"
NONE = "none"  # no loop at all: what the work alone takes

# Those whose every pass looks at all descriptors.
LINEAR = ("aio-poll", "glib")

FILE_SIZE = 64 << 20  # of the file that is read; it is in the page cache


@dataclass
class Measure:
    """A measuring program that is told which loop to use."""

    name: str
    rows: list
    program: str
    quick: str = ""  # the options that replace the program's with --quick
    columns: tuple = (*OURS, *PEERS, BARE)
    slow: tuple = ()  # columns that get other options, or it would take minutes
    slower: str = ""  # these
    bare: str = ""  # a script for the bare column; then both are given a file, not a loop
    quick_bare: str = ""
    per_round: int = 1  # turns in each round

    def turns(self, rounds):
        """How many turns there are in that many rounds."""
        return rounds * self.per_round


def fds(count, to_reach):
    """Dispatch of that many descriptors."""
    return Measure(
        f"fds{count}",
        [Row(f"descriptors: events, {count:,} of them", "per_second", "/s", 0, to_reach, "best")],
        program=f"loop-fds -n {count} -e 500000",
        quick="-e 50000",
        slow=LINEAR if count > 1000 else (),
        slower="-e 10000",
        columns=(*OURS, *PEERS, BARE, NONE),
    )


def timers(count, to_reach="", back_to_reach=""):
    """Re-arming one of that many timers, in both ways."""
    columns = (*OURS[:2], *PEERS)
    return (
        Measure(
            f"timers{count}",
            [Row(f"re-arm one of {count:,} timers", "rearm_ns", "ns", 1, to_reach, "libev")],
            program=f"loop-timers -n {count} -c 1000000",
            quick="-c 100000",
            columns=columns,
        ),
        Measure(
            f"timers{count}-back",
            [
                Row(
                    "  when only pushed back",
                    *("rearm_ns", "ns", 1, back_to_reach, "libev"),
                    alone=f"push back one of {count:,} timers",
                )
            ],
            program=f"loop-timers -b -n {count} -c 1000000",
            quick="-c 100000",
            columns=columns,
        ),
    )


def calls(name, label, options, columns, to_reach, alone=""):
    """A call to another thread and back."""
    return Measure(
        name,
        [
            Row(f"{label}, median", "median_us", "us", 2, to_reach, BARE, alone),
            Row("  p99", "p99_us", "us", 2, "", BARE),
        ],
        program=f"loop-call {options}",
        quick="-n 3000",
        columns=columns,
        per_round=2,
    )


def reads(name, label, options, quick, alone=""):
    """File reads, beside fio with these options."""
    return Measure(
        name,
        [Row(label, "per_second", "/s", 0, "0.95 x fio's", BARE, alone)],
        program="loop-reads",
        quick="-n 100000",
        columns=(OURS[0], BARE),
        bare=f"fio-reads {options}",
        quick_bare=quick,
    )


MEASURES = (
    fds(100, "1.0 x the best peer"),
    fds(1000, ""),
    fds(9000, "1.4 x the best peer"),
    Measure(
        "idle-fds",
        [
            Row("an event, 10 descriptors idle", "few_ns", "ns"),
            Row("an event, 15,000 descriptors idle", "many_ns", "ns"),
            Row(
                "  the second beside the first",
                *("ratio", "x", 2, "at most 1.05"),
                alone="an event among 15,000 idle descriptors, beside one among 10",
            ),
        ],
        program="loop-idle-fds -i 15000",
        quick="-m 50",
    ),
    *timers(1000),
    *timers(10000),
    *timers(1000000, "1.0 x libev's", "0.3 x libev's"),
    Measure(
        "fire",
        [
            Row(
                "a pass that fires 1,000 of 1,000,000 timers",
                *("pass_us", "us", 1, "1.0 x the best peer's", "best"),
            ),
        ],
        program="loop-timers-fire -n 1000000 -f 1000",
        quick="-r 5",
        columns=(*OURS[:2], *PEERS),
        slow=("glib",),
        slower="-r 5",
    ),
    calls(
        "call",
        "call a thread and be called back",
        "",
        (*OURS[:2], *PEERS, BARE),
        "0.8 x bare + 1 us",
    ),
    calls(
        "call-one",
        "  on one processor",
        "-s",
        (*OURS[:2], *PEERS, BARE),
        "0.8 x bare + 1 us",
        "call a thread and be called back, on one processor",
    ),
    calls(
        "call-polling",
        "  both polling",
        "-p 1000000",
        (*OURS[:2], BARE),
        "under 1 us",
        "call a thread and be called back, both polling",
    ),
    Measure(
        "post",
        [Row("oneshots to another thread", "per_second", "/s", 0, "5,000,000")],
        program="loop-post",
        quick="-n 200000",
        columns=(*OURS[:2], *PEERS),
        slow=("glib",),
        slower="-n 200000",
    ),
    Measure(
        "post-window",
        [Row("  at most 1,000 under way", "per_second", "/s")],
        program="loop-post -w 1000",
        quick="-n 200000",
        columns=(*OURS[:2], *PEERS),
        slow=("glib",),
        slower="-n 200000",
    ),
    Measure(
        "later",
        [Row("schedule and run a call, own thread", "call_ns", "ns", 1)],
        program="loop-later",
        quick="-n 100000",
        columns=(*OURS[:2], *PEERS),
    ),
    Measure(
        "later-batch",
        [Row("  100 at once", "call_ns", "ns", 1)],
        program="loop-later -b 100",
        quick="-n 100000",
        columns=(*OURS[:2], *PEERS),
    ),
    Measure(
        "lateness",
        [
            Row("how late a timer fires, median", "median_us", "us", 1),
            Row("  p99", "p99_us", "us", 1),
            Row("  clock_nanosleep in turns with it, median", "sleep_median_us", "us", 1),
            Row("  p99", "sleep_p99_us", "us", 1),
            Row(
                "  the loop beside clock_nanosleep, medians",
                *("ratio", "x", 2, "at most 1.1"),
                alone="how late a timer fires, beside clock_nanosleep",
            ),
        ],
        program="loop-lateness",
        quick="-n 200",
        columns=(*OURS, *PEERS),
    ),
    Measure(
        "kick",
        [
            Row("an eventfd kicked and one back, two processes, median", *("median_us", "us", 1),
                to_reach="1.1 x bare"),
            Row("  p99", "p99_us", "us", 1),
        ],
        program="loop-kick",
        quick="-n 1000",
        columns=(*OURS, *PEERS, BARE),
    ),
    reads("reads", "file reads, 32 in flight (bare: fio)", "", "-s 0.3", "file reads beside fio"),
    reads(
        "reads-batch",
        "  the same (bare: fio in batches)",
        "-b",
        "-s 0.3",
        "file reads beside fio in batches",
    ),
)


class LoopSuite(Suite):
    """Ours by each fd monitor, the peers, and the least that a loop can be."""

    name = "loop"
    columns = (*OURS, *PEERS, BARE, NONE)
    measures = MEASURES

    def __init__(self, options, folder):
        super().__init__(options)
        self.folder = folder

    def file(self):
        """The path of a file to read, made at first use."""
        path = Path(self.folder) / "reads.dat"
        if not path.exists():
            path.write_bytes(os.urandom(FILE_SIZE))
        return str(path)

    def command(self, measure, column):
        """The program with its options for this column, or None."""
        if column not in measure.columns:
            return None
        script = measure.bare if column == BARE else ""
        program, *words = (script or measure.program).split()
        if script:
            program = str(Path(__file__).resolve().parent / program)
        if self.options.quick:
            words += (measure.quick_bare if script else measure.quick).split()
        if column in measure.slow:
            words += measure.slower.split()
        return [program, *words, self.file() if measure.bare else column]

    def ours(self, measure, row):
        """Our figure: that of the first fd monitor that has one, or None."""
        figures = (self.figure(measure, column, row) for column in OURS)
        return next((figure for figure in figures if figure is not None), None)

    def other(self, measure, row):
        """The column that the row is compared with and its figure, or None twice."""
        columns = PEERS if row.beside == "best" else [row.beside]
        found = [(self.figure(measure, column, row), column) for column in columns]
        found = [(figure, column) for figure, column in found if figure is not None]
        if not found:
            return None, None
        figure, column = (max if row.unit == "/s" else min)(found)
        return column, figure

    def ratio(self, measure, row):
        """Our figure beside the one that the row is compared with, or "" when either is missing."""
        ours = self.ours(measure, row)
        _, other = self.other(measure, row)
        return f"{ours / other:.2f}" if ours is not None and other else ""

    def summary(self):
        """The lines of a table in Markdown: what has something to reach."""
        yield "| measure | evloopd | beside | ratio | to reach |"
        yield "|---|---|---|---|---|"
        for measure in self.wanted():
            for row in measure.rows:
                if row.to_reach:
                    column, other = self.other(measure, row)
                    ours = f"{cell(self.ours(measure, row), row)} {row.unit}"
                    beside = f"{column}: {cell(other, row)} {row.unit}" if column else ""
                    cells = [row.alone or row.label, ours, beside, self.ratio(measure, row)]
                    yield f"| {' | '.join(cells)} | {row.to_reach} |"

    def table(self):
        """The lines of the table, as lists of cells."""
        shown = [column.removeprefix("aio-") for column in self.columns]
        yield ["", *shown, "ratio", "unit", "to reach"]
        for measure in self.wanted():
            for row in measure.rows:
                cells = ["" for _ in self.columns]
                for i, column in enumerate(self.columns):
                    if column in measure.columns:
                        cells[i] = cell(self.figure(measure, column, row), row)
                yield [row.label, *cells, self.ratio(measure, row), row.unit, row.to_reach]
