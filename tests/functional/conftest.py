"""Fixtures: the programs, and daemons that are started and ended for a test."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from qmp_client import DEADLINE, Qmp
from service_manager import ServiceManager

# Programs under test would inherit what is ignored: a shell starts jobs in the background without
# SIGINT and SIGQUIT, and nohup a command without SIGHUP.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

BUILD = Path(os.environ.get("EVLOOPD_BUILD", Path(__file__).parents[2] / "build"))

# Starts a program as a service manager would, with descriptors from 3 on and LISTEN_PID its own.
WRAPPER = """
import os, sys
fds = [int(fd) for fd in sys.argv[1].split(",") if fd]
spare = [os.dup(fd) for fd in fds]
spare = [os.dup2(fd, 100 + i, inheritable=False) for i, fd in enumerate(spare)]
for fd in fds:
    os.close(fd)
for i, fd in enumerate(spare):
    os.dup2(fd, 3 + i, inheritable=True)
os.environ["LISTEN_PID"] = str(os.getpid() + int(os.environ.pop("PID_OFF_BY", "0")))
os.environ.setdefault("LISTEN_FDS", str(len(fds)))
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture(scope="session")
def evloopd():
    """The path of the daemon."""
    return str(BUILD / "evloopd")


@pytest.fixture(scope="session")
def evloopctl():
    """The path of the client."""
    return str(BUILD / "evloopctl")


@pytest.fixture
def sockets():
    """A directory for sockets, whose path is short enough for one."""
    with tempfile.TemporaryDirectory(prefix="evd") as path:
        yield Path(path)


class Daemon:
    """A running evloopd."""

    def __init__(self, program, socket, options, **popen_options):
        self.socket = str(socket)
        self.stderr_path = f"{socket}.stderr"
        with open(self.stderr_path, "wb") as stderr:
            self.proc = subprocess.Popen([program, *options], stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL, stderr=stderr,
                                         **popen_options)

    def wait_until_up(self):
        """Until it accepts sessions, or has ended."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if self.proc.poll() is not None:
                raise AssertionError(f"evloopd ended with {self.proc.returncode}: {self.stderr()}")
            try:
                session = Qmp(self.socket)
                session.command("query-version")  # the main loop runs: all has been opened
                sockets = self.sockets()
                session.close()
                self.wait_for_end_of_one(sockets)  # so that tests count none of this session's
                return
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.002)  # the condition is tried again
        raise AssertionError("evloopd does not come up")

    def stderr(self):
        return Path(self.stderr_path).read_text()

    def connect(self, **options):
        return Qmp(self.socket, **options)

    def tasks(self):
        """The names of its threads, by their ids."""
        tasks = {}
        for path in Path(f"/proc/{self.proc.pid}/task").iterdir():
            try:
                tasks[int(path.name)] = (path / "comm").read_text().strip()
            except (FileNotFoundError, ProcessLookupError):
                pass  # it has just ended
        return tasks

    def count_fds(self):
        return len(os.listdir(f"/proc/{self.proc.pid}/fd"))

    def block_main_loop(self, duration_ms=1500):
        """Hold the main loop; returns the session that waits for the answer, once it is held."""
        session = self.connect(oob=True)
        session.send({"execute": "x-debug-block", "arguments": {"duration-ms": duration_ms}})
        with self.connect(oob=True) as watcher:
            deadline = time.monotonic() + DEADLINE
            while time.monotonic() < deadline:
                [main] = [loop for loop in watcher.oob("query-loops") if loop["id"] == "main-loop"]
                if main.get("source") == "qmp_dispatch":
                    return session
        raise AssertionError("the main loop is not held")

    def sync_monitor(self):
        """Until the monitor thread has looked at all that had been sent to it before."""
        with self.connect(oob=True) as session:
            for _ in range(2):  # the first may come in the same turn of its loop
                session.oob("query-version")

    def wait_for_fds(self, count):
        """Until it has so many descriptors: nothing tells when a client's end is noticed."""
        deadline = time.monotonic() + DEADLINE
        while (found := self.count_fds()) != count:
            assert time.monotonic() < deadline, f"it has {found} descriptors, not {count}"
            time.sleep(0.002)  # the condition is tried again

    def links(self):
        """What its descriptors are, but for those that are closed meanwhile."""
        links = set()
        for path in Path(f"/proc/{self.proc.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                links.add(os.readlink(path))
        return links

    def sockets(self):
        return {link for link in self.links() if link.startswith("socket:")}

    def wait_for_end_of_one(self, sockets):
        deadline = time.monotonic() + DEADLINE
        while sockets <= self.sockets():
            assert time.monotonic() < deadline, f"it keeps {sockets}"
            time.sleep(0.002)  # the condition is tried again

    def resident_kb(self):
        """Its resident memory."""
        status = Path(f"/proc/{self.proc.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def is_sanitized(self):
        """Whether it was built with a sanitizer, under which memory says nothing."""
        maps = Path(f"/proc/{self.proc.pid}/maps").read_text()
        return "libasan" in maps or "libtsan" in maps

    def end(self):
        """End it if it still runs; its exit status must be 0, also under a sanitizer."""
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        try:
            status = self.proc.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            raise AssertionError(f"evloopd does not end: {self.stderr()}") from None
        assert status == 0, f"evloopd ended with {status}: {self.stderr()}"


@pytest.fixture
def start_daemon(evloopd, sockets):
    """Start daemons with further options: start_daemon("--object", ...)."""
    daemons = []

    def start(*options, wait=True, **popen_options):
        socket = sockets / f"qmp{len(daemons)}.sock"
        # What a busy machine stalls is no event that a test has asked for.
        daemon = Daemon(evloopd, socket, ["--qmp", f"unix:{socket}", "--stall-threshold-ms=600000",
                                          *options], **popen_options)
        daemons.append(daemon)
        if wait:
            daemon.wait_until_up()
        return daemon

    yield start
    for daemon in daemons:
        daemon.end()


@pytest.fixture
def daemon(start_daemon):
    """A daemon with the x-debug-* commands."""
    return start_daemon("--debug-commands")


@pytest.fixture
def state(daemon):
    """A function that takes down all that a request which fails must leave as it is."""
    session = daemon.connect()

    def take():
        objects = [item["name"] for item in session.command("qom-list", path="/objects")]
        return (objects, session.command("query-iothreads"), sorted(daemon.tasks().items()),
                daemon.count_fds())

    yield take
    session.close()


@pytest.fixture
def qmp(daemon):
    """A session in command mode, with out-of-band execution."""
    with daemon.connect(oob=True) as session:
        yield session


# ---- socket activation ----


@pytest.fixture
def listener(sockets):
    """Make listening sockets: listener(NAME)."""
    made = []

    def make(name, kind=socket.SOCK_STREAM, listen=True):
        sock = socket.socket(socket.AF_UNIX, kind)
        made.append(sock)
        sock.bind(f"{sockets}/{name}")
        if listen:
            sock.listen()
        return sock

    yield make
    for sock in made:
        sock.close()


@pytest.fixture
def activate(evloopd):
    """Start the daemon with descriptors passed: activate(FDS, OPTION..., env={})."""
    procs = []

    def start(fds, *options, env=None):
        command = [sys.executable, "-c", WRAPPER, ",".join(str(fd) for fd in fds), evloopd,
                   *options]
        proc = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True, pass_fds=fds,
                                env={**os.environ, **(env or {})})
        procs.append(proc)
        return proc

    yield start
    for proc in procs:
        if proc.poll() is None:
            proc.terminate()
        try:
            proc.wait(DEADLINE)
        finally:
            proc.kill()
            proc.stderr.close()


# ---- restarts ----


@pytest.fixture
def manager(evloopd, sockets):
    """A service manager that keeps what daemons with --fd-store leave."""
    daemons = []

    def launch(fds, *options, limit_fds=None, **popen_options):
        path = sockets / "managed.sock"
        if limit_fds:
            popen_options["preexec_fn"] = lambda: resource.setrlimit(resource.RLIMIT_NOFILE,
                                                                     (limit_fds, limit_fds))
        command = [sys.executable, "-c", WRAPPER, ",".join(map(str, fds))] if fds else []
        command += [evloopd, "--qmp", f"unix:{path}", "--stall-threshold-ms=600000", *options]
        daemon = Daemon(command[0], path, command[1:], pass_fds=fds, **popen_options)
        daemons.append(daemon)
        return daemon

    managing = ServiceManager(sockets, launch)
    yield managing
    try:
        for daemon in daemons:
            daemon.end()
    finally:
        managing.close()
