"""Objects on loops: created on any, moved while they work, and what a loop that is stuck holds up."""

import pytest

from held_thread import held
from objects import (PLACES, add, add_places, delete, error_of, get, loop_of, set_,
                     wait_for, wait_for_count)

TYPES = {
    "timer": {"period_ns": 10**9}, "event-notifier": {},
    "socket-relay": {"listen": "tcp:127.0.0.1:0", "target": "tcp:127.0.0.1:1"},
}
SOURCES = {
    "timer": "timer_expired(x)", "event-notifier": "notifier_kicked(x)",
    "socket-relay": "relay_ready(x)",
}


@pytest.fixture(autouse=True)
def loops(qmp):
    add_places(qmp)


def thread_of(qmp, name):
    return get(qmp, name, "thread-id")


# ---- every type that is placed ----

def test_every_other_type_can_be_placed(qmp):
    for item in qmp.command("qom-list-types", implements="user-creatable"):
        properties = {p["name"]: p for p in
                      qmp.command("qom-list-properties", typename=item["name"])}
        if item["name"] != "iothread":
            assert item["name"] in TYPES, "a new type: add it here"
            assert properties["iothread"]["type"] == "StrOrNull"
            assert "create-only" not in properties["iothread"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("qom_type", TYPES)
def test_an_object_is_created_on_any_loop(qmp, qom_type, place):
    add(qmp, qom_type, "x", iothread=place, **TYPES[qom_type])
    assert get(qmp, "x", "iothread") == place
    assert loop_of(qmp, SOURCES[qom_type]) == [place or "main-loop"]
    delete(qmp, "x")
    assert loop_of(qmp, SOURCES[qom_type]) == []


@pytest.mark.parametrize("qom_type", TYPES)
def test_the_names_of_its_sources_say_whose_they_are(qmp, qom_type):
    for name in ["x", "y"]:
        add(qmp, qom_type, name, iothread="io0", **TYPES[qom_type])

    def callbacks_of(owner):
        names = [source["name"] for source in qmp.command("query-sources", loop="io0")]
        return sorted(name[:-3] for name in names if name.endswith(f"({owner})"))

    # A relay that was added begins to accept when its loop comes to it.
    wait_for(lambda: callbacks_of("x") == callbacks_of("y"))
    mine = callbacks_of("x")
    assert SOURCES[qom_type][:-3] in mine
    assert len(mine) == len(set(mine))


def test_a_name_that_would_be_long_is_that_of_the_callback(qmp):
    add(qmp, "timer", "t" * 100, iothread="io0", period_ns=10**9)
    assert loop_of(qmp, "timer_expired") == ["io0"]


@pytest.mark.parametrize("qom_type", TYPES)
def test_an_object_is_moved_by_qom_set_and_is_there_when_that_is_answered(qmp, qom_type):
    add(qmp, qom_type, "x", **TYPES[qom_type])
    for place in ["io0", "io1", None, "io1", "io1", "io0", None]:
        assert set_(qmp, "x", "iothread", place) == {}
        assert get(qmp, "x", "iothread") == place
        assert loop_of(qmp, SOURCES[qom_type]) == [place or "main-loop"]
        event = qmp.wait_event("OBJECT_PROPERTY_CHANGED")["data"]
        assert (event["property"], event["value"]) == ("iothread", place)


@pytest.mark.parametrize("qom_type", TYPES)
def test_bad_places_are_refused(qmp, state, qom_type):
    add(qmp, qom_type, "x", iothread="io0", **TYPES[qom_type])
    before = state()
    nobody = ("Parameter 'iothread' expects the id of an IOThread, or null for the main loop; "
              "there is no IOThread '{}'")
    for bad, text in [(1, "Parameter 'iothread' expects a string or null"),
                      (["io0"], "Parameter 'iothread' expects a string or null"),
                      ("io0\0", "Parameter 'iothread' expects a string without the character "
                                "\\u0000"),
                      ("", nobody.format("")), ("io2", nobody.format("io2")),
                      ("x", nobody.format("x")), ("main-loop", nobody.format("main-loop")),
                      ("mon_iothread", nobody.format("mon_iothread"))]:
        assert error_of(set_, qmp, "x", "iothread", bad) == text
        assert error_of(add, qmp, qom_type, "y", iothread=bad, **TYPES[qom_type]) == text
    assert get(qmp, "x", "iothread") == "io0"
    assert state() == before


def test_an_iothread_in_use_names_its_users(qmp):
    add(qmp, "timer", "t", iothread="io0", period_ns=10**9)
    add(qmp, "event-notifier", "n", iothread="io0")
    assert error_of(delete, qmp, "io0") == "Object 'io0' is in use by 't', 'n'"
    set_(qmp, "t", "iothread", "io1")
    assert error_of(delete, qmp, "io0") == "Object 'io0' is in use by 'n'"
    delete(qmp, "n")
    delete(qmp, "io0")
    assert error_of(delete, qmp, "io1") == "Object 'io1' is in use by 't'"
    set_(qmp, "t", "iothread", None)
    delete(qmp, "io1")


def test_objects_at_the_start_and_the_end(start_daemon):
    daemon = start_daemon("--object", "iothread,id=io0", "--object",
                          "timer,id=t,iothread=io0,period-ns=1000000", "--object",
                          '{"qom-type": "event-notifier", "id": "end", "iothread": "io0"}',
                          "--object",
                          '{"qom-type": "event-notifier", "id": "n", "chain": ["end"]}')
    with daemon.connect(oob=True) as qmp:
        qmp.command("event-notifier-set", id="n")
        wait_for_count(qmp, "end", "kicks", 1)
        assert loop_of(qmp, "timer_expired(t)") == ["io0"]
    daemon.end()


# ---- a loop that is stuck ----

def test_a_move_off_a_stuck_loop_waits_and_holds_up_nobody_else(daemon, qmp):
    add(qmp, "timer", "t", iothread="io0", period_ns=10**6)
    with held(thread_of(qmp, "io0")) as thread, daemon.connect() as mover:
        move = {"path": "/objects/t", "property": "iothread"}
        mover.send({"execute": "qom-set", "arguments": {**move, "value": "io1"}, "id": 1})
        qmp.wait_event("OBJECT_PROPERTY_CHANGED")
        qmp.command("query-iothreads")
        add(qmp, "event-notifier", "n", iothread="io1")
        assert error_of(delete, qmp, "io0") == "Object 'io0' is in use by 't'"
        assert error_of(delete, qmp, "io1") == "Object 'io1' is in use by 't', 'n'"
        # Another change of the same object waits for this one.
        qmp.send({"execute": "qom-set", "arguments": {**move, "value": None}, "id": 2})
        with daemon.connect() as other:
            assert get(other, "t", "iothread") == "io1"
        assert not mover.has_input() or mover.receive()["event"]
        thread.release()
        assert mover.receive_reply() == {"return": {}, "id": 1}
        assert qmp.receive_reply() == {"return": {}, "id": 2}
        assert get(qmp, "t", "iothread") is None
        assert loop_of(qmp, "timer_expired(t)") == ["main-loop"]


def test_an_object_on_a_stuck_loop_is_deleted_when_it_can_be(daemon, qmp):
    add(qmp, "timer", "t", iothread="io0", period_ns=10**6)
    with held(thread_of(qmp, "io0")) as thread, daemon.connect() as other:
        other.send({"execute": "object-del", "arguments": {"id": "t"}, "id": 1})
        daemon.sync_monitor()  # it is before what follows
        assert error_of(delete, qmp, "t") == "Object 't' is being deleted already"
        assert error_of(set_, qmp, "t", "iothread", None) == "Object 't' is being deleted"
        thread.release()
        assert other.receive_reply() == {"return": {}, "id": 1}
    delete(qmp, "io0")


def test_a_change_that_waits_is_told_when_its_object_is_gone(daemon, qmp):
    add(qmp, "timer", "t", iothread="io0", period_ns=10**6)
    with held(thread_of(qmp, "io0")) as thread, daemon.connect() as mover, \
            daemon.connect() as second:
        path = {"path": "/objects/t"}
        mover.send({"execute": "qom-set",
                    "arguments": {**path, "property": "iothread", "value": "io1"}})
        qmp.wait_event("OBJECT_PROPERTY_CHANGED")
        second.send({"execute": "qom-set",
                     "arguments": {**path, "property": "period-ns", "value": 5}, "id": 1})
        daemon.sync_monitor()  # each is before what follows
        qmp.send({"execute": "object-del", "arguments": {"id": "t"}, "id": 2})
        daemon.sync_monitor()
        with daemon.connect() as other:
            assert error_of(delete, other, "t") == "Object 't' is being deleted already"
        thread.release()
        assert qmp.receive_reply() == {"return": {}, "id": 2}
        assert mover.receive_reply() == {"return": {}}
        assert second.receive_reply() in (
            {"error": {"class": "DeviceNotFound",
                       "desc": "There is no object at path '/objects/t'"}, "id": 1},
            {"error": {"class": "GenericError", "desc": "Object 't' is being deleted"}, "id": 1})
