"""Events: who gets them, what they look like, and where they stand among the answers."""

import signal
import time


def add(session, object_id="io0"):
    session.command("object-add", qom_type="iothread", id=object_id)


def receive_names(session, count):
    """Of the next messages: the event's name, or "return" or "error"."""
    return [message.get("event") or next(iter(message))
            for message in [session.receive() for _ in range(count)]]


def test_an_event_has_its_name_data_and_time_and_nothing_else(qmp):
    before = time.time_ns() // 1000
    add(qmp)
    after = time.time_ns() // 1000
    event = qmp.wait_event()
    assert set(event) == {"event", "data", "timestamp"}
    assert event["event"] == "OBJECT_ADDED"
    assert event["data"] == {"id": "io0", "qom-type": "iothread", "path": "/objects/io0"}
    stamp = event["timestamp"]
    assert set(stamp) == {"seconds", "microseconds"}
    assert all(type(value) is int for value in stamp.values())
    assert 0 <= stamp["microseconds"] < 1000000
    assert before <= stamp["seconds"] * 1000000 + stamp["microseconds"] <= after


def test_the_life_of_an_object_makes_events(qmp):
    add(qmp)
    qmp.command("qom-set", path="/objects/io0", property="poll-max-ns", value=5)
    qmp.command("qom-set", path="io0", property="cpu-affinity", value="0")
    qmp.command("object-del", id="io0")
    whole = {"id": "io0", "qom-type": "iothread", "path": "/objects/io0"}
    assert [(event["event"], event["data"]) for event in qmp.events] == [
        ("OBJECT_ADDED", whole),
        ("OBJECT_PROPERTY_CHANGED", {**whole, "property": "poll-max-ns", "value": 5}),
        ("OBJECT_PROPERTY_CHANGED", {**whole, "property": "cpu-affinity", "value": "0"}),
        ("OBJECT_DELETED", whole)]


def test_a_sessions_own_events_come_before_the_answer(qmp):
    qmp.send({"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "io0"}})
    qmp.send({"execute": "qom-set", "arguments": {"path": "io0", "property": "poll-max-ns",
                                                  "value": 1}})
    qmp.send({"execute": "object-del", "arguments": {"id": "io0"}})
    assert receive_names(qmp, 6) == ["OBJECT_ADDED", "return", "OBJECT_PROPERTY_CHANGED", "return",
                                     "OBJECT_DELETED", "return"]


def test_a_command_that_fails_makes_no_event(qmp):
    add(qmp)
    qmp.wait_event("OBJECT_ADDED")
    for name, arguments in [
            ("object-add", {"qom-type": "iothread", "id": "io0"}),
            ("object-add", {"qom-type": "iothread", "id": "io1", "cpu-affinity": "x"}),
            ("object-del", {"id": "io1"}),
            ("qom-set", {"path": "io0", "property": "poll-max-ns", "value": -1}),
            ("qom-set", {"path": "io0", "property": "cpu-affinity", "value": "x"}),
            ("qom-set", {"path": "io0", "property": "thread-id", "value": 1})]:
        assert "error" in qmp.execute(name, arguments)
    qmp.sync()
    assert qmp.events == [] and not qmp.has_input()


def test_sessions_that_negotiate_get_no_events(daemon, qmp):
    with daemon.connect(negotiate=False) as fresh:
        assert "QMP" in fresh.receive()
        assert fresh.execute("qmp_capabilities", {"enable": ["no-such"]})["error"]
        add(qmp)
        qmp.command("object-del", id="io0")
        # Nothing but its own answer, and from then on all.
        assert fresh.execute("qmp_capabilities") == {"return": {}}
        assert fresh.events == []
        add(qmp, "io1")
        assert fresh.wait_event()["data"]["id"] == "io1"


def test_no_event_is_missed_once_negotiation_is_answered(daemon, qmp):
    add(qmp)
    for value in range(200):
        with daemon.connect(negotiate=False) as fresh:
            fresh.receive()
            fresh.send({"execute": "qmp_capabilities"})
            assert fresh.receive_reply() == {"return": {}}
            qmp.command("qom-set", path="io0", property="poll-max-ns", value=value)
            assert fresh.wait_event()["data"]["value"] == value
            assert fresh.events == []


def test_every_negotiated_session_gets_the_same_events_in_the_same_order(daemon):
    sessions = [daemon.connect() for _ in range(5)]
    for i, session in enumerate(sessions):
        session.send({"execute": "object-add",
                      "arguments": {"qom-type": "iothread", "id": f"io{i}"}})
    for i, session in enumerate(sessions):
        session.send({"execute": "object-del", "arguments": {"id": f"io{i}"}})
    seen = []
    for session in sessions:
        assert [session.receive_reply() for _ in range(2)] == [{"return": {}}] * 2
        while len(session.events) < 10:
            session.events.append(session.receive())
        seen.append(session.events)
        session.close()
    assert all(events == seen[0] for events in seen)


def test_other_sessions_get_the_event_of_a_command_too(daemon, qmp):
    with daemon.connect() as other:
        add(qmp)
        assert other.wait_event() == qmp.wait_event()


# ---- events with a rate limit ----


def debug_event(session, object_id, value):
    session.command("x-debug-event", id=object_id, value=value)


def test_of_similar_events_the_first_is_sent_at_once_and_the_last_late(qmp):
    start = time.monotonic()
    for value in range(1000):
        debug_event(qmp, "a", value)
    values = []
    while values[-1:] != [999]:
        values.append(qmp.wait_event("X_DEBUG_EVENT")["data"]["value"])
    elapsed = time.monotonic() - start
    assert values[0] == 0 and values == sorted(set(values))
    assert len(values) <= 2 + elapsed  # at most one a second
    # And none of those in between comes later.
    debug_event(qmp, "b", 0)
    assert qmp.wait_event()["data"] == {"id": "b", "value": 0}


def test_events_with_another_id_are_not_similar(qmp):
    for i in range(100):
        debug_event(qmp, f"a{i}", i)
    assert [event["data"]["value"] for event in qmp.events] == list(range(100))


def test_a_late_event_has_the_time_at_which_it_happened(qmp):
    debug_event(qmp, "a", 1)
    before = time.time_ns() // 1000
    debug_event(qmp, "a", 2)
    after = time.time_ns() // 1000
    while (event := qmp.wait_event())["data"]["value"] != 2:
        pass
    stamp = event["timestamp"]
    assert before <= stamp["seconds"] * 1000000 + stamp["microseconds"] <= after


def test_a_late_event_is_sent_while_the_main_loop_is_stuck(daemon, qmp):
    debug_event(qmp, "a", 1)
    debug_event(qmp, "a", 2)
    with daemon.block_main_loop(3000) as blocker:
        while qmp.wait_event("X_DEBUG_EVENT")["data"]["value"] != 2:
            pass
        assert blocker.receive()["data"]["value"] == 2  # before the answer
        assert blocker.receive() == {"return": {}}


def test_what_waits_is_sent_before_the_daemon_ends(daemon, qmp):
    for value in range(10):
        debug_event(qmp, "a", value)
    qmp.command("quit")
    while qmp.wait_event("X_DEBUG_EVENT")["data"]["value"] != 9:
        pass
    assert daemon.proc.wait(60) == 0


def test_quit_is_answered_before_shutdown_is_told(daemon, qmp):
    with daemon.connect() as other:
        qmp.send({"execute": "quit", "id": 1})
        assert qmp.receive() == {"return": {}, "id": 1}
        for session in (qmp, other):
            event = session.receive()
            assert event["event"] == "SHUTDOWN"
            assert event["data"] == {"guest": False, "reason": "host-qmp-quit"}
            assert session.at_end()
    assert daemon.proc.wait(60) == 0


def test_a_signal_that_ends_the_daemon_is_told(daemon, qmp):
    daemon.proc.send_signal(signal.SIGTERM)
    assert qmp.wait_event("SHUTDOWN")["data"] == {"guest": False, "reason": "host-signal"}


def test_the_objects_that_go_at_the_end_are_told(qmp):
    add(qmp, "io0")
    add(qmp, "io1")
    qmp.command("quit")
    while qmp.events and qmp.events[0]["event"] == "OBJECT_ADDED":
        qmp.events.pop(0)
    names = [qmp.wait_event() for _ in range(3)]
    assert names[0]["event"] == "SHUTDOWN"
    assert {event["event"] for event in names[1:]} == {"OBJECT_DELETED"}
    assert {event["data"]["id"] for event in names[1:]} == {"io0", "io1"}
    assert qmp.at_end()
