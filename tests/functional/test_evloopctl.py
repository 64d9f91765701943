"""evloopctl against a real daemon: what a user types, and what it prints and returns."""

import ctypes
import grp
import json
import os
import pty
import re
import socket
import subprocess
from pathlib import Path

import pytest

DEADLINE = 60  # seconds; only a hang reaches it


@pytest.fixture
def ctl(evloopctl, daemon):
    """Run evloopctl on the daemon's socket."""

    def run(*words, **options):
        return subprocess.run([evloopctl, "-s", daemon.socket, *words], capture_output=True,
                              text=True, timeout=DEADLINE, **options)

    return run


@pytest.fixture
def run(evloopctl):
    """Run evloopctl with nothing said about the socket, but in @env."""

    def run(*words, env=None, **options):
        clean = {k: v for k, v in os.environ.items()
                 if k not in ("EVLOOPD_SOCKET", "XDG_RUNTIME_DIR")}
        return subprocess.run([evloopctl, *words], capture_output=True, text=True,
                              timeout=DEADLINE, env={**clean, **(env or {})}, **options)

    return run


def returned(result):
    """What a call that must have worked returned."""
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


def iothread_property(ctl, name, key):
    arguments = {"path": f"/objects/{name}", "property": key}
    return returned(ctl("call", "qom-get", json.dumps(arguments)))


def assert_done(result):
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def assert_refused(result, start, *parts):
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("evloopctl: " + start)
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


# ---- call ----


def test_a_result_is_one_line_of_json_where_stdout_is_no_terminal(ctl):
    result = ctl("call", "query-version")
    assert "qemu" in returned(result)
    assert result.stdout.count("\n") == 1 and result.stdout.endswith("}\n")


def test_json_is_indented_on_a_terminal(evloopctl, daemon):
    terminal, stdout = pty.openpty()
    try:
        subprocess.run([evloopctl, "-s", daemon.socket, "call", "--json", "query-version"],
                       stdout=stdout, timeout=DEADLINE, check=True)
        text = os.read(terminal, 65536).decode()
    finally:
        os.close(terminal)
        os.close(stdout)
    assert "qemu" in json.loads(text)
    assert text.startswith("{\r\n  ")


def test_a_word_for_an_integer_is_sent_as_an_integer(ctl):
    words = ("qom-type=iothread", "id=io0", "poll-max-ns=4321")
    assert returned(ctl("call", "object-add", *words)) == {}
    assert iothread_property(ctl, "io0", "poll-max-ns") == 4321


def test_the_daemon_says_what_is_wrong_with_a_word_that_is_no_integer(ctl):
    words = ("qom-type=iothread", "id=io0", "poll-max-ns=soon")
    assert_refused(ctl("call", "object-add", *words), "object-add: GenericError: ", "poll-max-ns")


def test_the_daemon_names_an_argument_that_it_does_not_know(ctl):
    words = ("qom-type=iothread", "id=io0", "colour=red")
    assert_refused(ctl("call", "object-add", *words), "object-add: GenericError: ", "colour")


def test_the_daemon_names_an_argument_that_is_missing(ctl):
    assert_refused(ctl("call", "object-del"), "object-del: GenericError: ", "id")


@pytest.mark.parametrize("words", [(), ("a=b",), ('{"a": 1}',)])
def test_an_unknown_command_is_refused_by_the_daemon(ctl, words):
    assert_refused(ctl("call", "no-such-command", *words), "no-such-command: CommandNotFound: ")


def test_arguments_can_be_one_json_object(ctl):
    arguments = {"qom-type": "iothread", "id": "io0", "poll-max-ns": 1234}
    assert returned(ctl("call", "object-add", json.dumps(arguments))) == {}
    assert iothread_property(ctl, "io0", "poll-max-ns") == 1234


def test_arguments_can_be_read_from_stdin(ctl):
    arguments = {"qom-type": "iothread", "id": "io0", "poll-max-ns": 1235}
    assert returned(ctl("call", "object-add", "-", input=json.dumps(arguments, indent=2))) == {}
    assert iothread_property(ctl, "io0", "poll-max-ns") == 1235


def test_options_may_stand_after_the_command(run, daemon):
    assert "qemu" in returned(run("call", "query-version", "-s", daemon.socket))


def test_the_value_of_a_short_option_may_stand_in_the_same_word(run, daemon):
    assert "qemu" in returned(run(f"-s{daemon.socket}", "call", "query-version"))
    assert "qemu" in returned(run("call", "query-version", f"-s{daemon.socket}"))
    result = run("events", "-n1x", env={"EVLOOPD_SOCKET": "/nonexistent"})
    assert result.returncode == 2 and "1x" in result.stderr


def test_the_whole_schema_comes_through(ctl):
    names = {entity["name"] for entity in returned(ctl("call", "query-qmp-schema"))}
    assert {"query-qmp-schema", "object-add", "quit"} <= names


def oob_queries(ctl):
    """The queries that may run out of band and take no argument."""
    entities = {e["name"]: e for e in returned(ctl("call", "query-qmp-schema"))}
    return [name for name, e in entities.items()
            if e["meta-type"] == "command" and e.get("allow-oob") and name.startswith("query-")
            and not entities[e["arg-type"]]["members"]]


def test_a_command_that_allows_it_runs_out_of_band(ctl):
    names = oob_queries(ctl)
    assert names
    for name in names:
        returned(ctl("call", "--oob", name))


def test_a_command_that_must_run_in_band_is_refused_out_of_band(ctl):
    words = ("--oob", "object-add", "qom-type=iothread", "id=io0")
    assert_refused(ctl("call", *words), "object-add: GenericError: ")


# ---- iothread ----


def ids(ctl):
    return [iothread["id"] for iothread in returned(ctl("iothread", "list", "--json"))]


def test_an_iothread_is_added_and_removed(ctl):
    for words in (("add", "io0"), ("add", "io1", "poll-max-ns=0", "poll-grow=3")):
        result = ctl("iothread", *words)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert sorted(ids(ctl)) == ["io0", "io1"]
    assert iothread_property(ctl, "io1", "poll-max-ns") == 0
    assert iothread_property(ctl, "io1", "poll-grow") == 3
    assert ctl("iothread", "del", "io0").returncode == 0
    assert ids(ctl) == ["io1"]


def test_an_iothread_that_is_there_already_is_refused(ctl):
    assert ctl("iothread", "add", "io0").returncode == 0
    assert_refused(ctl("iothread", "add", "io0"), "object-add: GenericError: ", "io0")


def test_an_iothread_that_is_not_there_is_not_removed(ctl):
    assert_refused(ctl("iothread", "del", "io0"), "object-del: ", "io0")


def test_properties_of_a_running_iothread_are_set(ctl):
    assert ctl("iothread", "add", "io0").returncode == 0
    result = ctl("iothread", "set", "io0", "poll-max-ns=5000", "poll-shrink=2")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert iothread_property(ctl, "io0", "poll-max-ns") == 5000
    assert iothread_property(ctl, "io0", "poll-shrink") == 2


def test_setting_stops_at_the_first_property_that_is_refused(ctl):
    assert ctl("iothread", "add", "io0", "poll-shrink=7").returncode == 0
    result = ctl("iothread", "set", "io0", "poll-max-ns=5000", "poll-grow=much", "poll-shrink=2")
    assert_refused(result, "poll-grow: qom-set: GenericError: ")
    assert iothread_property(ctl, "io0", "poll-max-ns") == 5000
    assert iothread_property(ctl, "io0", "poll-shrink") == 7


def test_setting_properties_of_no_iothread_is_refused(ctl):
    assert_refused(ctl("iothread", "set", "io0", "poll-max-ns=1"), "poll-max-ns: qom-set: ", "io0")


def test_the_list_of_iothreads_is_a_table(ctl):
    assert ctl("iothread", "add", "io0", "poll-max-ns=5000").returncode == 0
    assert ctl("iothread", "add", "a-longer-name").returncode == 0
    result = ctl("iothread", "list")
    assert (result.returncode, result.stderr) == (0, "")
    title, *rows = [line.split() for line in result.stdout.splitlines()]
    assert title[0] == "ID" and {"THREAD-ID", "POLL-MAX-NS"} <= set(title)
    table = {row[0]: dict(zip(title, row)) for row in rows}
    assert table.keys() == {"io0", "a-longer-name"}
    assert table["io0"]["POLL-MAX-NS"] == "5000"


def test_the_list_of_iothreads_as_json_is_what_the_daemon_returns(ctl):
    assert ctl("iothread", "add", "io0").returncode == 0
    listed = returned(ctl("iothread", "list", "--json"))
    assert listed and listed == returned(ctl("call", "query-iothreads"))


# ---- trace ----


def test_a_loop_to_trace_that_is_not_utf_8_is_told_before_it_is_sent(ctl):
    result = ctl("trace", "start", b"a\xff")
    assert result.returncode == 2
    assert result.stderr.startswith("evloopctl: the LOOP is not UTF-8\n")


def test_a_trace_is_started_saved_and_stopped(ctl, tmp_path):
    assert_done(ctl("iothread", "add", "io0"))
    assert_done(ctl("trace", "start", "--size-kib", "8", "main-loop", "io0"))
    info = json.loads(ctl("call", "query-trace").stdout)
    assert (info["state"], info["size-kib"]) == ("on", 8)
    assert [loop["loop"] for loop in info["loops"]] == ["main-loop", "io0"]
    assert_done(ctl("trace", "save", str(tmp_path / "new.json")))
    trace = json.loads((tmp_path / "new.json").read_text())
    assert "qmp_dispatch" in {event["name"] for event in trace["traceEvents"]}
    assert_done(ctl("trace", "stop"))
    assert json.loads(ctl("call", "query-trace").stdout)["state"] == "stopped"
    (tmp_path / "old").write_text("x" * 1000000)
    assert_done(ctl("trace", "save", "old", cwd=tmp_path))
    assert json.loads((tmp_path / "old").read_text())["traceEvents"]
    assert_done(ctl("trace", "stop", "--discard"))
    assert json.loads(ctl("call", "query-trace").stdout)["state"] == "off"


def test_all_loops_are_traced_when_none_is_named(ctl):
    assert_done(ctl("trace", "start"))
    loops = json.loads(ctl("call", "query-trace").stdout)["loops"]
    assert [loop["loop"] for loop in loops] == ["main-loop", "mon_iothread"]


def test_a_trace_is_saved_while_the_main_loop_is_stuck(ctl, daemon, tmp_path):
    with daemon.block_main_loop() as blocker:
        assert_done(ctl("trace", "start"))
        assert_done(ctl("trace", "save", str(tmp_path / "trace.json")))
        assert not blocker.has_input(), "the main loop was not held any more"
    trace = json.loads((tmp_path / "trace.json").read_text())
    [event] = [event for event in trace["traceEvents"]
               if event["name"] == "qmp_dispatch"]
    assert event["args"] == {"unfinished": True}


def test_a_file_of_a_save_that_is_refused_is_as_it_was(ctl, tmp_path):
    (tmp_path / "old").write_text("old")
    for name in ["old", "new"]:
        result = ctl("trace", "save", str(tmp_path / name))
        assert_refused(result, "trace-save: GenericError: There is no trace\n")
    assert (tmp_path / "old").read_text() == "old"
    assert not (tmp_path / "new").exists()


def test_what_a_trace_can_not_be_saved_to_is_told(ctl, tmp_path):
    assert_done(ctl("trace", "start"))
    os.mkfifo(tmp_path / "fifo")
    for path, why in [(tmp_path, "Is a directory"), (tmp_path / "no" / "x", "No such file"),
                      (tmp_path / "fifo", "No such device")]:
        result = ctl("trace", "save", str(path))
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"evloopctl: cannot write to '{path}': {why}")
    assert_refused(ctl("trace", "save", "/dev/null"), "trace-save: ", "not one of a regular file")


@pytest.mark.parametrize("words, part", [
    (("start", "no-such-loop"), "there is no loop 'no-such-loop'"),
    (("start", "--size-kib", "3"), "'size-kib' expects an integer from 4 to 65536"),
    (("start", "--size-kib", "many"), "'size-kib' expects an integer from 4 to 65536"),
    (("stop",), "No trace is on"), (("stop", "--discard"), "There is no trace"),
])
def test_the_daemon_says_what_is_wrong_with_a_trace(ctl, words, part):
    assert_refused(ctl("trace", *words), f"trace-{words[0]}: GenericError: ", part)


# ---- quit ----


def test_quit_ends_the_daemon(ctl, daemon):
    result = ctl("quit")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert daemon.proc.wait(timeout=DEADLINE) == 0


# ---- which socket ----


def test_the_socket_can_come_from_the_environment(run, daemon):
    assert run("call", "query-version", env={"EVLOOPD_SOCKET": daemon.socket}).returncode == 0


def test_the_option_goes_before_the_environment(run, daemon, tmp_path):
    env = {"EVLOOPD_SOCKET": str(tmp_path / "nowhere")}
    assert run("-s", daemon.socket, "call", "query-version", env=env).returncode == 0


def test_the_socket_in_the_runtime_folder_is_taken_when_it_exists(run, daemon, tmp_path):
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "evloopd.sock").symlink_to(daemon.socket)
    env = {"XDG_RUNTIME_DIR": str(tmp_path / "runtime")}
    assert run("call", "query-version", env=env).returncode == 0


def test_the_environment_goes_before_the_runtime_folder(run, daemon, tmp_path):
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "evloopd.sock").touch()
    env = {"XDG_RUNTIME_DIR": str(tmp_path / "runtime"), "EVLOOPD_SOCKET": daemon.socket}
    assert run("call", "query-version", env=env).returncode == 0


# ---- no connection ----


def assert_not_connected(result, path, *parts):
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"evloopctl: cannot connect to {path}: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


def test_a_missing_socket_asks_whether_the_daemon_runs(run, tmp_path):
    path = tmp_path / "nowhere"
    assert_not_connected(run("-s", str(path), "quit"), path, "is the daemon running?")


def test_a_socket_that_was_left_behind_asks_whether_the_daemon_runs(run, tmp_path):
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert_not_connected(run("-s", str(path), "quit"), path, "is the daemon running?")


def test_a_file_that_is_no_socket_is_called_so(run, tmp_path):
    path = tmp_path / "file"
    path.touch()
    assert_not_connected(run("-s", str(path), "quit"), path, "not a socket")


def test_a_path_too_long_for_a_socket_is_called_so(run):
    path = "/" + 200 * "x"
    assert_not_connected(run("-s", path, "quit"), path, "at most 107 bytes")


def obey_file_modes():
    """In a child that root starts: give up the right to pass over file modes."""
    if os.geteuid() == 0:
        drop_from_bounding_set, cap_dac_override = 24, 1
        ctypes.CDLL(None).prctl(drop_from_bounding_set, cap_dac_override, 0, 0, 0)


def test_a_denied_socket_names_its_group(run, tmp_path):
    path = tmp_path / "denied.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        result = run("-s", str(path), "quit", preexec_fn=obey_file_modes)
    group = grp.getgrgid(path.stat().st_gid).gr_name
    assert_not_connected(result, path, "permission denied", f"the socket's group is {group}")


# ---- usage ----


@pytest.mark.parametrize("words", [
    ("--help",), ("-h",), ("call", "--help"), ("events", "--help"), ("quit", "--help"),
    ("trace", "--help"), ("trace", "start", "--help"), ("trace", "save", "--help"),
    ("iothread", "--help"), ("iothread", "add", "--help"), ("iothread", "set", "--help"),
    ("iothread", "del", "--help"), ("iothread", "list", "--help"), ("call", "x", "--help"),
    ("top", "--help"), ("object", "--help"), ("object", "add", "--help"),
    ("object", "set", "--help"), ("object", "move", "--help"), ("object", "del", "--help"),
    ("object", "list", "--help"), ("object", "show", "--help"), ("object", "types", "--help"),
])
def test_there_is_help_for_every_command(run, words):
    result = run(*words)
    typed = [word for word in words if word[0] != "-" and word != "x"]
    assert (result.returncode, result.stderr) == (0, "")
    assert " ".join(["  evloopctl", *typed, "[OPTION...]"]) in result.stdout
    assert "--socket" in result.stdout and result.stdout.isascii()
    assert all(len(line) <= 100 for line in result.stdout.splitlines())


@pytest.mark.parametrize("words", [
    (), ("call",), ("events",), ("iothread", "list"), ("trace", "start"), ("trace", "stop"),
    ("quit",), ("top",), ("object", "list"), ("object", "show"), ("object", "types"),
])
def test_the_manual_page_has_every_option(run, words):
    page = Path(__file__).parents[2].joinpath("man", "evloopctl.1").read_text()
    options = re.findall(r"^  (?:-\w, )?--([a-z-]+)", run(*words, "--help").stdout, re.MULTILINE)
    assert "help" in options
    for option in options:
        assert f"Fl -{option}" in page


def test_the_version_is_printed(run):
    result = run("--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("evloopctl ")


@pytest.mark.parametrize("words, part", [
    ((), "expected: COMMAND"),
    (("fly",), "there is no command 'fly'"),
    (("--fly",), "--fly"),
    (("call",), "expected: COMMAND"),
    (("call", "x", "y"), "'y' is not of the form key=value"),
    (("call", "x", "=y"), "'=y' is not of the form key=value"),
    (("call", "x", "a=1", "a=2"), "'a' is given twice"),
    (("call", "x", "a=1", "{}"), "'{}' is not of the form key=value"),
    (("call", "x", "{}", "a=1"), "unexpected after the JSON: 'a=1'"),
    (("call", "x", "{"), "JSON"),
    (("call", "x", "{} {}"), "JSON"),
    (("call", "x", '{"a": 99999999999999999999}'), '"99999999999999999999" is not JSON'),
    (("call", "x", "{'a': 1}"), "JSON"),
    (("call", b"x", b"a=\xff"), "is not UTF-8"),
    (("iothread",), "expected: COMMAND"),
    (("iothread", "fly"), "there is no command 'fly'"),
    (("iothread", "add"), "expected: ID"),
    (("iothread", "add", "io0", "poll-max-ns"), "'poll-max-ns' is not of the form key=value"),
    (("iothread", "add", "io0", "id=io1"), "'id' is given twice"),
    (("iothread", "set", "io0"), "expected: ID PROP=VALUE"),
    (("iothread", "del", "io0", "io1"), "unexpected: 'io1'"),
    (("iothread", "list", "io0"), "unexpected: 'io0'"),
    (("events", "--count", "-1"), "--count"),
    (("events", "--count", "few"), "few"),
    (("--timeout", "-1", "quit"), "--timeout"),
    (("--timeout", "nan", "quit"), "--timeout"),
    (("quit", "now"), "unexpected: 'now'"),
])
def test_wrong_words_are_told_before_any_connection(run, words, part):
    result = run(*words, env={"EVLOOPD_SOCKET": "/nonexistent"})
    assert (result.returncode, result.stdout) == (2, "")
    error, hint = result.stderr.splitlines()
    assert error.startswith("evloopctl: ") and part in error
    assert hint.startswith("Try 'evloopctl ") and hint.endswith("--help'.")


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "{}x", '{"a": NaN}', '{"a": "\0"}'])
def test_wrong_json_on_stdin_is_told_before_any_connection(run, text):
    result = run("call", "x", "-", env={"EVLOOPD_SOCKET": "/nonexistent"}, input=text)
    assert (result.returncode, result.stdout) == (2, "")
    assert "JSON" in result.stderr
