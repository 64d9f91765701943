"""evloopd beside qemu-storage-daemon: what is measured, and its table; see docs/benchmarks.md."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from turns import Row, Suite, cell, note

OURS = "evloopd"
PEER = "qemu-storage-daemon"
BARE = "bare echo"


@dataclass
class Measure:
    """A measuring program for the servers, a bare one without a server, or both."""

    name: str
    rows: list
    program: str = ""
    quick: str = ""  # the options that replace the program's with --quick
    bare: str = ""
    per_round: int = 1  # turns in each round
    varies: bool = True  # otherwise one turn tells it all
    many: bool = False  # needs a server that serves more than one client at a time

    def turns(self, rounds):
        """How many turns there are in that many rounds."""
        return rounds * self.per_round if self.varies else 1


MEASURES = (
    Measure(
        "roundtrip",
        [
            Row("a command and its reply, median", "median_us", "us", 1, "1/4 of the peer's"),
            Row("a command and its reply, p99", "p99_us", "us", 1),
        ],
        program="qmp-roundtrip -n 5000",
        quick="-n 1000",
        bare="echo",
    ),
    Measure(
        "polling",
        [
            Row("  where the far side polls, median", "median_us", "us", 1),
            Row("  where the far side polls, p99", "p99_us", "us", 1),
        ],
        bare="echo -p",
    ),
    Measure(
        "hop",
        [
            Row("  where it answers in another thread", "median_us", "us", 1),
            Row("  where it answers in another thread, p99", "p99_us", "us", 1),
        ],
        bare="echo -t",
    ),
    Measure(
        "oob",
        [
            Row("the same out-of-band, median", "median_us", "us", 1, "1/5 of the peer's in-band"),
            Row("the same out-of-band, p99", "p99_us", "us", 1),
        ],
        program="qmp-roundtrip -o -n 5000",
        quick="-n 1000",
    ),
    Measure(
        "oob-held",
        [
            Row("  while the main loop is held, median", "median_us", "us", 1),
            Row("  while the main loop is held, p99", "p99_us", "us", 1, "1.5 x otherwise"),
        ],
        program="qmp-roundtrip -o -b -n 5000",
        quick="-n 1000",
        many=True,
    ),
    Measure(
        "oob-flood",
        [
            Row("  while another client floods, median", "median_us", "us", 1),
            Row("  while another client floods, p99", "p99_us", "us", 1),
        ],
        program="qmp-roundtrip -o -f -n 5000",
        quick="-n 1000",
        many=True,
    ),
    Measure(
        "inflight",
        [Row("commands, 64 in flight", "per_second", "/s", 0, "30 x the peer's")],
        program="qmp-inflight -d 64 -n 6000",
        quick="-n 2000",
        per_round=3,
    ),
    Measure(
        "schema",
        [
            Row("the whole schema, by the byte", "mb_per_second", "MB/s", 1, "5 x the peer's"),
            Row("  its size", "reply_kb", "kB", 1),
        ],
        program="qmp-schema -n 500",
        quick="-n 100",
    ),
    Measure(
        "objects",
        [
            Row("add and delete an IOThread", "pairs_per_second", "/s", 0, "3 x the peer's"),
            Row("  object-add, median", "add_us", "us", 1),
            Row("  object-del, median", "del_us", "us", 1),
        ],
        program="qmp-objects -n 1000",
        quick="-n 300",
    ),
    Measure(
        "start",
        [Row("start to greeting, median", "greeting_ms", "ms", 2, "no slower")],
        program="qmp-start",
        per_round=10,
    ),
    Measure(
        "memory",
        [
            Row("memory, idle: VmRSS", "rss_mb", "MB", 2, "at most 6 MB"),
            Row("memory, idle: Pss", "pss_mb", "MB", 2),
            Row("each further IOThread: VmRSS", "iothread_rss_kb", "kB", 1, "at most 24 kB"),
            Row("each further IOThread: Pss", "iothread_pss_kb", "kB", 1),
        ],
        program="qmp-memory -t 100",
    ),
    Measure(
        "sessions",
        [
            Row("each of 1,000 idle sessions: VmRSS", "session_kb", "kB", 2, "under 4 kB"),
            Row("  wake-ups in 3 s, of all", "wakeups", "", 0, "0"),
            Row("  processor time in 3 s, of all", "cpu_us", "us", 0, "0"),
        ],
        program="qmp-sessions -c 1000",
        many=True,
        varies=False,
    ),
    Measure(
        "idle",
        [
            Row("wake-ups in 5 s, idle", "wakeups", "", 0, "0"),
            Row("  system calls in 5 s", "system_calls", "", 0, "0"),
            Row("  processor time in 5 s", "cpu_us", "us"),
        ],
        program="qmp-idle -s 5",
        varies=False,
    ),
    Measure(
        "idle8",
        [
            Row("wake-ups in 5 s, idle, 8 IOThreads", "wakeups", "", 0, "0"),
            Row("  system calls in 5 s", "system_calls", "", 0, "0"),
            Row("  processor time in 5 s", "cpu_us", "us"),
        ],
        program="qmp-idle -s 5 -t 8",
        varies=False,
    ),
)


class QmpSuite(Suite):
    """The two servers, with a bare echo where there is one to compare with."""

    name = "qmp"
    columns = (OURS, PEER, BARE)
    measures = MEASURES

    def __init__(self, options, folder):
        super().__init__(options)
        self.socket = Path(folder) / "qmp.sock"
        self.servers = {}
        qmp = f"unix:{self.socket}"
        self.find_server(OURS, options.evloopd, "--qmp", qmp, "--debug-commands")
        self.find_server(
            PEER,
            options.peer,
            *("--chardev", f"socket,id=c,path={self.socket},server=on,wait=off"),
            *("--monitor", "chardev=c"),
        )

    def find_server(self, column, program, *arguments):
        """Have the program measured in that column, if it is there."""
        path = shutil.which(program)
        if not path:
            if self.wanted():
                note(f"{program} was not found: {column} is n/a")
            return
        path = os.path.abspath(path)
        with open(path, "rb") as start:
            if start.read(2) == b"#!":
                sys.exit(f"bench: {path} is a script, and its interpreter would be measured too")
        self.servers[column] = [path, *arguments]

    def command(self, measure, column):
        """The program with its options for this column, or None."""
        if column == BARE:
            return measure.bare.split()
        if not measure.program or column not in self.servers or (measure.many and column == PEER):
            return None
        quick = measure.quick if self.options.quick else ""
        return [*measure.program.split(), *quick.split(), str(self.socket), *self.servers[column]]

    def table(self):
        """The lines of the table, as lists of cells."""
        yield ["", OURS, PEER, "ratio", BARE, "unit", "to reach"]
        for measure in self.wanted():
            for row in measure.rows:
                ours, peer, bare = (self.figure(measure, column, row) for column in self.columns)
                ratio = f"{ours / peer:.2f}" if ours is not None and peer else ""
                cells = [cell(ours, row), cell(peer, row)] if measure.program else ["", ""]
                cells += [ratio, "" if bare is None else cell(bare, row)]
                yield [row.label, *cells, row.unit, row.to_reach]

    def summary(self):
        """The lines of a table in Markdown: what has something to reach."""
        yield f"| measure | {OURS} | {PEER} | ratio | to reach |"
        yield "|---|---|---|---|---|"
        for line in list(self.table())[1:]:
            label, ours, peer, ratio, _, unit, to_reach = line
            if to_reach:
                yield f"| {label.strip()} | {ours} {unit} | {peer} {unit} | {ratio} | {to_reach} |"
