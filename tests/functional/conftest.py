"""Fixtures: the programs, and daemons that are started and ended for a test."""

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from qmp_client import DEADLINE, Qmp

BUILD = Path(os.environ.get("EVLOOPD_BUILD", Path(__file__).parents[2] / "build"))


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
                Qmp(self.socket).close()
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
        daemon = Daemon(evloopd, socket, ["--qmp", f"unix:{socket}", *options], **popen_options)
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
def qmp(daemon):
    """A session in command mode, with out-of-band execution."""
    with daemon.connect(oob=True) as session:
        yield session
