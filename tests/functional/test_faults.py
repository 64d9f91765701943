"""When a system call fails, that session has an error or ends, and the daemon runs on.

A scenario uses all that a session can. It is run with the first call of a function failing, then with
the second one, and so on, until none is left to fail.
"""

import json
import os
import re
import signal
import socket
import tempfile
import time

import pytest

from conftest import BUILD
from faults import Faults
from qmp_client import DEADLINE, Qmp

LIBRARY = BUILD / "tests/fault/.libs/libfault.so"
# More output than a socket takes, and a buffer of its own.
LARGE = "x" * 400_000
# Requests that make other things large, and answers that don't: each is in error.
LARGE_REQUESTS = [
    b'{"execute": "query-version", "arguments": {"a": "%s"}}' % (b"x" * 200_000),
    b'{"execute": "query-version", "arguments": {"a": {"%s": 1}}}' % (b"x" * 200_000),
    b'{"execute": "query-version", "arguments": {"a": 0.%s}}' % (b"1" * 200_000),
    b'{"execute": "query-version", "arguments": {"a": [%s 0]}}' % (b"0, " * 20_000),
    b'{"execute": "query-version", "arguments": {"a": {%s}}}' % b", ".join(
        b'"%d": 0' % i for i in range(10_000)),
]


class Gone(Exception):
    """The server has closed the session."""


class Tolerant(Qmp):
    """A session that takes errors as answers."""

    def ask(self, command, key="execute", fds=(), **arguments):
        """Send a command; its reply, whatever that is."""
        message = {key: command, "arguments": arguments, "id": command}
        try:
            if fds:
                self.send_with_fds(message, fds)
            else:
                self.send(message)
            reply = self.receive_reply()
        except (BrokenPipeError, ConnectionResetError):
            reply = None
        except AssertionError as error:  # it was cut off in the middle of a line
            assert "half a line" in str(error)
            reply = None
        if reply is None:
            raise Gone
        assert reply["id"] == command and ("return" in reply) != ("error" in reply)
        return reply


def run_scenario(path):
    """All that a session can do; whether it was let do it to the end."""
    session = Tolerant(path, negotiate=False)
    try:
        if session.receive() is None:
            raise Gone
        session.ask("qmp_capabilities", enable=["oob"])
        session.ask("query-qmp-schema", key="exec-oob")
        for fdmon in ["auto", "epoll", "poll"]:
            session.ask("object-add", **{"qom-type": "iothread", "id": fdmon, "fdmon": fdmon})
        session.ask("query-iothreads")
        session.ask("query-loops", key="exec-oob")
        session.ask("x-debug-echo", value=LARGE)
        with socket.socket() as sent:
            session.ask("getfd", fds=[sent.fileno()], fdname="a")
        session.ask("closefd", fdname="a")
        for fdmon in ["auto", "epoll", "poll"]:
            session.ask("object-del", id=fdmon)
        return True
    except (Gone, ConnectionResetError):
        return False
    finally:
        session.close()


def run_large_requests(path):
    """Requests for which the server needs much memory; whether it had all of it."""
    complete = True
    with Qmp(path) as session:
        for request in LARGE_REQUESTS:
            session.send_raw(request)
            desc = session.receive_reply()["error"]["desc"]
            complete = complete and desc == "Parameter 'a' is unexpected"
            session.sync()
    return complete


def run_large_answers(path):
    """Requests whose answers, or lines in the log, are large; whether all were answered."""
    requests = [{key: "x-debug-echo", "arguments": {"value": value}}
                for key in ["execute", "exec-oob"]
                for value in [LARGE, [LARGE, "\x01" * 30_000]]]
    requests += [{"execute": "query-qmp-schema"}, {"exec-oob": "query-qmp-schema"},
                 {"execute": "getfd", "arguments": {"fdname": LARGE}}]
    # One after another; then several of which nothing is read, so that the answers are kept.
    batches = [[request] for request in requests] + [requests[:1] * 3]
    complete = True
    session = Tolerant(path, oob=True)
    try:
        for batch in batches:
            for request in batch:
                session.send({**request, "id": 1})
            for request in batch:
                reply = session.receive_reply()
                if reply is None:
                    return False
                lost = reply.get("error", {}).get("desc", "").endswith("memory that is left")
                assert reply.get("id") == (None if lost else 1)
                complete = complete and not lost
        return complete
    except (BrokenPipeError, ConnectionResetError):
        return False
    except AssertionError as error:
        assert "half a line" in str(error)
        return False
    finally:
        session.close()


@pytest.fixture
def start_faulty(evloopd, start_daemon, sockets):
    """Start a daemon whose calls can be made to fail; the daemon, and what makes them fail."""
    with open(evloopd, "rb") as file:
        if b"__asan_init" in (program := file.read()) or b"__tsan_init" in program:
            pytest.skip("a sanitizer's library must come before any that is preloaded")

    def start(*options, fdmon="auto"):
        faults = Faults(LIBRARY, sockets / "faults")
        daemon = start_daemon("--debug-commands", *options,
                              env={**faults.environment(), "EVLOOP_FDMON": fdmon})
        faults.attach()
        return daemon, faults

    return start


class Witness:
    """A session that is there all the time, and gets the others' events."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.session = daemon.connect()

    def is_well(self):
        """Whether it has not been dropped; a new one is made if it has."""
        try:
            self.session.sync()
            self.session.events.clear()
            return True
        except (AssertionError, BrokenPipeError, ConnectionResetError):
            self.session.close()
            self.session = self.daemon.connect()
            return False


def assert_healthy(daemon):
    """A session can do all, and nothing is left in its way."""
    with daemon.connect(oob=True) as session:
        assert "return" in session.execute("query-commands")
        for item in session.command("query-iothreads"):
            session.command("object-del", id=item["id"])
        session.command("object-add", qom_type="iothread", id="healthy")
        session.command("object-del", id="healthy")


# The calls on the way of a session, what each can fail with, and under which fd monitor.
FAULTS = [
    ("accept4", "EMFILE", "auto"), ("accept4", "ENFILE", "auto"), ("accept4", "ENOMEM", "auto"),
    ("accept4", "ECONNABORTED", "auto"), ("accept4", "EINTR", "auto"),
    ("recvmsg", "ECONNRESET", "auto"), ("recvmsg", "ENOMEM", "auto"),
    ("recvmsg", "EINTR", "auto"), ("recvmsg", "EAGAIN", "auto"), ("recvmsg", "EAGAIN", "epoll"),
    ("send", "EPIPE", "auto"), ("send", "ENOBUFS", "auto"), ("send", "EINTR", "auto"),
    ("send", "EAGAIN", "auto"), ("send", "EAGAIN", "epoll"),
    ("getsockopt", "ENOBUFS", "auto"),
    ("eventfd", "EMFILE", "auto"), ("eventfd", "ENOMEM", "auto"),
    ("epoll_create1", "EMFILE", "auto"), ("epoll_create1", "ENOMEM", "auto"),
    ("epoll_ctl", "ENOMEM", "epoll"), ("epoll_ctl", "ENOSPC", "epoll"),
    ("io_uring_queue_init_params", "EMFILE", "auto"),
    ("io_uring_queue_init_params", "ENOMEM", "auto"),
    ("io_uring_queue_init_params", "EPERM", "auto"),
    ("pthread_create", "EAGAIN", "auto"),
]


def count_threads(daemon):
    """All but the pool's, of which there are more or fewer as work comes in."""
    return sum(not name.startswith("pool-") for name in daemon.tasks().values())


def walk(daemon, faults, function, error, scenario):
    """Run @scenario with the first call of @function failing, then with the second..."""
    fds = daemon.count_fds() + 1
    threads = count_threads(daemon)
    witness = Witness(daemon)
    assert scenario(daemon.socket)
    assert_healthy(daemon)
    daemon.wait_for_fds(fds)
    nth = 0
    fired = True
    while fired:
        nth += 1
        faults.arm(function, nth, error)
        complete = scenario(daemon.socket)
        fired = faults.disarm(function) > 0
        witness_is_well = witness.is_well()
        # One fault ends one session at the most.
        assert complete or witness_is_well
        assert (complete and witness_is_well) or fired
        assert_healthy(daemon)
        daemon.wait_for_fds(fds)
        assert count_threads(daemon) == threads
    assert nth > 1, f"the scenario does not call {function}"
    witness.session.close()


@pytest.mark.parametrize("function, error, fdmon", FAULTS)
def test_any_call_of_a_session_may_fail(start_faulty, function, error, fdmon):
    daemon, faults = start_faulty(fdmon=fdmon)
    walk(daemon, faults, function, error, run_scenario)


@pytest.mark.parametrize("function", ["malloc", "calloc", "realloc"])
def test_memory_may_be_out_for_a_large_request(start_faulty, function):
    daemon, faults = start_faulty()
    walk(daemon, faults, function, "ENOMEM", run_large_requests)


@pytest.mark.parametrize("function", ["malloc", "realloc"])
def test_memory_may_be_out_for_a_large_answer(start_faulty, function):
    """Its session ends then, and the log says why."""
    daemon, faults = start_faulty("--log-level=info")
    walk(daemon, faults, function, "ENOMEM", run_large_answers)
    assert re.search(r": session \d+: disconnected, for there is no memory for", daemon.stderr())


def run_large_trace(path):
    """Save a trace of many records; whether there was memory for all of it."""
    complete = True
    with Tolerant(path, oob=True) as session, tempfile.TemporaryFile() as file:
        while "error" in (reply := session.ask("trace-start", **{"size-kib": 256})):
            assert reply["error"]["desc"] == "There is no memory for so many rings of that size"
            complete = False
        while all(loop["records"] < 5000 for loop in session.ask("query-trace")["return"]["loops"]):
            pass
        while "error" in (reply := session.ask("trace-save", fds=[file.fileno()])):
            assert reply["error"]["desc"] == "There is no memory to copy the trace"
            assert file.read() == b""
            complete = False
        file.seek(0)
        assert json.load(file)["traceEvents"]
        assert "return" in session.ask("trace-stop", discard=True)
    return complete


@pytest.mark.parametrize("function", ["malloc", "calloc"])
def test_memory_may_be_out_for_a_trace(start_faulty, function):
    daemon, faults = start_faulty()
    fds = daemon.count_fds()
    run_large_trace(daemon.socket)  # from now on there is a thread that writes
    daemon.wait_for_fds(fds)
    walk(daemon, faults, function, "ENOMEM", run_large_trace)


def test_a_listener_without_descriptors_rests_and_recovers(start_faulty):
    daemon, faults = start_faulty()
    faults.arm("accept4", 1, "EMFILE", times=3)
    assert run_scenario(daemon.socket)
    assert faults.fired("accept4") == 3
    assert daemon.stderr().count("can't accept clients for now") == 1


def test_who_is_not_known_is_refused_where_only_some_may_connect(start_faulty, sockets):
    path = str(sockets / "listed.sock")
    daemon, faults = start_faulty("--qmp", f"unix:{path},allow-uid={os.getuid()}")
    nth = 0
    fired = True
    while fired:
        nth += 1
        faults.arm("getsockopt", nth, "ENOBUFS")
        with Qmp(path, negotiate=False) as session:
            greeting = session.receive()
        fired = faults.disarm("getsockopt") > 0
        assert (greeting is None) == fired
    assert nth > 1
    assert_healthy(daemon)


def drain(session):
    """Read all that the socket has."""
    session.socket.setblocking(False)
    try:
        while data := session.socket.recv(65536):
            session.buffer += data
    except BlockingIOError:
        pass
    session.socket.settimeout(DEADLINE)


def wait_until(condition):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)  # the condition is tried again


def test_events_lost_is_not_left_out_for_an_answer(start_faulty):
    """Of what is kept it is the first; answers behind it take the place of the events that follow."""
    daemon, faults = start_faulty("--max-output", "8000")
    with daemon.connect() as slow:
        with daemon.connect() as other:
            for _ in range(750):
                other.command("object-add", qom_type="iothread", id="a")
                other.command("object-del", id="a")
        daemon.sync_monitor()
        os.kill(daemon.proc.pid, signal.SIGSTOP)
        os.waitpid(daemon.proc.pid, os.WUNTRACED)
        drain(slow)
        # All that is kept goes out in one call, and then there is no room for EVENTS_LOST.
        faults.arm("send", 2, "EAGAIN", times=1 << 30)
        os.kill(daemon.proc.pid, signal.SIGCONT)
        wait_until(lambda: faults.fired("send"))
        threads = count_threads(daemon)
        for i in range(10):
            slow.send({"execute": "object-add",
                       "arguments": {"qom-type": "iothread", "id": f"b{i}"}})
        slow.send({"execute": "x-debug-echo", "arguments": {"value": "x" * 6500}})
        slow.send({"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "last"}})
        wait_until(lambda: count_threads(daemon) == threads + 11)
        faults.disarm("send")
        for _ in range(12):
            assert "return" in slow.receive_reply()
        slow.sync()
        lost = [event["data"]["count"] for event in slow.events if event["event"] == "EVENTS_LOST"]
        assert len(slow.events) - len(lost) + sum(lost) == 1500 + 11
