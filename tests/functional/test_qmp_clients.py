"""Many clients at once; those that leave, close half, or do not read; and what is left of them."""

import json
import socket
import threading

import pytest

from qmp_client import DEADLINE


def add(object_id):
    return {"execute": "object-add", "arguments": {"qom-type": "iothread", "id": object_id}}


def echo(value, key="execute"):
    return {key: "x-debug-echo", "arguments": {"value": value}, "id": value}


# ---- many ----

def test_ten_clients_at_once_each_with_its_own_order(daemon):
    failures = []

    def run(number):
        try:
            with daemon.connect(oob=True) as session:
                for i in range(100):
                    session.send({"execute": "x-debug-echo", "id": [number, i],
                                  "arguments": {"value": "x" * i}})
                for i in range(100):
                    assert session.receive_reply() == {"return": "x" * i, "id": [number, i]}
                session.command("object-add", qom_type="iothread", id=f"io{number}")
                session.oob("query-loops")
                session.command("object-del", id=f"io{number}")
        except Exception as error:  # pylint: disable=broad-except
            failures.append((number, error))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_client_that_says_nothing_is_in_nobodys_way(daemon, qmp):
    silent = [daemon.connect(negotiate=False) for _ in range(10)]
    halfway = daemon.connect()
    halfway.send_raw(b'{"execute": "qu')
    qmp.sync()
    for session in silent:
        assert "QMP" in session.receive()
        session.close()
    halfway.send_raw(b'ery-version"}')
    assert "return" in halfway.receive()
    halfway.close()


def test_a_client_in_error_is_in_nobodys_way(daemon, qmp):
    with daemon.connect() as other:
        for _ in range(100):
            other.send_raw(b"\xff[}" + b"[" * 2000 + b"\n")
        qmp.sync()
    qmp.sync()


# ---- leaving ----

def test_queued_requests_of_a_client_that_leaves_are_dropped(daemon, qmp):
    with daemon.block_main_loop() as blocker:
        with daemon.connect(oob=True) as leaver:
            for i in range(5):
                leaver.send(add(f"io{i}"))
            leaver.oob("query-version")  # they are queued
        daemon.sync_monitor()  # it has been seen to leave
        assert not blocker.has_input(), "the main loop was not held any more"
        assert blocker.receive() == {"return": {}}
    assert qmp.command("query-iothreads") == [] and qmp.events == []


def test_so_they_are_where_reading_has_paused(daemon, qmp):
    """Nothing is read from its socket, so its end has to be noticed in another way."""
    with daemon.block_main_loop() as blocker:
        with daemon.connect(oob=True) as leaver:
            leaver.send_raw(b"".join(json.dumps(add(f"io{i}")).encode() for i in range(50)))
            daemon.sync_monitor()
        daemon.sync_monitor()
        assert not blocker.has_input(), "the main loop was not held any more"
        assert blocker.receive() == {"return": {}}
    assert qmp.command("query-iothreads") == [] and qmp.events == []


def test_the_running_request_of_a_client_that_leaves_finishes(daemon, qmp):
    """object-del answers later; whether it has begun when the client leaves is a race, but it is
    done as a whole or not at all."""
    for i in range(50):
        qmp.command("object-add", qom_type="iothread", id="io0")
        leaver = daemon.connect(oob=True)
        leaver.send({"execute": "object-del", "arguments": {"id": "io0"}})
        if i % 2:
            leaver.oob("query-version")
        leaver.close()
        daemon.sync_monitor()
        # In-band, so it runs after the other has, if it has.
        reply = qmp.execute("object-del", {"id": "io0"})
        if "error" in reply:
            assert reply["error"]["desc"] in ("There is no object 'io0'",
                                              "Object 'io0' is being deleted already")
        while not (qmp.events and qmp.events[-1]["event"] == "OBJECT_DELETED"):
            qmp.events.append(qmp.receive())
        assert [event["event"] for event in qmp.events] == ["OBJECT_ADDED", "OBJECT_DELETED"]
        qmp.events.clear()
    assert "io0" not in daemon.tasks().values()


def test_the_running_request_of_a_client_that_has_left_does_not_hold_the_others(daemon, qmp):
    daemon.block_main_loop(200).close()
    qmp.sync()


def test_a_client_that_leaves_in_the_middle_of_a_request_leaves_nothing(daemon, qmp):
    count = daemon.count_fds()
    for piece in [b"{", b'{"execute": "qu', b"\xc3", b"[" * 500, b'["' + b"x" * 100000]:
        with daemon.connect() as session:
            session.send_raw(piece)
    daemon.wait_for_fds(count)
    qmp.sync()


def test_a_client_that_leaves_at_once_leaves_nothing(daemon, qmp):
    count = daemon.count_fds()
    for _ in range(100):
        daemon.connect(negotiate=False).close()
    daemon.wait_for_fds(count)
    qmp.sync()


# ---- half-closed ----

@pytest.fixture
def half(daemon):
    """Send requests and close the sending side; returns all lines until the daemon closes."""
    def run(session, data):
        session.send_raw(data)
        session.socket.shutdown(socket.SHUT_WR)
        messages = []
        while (message := session.receive()) is not None:
            messages.append(message)
        session.close()
        return messages
    return run


def test_a_half_closed_client_gets_all_its_answers(daemon, half):
    requests = b"".join(json.dumps(echo(i)).encode() for i in range(100))
    assert half(daemon.connect(), requests) == [{"return": i, "id": i} for i in range(100)]


def test_a_half_closed_client_gets_the_greeting_too(daemon, half):
    session = daemon.connect(negotiate=False)
    [greeting, negotiated, answer] = half(
        session, b'{"execute": "qmp_capabilities"}' + json.dumps(echo(1)).encode())
    assert set(greeting) == {"QMP"}
    assert negotiated == {"return": {}} and answer == {"return": 1, "id": 1}


def test_a_half_closed_client_gets_the_answer_that_comes_later(daemon, half, qmp):
    qmp.command("object-add", qom_type="iothread", id="io0")
    messages = half(daemon.connect(), b'{"execute": "object-del", "arguments": {"id": "io0"}}')
    assert messages[-1] == {"return": {}}


def test_a_half_closed_client_is_served_while_the_main_loop_is_held(daemon, half):
    with daemon.block_main_loop() as blocker:
        session = daemon.connect(oob=True)
        session.send_raw(b"".join(json.dumps(echo(i)).encode() for i in range(5)))
        session.send(echo(5, "exec-oob"))
        session.socket.shutdown(socket.SHUT_WR)
        assert session.receive() == {"return": 5, "id": 5}
        assert not session.has_input()
        assert blocker.receive() == {"return": {}}
        for i in range(5):
            assert session.receive() == {"return": i, "id": i}
        assert session.at_end()
        session.close()


def test_what_a_half_closed_client_left_unfinished_is_an_error(daemon, half):
    assert half(daemon.connect(), b'{"execute": "quit"') == [{"error": {
        "class": "GenericError", "desc": "JSON syntax error: the input ends inside an object"}}]


# ---- not reading ----

def test_a_client_that_asks_and_does_not_read_is_disconnected(start_daemon):
    daemon = start_daemon("--debug-commands", "--max-output", "100000")
    with daemon.connect() as slow, daemon.connect(oob=True) as other:
        count = daemon.count_fds()
        request = json.dumps(echo("x" * 10000)).encode()
        with pytest.raises(ConnectionError):
            while True:
                slow.send_raw(request)
        daemon.wait_for_fds(count - 1)
        assert "leaves more than 100000 bytes unread" in daemon.stderr()
        other.sync()
        other.oob("query-version")


def test_a_slow_client_within_the_limit_gets_all_in_order(daemon, qmp):
    """More than a socket holds, less than the limit: what is kept goes out once it reads."""
    with daemon.connect() as slow:
        requests = b"".join(json.dumps({"execute": "x-debug-echo", "id": i,
                                        "arguments": {"value": "x" * 10000}}).encode()
                            for i in range(150))
        sender = threading.Thread(target=slow.send_raw, args=(requests,))
        sender.start()
        sender.join()
        qmp.command("object-add", qom_type="iothread", id="io0")
        assert [slow.receive_reply()["id"] for _ in range(150)] == list(range(150))
        assert slow.wait_event("OBJECT_ADDED")
        slow.sync()


def test_one_answer_larger_than_the_limit_reaches_a_client_that_reads(start_daemon):
    daemon = start_daemon("--max-output", "1000")
    with daemon.connect() as session:
        # Six times as long in ASCII: within the limit of requests, beyond that of output.
        for _ in range(3):
            session.send_raw(b'{"execute": "query-version", "id": "' + b"\x7f" * 1000000 + b'"}')
            assert session.receive()["id"] == "\x7f" * 1000000
        session.sync()


def test_a_client_that_does_not_read_does_not_hold_the_end(start_daemon):
    daemon = start_daemon("--debug-commands")
    with daemon.connect() as slow, daemon.connect() as other:
        slow.send_raw(b"".join(json.dumps(echo("x" * 10000)).encode() for _ in range(100)))
        other.command("quit")
        assert daemon.proc.wait(DEADLINE) == 0


# ---- what is left ----

def test_a_thousand_clients_leave_nothing_behind(daemon, qmp):
    def visit(count):
        for _ in range(count):
            with daemon.connect(oob=True) as session:
                session.command("x-debug-echo", value="x" * 1000)
        daemon.wait_for_fds(fds)

    fds = daemon.count_fds()
    tasks = daemon.tasks()
    visit(300)
    resident = daemon.resident_kb()
    visit(1000)
    assert daemon.tasks() == tasks
    if not daemon.is_sanitized():
        assert daemon.resident_kb() < resident + 100, "memory grows with each client"
    qmp.sync()


def test_a_hundred_clients_at_a_time_leave_nothing_behind(daemon, qmp):
    def visit():
        sessions = [daemon.connect() for _ in range(100)]
        for session in sessions:
            session.sync()
        for session in sessions:
            session.close()

    fds = daemon.count_fds()
    visit()
    daemon.wait_for_fds(fds)
    resident = daemon.resident_kb()
    for _ in range(5):
        visit()
        daemon.wait_for_fds(fds)
    if not daemon.is_sanitized():
        assert daemon.resident_kb() < resident + 200, "memory grows with each client"
    qmp.sync()
