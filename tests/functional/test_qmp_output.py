"""What clients leave unread: bounded for each and for all, events first, then whoever keeps most."""

import json
import re
import threading
import time

import pytest

from qmp_client import DEADLINE, Qmp

EVENTS = 1500  # more than a socket holds


def echo(value, **members):
    return {"execute": "x-debug-echo", "arguments": {"value": value}, **members}


def add_and_delete(session, count):
    """Have so many events emitted, an even number."""
    for _ in range(count // 2):
        session.command("object-add", qom_type="iothread", id="io0")
        session.command("object-del", id="io0")
        session.events.clear()


def receive_events(session, count):
    """All events up to EVENTS_LOST, which is checked to tell of the rest of @count."""
    events = []
    while (event := session.wait_event())["event"] != "EVENTS_LOST":
        events.append(event["event"])
    assert events == (["OBJECT_ADDED", "OBJECT_DELETED"] * count)[:len(events)]
    assert event["data"] == {"count": count - len(events)}
    return events


def fill(daemon, session, watcher, replies, name):
    """Have the daemon keep so many replies of 10 kB for a session that does not read them."""
    requests = [echo("x" * 10000, id=i) for i in range(replies)]
    requests.append({"execute": "object-add", "arguments": {"qom-type": "iothread", "id": name}})
    sender = threading.Thread(target=session.send_raw,
                              args=(b"".join(json.dumps(r).encode() for r in requests),))
    sender.start()
    sender.join()
    while watcher.wait_event("OBJECT_ADDED")["data"]["id"] != name:
        pass
    daemon.sync_monitor()


def wait_for_log(daemon, text):
    deadline = time.monotonic() + DEADLINE
    while text not in daemon.stderr():
        assert time.monotonic() < deadline, daemon.stderr()
        time.sleep(0.002)  # the condition is tried again


# ---- events ----

def test_events_past_the_limit_are_counted_and_the_session_goes_on(start_daemon):
    daemon = start_daemon("--max-output", "20000")
    with daemon.connect() as slow, daemon.connect() as other:
        add_and_delete(other, EVENTS)
        got = receive_events(slow, EVENTS)
        assert 0 < len(got) < EVENTS
        # One gap, and nothing is missing after it.
        slow.sync()
        assert slow.events == []
        add_and_delete(other, 2)
        assert slow.wait_event()["event"] == "OBJECT_ADDED"
        assert slow.wait_event()["event"] == "OBJECT_DELETED"
        assert "disconnected" not in daemon.stderr()


def test_a_second_gap_is_counted_anew(start_daemon):
    daemon = start_daemon("--max-output", "20000")
    with daemon.connect() as slow, daemon.connect() as other:
        for _ in range(2):
            add_and_delete(other, EVENTS)
            receive_events(slow, EVENTS)


def test_events_make_room_for_answers(start_daemon):
    """An answer that does not fit takes the place of events that are kept, not begun."""
    daemon = start_daemon("--debug-commands", "--max-output", "20000")
    with daemon.connect() as slow, daemon.connect() as other:
        add_and_delete(other, EVENTS)
        slow.send(echo("x" * 10000, id=1))
        slow.send(echo("y" * 8000, id=2))
        slow.send({"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "end"}})
        while other.wait_event()["data"]["id"] != "end":
            pass
        other.sync()  # all three have been answered
        answers = []
        count = 0
        while (message := slow.receive())["event" if "event" in message else "return"] \
                != "EVENTS_LOST":
            if "event" in message:
                assert answers == [], "an event behind the gap"
                count += 1
            else:
                answers.append(message)
        assert answers == [{"return": "x" * 10000, "id": 1}, {"return": "y" * 8000, "id": 2},
                           {"return": {}}]
        assert message["data"] == {"count": EVENTS + 1 - count}
        slow.sync()


def test_a_session_that_is_not_in_command_mode_loses_no_events(start_daemon):
    daemon = start_daemon("--max-output", "20000")
    with daemon.connect(negotiate=False) as silent, daemon.connect() as other:
        add_and_delete(other, EVENTS)
        assert "QMP" in silent.receive()
        silent.command("qmp_capabilities")
        silent.sync()
        assert silent.events == []


# ---- the log ----

def test_clients_that_come_again_and_never_read_do_not_flood_the_log(start_daemon):
    daemon = start_daemon("--max-output", "1")
    for _ in range(100):
        with daemon.connect(oob=True) as session:
            with pytest.raises(ConnectionError):
                while True:
                    session.send_raw(b'{"exec-oob": "query-qmp-schema"}' * 8)
    daemon.end()
    text = daemon.stderr()
    lines = text.count(": disconnected, for its client leaves more than 1 bytes unread")
    sums = re.findall(r": (\d+) further clients left too much unread$", text, re.MULTILINE)
    assert lines + sum(map(int, sums)) == 100
    assert 5 <= lines <= 100 / 2  # five in each period of ten seconds


# ---- all together ----

def test_who_leaves_most_unread_is_disconnected_first(start_daemon):
    daemon = start_daemon("--debug-commands", "--max-output", "10000000", "--max-output-total",
                          "800000")
    with daemon.connect() as most, daemon.connect() as less, daemon.connect() as watcher:
        fill(daemon, less, watcher, 40, "a")  # half of it in the socket
        with pytest.raises(ConnectionError):
            while True:
                most.send_raw(json.dumps(echo("x" * 10000)).encode())
        wait_for_log(daemon, "disconnected, for clients leave more than 800000 bytes unread "
                             "together, and this one the most: ")
        assert daemon.stderr().count("disconnected") == 1
        # Nobody else notices.
        watcher.sync()
        assert [less.receive_reply()["id"] for _ in range(40)] == list(range(40))
        assert less.receive_reply() == {"return": {}}
        less.sync()


def test_what_has_been_taken_does_not_count(start_daemon):
    """The sum is right however often output is kept and taken."""
    daemon = start_daemon("--debug-commands", "--max-output-total", "800000")
    with daemon.connect() as watcher:
        for i in range(20):
            with daemon.connect() as leaver, daemon.connect() as reader:
                fill(daemon, leaver, watcher, 40, f"l{i}")
                fill(daemon, reader, watcher, 40, f"r{i}")
                for _ in range(41):
                    reader.receive_reply()
        assert "disconnected, for" not in daemon.stderr()


def test_a_thousand_clients_that_ask_for_the_schema_and_never_read(start_daemon):
    daemon = start_daemon()
    if daemon.is_sanitized():
        pytest.skip("a sanitizer keeps freed memory")
    request = b'{"execute": "query-qmp-schema"}' * 8
    with daemon.connect() as watcher:
        before = daemon.resident_kb()
        clients = [Qmp(daemon.socket) for _ in range(1000)]
        idle = daemon.resident_kb()
        assert (idle - before) / 1000 < 4, "an idle session takes 4 kB"
        peak = 0
        for _ in range(12):
            for client in clients:
                try:
                    client.socket.settimeout(0)
                    client.socket.send(request)
                except (BlockingIOError, ConnectionError):
                    pass
            watcher.sync()
            daemon.sync_monitor()
            peak = max(peak, daemon.resident_kb())
        # The nine requests of each that are read before reading pauses are about 10 MB.
        assert peak < idle + (64 + 16) * 1024
        wait_for_log(daemon, "disconnected, for clients leave more than 67108864 bytes unread")
        for client in clients:
            client.close()
        daemon.sync_monitor()
        watcher.sync()
