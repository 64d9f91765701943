"""The socket relay beside its peers: what is measured, and its table; see docs/benchmarks.md."""

import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from turns import Row, Suite, cell, note

OURS = "evloopd"
PROXYD = "socket-proxyd"
SOCAT = "socat"
HAPROXY = "haproxy"
PROXYD_PATHS = "/lib/systemd:/usr/lib/systemd"

# One thread, as the others have; in TCP mode, with splice(2) where HAProxy thinks it pays.
HAPROXY_CONFIG = """\
global
    nbthread 1
    maxconn 6000
defaults
    mode tcp
    option splice-auto
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen relay
    bind {listen}
    server target {target}
"""


@dataclass
class Measure:
    """A measuring program, for one kind of socket."""

    name: str
    kind: str  # "unix" or "tcp"
    program: str
    quick: str  # the options that replace the program's with --quick
    rows: list
    without: tuple = ()  # the columns that can't be measured
    least: bool = False  # whether the best is the least
    iothread: str = ""  # properties of evloopd's IOThread

    def turns(self, rounds):
        """How many turns there are in that many rounds."""
        return rounds


def measures_of(kind):
    """All measurements with sockets of that kind."""
    return (
        Measure(
            f"relay-bulk-{kind}",
            kind,
            "relay-bulk -m 2000",
            "-m 200",
            [Row(f"bulk, {kind}", "mb_per_second", "MB/s", 0, "1.0 x the best")],
        ),
        Measure(
            f"relay-roundtrip-{kind}",
            kind,
            "relay-roundtrip -n 20000",
            "-n 2000",
            [
                Row(f"64 bytes there and back, {kind}, median", "median_us", "us", 1, "0.9 x"),
                Row(f"64 bytes there and back, {kind}, p99", "p99_us", "us", 1),
            ],
            least=True,
        ),
        Measure(
            f"relay-polling-{kind}",
            kind,
            "relay-roundtrip -n 20000",
            "-n 2000",
            [
                Row(f"  evloopd's poll-max-ns 200 us, {kind}, median", "median_us", "us", 1),
                Row(f"  evloopd's poll-max-ns 200 us, {kind}, p99", "p99_us", "us", 1),
            ],
            least=True,
            iothread=",poll-max-ns=200000",
        ),
        Measure(
            f"relay-connects-{kind}",
            kind,
            "relay-connects -n 10000",
            "-n 1000",
            [Row(f"connections, {kind}", "per_second", "/s", 0, "1.0 x the best")],
        ),
    )


MEASURES = (
    *measures_of("unix"),
    *measures_of("tcp"),
    Measure(
        "relay-memory",
        "unix",
        "relay-memory -n 5000",
        "-n 500",
        [
            Row("an idle connection, with the kernel's", "with_kernel_bytes", "bytes", 0, "0.5 x"),
            Row("an idle connection, VmPss", "pss_bytes", "bytes", 0, "0.5 x"),
        ],
        without=(SOCAT,),  # a process for each connection
        least=True,
    ),
)


def free_port():
    """A TCP port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RelaySuite(Suite):
    """evloopd's socket-relay, and what else relays."""

    name = "relay"
    columns = (OURS, PROXYD, SOCAT, HAPROXY)
    measures = MEASURES

    def __init__(self, options, folder):
        super().__init__(options)
        self.folder = Path(folder)
        self.addresses = {
            "unix": (f"unix:{folder}/in", f"unix:{folder}/out"),
            "tcp": (f"tcp:127.0.0.1:{free_port()}", f"tcp:127.0.0.1:{free_port()}"),
        }
        self.programs_found = {
            OURS: shutil.which(options.evloopd),
            PROXYD: shutil.which("systemd-socket-proxyd", path=PROXYD_PATHS),
            SOCAT: shutil.which("socat"),
            HAPROXY: shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin"),
        }
        for column, program in self.programs_found.items():
            if not program and self.wanted():
                note(f"{column} was not found: n/a")

    def relay(self, measure, column):
        """The command line of that relay."""
        listen, target = self.addresses[measure.kind]
        program = self.programs_found[column]
        kind, plain_listen = listen.split(":", 1)
        plain_target = target.split(":", 1)[1]
        if column == OURS:
            return [
                *(os.path.abspath(program), "--qmp", f"unix:{self.folder}/qmp.sock"),
                *("--object", f"iothread,id=io0{measure.iothread}"),
                *("--object", f"socket-relay,id=r0,iothread=io0,listen={listen},target={target}"),
            ]
        if column == PROXYD:
            activate = ["systemd-socket-activate", "-l", plain_listen]
            return [*activate, program, "--connections-max=100000", plain_target]
        if column == SOCAT:
            protocol = kind.upper()
            if kind == "tcp":
                host, port = plain_listen.split(":")
                plain_listen = f"{port},bind={host},reuseaddr,nodelay"
                plain_target += ",nodelay"
            return [
                *(program, f"{protocol}-LISTEN:{plain_listen},fork,backlog=4096"),
                f"{protocol}:{plain_target}",
            ]
        config = self.folder / "haproxy.cfg"
        at = "unix@" if kind == "unix" else ""
        config.write_text(HAPROXY_CONFIG.format(listen=at + plain_listen, target=at + plain_target))
        return [program, "-db", "-f", str(config)]

    def command(self, measure, column):
        """The program with its options for this column, or None."""
        if not self.programs_found[column] or column in measure.without:
            return None
        words = measure.program.split()
        if self.options.quick:
            words = [words[0], *measure.quick.split()]
        return [*words, *self.addresses[measure.kind], *self.relay(measure, column)]

    def table(self):
        """The lines of the table, as lists of cells."""
        yield ["", *self.columns, "to the best", "unit", "to reach"]
        for measure in self.wanted():
            for row in measure.rows:
                ours, *peers = (self.figure(measure, column, row) for column in self.columns)
                known = [peer for peer in peers if peer]
                best = (min if measure.least else max)(known, default=None)
                ratio = f"{ours / best:.2f}" if ours is not None and best else ""
                cells = [cell(value, row) for value in (ours, *peers)]
                yield [row.label, *cells, ratio, row.unit, row.to_reach]

    def summary(self):
        """The lines of a table in Markdown: what has something to reach."""
        yield f"| measure | {' | '.join(self.columns)} | to the best | to reach |"
        yield "|---|---|---|---|---|---|---|"
        for line in list(self.table())[1:]:
            label, *cells, ratio, unit, to_reach = line
            if to_reach:
                yield f"| {label}, {unit} | {' | '.join(cells)} | {ratio} | {to_reach} |"
