"""Out-of-band: what overtakes, what may not, and that the main loop is not needed for it."""

import json

import pytest

# Each with arguments that it takes.
ALLOWED = {
    "query-commands": {}, "query-version": {}, "query-qmp-schema": {}, "query-loops": {},
    "query-clients": {},
    "query-sources": {}, "qom-list-types": {}, "qom-list-properties": {"typename": "iothread"},
    "x-debug-echo": {"value": [1]}, "x-debug-unblock": {"loop": "io0"},
    "query-clocks": {}, "clock-stop": {}, "clock-advance": {"by-ns": 1}, "clock-resume": {},
    "event-notifier-set": {"id": "bell"}, "event-notifier-get": {"id": "bell"},
    "trace-start": {}, "query-trace": {}, "trace-stop": {},
}
# It needs a descriptor: see test_trace.py.
ALLOWED_WITH_FD = {"trace-save"}
# Those whose answers differ from time to time.
CHANGING = ["query-loops", "query-clients", "query-sources", "query-clocks", "clock-stop", "clock-advance",
            "clock-resume", "trace-start", "query-trace", "trace-stop"]


def commands(session):
    return [entry for entry in session.command("query-qmp-schema")
            if entry["meta-type"] == "command"]


def test_the_commands_that_allow_it(qmp):
    assert {entry["name"] for entry in commands(qmp) if entry["allow-oob"]} == \
        set(ALLOWED) | ALLOWED_WITH_FD


def test_out_of_band_overtakes_what_is_queued(daemon):
    with daemon.block_main_loop() as session:
        session.send({"execute": "x-debug-echo", "arguments": {"value": 1}, "id": 1})
        session.send({"exec-oob": "x-debug-echo", "arguments": {"value": 2}, "id": 2})
        assert session.receive() == {"return": 2, "id": 2}
        assert session.receive() == {"return": {}}
        assert session.receive() == {"return": 1, "id": 1}


def test_a_held_main_loop_holds_neither_connecting_nor_negotiating(daemon):
    with daemon.block_main_loop() as session:
        with daemon.connect(negotiate=False) as other:
            assert "QMP" in other.receive()
            assert other.execute("query-version")["error"]["class"] == "CommandNotFound"
            assert other.execute("qmp_capabilities", {"enable": ["oob"]}) == {"return": {}}
            assert "return" in other.execute("query-version", key="exec-oob")
        assert not session.has_input(), "the main loop was not held any more"
        assert session.receive() == {"return": {}}


def test_all_that_allow_it_work_while_the_main_loop_is_held(daemon, qmp):
    qmp.command("object-add", qom_type="event-notifier", id="bell")
    with daemon.block_main_loop() as session:
        for name, arguments in ALLOWED.items():
            reply = session.execute(name, arguments, key="exec-oob", id=1)
            assert set(reply) == {"return", "id"}, name
        assert session.receive() == {"return": {}}


def test_in_band_and_out_of_band_answer_the_same(qmp):
    qmp.command("object-add", qom_type="event-notifier", id="bell")
    for name, arguments in ALLOWED.items():
        if name not in CHANGING:
            assert qmp.execute(name, arguments) == qmp.execute(name, arguments, key="exec-oob")


def test_errors_of_out_of_band_requests_overtake_too(daemon):
    with daemon.block_main_loop() as session:
        for name, arguments, error_class, desc in [
                ("no-such-command", {}, "CommandNotFound",
                 "The command no-such-command has not been found"),
                ("x-debug-echo", {}, "GenericError", "Parameter 'value' is missing"),
                ("query-sources", {"loop": "x"}, "GenericError",
                 "Parameter 'loop': there is no loop 'x'"),
                ("qom-list-properties", {"typename": "x"}, "DeviceNotFound",
                 "There is no object type 'x'"),
                ("quit", {}, "GenericError",
                 "The command quit does not support out-of-band execution")]:
            assert session.execute(name, arguments, key="exec-oob", id=name) == {
                "error": {"class": error_class, "desc": desc}, "id": name}
        assert session.receive() == {"return": {}}


def test_out_of_band_requests_are_answered_in_their_order(daemon):
    with daemon.block_main_loop() as session:
        session.send_raw(b"".join(json.dumps({"exec-oob": "x-debug-echo", "id": i,
                                              "arguments": {"value": i}}).encode()
                                  for i in range(200)))
        assert [session.receive() for _ in range(200)] == [
            {"return": i, "id": i} for i in range(200)]
        assert session.receive() == {"return": {}}


def test_out_of_band_requests_do_not_fill_the_queue(daemon):
    with daemon.block_main_loop() as session:
        for i in range(100):
            assert "return" in session.execute("query-version", key="exec-oob", id=i)
        assert session.receive() == {"return": {}}


# ---- when it is not allowed ----

def test_commands_that_do_not_allow_it_do_nothing(qmp, state):
    qmp.command("object-add", qom_type="iothread", id="io0")
    before = state()
    arguments = {
        "object-add": {"qom-type": "iothread", "id": "a"}, "object-del": {"id": "io0"},
        "qom-set": {"path": "io0", "property": "poll-max-ns", "value": 1},
        "qom-get": {"path": "io0", "property": "poll-max-ns"}, "qom-list": {"path": "/"},
        "x-debug-block": {"duration-ms": 3600000}, "closefd": {"fdname": "a"},
        "getfd": {"fdname": "a"}, "remove-fd": {"fdset-id": 0},
        "x-debug-event": {"id": "a", "value": 1},
    }
    for entry in commands(qmp):
        name = entry["name"]
        if not entry["allow-oob"] and name != "qmp_capabilities":
            qmp.expect_error({"exec-oob": name, "arguments": arguments.get(name, {}), "id": 1},
                             f"The command {name} does not support out-of-band execution")
    assert state() == before


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_without_the_capability_nothing_is_run_out_of_band(daemon, name):
    with daemon.connect() as session:
        session.expect_error({"exec-oob": name, "arguments": ALLOWED[name], "id": 1},
                             "exec-oob needs the capability 'oob' to be negotiated")


def test_with_the_capability_in_band_requests_stay_in_band(daemon):
    with daemon.block_main_loop() as session:
        session.send({"execute": "query-version", "id": 1})
        daemon.sync_monitor()
        assert not session.has_input()
        assert session.receive() == {"return": {}}
        assert session.receive()["id"] == 1


def test_both_threads_refuse_unknown_names_at_once(daemon):
    """In-band by the main loop's thread, out-of-band by the monitor's: for ThreadSanitizer."""
    with daemon.connect(oob=True) as session:
        for _ in range(50):
            session.send({"execute": "nonsense"})
            session.send({"exec-oob": "nonsense"})
        for _ in range(100):
            assert session.receive()["error"]["class"] == "CommandNotFound"
