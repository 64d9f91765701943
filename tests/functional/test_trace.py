"""The trace of what loops do: trace-start, trace-stop, trace-save, query-trace."""

import concurrent.futures
import json
import os
import resource
import socket
import tempfile
import threading
import time

import pytest

from objects import add, delete, error_of
from qmp_client import DEADLINE, Qmp

RECORD_SIZE = 32


def save(qmp, file=None, key="exec-oob"):
    """What trace-save writes, as an object."""
    with tempfile.TemporaryFile() as own:
        target = file or own
        qmp.send_with_fds({key: "trace-save"}, [target.fileno()])
        reply = qmp.receive_reply()
        assert reply == {"return": {}}
        target.seek(0)
        return json.load(target)


def events_of(trace, loop):
    """The complete events of a loop's thread, in their order."""
    [tid] = {event["tid"] for event in trace["traceEvents"]
             if event["name"] == "thread_name" and event["args"]["name"] == loop}
    return [event for event in trace["traceEvents"] if event["tid"] == tid and event["ph"] == "X"]


def to_ns(value):
    return round(value * 1000)


def assert_valid(trace):
    """All that the format asks for, and that viewers rely on."""
    assert trace["displayTimeUnit"] == "ns"
    assert trace["otherData"]["clock"] == "CLOCK_MONOTONIC"
    stacks = {}
    last = {}
    threads = set()
    for event in trace["traceEvents"]:
        assert type(event["pid"]) is int and type(event["tid"]) is int
        tid = event["tid"]
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name")
            assert isinstance(event["args"]["name"], str)
            threads.add(tid)
            continue
        assert event["ph"] == "X" and event["name"] and event["cat"]
        assert tid in threads
        begin, end = to_ns(event["ts"]), to_ns(event["ts"]) + to_ns(event["dur"])
        assert 0 <= begin <= end
        assert begin >= last.get(tid, 0), "not sorted"
        last[tid] = begin
        stack = stacks.setdefault(tid, [])
        while stack and stack[-1] <= begin:
            stack.pop()
        assert not stack or end <= stack[-1], f"overlaps what contains it: {event}"
        stack.append(end)


def wait_until(condition):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)  # the condition is tried again


def of_loop(qmp, loop):
    [found] = [item for item in qmp.oob("query-trace")["loops"] if item["loop"] == loop]
    return found


# ---- what is in it ----


def test_each_loop_shows_what_it_did(daemon, qmp):
    add(qmp, "iothread", "io0")
    qmp.command("trace-start")
    add(qmp, "timer", "t0", period_ns=1000000, iothread="io0")
    qmp.wait_event("TIMER_EXPIRED")
    wait_until(lambda: of_loop(qmp, "io0")["records"] > 100)
    trace = save(qmp)
    assert_valid(trace)
    names = {event["args"]["name"]: event["tid"] for event in trace["traceEvents"]
             if event["name"] == "thread_name"}
    assert set(names) == {"main-loop", "mon_iothread", "io0"}
    assert names == {loop["id"]: loop["thread-id"] for loop in qmp.command("query-loops")}
    assert {event["pid"] for event in trace["traceEvents"]} == {daemon.proc.pid}
    by_kind = {(event["cat"], event["name"]) for event in events_of(trace, "io0")}
    assert {("wait", "wait"), ("pass", "pass"), ("timer", "timer_expired(t0)")} <= by_kind
    assert ("bh", "qmp_dispatch") in {(event["cat"], event["name"])
                                      for event in events_of(trace, "main-loop")}
    [session] = {event["args"]["fd"] for event in events_of(trace, "mon_iothread")
                 if event["name"] == "session_readable" and event["cat"] == "fd"}
    assert os.path.exists(f"/proc/{daemon.proc.pid}/fd/{session}")


def test_callbacks_lie_in_passes_and_these_between_waits(qmp):
    add(qmp, "iothread", "io0")
    qmp.command("trace-start", loops=["io0"])
    add(qmp, "timer", "t0", period_ns=1000000, iothread="io0")
    wait_until(lambda: of_loop(qmp, "io0")["records"] > 50)
    end = 0
    for event in events_of(save(qmp), "io0"):
        begin = to_ns(event["ts"])
        if event["cat"] in ("wait", "poll", "pass"):
            assert begin >= end
            end = begin + to_ns(event["dur"])
        elif end > 0:
            assert begin + to_ns(event["dur"]) <= end


@pytest.mark.parametrize("key", ["execute", "exec-oob"])
def test_what_saves_it_is_unfinished(qmp, key):
    qmp.command("trace-start")
    trace = save(qmp, key=key)
    assert_valid(trace)
    loop, name = (("main-loop", "qmp_dispatch") if key == "execute" else
                  ("mon_iothread", "session_readable"))
    [last] = [event for event in events_of(trace, loop) if "unfinished" in event.get("args", {})]
    assert last["name"] == name and last == events_of(trace, loop)[-1]


def test_a_loop_that_is_stuck_can_be_traced_and_shows_where(daemon, qmp):
    with daemon.block_main_loop() as blocker:
        qmp.oob("trace-start")
        trace = save(qmp)
        assert_valid(trace)
        [event] = events_of(trace, "main-loop")
        assert event["name"] == "qmp_dispatch" and event["args"] == {"unfinished": True}
        assert event["dur"] > 0
        qmp.oob("trace-stop")
        assert not blocker.has_input(), "the main loop was not held any more"
    assert qmp.command("query-trace")["state"] == "stopped"


# ---- the rings ----


def test_the_newest_are_kept_and_the_others_counted(qmp):
    add(qmp, "iothread", "io0")
    qmp.command("trace-start", size_kib=4, loops=["io0"])
    add(qmp, "timer", "t0", period_ns=100000, iothread="io0")
    wait_until(lambda: of_loop(qmp, "io0")["lost"] > 200)
    delete(qmp, "t0")
    wait_until(lambda: [loop["state"] for loop in qmp.oob("query-loops")
                        if loop["id"] == "io0"] == ["idle"])
    qmp.command("trace-stop")
    loop = of_loop(qmp, "io0")
    assert loop["records"] == 4096 // RECORD_SIZE
    trace = save(qmp)
    assert_valid(trace)
    assert len(events_of(trace, "io0")) == loop["records"]
    assert trace["otherData"]["lost"] == loop["lost"]
    names = [event["name"] for event in events_of(trace, "io0")]
    assert "object_stop_for_good" in names[-3:], names


def test_loops_that_come_are_traced_and_those_that_go_stay(qmp):
    qmp.command("trace-start")
    add(qmp, "iothread", "io0")
    delete(qmp, "io0")
    add(qmp, "iothread", "io0")
    qmp.command("trace-stop")
    loops = [(item["loop"], item["gone"]) for item in qmp.command("query-trace")["loops"]]
    assert loops == [("main-loop", False), ("mon_iothread", False), ("io0", True), ("io0", False)]
    delete(qmp, "io0")
    trace = save(qmp)
    assert_valid(trace)
    threads = [event for event in trace["traceEvents"] if event["name"] == "thread_name"]
    assert [event["args"]["name"] for event in threads] == [loop for loop, _ in loops]
    gone = [event["name"] for event in trace["traceEvents"] if event["tid"] == threads[2]["tid"]]
    assert "iothread_stop" in gone


def test_only_the_last_of_those_that_have_gone_stay(qmp):
    qmp.command("trace-start", size_kib=4)
    for i in range(20):
        add(qmp, "iothread", f"io{i}")
        delete(qmp, f"io{i}")
    loops = [item["loop"] for item in qmp.command("query-trace")["loops"]]
    assert loops == ["main-loop", "mon_iothread"] + [f"io{i}" for i in range(4, 20)]
    qmp.command("trace-stop")
    assert_valid(save(qmp))


def test_named_loops_alone_are_traced(qmp):
    add(qmp, "iothread", "io0")
    qmp.command("trace-start", loops=["io0", "main-loop", "io0"])
    add(qmp, "iothread", "io1")
    assert [item["loop"] for item in qmp.command("query-trace")["loops"]] == ["io0", "main-loop"]


def test_its_memory_is_given_back(daemon, qmp):
    def size():
        with open(f"/proc/{daemon.proc.pid}/status", encoding="ascii") as status:
            return int(status.read().split("VmSize:")[1].split()[0])

    if daemon.is_sanitized():
        pytest.skip("a sanitizer keeps memory")
    before = size()
    for discard in [True, False, False, True]:
        qmp.command("trace-start", size_kib=65536)
        assert size() > before + 2 * 65536
        qmp.command("trace-stop", discard=discard)
    wait_until(lambda: size() < before + 65536)


# ---- states and errors ----


def test_states(qmp):
    assert qmp.command("query-trace") == {"state": "off", "saving": False, "loops": []}
    qmp.command("trace-start", size_kib=8)
    info = qmp.command("query-trace")
    assert (info["state"], info["size-kib"]) == ("on", 8)
    assert error_of(qmp.command, "trace-start") == "A trace is on already"
    qmp.command("trace-stop")
    assert qmp.command("query-trace")["state"] == "stopped"
    assert error_of(qmp.command, "trace-stop") == "No trace is on"
    qmp.command("trace-start")
    assert qmp.command("query-trace")["size-kib"] == 1024
    qmp.command("trace-stop", discard=True)
    assert qmp.command("query-trace") == {"state": "off", "saving": False, "loops": []}
    assert error_of(qmp.command, "trace-stop") == "No trace is on"
    assert error_of(qmp.command, "trace-stop", discard=True) == "There is no trace"


def test_a_stopped_trace_stays_when_the_next_can_not_start(qmp):
    qmp.command("trace-start")
    qmp.command("trace-stop")
    before = qmp.command("query-trace")
    assert error_of(qmp.command, "trace-start", loops=["main-loop", "no"]) == \
        "Parameter 'loops': there is no loop 'no'"
    assert error_of(qmp.command, "trace-start", loops=[]) == \
        "Parameter 'loops' expects the id of a loop at least"
    assert qmp.command("query-trace") == before


@pytest.mark.parametrize("size", [0, 3, 65537, -1, "x", 1.5])
def test_a_wrong_size_is_refused(qmp, size):
    reply = qmp.execute("trace-start", {"size-kib": size})
    assert "size-kib" in reply["error"]["desc"]
    assert qmp.command("query-trace")["state"] == "off"


@pytest.mark.parametrize("key", ["execute", "exec-oob"])
def test_saving_needs_a_trace_and_a_regular_file(daemon, qmp, key):
    def desc_of(*fds):
        message = {key: "trace-save"}
        if fds:
            qmp.send_with_fds(message, fds)
        else:
            qmp.send(message)
        return qmp.receive_reply()["error"]["desc"]

    with tempfile.NamedTemporaryFile() as file, open(os.devnull, "wb") as null:
        file.write(b"old")
        file.flush()
        count = daemon.count_fds()
        assert desc_of(file.fileno()) == "There is no trace"
        qmp.command("trace-start")
        assert desc_of() == "No descriptor was sent along, by SCM_RIGHTS"
        assert desc_of(null.fileno()) == "The descriptor is not one of a regular file"
        read_end, write_end = os.pipe()
        assert desc_of(write_end) == "The descriptor is not one of a regular file"
        os.close(read_end)
        os.close(write_end)
        with open(file.name, "rb") as unwritable:
            assert desc_of(unwritable.fileno()) == "The file can't be written: Invalid argument"
        with open("/dev/full", "wb") as full:
            assert desc_of(full.fileno()) == "The descriptor is not one of a regular file"
        assert file.seek(0) == 0 and file.read() == b"old"
        daemon.wait_for_fds(count)
    qmp.sync()


@pytest.mark.parametrize("key", ["execute", "exec-oob"])
def test_a_file_that_has_no_room_is_an_error_and_no_more(daemon, qmp, key):
    qmp.command("trace-start")
    while of_loop(qmp, "mon_iothread")["records"] < 200:
        pass
    count = daemon.count_fds()
    _, hard = resource.prlimit(daemon.proc.pid, resource.RLIMIT_FSIZE)
    with tempfile.TemporaryFile() as file:
        resource.prlimit(daemon.proc.pid, resource.RLIMIT_FSIZE, (10000, hard))
        qmp.send_with_fds({key: "trace-save"}, [file.fileno()])
        assert qmp.receive_reply()["error"]["desc"] == "The file can't be written: File too large"
        assert os.fstat(file.fileno()).st_size <= 10000
        assert not qmp.oob("query-trace")["saving"]
        daemon.wait_for_fds(count)
        resource.prlimit(daemon.proc.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert_valid(save(qmp, file, key))


def test_what_was_in_the_file_is_replaced(qmp):
    qmp.command("trace-start")
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 1000000)
        file.flush()
        assert_valid(save(qmp, file))


def test_a_client_that_sends_no_more_gets_its_answer(daemon, qmp):
    qmp.command("trace-start")
    for _ in range(20):
        with daemon.connect(oob=True) as client, tempfile.TemporaryFile() as file:
            client.send_with_fds({"exec-oob": "trace-save", "id": 1}, [file.fileno()])
            client.socket.shutdown(socket.SHUT_WR)
            assert client.receive_reply() == {"return": {}, "id": 1}
            assert client.at_end()


def test_a_client_that_leaves_takes_no_answer(daemon, qmp):
    qmp.command("trace-start")
    count = daemon.count_fds()
    for _ in range(20):
        with daemon.connect(oob=True) as client, tempfile.TemporaryFile() as file:
            client.send_with_fds({"exec-oob": "trace-save"}, [file.fileno()])
    wait_until(lambda: not qmp.oob("query-trace")["saving"])
    daemon.wait_for_fds(count)


def test_one_save_at_a_time(daemon, qmp):
    qmp.command("trace-start")
    clients = [daemon.connect(oob=True) for _ in range(8)]
    with tempfile.TemporaryFile() as file:
        replies = []
        for client in clients:
            client.send_with_fds({"exec-oob": "trace-save"}, [file.fileno()])
        for client in clients:
            replies.append(client.receive_reply())
            client.close()
    assert {"return": {}} in replies
    for reply in replies:
        if "error" in reply:
            assert reply["error"]["desc"] == "A trace is being saved already"
    assert qmp.oob("query-trace")["saving"] is False


def test_the_end_of_the_daemon_waits_for_a_save(daemon):
    with daemon.connect(oob=True) as client, tempfile.TemporaryFile() as file:
        client.command("trace-start")
        client.send_with_fds({"exec-oob": "trace-save", "id": "save"}, [file.fileno()])
        client.send({"execute": "quit", "id": "quit"})
        replies = {}
        while (message := client.receive_reply()) is not None:
            replies[message["id"]] = message
        assert replies["save"].get("return") == {} and replies["quit"].get("return") == {}
        file.seek(0)
        assert_valid(json.load(file))
    daemon.proc.wait(DEADLINE)


def test_sessions_that_start_stop_and_save_while_loops_come_and_go(daemon, qmp):
    errors = ("A trace is on already", "No trace is on", "There is no trace",
              "A trace is being saved already")
    over = threading.Event()
    saved = [0]

    def storm(number):
        with daemon.connect(oob=True) as client, tempfile.TemporaryFile() as file:
            turn = number
            while not over.is_set() or saved[0] == 0:
                turn += 1
                request = [{"exec-oob": "trace-start"},
                           {"execute": "trace-save"},
                           {"execute": "trace-stop", "arguments": {"discard": turn % 5 == 0}},
                           {"exec-oob": "trace-save"}][turn % 4]
                fds = [file.fileno()] if "trace-save" in request.values() else []
                client.send_with_fds(request, fds)
                reply = client.receive_reply()
                if "error" in reply:
                    assert reply["error"]["desc"] in errors
                elif fds:
                    file.seek(0)
                    assert_valid(json.load(file))
                    saved[0] += 1

    count = daemon.count_fds()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        storms = [pool.submit(storm, number) for number in range(4)]
        try:
            for i in range(30):
                add(qmp, "iothread", f"io{i % 3}")
                if i >= 2:
                    delete(qmp, f"io{(i - 2) % 3}")
        finally:
            over.set()
        for future in storms:
            future.result(DEADLINE)
    delete(qmp, "io1")
    delete(qmp, "io2")
    if qmp.command("query-trace")["state"] != "off":
        qmp.command("trace-stop", discard=True)
    daemon.wait_for_fds(count)


def test_a_session_that_may_only_read_sees_the_state_only(start_daemon, sockets):
    daemon = start_daemon("--qmp", f"unix:{sockets}/ro,access=read-only")
    with daemon.connect(oob=True) as full, Qmp(f"{sockets}/ro", oob=True) as reader:
        full.command("trace-start")
        assert reader.oob("query-trace")["state"] == "on"
        for command in ["trace-start", "trace-stop", "trace-save"]:
            assert "this session may only read" in error_of(reader.oob, command)
        assert full.command("query-trace")["state"] == "on"
