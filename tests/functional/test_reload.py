"""Reloading on SIGHUP: what the manager and clients see, and that work goes on meanwhile."""

import os
import select
import signal
import socket
import threading
import time

import pytest

from configuration import NOTHING, ConfigDir, add, objects_of
from objects import get, wait_for
from qmp_client import DEADLINE

READY = ["READY=1", "STATUS=Serving 1 control socket"]


@pytest.fixture
def files(tmp_path):
    return ConfigDir(tmp_path)


@pytest.fixture
def manager(sockets):
    """The manager's end of NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(sockets / "notify"))
        sock.settimeout(DEADLINE)
        yield sock


def receive(manager):
    return manager.recv(65536).decode().strip().split("\n")


@pytest.fixture
def daemon(start_daemon, files, sockets, manager):
    daemon = start_daemon("--debug-commands", "--config-dir", str(files.path),
                          env={**os.environ, "NOTIFY_SOCKET": str(sockets / "notify")})
    assert receive(manager) == READY
    return daemon


def hang_up(daemon):
    daemon.proc.send_signal(signal.SIGHUP)


def monotonic_us():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def expect_reloading(manager):
    reloading, time_us, status = receive(manager)
    assert reloading == "RELOADING=1" and status == "STATUS=Reloading the configuration"
    assert time_us.startswith("MONOTONIC_USEC=")
    return int(time_us[len("MONOTONIC_USEC="):])


def test_the_manager_is_told_of_a_reload(daemon, qmp, files, manager):
    files.write("a.json", add("iothread", "io0"))
    before = monotonic_us()
    hang_up(daemon)
    assert before <= expect_reloading(manager) <= monotonic_us()
    assert receive(manager) == READY
    assert objects_of(qmp) == {"io0": "iothread"}
    assert daemon.stderr().splitlines()[-1] == (
        "evloopd: notice: configuration: applied: objects 1 added, 0 deleted, 0 replaced, "
        "0 adopted; 0 properties set")
    hang_up(daemon)
    expect_reloading(manager)
    assert receive(manager) == READY
    assert daemon.stderr().splitlines()[-1] == "evloopd: notice: configuration: nothing to change"


def test_the_manager_is_told_of_one_that_fails(daemon, qmp, files, manager):
    files.write("a.json", "{")
    hang_up(daemon)
    expect_reloading(manager)
    error = f"{files.where('a.json', 1)}: JSON syntax error: the input ends inside an object"
    assert receive(manager) == [
        READY[0], f"{READY[1]}; the configuration was not reloaded: {error}"]
    assert daemon.stderr().splitlines()[-1] == (
        f"evloopd: warning: configuration: not applied: {error}")
    # The next one that works is as good as ever.
    files.write("a.json", add("iothread", "io0"))
    hang_up(daemon)
    expect_reloading(manager)
    assert receive(manager) == READY
    assert objects_of(qmp) == {"io0": "iothread"}


def test_an_error_of_several_lines_is_one_line_of_status(daemon, files, manager):
    (files.path / "a\nb.json").write_text("{")
    hang_up(daemon)
    expect_reloading(manager)
    ready, status = receive(manager)
    assert ready == READY[0] and "a b.json: line 1" in status


def test_a_signal_while_the_main_loop_is_held_reloads_after_it(daemon, files, manager):
    files.write("a.json", add("iothread", "io0"))
    with daemon.block_main_loop(500) as held:
        hang_up(daemon)
        hang_up(daemon)
        assert held.receive_reply() == {"return": {}}
    expect_reloading(manager)
    assert receive(manager) == READY
    with daemon.connect() as qmp:
        assert objects_of(qmp) == {"io0": "iothread"}


def test_a_signal_at_the_start_reloads_after_it(start_daemon, files, sockets, manager):
    os.mkfifo(sockets / "fifo")
    daemon = start_daemon("--config", str(sockets / "fifo"), "--config-dir", str(files.path),
                          env={**os.environ, "NOTIFY_SOCKET": str(sockets / "notify")}, wait=False)
    with open(sockets / "fifo", "w", encoding="utf-8") as fifo:  # the daemon is reading it now
        hang_up(daemon)
        fifo.write(add("iothread", "io0"))
    assert receive(manager) == READY
    expect_reloading(manager)
    assert receive(manager) == READY
    with daemon.connect() as qmp:
        assert objects_of(qmp) == {"io0": "iothread"}


def connect_through(path, listener):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(DEADLINE)
    client.connect(str(path))
    return client, listener.accept()[0]


@pytest.fixture
def target(sockets):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(sockets / "out"))
        listener.listen()
        listener.settimeout(DEADLINE)
        yield listener


def relay(sockets, **properties):
    return add("socket-relay", "r", listen=f"unix:{sockets}/in", target=f"unix:{sockets}/out",
               **properties)


def test_signals_during_a_reload_have_one_more_after_it(daemon, qmp, files, manager, sockets,
                                                        target):
    files.write("a.json", relay(sockets, drain_timeout_ms=3600000))
    qmp.command("reload")
    client, peer = connect_through(sockets / "in", target)
    files.write("a.json")
    hang_up(daemon)
    expect_reloading(manager)
    wait_for(lambda: not (sockets / "in").exists())  # it drains
    files.write("a.json", add("iothread", "io0"))
    for _ in range(3):
        hang_up(daemon)
        # Each has been taken up: the main loop has been round.
        wait_for(lambda: not pending(daemon))
        qmp.command("query-version")
    client.close()
    peer.close()
    assert receive(manager) == READY
    expect_reloading(manager)
    assert receive(manager) == READY
    assert objects_of(qmp) == {"io0": "iothread"}
    log = [line for line in daemon.stderr().splitlines() if "applied" in line]
    assert len(log) == 3  # with that of the command


def pending(daemon):
    """Whether SIGHUP waits to be taken up."""
    with open(f"/proc/{daemon.proc.pid}/status") as status:
        fields = dict(line.split(":\t", 1) for line in status)
    return int(fields["ShdPnd"], 16) & 1 << (signal.SIGHUP - 1)


class Traffic:
    """A client of a relay that sends, and a target that echoes, until it is stopped."""

    def __init__(self, path, listener):
        self.client, self.peer = connect_through(path, listener)
        self.peer.settimeout(DEADLINE)
        self.stopping = False
        self.rounds = 0
        self.error = None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.stopping:
                message = os.urandom(4096)
                for sender, receiver in ((self.client, self.peer), (self.peer, self.client)):
                    sender.sendall(message)
                    assert receiver.recv(len(message), socket.MSG_WAITALL) == message
                self.rounds += 1
        except Exception as error:  # it is told by the test's thread
            self.error = error

    def wait_for_more(self):
        rounds = self.rounds
        wait_for(lambda: self.error or self.rounds > rounds + 10)

    def stop(self):
        self.stopping = True
        self.thread.join()
        self.client.close()
        self.peer.close()
        if self.error:
            raise self.error


def test_connections_live_on_while_all_around_them_changes(daemon, qmp, files, manager, sockets,
                                                           target):
    """The relay itself stays, moves, gets other properties; its IOThread is replaced."""
    files.write("a.json", add("iothread", "io0"), relay(sockets, iothread="io0"))
    qmp.command("reload")
    traffic = [Traffic(sockets / "in", target) for _ in range(3)]
    for lines in (
            [add("iothread", "io0"), relay(sockets, iothread="io0"), add("iothread", "io1")],
            [add("iothread", "io1"), relay(sockets, iothread="io1")],
            [add("iothread", "io1", fdmon="poll"), relay(sockets, iothread="io1")],
            [add("iothread", "io1"), add("iothread", "io2"),
             relay(sockets, iothreads=["io1", "io2"], buffer_size=65536)],
            [relay(sockets)]):
        files.write("a.json", *lines)
        hang_up(daemon)
        expect_reloading(manager)
        assert receive(manager) == READY
        assert qmp.command("reload") == NOTHING
        for each in traffic:
            each.wait_for_more()
    assert get(qmp, "r", "connections") == get(qmp, "r", "total-connections") == 3
    for each in traffic:
        each.stop()


def test_a_reload_waits_for_an_iothread_that_is_held_and_nobody_else_does(daemon, qmp, files,
                                                                          manager):
    files.write("a.json", add("iothread", "io0"), add("iothread", "io1"),
                add("timer", "t0", period_ns=10**6, iothread="io0"))
    qmp.command("reload")
    files.write("a.json", add("iothread", "io1"), add("iothread", "io2"),
                add("timer", "t0", period_ns=10**6, iothread="io1"))
    with daemon.connect() as blocker, daemon.connect(oob=True) as other:
        blocker.send({"execute": "x-debug-block",
                      "arguments": {"loop": "io0", "duration-ms": 3600000}})
        wait_for(lambda: source_of(other, "io0") == "debug_block_here")
        hang_up(daemon)
        expect_reloading(manager)
        # What can be done is: io2 is added. What is to leave io0 waits for it.
        wait_for(lambda: source_of(other, "io2") is not ...)
        other.command("query-version")
        assert other.command("qom-get", path="/objects/io1", property="poll-max-ns") == 32768
        # A client's change waits for the reload, as ever.
        qmp.send({"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "io3"}})
        other.oob("query-version")
        assert set(objects_of(other)) == {"io0", "io1", "io2", "t0"}
        assert not select.select([manager], [], [], 0)[0]
        other.oob("x-debug-unblock", loop="io0")
        assert blocker.receive_reply() == {"return": {}}
        assert receive(manager) == READY
        assert qmp.receive_reply() == {"return": {}}
        assert objects_of(other) == {"io1": "iothread", "io2": "iothread", "io3": "iothread",
                                     "t0": "timer"}
        before = get(other, "t0", "expirations")
        wait_for(lambda: get(other, "t0", "expirations") > before)  # it works on io1
    assert get(qmp, "t0", "iothread") == "io1"


def test_the_end_comes_after_a_reload_that_waits_for_an_iothread(daemon, files, manager):
    files.write("a.json", add("iothread", "io0"))
    with daemon.connect() as qmp:
        qmp.command("reload")
    files.write("a.json")
    with daemon.connect() as blocker, daemon.connect(oob=True) as other:
        blocker.send({"execute": "x-debug-block",
                      "arguments": {"loop": "io0", "duration-ms": 3600000}})
        wait_for(lambda: source_of(other, "io0") == "debug_block_here")
        hang_up(daemon)
        expect_reloading(manager)
        daemon.proc.send_signal(signal.SIGTERM)
        other.wait_event("SHUTDOWN")
        other.oob("x-debug-unblock", loop="io0")
        assert blocker.receive_reply() == {"return": {}}
        daemon.end()
    assert "configuration: iothread 'io0' deleted" in daemon.stderr()


def source_of(session, loop):
    """What runs on a loop: a name, or None; ... when there is no such loop."""
    return next((item.get("source") for item in session.oob("query-loops") if item["id"] == loop),
                ...)


def test_without_a_directory_a_signal_changes_nothing(start_daemon):
    daemon = start_daemon("--object", "iothread,id=io0")
    hang_up(daemon)
    wait_for(daemon.stderr)
    assert daemon.stderr() == (
        "evloopd: warning: configuration: not applied: There is no configuration directory, for "
        "the daemon was started without --config-dir\n")
    with daemon.connect() as qmp:
        assert objects_of(qmp) == {"io0": "iothread"}


def test_a_signal_does_not_hold_up_the_end(daemon, files, manager):
    files.write("a.json", *(add("timer", f"t{i}", period_ns=10**9) for i in range(50)))
    hang_up(daemon)
    expect_reloading(manager)
    daemon.end()
