"""Negotiation mode: what works before qmp_capabilities, and what that does."""

import pytest


@pytest.fixture
def fresh(daemon):
    """A session that has its greeting, and is in negotiation mode."""
    with daemon.connect(negotiate=False) as session:
        session.receive()
        yield session


def assert_negotiating(session):
    """It still is: another command is refused."""
    assert session.execute("query-version", id=0) == {"id": 0, "error": {
        "class": "CommandNotFound",
        "desc": "The command query-version needs capabilities to be negotiated first, "
                "by qmp_capabilities"}}


def assert_refused(session, request, error_class, desc):
    session.send(request)
    assert session.receive() == {"error": {"class": error_class, "desc": desc},
                                 **({"id": request["id"]} if "id" in request else {})}
    assert_negotiating(session)


def test_commands_need_not_wait_for_the_greeting(daemon):
    with daemon.connect(negotiate=False) as session:
        session.send_raw(b'{"execute": "qmp_capabilities", "id": 1}'
                         b'{"execute": "x-debug-echo", "arguments": {"value": 5}, "id": 2}')
        assert "QMP" in session.receive()
        assert session.receive() == {"return": {}, "id": 1}
        assert session.receive() == {"return": 5, "id": 2}


def test_every_other_command_needs_negotiation_first(fresh, qmp, state):
    before = state()
    for command in [item["name"] for item in qmp.command("query-commands")]:
        if command != "qmp_capabilities":
            for member in ["execute", "exec-oob"]:
                assert_refused(fresh, {member: command, "id": 1}, "CommandNotFound",
                               f"The command {command} needs capabilities to be negotiated first, "
                               "by qmp_capabilities")
    assert state() == before


def test_an_unknown_command_needs_negotiation_first_too(fresh):
    assert_refused(fresh, {"execute": "no-such-command"}, "CommandNotFound",
                   "The command no-such-command needs capabilities to be negotiated first, "
                   "by qmp_capabilities")


@pytest.mark.parametrize("arguments", [None, {}, {"enable": []}, {"enable": ["oob"]},
                                       {"enable": ["oob", "oob"]}], ids=repr)
def test_qmp_capabilities_ends_negotiation(fresh, arguments):
    assert fresh.execute("qmp_capabilities", arguments, id=1) == {"return": {}, "id": 1}
    fresh.sync()


@pytest.mark.parametrize("arguments, desc", [
    ({"enable": ["no-such-capability"]}, "Parameter 'enable[0]' expects one of 'oob'"),
    ({"enable": ["oob", "OOB"]}, "Parameter 'enable[1]' expects one of 'oob'"),
    ({"enable": [None]}, "Parameter 'enable[0]' expects one of 'oob'"),
    ({"enable": "oob"}, "Parameter 'enable' expects an array"),
    ({"enable": None}, "Parameter 'enable' expects an array"),
    ({"disable": []}, "Parameter 'disable' is unexpected"),
], ids=repr)
def test_a_bad_capability_leaves_the_session_negotiating(fresh, arguments, desc):
    assert_refused(fresh, {"execute": "qmp_capabilities", "arguments": arguments, "id": 1},
                   "GenericError", desc)
    assert fresh.execute("qmp_capabilities") == {"return": {}}
    # And nothing of it was enabled.
    assert "error" in fresh.execute("query-version", key="exec-oob")


def test_qmp_capabilities_can_not_run_out_of_band(fresh):
    assert_refused(fresh, {"exec-oob": "qmp_capabilities", "id": 1}, "GenericError",
                   "The command qmp_capabilities does not support out-of-band execution")


@pytest.mark.parametrize("request_, desc", [
    ([], "A request must be a JSON object"),
    ({"id": 1}, "A request needs the member 'execute'"),
    ({"execute": 1, "id": 1}, "Request member 'execute' expects a string"),
    ({"execute": "qmp_capabilities", "arguments": [], "id": 1},
     "Request member 'arguments' expects an object"),
    ({"execute": "qmp_capabilities", "x": 1, "id": 1}, "Request member 'x' is unexpected"),
], ids=repr)
def test_a_malformed_request_leaves_the_session_negotiating(fresh, request_, desc):
    assert_refused(fresh, request_, "GenericError", desc)


def test_a_syntax_error_leaves_the_session_negotiating(fresh):
    fresh.send_raw(b'{"execute": qmp_capabilities}\n')
    assert fresh.receive() == {"error": {
        "class": "GenericError", "desc": "JSON syntax error: unknown word 'qmp_capabilities'"}}
    assert_negotiating(fresh)


@pytest.mark.parametrize("arguments", [None, {"enable": ["oob"]}, {"enable": ["no-such"]},
                                       {"x": 1}], ids=repr)
@pytest.mark.parametrize("member", ["execute", "exec-oob"])
def test_a_second_qmp_capabilities_is_command_not_found(qmp, arguments, member):
    qmp.expect_error({member: "qmp_capabilities", "id": 1,
                      **({"arguments": arguments} if arguments is not None else {})},
                     "Capabilities have been negotiated already, so there is no qmp_capabilities "
                     "any more", "CommandNotFound")


def test_a_second_qmp_capabilities_enables_nothing(daemon):
    with daemon.connect() as session:
        assert "error" in session.execute("qmp_capabilities", {"enable": ["oob"]})
        assert "error" in session.execute("query-version", key="exec-oob")
        session.sync()


def test_each_session_negotiates_for_itself(daemon, fresh):
    with daemon.connect(oob=True) as other:
        other.oob("query-version")
    assert_negotiating(fresh)
