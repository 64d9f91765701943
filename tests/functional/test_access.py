"""What sessions may do on a socket: access=read-only, oob=off, and the log of what they change."""

import re

import pytest

from qmp_client import Qmp

READING = re.compile("query-|qom-get$|qom-list|x-debug-echo$|qmp_capabilities$")


def refusal(command):
    return f"The command {command} may change something, and this session may only read"


@pytest.fixture
def restricted(start_daemon, sockets):
    """Start a daemon with a second socket: restricted(SETTINGS, OPTION...)."""

    def start(settings, *options):
        path = f"{sockets}/restricted"
        daemon = start_daemon("--debug-commands", "--qmp", f"unix:{path},{settings}", *options)
        return daemon, path

    return start


def audit_lines(daemon):
    """The lines of the log that say who has asked for a change."""
    lines = daemon.stderr().splitlines()
    return [line.removeprefix("evloopd: info: ") for line in lines
            if re.search(r"session \d+ \(", line)]


# ---- access= ----


def test_every_command_that_may_change_something_is_refused(restricted):
    daemon, path = restricted("access=read-only")
    with daemon.connect() as full, Qmp(path) as reader:
        names = [item["name"] for item in full.command("query-commands")]
        changing = [name for name in names if not READING.match(name)]
        assert {"object-add", "object-del", "qom-set", "quit", "getfd", "closefd",
                "x-debug-block"} <= set(changing)
        for name in changing:
            reader.expect_error({"execute": name, "id": name}, refusal(name))
            reader.expect_error({"execute": name, "arguments": {"x": 1}}, refusal(name))
        full.sync()


def test_every_command_that_changes_nothing_is_answered(restricted):
    daemon, path = restricted("access=read-only", "--object", "iothread,id=io0")
    arguments = {
        "qom-get": {"path": "/objects/io0", "property": "poll-max-ns"},
        "qom-list": {"path": "/objects"},
        "qom-list-properties": {"typename": "iothread"},
        "x-debug-echo": {"value": 1},
    }
    with daemon.connect() as full, Qmp(path) as reader:
        names = [item["name"] for item in reader.command("query-commands")]
        for name in names:
            if READING.match(name) and name != "qmp_capabilities":
                reply = reader.execute(name, arguments.get(name, {}))
                assert "return" in reply, name
        assert reader.command("query-qmp-schema") == full.command("query-qmp-schema")


def test_what_is_refused_has_no_effect(restricted):
    daemon, path = restricted("access=read-only")
    with daemon.connect() as full, Qmp(path) as reader:
        reader.expect_error(
            {"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "a"}},
            refusal("object-add"))
        assert full.command("query-iothreads") == []
        full.command("object-add", qom_type="iothread", id="a")
        reader.expect_error({"execute": "object-del", "arguments": {"id": "a"}},
                            refusal("object-del"))
        reader.expect_error({"execute": "quit"}, refusal("quit"))
        assert [info["id"] for info in full.command("query-iothreads")] == ["a"]


def test_a_descriptor_with_a_refused_command_is_closed(restricted):
    daemon, path = restricted("access=read-only")
    with Qmp(path) as reader:
        count = daemon.count_fds()
        reader.send_with_fds({"execute": "getfd", "arguments": {"fdname": "a"}}, [0])
        assert reader.receive()["error"]["desc"] == refusal("getfd")
        reader.sync()
        assert daemon.count_fds() == count


def test_a_reader_gets_events(restricted):
    daemon, path = restricted("access=read-only")
    with daemon.connect() as full, Qmp(path) as reader:
        full.command("object-add", qom_type="iothread", id="a")
        assert reader.wait_event("OBJECT_ADDED")["data"]["id"] == "a"


def test_a_reader_may_read_out_of_band_and_not_more(restricted):
    _, path = restricted("access=read-only")
    with Qmp(path, oob=True) as reader:
        assert reader.oob("x-debug-echo", value=1) == 1
        reader.expect_error({"exec-oob": "x-debug-block", "arguments": {"duration-ms": 0}},
                            refusal("x-debug-block"))


def test_unknown_commands_and_negotiation_are_as_ever(restricted):
    _, path = restricted("access=read-only")
    with Qmp(path) as reader:
        reader.expect_error({"execute": "nothing"}, "The command nothing has not been found",
                            "CommandNotFound")
        reply = reader.execute("qmp_capabilities")
        assert reply["error"]["class"] == "CommandNotFound"


def test_full_access_is_the_default_and_can_be_said(restricted):
    daemon, path = restricted("access=full")
    for session in (daemon.connect(), Qmp(path)):
        with session:
            session.command("object-add", qom_type="iothread", id="a")
            session.command("object-del", id="a")


# ---- oob= ----


def test_without_oob_the_capability_is_not_offered(restricted):
    _, path = restricted("oob=off")
    with Qmp(path, negotiate=False) as session:
        assert session.receive()["QMP"]["capabilities"] == []
        reply = session.execute("qmp_capabilities", {"enable": ["oob"]})
        assert reply["error"] == {
            "class": "GenericError", "desc": "The capability 'oob' is not offered on this socket"}
        assert session.execute("query-version")["error"]["class"] == "CommandNotFound"
        session.command("qmp_capabilities", enable=[])
        session.expect_error({"exec-oob": "query-version"},
                             "exec-oob needs the capability 'oob' to be negotiated")


def test_another_socket_of_the_same_daemon_offers_it(restricted):
    daemon, path = restricted("oob=on")
    for where in (daemon.socket, path):
        with Qmp(where, oob=True) as session:
            assert session.greeting["QMP"]["capabilities"] == ["oob"]
            session.oob("query-version")


# ---- the log ----


def test_who_changed_what_is_logged(restricted):
    daemon, path = restricted("mode=0600", "--log-level=info")
    with Qmp(path) as session:
        session.command("object-add", qom_type="iothread", id="a")
        session.command("query-iothreads")
        session.command("qom-get", path="a", property="poll-max-ns")
        session.execute("object-del", {"id": "b"})
        session.execute("object-add", {"id": "c"})
        session.command("quit")
    assert daemon.proc.wait() == 0
    lines = audit_lines(daemon)
    [prefix] = {line.split(":")[0] for line in lines}
    assert re.fullmatch(r"session \d+ \(uid \d+, gid \d+, pid \d+\)", prefix)
    assert [line.removeprefix(prefix + ": ") for line in lines] == [
        'object-add {"qom-type": "iothread", "id": "a"}',
        """object-del {"id": "b"} failed: There is no object 'b'""",
        """object-add {"id": "c"} failed: Parameter 'qom-type' is missing""",
        "quit",
    ]


def test_a_refused_change_is_logged(restricted):
    daemon, path = restricted("access=read-only", "--log-level=info")
    with Qmp(path) as session:
        session.expect_error({"execute": "quit"}, refusal("quit"))
    [line] = audit_lines(daemon)
    assert line.endswith(f"): quit failed: {refusal('quit')}")


def test_long_arguments_are_cut_in_the_log(restricted):
    daemon, path = restricted("mode=0600", "--log-level=info")
    with Qmp(path) as session:
        session.execute("object-del", {"id": "a" + "\u00e9" * 100000})
    [line] = audit_lines(daemon)
    assert '): object-del {"id": "a\\u00e9\\u00e9' in line
    assert "... failed: " in line
    assert len(line.split(" failed: ")[0]) < 400


def test_changes_are_not_logged_by_default(restricted):
    daemon, path = restricted("mode=0600")
    with Qmp(path) as session:
        session.command("object-add", qom_type="iothread", id="a")
    daemon.end()
    assert audit_lines(daemon) == []


def test_only_the_beginning_of_an_error_is_logged(start_daemon):
    daemon = start_daemon("--log-level", "info")
    name = "\u00e9" * 100_000
    with daemon.connect() as session:
        session.expect_error({"execute": "closefd", "arguments": {"fdname": name}},
                             f"There is no descriptor '{name}'")
    [line] = audit_lines(daemon)
    assert len(line) < 1000 and line.endswith("\u00e9...")
