"""query-qmp-schema: is well-formed, complete, and what commands and events really are."""

import copy
import os
import socket
import tempfile

import pytest

from configuration import add
from qmp_client import QmpError
from qmp_schema import TYPES, Mismatch, Schema


@pytest.fixture
def schema(qmp):
    return Schema(qmp.command("query-qmp-schema"))


# ---- the checker itself, which must be able to fail ----

TOY = [
    {"name": "int", "meta-type": "builtin", "json-type": "int"},
    {"name": "E", "meta-type": "enum", "values": ["a", "b"],
     "members": [{"name": "a"}, {"name": "b"}]},
    {"name": "[int]", "meta-type": "array", "element-type": "int"},
    {"name": "A", "meta-type": "object", "members": [{"name": "x", "type": "[int]"}]},
    {"name": "B", "meta-type": "object", "members": []},
    {"name": "O", "meta-type": "object", "tag": "kind",
     "members": [{"name": "kind", "type": "E"}, {"name": "n", "type": "int", "default": None}],
     "variants": [{"case": "a", "type": "A"}, {"case": "b", "type": "B"}]},
    {"name": "run", "meta-type": "command", "arg-type": "O", "ret-type": "O"},
]


def test_checker_takes_what_is_right():
    schema = Schema(TOY)
    schema.check()
    for value in [{"kind": "a", "x": [1]}, {"kind": "b"}, {"kind": "b", "n": 1}]:
        schema.check_return("run", value)


@pytest.mark.parametrize("value", [
    [], {}, {"kind": "c"}, {"kind": "a"}, {"kind": "a", "x": 1}, {"kind": "a", "x": ["1"]},
    {"kind": "a", "x": [True]}, {"kind": "b", "x": [1]}, {"kind": "b", "n": None},
    {"kind": "b", "y": 1}, {"kind": 1}], ids=repr)
def test_checker_refuses_a_value_of_another_type(value):
    with pytest.raises(Mismatch):
        Schema(TOY).check_return("run", value)


@pytest.mark.parametrize("name, change", [
    ("int", {"json-type": "integer"}), ("E", {"values": ["a"]}), ("[int]", {"element-type": "O2"}),
    ("O", {"tag": None}), ("O", {"variants": [{"case": "c", "type": "A"}]}),
    ("O", {"variants": [{"case": "a", "type": "A"}]}), ("run", {"arg-type": "int"}),
    ("run", {"help": "x"}), ("A", {"members": [{"name": "x"}]}),
    ("A", {"members": [{"name": "x", "type": "[int]"}] * 2}),
    ("run", {"features": []}), ("run", {"features": ["x"]}), ("A", {"features": "unstable"}),
    ("A", {"members": [{"name": "x", "type": "[int]", "features": [1]}]}),
], ids=lambda value: value if isinstance(value, str) else "")
def test_checker_refuses_a_malformed_schema(name, change):
    entries = copy.deepcopy(TOY)
    for entry in entries:
        if entry["name"] == name:
            entry.update(change)
    with pytest.raises((Mismatch, ValueError)):
        Schema(entries).check()


# ---- the schema ----

def test_schema_is_well_formed(schema):
    schema.check()


def test_schema_has_every_command_and_event(qmp, schema):
    assert schema.names("command") == {item["name"] for item in qmp.command("query-commands")}
    assert schema.names("event") == {"EVENTS_LOST", "SHUTDOWN", "OBJECT_ADDED", "OBJECT_DELETED",
                                     "OBJECT_PROPERTY_CHANGED", "X_DEBUG_EVENT", "TIMER_EXPIRED",
                                     "EVENT_NOTIFIER_SET", "RELAY_CONNECTED",
                                     "RELAY_DISCONNECTED", "RELAY_TARGET_DOWN",
                                     "RELAY_TARGET_UP", "LOOP_STALLED", "LOOP_RESUMED"}


def test_schema_is_the_same_each_time(start_daemon, daemon, qmp):
    """Byte for byte, in other daemons and with other objects too."""
    def answer(session):
        session.send({"execute": "query-qmp-schema"})
        return session.receive_line()

    first = answer(qmp)
    qmp.command("object-add", qom_type="iothread", id="io0")
    assert answer(qmp) == first
    with start_daemon("--debug-commands", "--object", "iothread,id=x").connect() as other:
        assert answer(other) == first


def test_schema_has_commands_then_events_by_name_then_types_as_they_are_referred_to(qmp):
    entries = qmp.command("query-qmp-schema")
    order = ["type" if entry["meta-type"] in TYPES else entry["meta-type"] for entry in entries]
    assert order == sorted(order, key=["command", "event", "type"].index)
    for meta_type in ["command", "event"]:
        names = [entry["name"] for entry in entries if entry["meta-type"] == meta_type]
        assert names == sorted(names)
    # Each type stands behind those that have been referred to before it.
    schema = Schema(entries)
    referred = []
    for entry in entries:
        for name in schema.references(entry):
            if name not in referred:
                referred.append(name)
    assert [entry["name"] for entry in entries if entry["meta-type"] in TYPES] == referred


def test_what_is_for_tests_is_marked_as_unstable(schema):
    unstable = {name for name, entry in schema.entries.items()
                if "unstable" in entry.get("features", [])}
    assert unstable == {name for name in schema.entries
                        if name.startswith("x-debug-") or name.startswith("X_DEBUG_")}


def test_what_will_go_is_marked_as_deprecated(schema):
    values = [member for member in schema.entries["SchemaInfoEnum"]["members"]
              if member["name"] == "values"]
    assert values == [{"name": "values", "type": "[str]", "features": ["deprecated"]}]
    deprecated = [name for name, entry in schema.entries.items()
                  if "deprecated" in str(entry.get("features"))]
    assert deprecated == []


def test_schema_conforms_to_itself(qmp, schema):
    schema.check_return("query-qmp-schema", qmp.command("query-qmp-schema"))


def test_commands_that_clients_know_have_their_arguments(schema):
    def arguments(command):
        entry = schema.entries[schema.entries[command]["arg-type"]]
        return {member["name"] + ("?" if "default" in member else "")
                for member in entry["members"]}

    assert arguments("qmp_capabilities") == {"enable?"}
    assert arguments("object-add") == {"qom-type", "id"}
    assert arguments("object-del") == {"id"}
    assert arguments("qom-get") == {"path", "property"}
    assert arguments("qom-set") == {"path", "property", "value"}
    assert arguments("qom-list") == {"path"}
    assert arguments("qom-list-types") == {"implements?", "abstract?"}
    assert arguments("qom-list-properties") == {"typename"}
    assert arguments("getfd") == arguments("closefd") == {"fdname"}
    assert arguments("add-fd") == {"fdset-id?", "opaque?"}
    assert arguments("remove-fd") == {"fdset-id", "fd?"}
    for command in ["query-version", "query-commands", "query-qmp-schema", "query-iothreads",
                    "query-fdsets", "query-clients", "quit"]:
        assert arguments(command) == set()


# What an object of a type can't be without.
NEEDED = {"socket-relay": {"listen", "target"}}


def test_object_add_has_a_variant_for_every_type(qmp, schema):
    options = schema.entries[schema.entries["object-add"]["arg-type"]]
    types = {item["name"] for item in qmp.command("qom-list-types", implements="user-creatable")}
    assert options["tag"] == "qom-type"
    assert {variant["case"] for variant in options["variants"]} == types
    for variant in options["variants"]:
        listed = qmp.command("qom-list-properties", typename=variant["case"])
        settable = {item["name"] for item in listed
                    if item["name"] != "type" and not item.get("read-only")}
        members = schema.entries[variant["type"]]["members"]
        assert {member["name"] for member in members} == settable
        assert {m["name"] for m in members if "default" not in m} == NEEDED.get(variant["case"], set())


def test_properties_of_an_iothread_are_those_of_qemu_and_more(qmp):
    properties = {item["name"]: item
                  for item in qmp.command("qom-list-properties", typename="iothread")}
    assert set(properties) == {
        "type", "poll-max-ns", "poll-grow", "poll-shrink", "aio-max-batch", "thread-pool-min",
        "thread-pool-max", "cpu-affinity", "sched-policy", "sched-priority", "fdmon",
        "fdmon-in-use", "thread-id"}
    assert properties["poll-max-ns"]["default-value"] == 32768
    assert {name for name, item in properties.items() if item.get("read-only")} == {
        "fdmon-in-use", "thread-id"}
    assert {name for name, item in properties.items() if item.get("create-only")} == {"fdmon"}


# ---- what really is answered ----

# Commands with arguments, in an order in which they work.
# With each kind of difference.
CONFIGURATIONS = [
    add("iothread", "c0") + add("iothread", "c1") + add("iothread", "adopted"),
    add("iothread", "c1", fdmon="poll") + add("iothread", "adopted", **{"poll-max-ns": 1}),
]

CALLS = [
    ("query-trace", {}),
    ("trace-start", {"loops": ["main-loop"], "size-kib": 16}),
    ("query-trace", {}),
    ("trace-stop", {"discard": True}),
    ("object-add", {"qom-type": "iothread", "id": "io0"}),
    ("object-add", {"qom-type": "iothread", "id": "io1", "poll-max-ns": 0, "poll-grow": 3,
                    "poll-shrink": 2, "aio-max-batch": 7, "thread-pool-min": 1,
                    "thread-pool-max": 2, "cpu-affinity": "0", "sched-policy": "batch",
                    "sched-priority": 5, "fdmon": "poll"}),
    ("query-iothreads", {}),
    ("qom-list", {"path": "/"}),
    ("qom-list", {"path": "/objects"}),
    ("qom-list", {"path": "/objects/io1"}),
    *[("qom-get", {"path": "io1", "property": name}) for name in [
        "type", "poll-max-ns", "cpu-affinity", "sched-policy", "fdmon", "fdmon-in-use",
        "thread-id"]],
    ("qom-set", {"path": "io1", "property": "sched-policy", "value": "other"}),
    ("qom-set", {"path": "io0", "property": "cpu-affinity", "value": "0"}),
    ("qom-list-types", {}),
    ("qom-list-types", {"abstract": True}),
    ("qom-list-types", {"implements": "object"}),
    ("qom-list-properties", {"typename": "iothread"}),
    ("object-add", {"qom-type": "timer", "id": "t", "iothread": "io0", "clock": "virtual",
                    "period-ns": 10**15, "deadline-ns": 10**15, "one-shot": False,
                    "catch-up": "burst"}),
    ("object-add", {"qom-type": "event-notifier", "id": "n0", "iothread": None}),
    ("object-add", {"qom-type": "event-notifier", "id": "n1", "iothread": "io1",
                    "chain": ["n0"]}),
    ("qom-set", {"path": "t", "property": "iothread", "value": None}),
    *[("qom-get", {"path": "t", "property": name}) for name in [
        "iothread", "clock", "period-ns", "one-shot", "expirations", "lateness"]],
    *[("qom-get", {"path": "n1", "property": name}) for name in [
        "iothread", "fd", "doorbell", "chain", "kicks"]],
    ("qom-list-properties", {"typename": "timer"}),
    ("qom-list-properties", {"typename": "event-notifier"}),
    ("event-notifier-set", {"id": "n1"}),
    ("event-notifier-get", {"id": "n1"}),
    ("query-clocks", {}),
    ("clock-stop", {}),
    ("clock-advance", {"by-ns": 1}),
    ("clock-advance", {"to-ns": 1}),
    ("clock-resume", {}),
    ("query-version", {}),
    ("query-commands", {}),
    ("query-qmp-schema", {}),
    ("query-loops", {}),
    ("query-sources", {}),
    ("query-clients", {}),
    ("query-sources", {"loop": "io0"}),
    ("x-debug-echo", {"value": {"any": ["thing"]}}),
    ("x-debug-block", {"duration-ms": 0}),
    ("x-debug-block", {"duration-ms": 0, "loop": "io0"}),
    ("x-debug-unblock", {}),
    ("x-debug-unblock", {"loop": "io0"}),
    ("x-debug-event", {"id": "a", "value": 1}),
    ("closefd", {"fdname": "sent"}),
    ("object-del", {"id": "t"}),
    ("object-del", {"id": "n1"}),
    ("query-fdsets", {}),
    ("remove-fd", {"fdset-id": 5}),
    ("object-del", {"id": "io0"}),
    ("object-del", {"id": "io1"}),
    ("object-add", {"qom-type": "iothread", "id": "adopted"}),
    *[("config-apply", {"files": [{"name": "f", "text": text}], "dry-run": dry_run})
      for text in CONFIGURATIONS for dry_run in (True, False)],
    ("reload", {}),
    ("quit", {}),
]


def send_fd(session, command, **arguments):
    reader, writer = os.pipe()
    session.send_with_fds({"execute": command, "arguments": arguments}, [reader])
    os.close(reader)
    os.close(writer)
    return session.receive_reply()["return"]


def test_every_answer_and_event_is_as_declared(start_daemon, tmp_path, schema):
    daemon = start_daemon("--debug-commands", "--config-dir", str(tmp_path))
    with daemon.connect(negotiate=False) as session:
        session.receive()
        schema.check_return("qmp_capabilities", session.command("qmp_capabilities"))
        schema.check_return("getfd", send_fd(session, "getfd", fdname="sent"))
        added = send_fd(session, "add-fd", **{"fdset-id": 5, "opaque": "sent"})
        schema.check_return("add-fd", added)
        session.command("trace-start")
        with tempfile.TemporaryFile() as file:
            session.send_with_fds({"execute": "trace-save"}, [file.fileno()])
            schema.check_return("trace-save", session.receive_reply()["return"])
        session.command("trace-stop")
        for name, arguments in CALLS:
            schema.check_arguments(name, arguments)
            reply = session.execute(name, arguments)
            assert set(reply) == {"return"}, (name, arguments, reply)
            schema.check_return(name, reply["return"])
        session.events.append(session.wait_event("SHUTDOWN"))
        events = session.events
    # Nothing was left untried.
    tried = {name for name, _ in CALLS} | {"qmp_capabilities", "getfd", "add-fd", "trace-save"}
    assert tried == schema.names("command")
    for event in events:
        schema.check_event(event)
    assert daemon.proc.wait(60) == 0


def relay_events(qmp, sockets):
    """Have a relay send each of its events once, and return all that came meanwhile."""
    qmp.command("object-add", qom_type="socket-relay", id="r", listen=f"unix:{sockets}/in",
                target=f"unix:{sockets}/out", connection_events=True)
    events = []

    def connect_until(name):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{sockets}/in")
            while not events or events[-1]["event"] != name:
                events.append(qmp.wait_event())

    connect_until("RELAY_TARGET_DOWN")
    with socket.socket(socket.AF_UNIX) as target:
        target.bind(f"{sockets}/out")
        target.listen()
        connect_until("RELAY_CONNECTED")
        target.accept()[0].close()
        while "RELAY_DISCONNECTED" not in {event["event"] for event in events}:
            events.append(qmp.wait_event())
    return events


def stall_events(daemon):
    """Have a loop stall, while the daemon looks and while it can't, and go on."""
    events = []
    with daemon.connect() as qmp:
        for name in ("main-loop", "mon_iothread"):
            qmp.command("x-debug-block", loop=name, duration_ms=200)
            while not events or (events[-1]["event"], events[-1]["data"]["loop"]) != (
                    "LOOP_RESUMED", name):
                events.append(qmp.wait_event())
    return events


def test_every_kind_of_event_is_as_declared(qmp, schema, sockets, start_daemon):
    qmp.command("object-add", qom_type="iothread", id="io0")
    qmp.command("qom-set", path="io0", property="poll-max-ns", value=1)
    qmp.command("qom-set", path="io0", property="cpu-affinity", value="0")
    qmp.command("object-del", id="io0")
    qmp.command("x-debug-event", id="a", value=1)
    qmp.command("object-add", qom_type="timer", id="t", deadline_ns=1)
    qmp.command("object-add", qom_type="event-notifier", id="n")
    qmp.command("event-notifier-set", id="n")
    events = stall_events(start_daemon("--debug-commands", "--stall-threshold-ms=50"))
    events += relay_events(qmp, sockets)
    while {"TIMER_EXPIRED", "EVENT_NOTIFIER_SET"} - {event["event"] for event in events}:
        events.append(qmp.wait_event())
    qmp.command("quit")
    while events[-1]["event"] != "SHUTDOWN":
        events.append(qmp.wait_event())
    for event in events:
        schema.check_event(event)
    assert {event["event"] for event in events} == schema.names("event") - {"EVENTS_LOST"}


def test_what_the_schema_does_not_declare_is_refused(qmp, schema):
    """For each command: an argument left out that is needed, and one too many."""
    for command in schema.names("command") - {"qmp_capabilities", "quit"}:
        members = schema.entries[schema.entries[command]["arg-type"]]["members"]
        needed = [member["name"] for member in members if "default" not in member]
        if needed:
            with pytest.raises(QmpError, match="is missing"):
                qmp.command(command)
        else:
            with pytest.raises(QmpError, match="'x' is unexpected"):
                qmp.command(command, x=1)


def test_without_debug_commands_the_schema_has_none(start_daemon):
    with start_daemon().connect() as session:
        schema = Schema(session.command("query-qmp-schema"))
        schema.check()
        assert not [name for name in schema.entries if name.lower().startswith("x")]
