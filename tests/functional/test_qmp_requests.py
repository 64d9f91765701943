"""Requests and their errors: members, ids, commands and arguments, each wrong in every way."""

import json

import pytest

from qmp_client import QmpError

ANY_TYPE = [None, True, False, 0, -1, 1.5, "", "x", "é\"\\\u0000", [], [1, [None]], {},
            {"a": {"b": []}}, 9223372036854775807]
NO_STRING = [None, True, 1, 1.5, [], ["quit"], {}]
NO_OBJECT = [None, True, 1, 1.5, "x", [], [{}]]


# ---- the request itself ----

@pytest.mark.parametrize("value", [None, True, 1, 1.5, "x", [], [{"execute": "quit"}]], ids=repr)
def test_a_request_must_be_an_object(qmp, state, value):
    before = state()
    qmp.expect_error(json.dumps(value).encode() + b"\n", "A request must be a JSON object")
    assert state() == before


@pytest.mark.parametrize("request_", [{}, {"id": 1}, {"arguments": {}}], ids=repr)
def test_a_request_needs_execute(qmp, request_):
    qmp.expect_error(request_, "A request needs the member 'execute'")


@pytest.mark.parametrize("member", ["execute", "exec-oob"])
@pytest.mark.parametrize("value", NO_STRING, ids=repr)
def test_the_command_must_be_a_string(qmp, member, value):
    qmp.expect_error({member: value, "id": 1}, f"Request member '{member}' expects a string")


@pytest.mark.parametrize("member", ["execute", "exec-oob"])
def test_a_command_is_not_cut_at_a_nul_character(qmp, member):
    qmp.expect_error({member: "query-version\0x", "id": 1}, f"Request member '{member}' expects a "
                     "string without the character \\u0000")


def test_a_command_is_run_one_way_only(qmp, state):
    before = state()
    text = "A request has either 'execute' or 'exec-oob', not both"
    qmp.expect_error({"execute": "query-version", "exec-oob": "query-version", "id": 1}, text)
    qmp.expect_error({"exec-oob": "query-version", "execute": "query-version"}, text)
    assert state() == before


@pytest.mark.parametrize("value", NO_OBJECT, ids=repr)
def test_arguments_must_be_an_object(qmp, value):
    qmp.expect_error({"execute": "query-version", "arguments": value, "id": 1},
                     "Request member 'arguments' expects an object")


@pytest.mark.parametrize("member", ["exec", "Execute", "control", "", "idé", "return"])
def test_other_members_are_unexpected(qmp, state, member):
    before = state()
    qmp.expect_error({"execute": "object-add", "id": 1, member: {},
                      "arguments": {"qom-type": "iothread", "id": "a"}},
                     f"Request member '{member}' is unexpected")
    assert state() == before


def test_members_may_come_in_any_order(qmp):
    qmp.send_raw(b'{"id": 5, "arguments": {"value": 1}, "execute": "x-debug-echo"}')
    assert qmp.receive() == {"return": 1, "id": 5}


def test_arguments_may_be_left_out_or_empty(qmp):
    assert qmp.execute("query-version") == qmp.execute("query-version", {})


# ---- id ----

@pytest.mark.parametrize("value", ANY_TYPE, ids=repr)
def test_the_id_comes_back_unchanged(qmp, value):
    for reply_id in [value, [value], {"id": value}]:
        assert qmp.execute("x-debug-echo", {"value": 1}, id=reply_id) == {
            "return": 1, "id": reply_id}
        assert qmp.execute("x-debug-echo", {"value": 1}, key="exec-oob", id=reply_id) == {
            "return": 1, "id": reply_id}


@pytest.mark.parametrize("value", ANY_TYPE, ids=repr)
def test_the_id_comes_back_in_errors_too(qmp, value):
    for request in [{"execute": "no-such-command"}, {"execute": 1}, {}, {"what": 1},
                    {"execute": "object-del", "arguments": {}}, {"exec-oob": "quit"},
                    {"execute": "object-del", "arguments": {"id": "x"}}]:
        qmp.send({"id": value, **request})
        reply = qmp.receive()
        assert set(reply) == {"error", "id"} and reply["id"] == value
        assert type(reply["id"]) is type(value)


def test_the_text_of_an_id_comes_back_unchanged(qmp):
    for text in ["1.0", "1e2", "18446744073709551615", "-0.0", '"\\u00e9"', '{"b": 1, "a": 2}']:
        qmp.send_raw(b'{"execute": "x-debug-echo", "arguments": {"value": 0}, "id": %s}'
                     % text.encode())
        assert qmp.receive_line() == b'{"return": 0, "id": %s}\r\n' % text.encode()


def test_without_id_the_reply_has_none(qmp):
    assert set(qmp.execute("query-version")) == {"return"}
    assert set(qmp.execute("no-such-command")) == {"error"}


# ---- commands ----

@pytest.mark.parametrize("name", ["no-such-command", "", "Quit", "quit ", "query_version", "é",
                                  "x" * 10000])
@pytest.mark.parametrize("member", ["execute", "exec-oob"])
def test_an_unknown_command_is_command_not_found(qmp, member, name):
    qmp.expect_error({member: name, "id": 1}, f"The command {name} has not been found",
                     "CommandNotFound")


def test_debug_commands_are_there_only_when_asked_for(start_daemon):
    with start_daemon().connect() as session:
        for name in ["x-debug-block", "x-debug-echo"]:
            session.expect_error({"execute": name, "arguments": {}},
                                 f"The command {name} has not been found", "CommandNotFound")


def test_an_error_of_a_known_command_is_no_command_not_found(qmp):
    for request in [{"execute": "object-del"}, {"execute": "quit", "arguments": {"x": 1}},
                    {"exec-oob": "quit"}]:
        qmp.send(request)
        assert qmp.receive()["error"]["class"] == "GenericError"
    qmp.sync()


# ---- arguments ----

def test_every_command_refuses_an_argument_that_it_does_not_have(qmp, state):
    before = state()
    for command in qmp.command("query-commands"):
        if command["name"] == "qmp_capabilities":
            continue  # there is none any more
        reply = qmp.execute(command["name"], {"no-such-argument": 1})
        assert reply["error"]["class"] == "GenericError"
        # Those that need arguments may name the missing one first.
        assert reply["error"]["desc"] == "Parameter 'no-such-argument' is unexpected" or \
            reply["error"]["desc"].endswith("is missing"), command
    qmp.sync()
    assert state() == before


INT64 = "an integer from -9223372036854775808 to 9223372036854775807"
UP_TO_INT64 = "an integer from 0 to 9223372036854775807"
IOTHREAD = {"qom-type": "iothread", "id": "new"}


@pytest.mark.parametrize("command, arguments, desc", [
    ("object-add", {"qom-type": "iothread"}, "Parameter 'id' is missing"),
    ("object-add", {"id": "new"}, "Parameter 'qom-type' is missing"),
    ("object-add", {"qom-type": "no-such-type", "id": "new"},
     "Parameter 'qom-type' expects one of 'event-notifier', 'iothread', 'socket-relay', 'timer'"),
    ("object-add", {"qom-type": None, "id": "new"},
     "Parameter 'qom-type' expects one of 'event-notifier', 'iothread', 'socket-relay', 'timer'"),
    ("object-add", {"qom-type": "iothread\0", "id": "new"},
     "Parameter 'qom-type' expects one of 'event-notifier', 'iothread', 'socket-relay', 'timer'"),
    ("object-add", {**IOTHREAD, "id": 1}, "Parameter 'id' expects a string"),
    ("object-add", {**IOTHREAD, "id": "a\0b"},
     "Parameter 'id' expects a string without the character \\u0000"),
    *[("object-add", {**IOTHREAD, "id": bad},
       "Parameter 'id' expects a letter, then letters, digits, '-', '.', '_', not '%s'" % bad)
      for bad in ["", "1a", "-a", ".a", "_a", "a b", "a/b", "é", "aé", "a\n"]],
    ("object-add", {**IOTHREAD, "x": 1}, "Parameter 'x' is unexpected"),
    ("object-add", {**IOTHREAD, "thread-id": 1}, "Parameter 'thread-id' is read-only"),
    ("object-add", {**IOTHREAD, "fdmon-in-use": "poll"},
     "Parameter 'fdmon-in-use' is read-only"),
    *[("object-add", {**IOTHREAD, "poll-max-ns": bad},
       f"Parameter 'poll-max-ns' expects {UP_TO_INT64}")
      for bad in [-1, 1.5, 1.0, "1", None, True, [], {}, 2**63, 2**64, 10**30]],
    ("object-add", {**IOTHREAD, "thread-pool-max": 0},
     "Parameter 'thread-pool-max' expects an integer from 1 to 2147483647"),
    ("object-add", {**IOTHREAD, "sched-priority": 100},
     "Parameter 'sched-priority' expects an integer from 1 to 99"),
    ("object-add", {**IOTHREAD, "sched-policy": "normal"},
     "Parameter 'sched-policy' expects one of 'other', 'batch', 'idle', 'fifo', 'rr'"),
    ("object-add", {**IOTHREAD, "fdmon": 1},
     "Parameter 'fdmon' expects one of 'auto', 'io_uring', 'epoll', 'poll'"),
    ("object-add", {**IOTHREAD, "cpu-affinity": 3}, "Parameter 'cpu-affinity' expects a string"),
    ("object-add", {**IOTHREAD, "id": "there"}, "There is an object 'there' already"),
    ("object-del", {}, "Parameter 'id' is missing"),
    ("object-del", {"id": None}, "Parameter 'id' expects a string"),
    ("object-del", {"id": "nobody"}, "There is no object 'nobody'"),
    ("object-del", {"id": "/objects/there"}, "There is no object '/objects/there'"),
    ("qom-get", {"path": "/objects/there"}, "Parameter 'property' is missing"),
    ("qom-get", {"path": 1, "property": "x"}, "Parameter 'path' expects a string"),
    ("qom-get", {"path": "/objects/there", "property": "x"},
     "Object 'there', of type 'iothread', has no property 'x'"),
    ("qom-get", {"path": "/objects", "property": "x"}, "'/objects' has no property 'x'"),
    ("qom-get", {"path": "/", "property": "there"}, "'/' has no property 'there'"),
    ("qom-set", {"path": "/objects/there", "property": "poll-max-ns"},
     "Parameter 'value' is missing"),
    ("qom-set", {"path": "/objects/there", "property": "poll-max-ns", "value": "1"},
     f"Parameter 'poll-max-ns' expects {UP_TO_INT64}"),
    ("qom-set", {"path": "/objects/there", "property": "x", "value": 1},
     "Object 'there', of type 'iothread', has no property 'x'"),
    ("qom-set", {"path": "/objects/there", "property": "type", "value": "x"},
     "Property 'type' is read-only"),
    ("qom-set", {"path": "/objects/there", "property": "thread-id", "value": 1},
     "Property 'thread-id' is read-only"),
    ("qom-set", {"path": "/objects/there", "property": "fdmon", "value": "poll"},
     "Property 'fdmon' can only be set when the object is added"),
    ("qom-set", {"path": "/objects", "property": "there", "value": 1},
     "Property 'there' is read-only"),
    ("qom-set", {"path": "/", "property": "objects", "value": 1},
     "Property 'objects' is read-only"),
    ("qom-set", {"path": "/objects", "property": "x", "value": 1},
     "'/objects' has no property 'x'"),
    ("qom-list", {}, "Parameter 'path' is missing"),
    ("qom-list-types", {"implements": 1}, "Parameter 'implements' expects a string"),
    ("qom-list-types", {"abstract": 1}, "Parameter 'abstract' expects true or false"),
    ("qom-list-properties", {}, "Parameter 'typename' is missing"),
    ("query-sources", {"loop": 1}, "Parameter 'loop' expects a string"),
    ("query-sources", {"loop": "x"}, "Parameter 'loop': there is no loop 'x'"),
    ("x-debug-echo", {}, "Parameter 'value' is missing"),
    ("x-debug-block", {"duration-ms": -1},
     "Parameter 'duration-ms' expects an integer from 0 to 3600000"),
    ("x-debug-block", {"duration-ms": 0, "loop": "x"}, "Parameter 'loop': there is no loop 'x'"),
    ("getfd", {}, "Parameter 'fdname' is missing"),
    ("closefd", {"fdname": []}, "Parameter 'fdname' expects a string"),
    ("quit", {"now": True}, "Parameter 'now' is unexpected"),
], ids=lambda value: value if isinstance(value, str) and " " not in value else "")
def test_a_bad_argument_is_named_with_what_was_expected(qmp, state, command, arguments, desc):
    qmp.command("object-add", qom_type="iothread", id="there")
    qmp.wait_event("OBJECT_ADDED")
    before = state()
    qmp.expect_error({"execute": command, "arguments": arguments, "id": 1}, desc)
    assert state() == before
    assert qmp.events == [] and not qmp.has_input()


@pytest.mark.parametrize("command, arguments, desc", [
    *[("qom-list", {"path": path}, f"There is no object at path '{path}'")
      for path in ["", "/nowhere", "/objects/nobody", "/objects/there/below", "nobody",
                   "/there"]],
    ("qom-get", {"path": "/objects/nobody", "property": "type"},
     "There is no object at path '/objects/nobody'"),
    ("qom-set", {"path": "/objects/nobody", "property": "type", "value": 1},
     "There is no object at path '/objects/nobody'"),
    ("qom-list-properties", {"typename": "nothing"}, "There is no object type 'nothing'"),
])
def test_what_is_not_there_is_device_not_found(qmp, state, command, arguments, desc):
    qmp.command("object-add", qom_type="iothread", id="there")
    before = state()
    qmp.expect_error({"execute": command, "arguments": arguments, "id": 1}, desc, "DeviceNotFound")
    assert state() == before


def test_types_are_checked_before_the_command_does_anything(qmp, state):
    before = state()
    # The last member is the wrong one.
    with pytest.raises(QmpError, match="'sched-priority'"):
        qmp.command("object-add", qom_type="iothread", id="a", poll_max_ns=1, sched_priority="x")
    assert state() == before


def test_the_last_accepted_and_the_first_refused_number(qmp):
    qmp.command("object-add", qom_type="iothread", id="io0")
    for value in [0, 1, 2**63 - 1]:
        qmp.command("qom-set", path="io0", property="poll-max-ns", value=value)
        assert qmp.command("qom-get", path="io0", property="poll-max-ns") == value
    for value in [-1, 2**63]:
        with pytest.raises(QmpError, match="from 0 to 9223372036854775807"):
            qmp.command("qom-set", path="io0", property="poll-max-ns", value=value)
    assert qmp.command("qom-get", path="io0", property="poll-max-ns") == 2**63 - 1


# ---- what the simple ones answer ----

def test_query_version_is_the_greetings(qmp):
    assert qmp.command("query-version") == qmp.greeting["QMP"]["version"]


def test_query_commands_names_them_all(qmp):
    names = [command["name"] for command in qmp.command("query-commands")]
    assert names == [
        "add-fd", "clock-advance", "clock-resume", "clock-stop", "closefd", "config-apply",
        "event-notifier-get", "event-notifier-set", "getfd", "object-add", "object-del",
        "qmp_capabilities", "qom-get", "qom-list", "qom-list-properties", "qom-list-types",
        "qom-set", "query-clients", "query-clocks", "query-commands", "query-fdsets",
        "query-iothreads", "query-loops", "query-qmp-schema", "query-sources", "query-trace",
        "query-version", "quit", "reload", "remove-fd", "trace-save", "trace-start", "trace-stop",
        "x-debug-block", "x-debug-echo", "x-debug-event", "x-debug-unblock"]


def test_objects_are_found_by_path(qmp):
    qmp.command("object-add", qom_type="iothread", id="io0")
    assert qmp.command("qom-list", path="/") == [
        {"name": "type", "type": "string"}, {"name": "objects", "type": "child<container>"}]
    assert qmp.command("qom-list", path="/objects") == [
        {"name": "type", "type": "string"}, {"name": "io0", "type": "child<iothread>"}]
    for path in ["/objects/io0", "io0", "objects/io0", "//objects//io0/"]:
        assert qmp.command("qom-get", path=path, property="type") == "iothread"
    assert qmp.command("qom-get", path="/objects", property="io0") == "/objects/io0"
    assert qmp.command("qom-get", path="/", property="objects") == "/objects"
    assert qmp.command("qom-get", path="/objects", property="type") == "container"


def test_qom_list_types_filters(qmp):
    def names(**arguments):
        return [item["name"] for item in qmp.command("qom-list-types", **arguments)]

    types = ["event-notifier", "iothread", "socket-relay", "timer"]
    assert names() == ["container", *types]
    assert names(abstract=True) == ["object", "container", *types]
    assert names(implements="user-creatable") == types
    assert names(implements="iothread") == ["iothread"]
    assert names(implements="nothing") == []
