"""Starting: options, sockets, --object and --config; a failed start leaves nothing behind."""

import grp
import json
import os
import resource
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from qmp_client import DEADLINE, Qmp

QUIT = '{"execute": "quit"}\n'
SETTINGS = "expected mode=, group=, access=, max-clients=, oob=, allow-uid= or allow-gid="


@pytest.fixture
def run(evloopd):
    """Run the daemon, which is not to stay."""

    def run_daemon(*options, **popen_options):
        return subprocess.run([evloopd, *options], capture_output=True, text=True,
                              timeout=DEADLINE, stdin=subprocess.DEVNULL, **popen_options)

    return run_daemon


@pytest.fixture
def refused(run, sockets):
    """Start the daemon, which must fail with one line, and leave no socket."""

    def run_refused(*options, listen=True, **popen_options):
        path = sockets / "refused.sock"
        monitor = ["--qmp", f"unix:{path}"] if listen else []
        before = sorted(os.listdir(sockets))
        result = run(*monitor, *map(str, options), **popen_options)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith("evloopd: ") and result.stderr.endswith("\n")
        assert result.stderr.count("\n") == 1
        assert sorted(os.listdir(sockets)) == before
        return result.stderr[len("evloopd: "):-1]

    return run_refused


# ---- options ----


def test_version(run):
    result = run("--version")
    assert (result.returncode, result.stdout, result.stderr) == (0, "evloopd 0.1.0\n", "")


def test_help_names_every_option(run):
    result = run("--help")
    assert (result.returncode, result.stderr) == (0, "")
    for option in ("qmp", "object", "config", "config-dir", "log-level", "max-request-size",
                   "max-nesting", "max-tokens", "max-output", "negotiation-timeout",
                   "stall-threshold-ms", "monitor-poll-max-ns", "debug-commands", "version", "help"):
        assert f"--{option}" in result.stdout


@pytest.mark.parametrize("options, text", [
    (["--nonsense"], "Unknown option --nonsense"),
    (["-x"], "Unknown option -x"),
    (["word"], "'word' is unexpected: there are options only"),
    ([""], "'' is unexpected: there are options only"),
    (["--", "word"], "'word' is unexpected: there are options only"),
    (["--config-dir="], "--config-dir: '' is no directory"),
    (["--config-dir", "/none", "--config-dir", "/none"], "--config-dir is given twice"),
    (["--debug-commands=yes"], "--debug-commands: 'yes' is unexpected: it has no value"),
    (["--version=1"], "--version: '1' is unexpected: it has no value"),
    (["--help=all"], "--help: 'all' is unexpected: it has no value"),
    *(([option], f"Missing argument for {option}") for option in (
        "--qmp", "--object", "--config", "--config-dir", "--log-level", "--max-request-size",
        "--max-nesting", "--max-tokens", "--max-output", "--negotiation-timeout",
        "--stall-threshold-ms", "--monitor-poll-max-ns")),
    *(([f"--qmp={value}"], f"--qmp: '{value}' is no address, expected unix:PATH, fd:NUMBER (from 3) "
       "or vsock:CID:PORT") for value in (
        "", "unix:", "unix:,mode=0600", "tcp:localhost:4444", "/run/x", "UNIX:/run/x", ",",
        "fd:", "fd:0", "fd:2", "fd:-1", "fd:x", "fd:3x", "fd: 3", "fd:2147483648", "vsock:",
        "vsock:1", "vsock:1:", "vsock:1:2:3", "vsock::5", "vsock:nowhere:5", "vsock:4294967295:5",
        "vsock:any:4294967295", "vsock:any:-1", "vsock:any:x")),
    *((["--qmp", f"unix:/none/x,mode={mode}"],
       f"--qmp: mode '{mode}' is no octal number from 0 to 0777") for mode in (
           "", "8", "1000", "-1", " 7", "rw", "0660x", "99999999999999999999")),
    (["--qmp", "unix:/none/x,group=no-such-group"], "--qmp: there is no group 'no-such-group'"),
    (["--qmp", "unix:/none/x,group="], "--qmp: there is no group ''"),
    (["--qmp", "unix:/none/x,group=4294967295"], "--qmp: there is no group '4294967295'"),
    (["--qmp", "unix:/none/x,"],
     f"--qmp: '' is unexpected, {SETTINGS}"),
    *((["--qmp", f"unix:/none/x,{setting}"], f"--qmp: '{setting}' is unexpected, {SETTINGS}")
      for setting in ("owner=me", "mode", "Mode=0600", "=0600", "read-only")),
    *((["--qmp", f"unix:/none/x,{name}={value},{name}={value}"], f"--qmp: {name}= is given twice")
      for name, value in (("mode", "0600"), ("group", "0"), ("access", "full"), ("oob", "on"),
                          ("max-clients", "1"), ("allow-uid", "0"), ("allow-gid", "0"))),
    *((["--qmp", f"unix:/none/x,access={value}"],
       f"--qmp: access '{value}' is neither 'full' nor 'read-only'") for value in (
           "", "ro", "Full", "full ")),
    *((["--qmp", f"unix:/none/x,oob={value}"],
       f"--qmp: oob '{value}' is neither 'on' nor 'off'") for value in ("", "yes", "true")),
    *((["--qmp", f"unix:/none/x,max-clients={value}"],
       f"--qmp: max-clients '{value}' is no integer from 1 to 2147483647") for value in (
           "", "0", "-1", "x", "1k", "2147483648")),
    *((["--qmp", f"unix:/none/x,allow-{kind}={value}"], f"--qmp: there is no {what} '{name}'")
      for kind, what in (("uid", "user"), ("gid", "group"))
      for value, name in (("", ""), ("0:", ""), (":0", ""), ("0:no-such", "no-such"),
                          ("4294967295", "4294967295"), ("-1", "-1"), ("0 ", "0 "))),
    *((["--qmp", f"{address},{setting}"],
       f"--qmp: {setting.split('=')[0]}= is for unix sockets, not for '{address}'")
      for address, setting in (("fd:3", "mode=0600"), ("fd:3", "group=0"),
                               ("vsock:any:5", "mode=0600"), ("vsock:any:5", "group=0"),
                               ("vsock:any:5", "allow-uid=0"), ("vsock:any:5", "allow-gid=0"))),
    *(([f"--negotiation-timeout={value}"],
       f"--negotiation-timeout: '{value}' is no integer from 0 to 86400") for value in (
           "", "-1", "x", "1.5", "10s", "86401")),
    *(([f"--stall-threshold-ms={value}"],
       f"--stall-threshold-ms: '{value}' is no integer from 0 to 86400000") for value in (
           "", "-1", "x", "0.5", "10s", " 1", "86400001", "9" * 30)),
    *(([f"--monitor-poll-max-ns={value}"],
       f"--monitor-poll-max-ns: '{value}' is no integer from 0 to 1000000000") for value in (
           "", "-1", "x", "1.5", "10us", "1000000001")),
    *(([f"--log-level={value}"], f"--log-level: '{value}' is no level, expected error, warning, "
       "notice, info or debug") for value in ("", "loud", "Error", "5")),
    *(([f"{option}={value}"], f"{option}: '{value}' is no integer from 1 to {most}")
      for option, most in (("--max-request-size", 1 << 30), ("--max-nesting", 8192),
                           ("--max-tokens", 2**31 - 1), ("--max-output", 2**31 - 1))
      for value in ("", "0", "-1", "1k", " 1", "1.5", str(most + 1), "9" * 30)),
])
def test_a_wrong_option_is_named(refused, options, text):
    assert refused(*options) == text


def test_no_socket_at_all(refused):
    assert refused(listen=False) == "there is no control socket: give --qmp unix:PATH"


def test_a_message_with_a_line_end_stays_one_line(refused):
    assert refused("a\nb\x1b") == "'a\\x0ab\\x1b' is unexpected: there are options only"


def test_options_before_a_wrong_one_leave_nothing(refused, sockets):
    refused("--qmp", f"unix:{sockets}/other", "--object", "iothread,id=a", "--nonsense")


# ---- sockets ----


def test_a_path_is_bytes_in_any_locale(start_daemon, sockets):
    path = sockets / "käse.sock"
    start_daemon("--qmp", f"unix:{path}", env={**os.environ, "LC_ALL": "C"})
    Qmp(str(path)).close()


def test_commas_are_doubled_in_a_path(start_daemon, sockets):
    start_daemon("--qmp", f"unix:{sockets}/a,,b,mode=0600")
    Qmp(f"{sockets}/a,b").close()


def test_a_stale_socket_is_replaced(start_daemon, sockets):
    path = f"{sockets}/stale"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
    start_daemon("--qmp", f"unix:{path}")
    Qmp(path).close()


def test_the_socket_of_a_living_daemon_is_left_alone(daemon, refused):
    inode = os.stat(daemon.socket).st_ino
    assert refused("--qmp", f"unix:{daemon.socket}") == (
        f"--qmp: socket '{daemon.socket}': another process is listening on it")
    assert os.stat(daemon.socket).st_ino == inode
    daemon.connect().close()


def test_the_same_path_twice(refused, sockets):
    path = f"{sockets}/twice"
    assert refused("--qmp", f"unix:{path}", "--qmp", f"unix:{path}").startswith(
        f"--qmp: socket '{path}': ")


def test_a_listener_whose_backlog_is_full_is_alive(refused, sockets):
    path = f"{sockets}/full"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(path)
        listener.listen(0)
        client.connect(path)
        assert refused("--qmp", f"unix:{path}") == (
            f"--qmp: socket '{path}': another process is listening on it")


@pytest.mark.parametrize("kind", ["file", "directory", "fifo", "link", "dangling link"])
def test_a_file_that_is_no_socket_is_never_touched(refused, sockets, kind):
    path = sockets / "thing"
    {"file": lambda: path.write_text("precious"), "directory": path.mkdir,
     "fifo": lambda: os.mkfifo(path), "link": lambda: path.symlink_to("/etc/passwd"),
     "dangling link": lambda: path.symlink_to("nothing")}[kind]()
    before = os.lstat(path)
    assert refused("--qmp", f"unix:{path}") == (
        f"--qmp: socket '{path}': there is a file that is no socket")
    assert os.lstat(path)[:7] == before[:7]
    assert kind != "file" or path.read_text() == "precious"


def test_a_directory_that_is_missing(refused, sockets):
    assert refused("--qmp", f"unix:{sockets}/none/x") == (
        f"--qmp: socket '{sockets}/none/x': directory '{sockets}/none': "
        "No such file or directory")


def test_the_longest_path_and_one_beyond(start_daemon, refused, sockets):
    path = f"{sockets}/".ljust(107, "x")
    assert refused("--qmp", f"unix:{path}x") == (
        f"--qmp: socket '{path}x': the path is longer than 107 bytes")
    start_daemon("--qmp", f"unix:{path}")
    Qmp(path).close()


def test_mode_and_group_are_in_force(start_daemon, sockets):
    group = next(entry for entry in grp.getgrall() if entry.gr_gid != os.getgid())
    if os.getuid() != 0:
        group = grp.getgrgid(os.getgroups()[0])
    start_daemon("--qmp", f"unix:{sockets}/a,mode=0602,group={group.gr_name}",
                 "--qmp", f"unix:{sockets}/b,group={group.gr_gid}",
                 "--qmp", f"unix:{sockets}/c,mode=777", preexec_fn=lambda: os.umask(0o077))
    for name, mode, gid in (("a", 0o602, group.gr_gid), ("b", 0o660, group.gr_gid),
                            ("c", 0o777, os.getgid()), ("qmp0.sock", 0o660, os.getgid())):
        status = os.stat(sockets / name)
        assert (stat.S_IMODE(status.st_mode), status.st_gid) == (mode, gid)


def test_several_sockets_serve_one_daemon(start_daemon, sockets):
    daemon = start_daemon("--qmp", f"unix:{sockets}/other")
    with daemon.connect() as one, Qmp(f"{sockets}/other") as two:
        one.command("object-add", qom_type="iothread", id="io0")
        assert [i["id"] for i in two.command("query-iothreads")] == ["io0"]


def test_of_daemons_that_race_for_a_path_exactly_one_wins(evloopd, sockets):
    path = f"{sockets}/race"
    for stale in [False, True] * 15:
        if stale:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
        procs = [subprocess.Popen([evloopd, "--qmp", f"unix:{path}"], stderr=subprocess.PIPE,
                                  stdin=subprocess.DEVNULL, text=True) for _ in range(3)]
        # The losers end by themselves, the winner serves.
        losers = []
        while len(losers) < 2:
            losers = [proc for proc in procs if proc.poll() is not None]
        [winner] = [proc for proc in procs if proc not in losers]
        for proc in losers:
            assert proc.returncode == 1
            assert "another process is listening on it" in proc.stderr.read()
        with Qmp(path) as qmp:
            qmp.command("quit")
        assert winner.wait(DEADLINE) == 0
        for proc in procs:
            proc.stderr.close()
        assert not os.path.exists(path)


# ---- resources ----


def test_too_few_descriptors_at_any_point_of_the_start(run, sockets):
    config = sockets / "quit.json"
    config.write_text(QUIT)
    for limit in range(4, 40):
        result = run("--qmp", f"unix:{sockets}/few", "--object", "iothread,id=a", "--config",
                     str(config), preexec_fn=lambda n=limit: resource.setrlimit(
                         resource.RLIMIT_NOFILE, (n, n)))
        assert os.listdir(sockets) == ["quit.json"]
        if result.returncode == 0:
            break
        if "sanitizer" not in result.stderr.lower():
            assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr
            assert "Too many open files" in result.stderr
    assert (result.returncode, result.stderr) == (0, "")


def test_closed_standard_streams(start_daemon):
    def close_streams():
        for fd in range(3):
            os.close(fd)

    daemon = start_daemon("--log-level=debug", preexec_fn=close_streams)
    for fd in range(3):
        assert os.readlink(f"/proc/{daemon.proc.pid}/fd/{fd}") == "/dev/null"
    with daemon.connect() as qmp:
        qmp.command("query-version")


# ---- --object and --config ----


def iothreads(daemon):
    with daemon.connect() as qmp:
        return qmp.command("query-iothreads")


def test_objects_and_configuration_are_taken_in_order(start_daemon, sockets):
    config = sockets / "config.json"
    config.write_text("""
        {"execute": "object-del", "arguments": {"id": "io0"}}
        {'execute': 'object-add', 'arguments': {'qom-type': 'iothread', 'id': 'io2'}}
        {"execute": "qom-set", "arguments": {"path": "/objects/io1", "property": "poll-grow",
                                             "value": 5}} """)
    daemon = start_daemon("--object", "iothread,id=io0", "--object",
                          '{"qom-type": "iothread", "id": "io1", "poll-max-ns": 1}',
                          "--config", str(config), "--object", "iothread,id=io0,poll-max-ns=2")
    assert [(i["id"], i["poll-max-ns"], i["poll-grow"]) for i in iothreads(daemon)] == [
        ("io1", 1, 5), ("io2", 32768, 0), ("io0", 2, 0)]


def test_commas_are_doubled_in_a_value(start_daemon):
    cpu = min(os.sched_getaffinity(0))
    [info] = iothreads(start_daemon("--object", f"iothread,id=io0,cpu-affinity={cpu},,{cpu}"))
    assert info["cpu-affinity"] == f"{cpu},{cpu}"


@pytest.mark.parametrize("text, error", [
    ("", "Parameter 'qom-type' expects one of 'event-notifier', 'iothread', 'socket-relay', 'timer'"),
    ("nothing,id=a", "Parameter 'qom-type' expects one of 'event-notifier', 'iothread', 'socket-relay', 'timer'"),
    ("iothread", "Parameter 'id' is missing"),
    ("iothread,id", "'id' is unexpected, expected PROPERTY=VALUE"),
    ("iothread,id=a,", "'' is unexpected, expected PROPERTY=VALUE"),
    ("iothread,id=a,id=b", "'id' is given twice"),
    ("iothread,id=a,qom-type=iothread", "'qom-type' is given twice"),
    ("iothread,id=1", "Parameter 'id' expects a letter, then letters, digits, '-', '.', '_', "
     "not '1'"),
    ("iothread,id=a,colour=red", "Parameter 'colour' is unexpected"),
    ("iothread,id=a,poll-max-ns=x",
     "Parameter 'poll-max-ns' expects an integer from 0 to 9223372036854775807"),
    ("iothread,id=a,poll-max-ns=99999999999999999999",
     "Parameter 'poll-max-ns' expects an integer from 0 to 9223372036854775807"),
    ("iothread,id=a,cpu-affinity=0,1", "'1' is unexpected, expected PROPERTY=VALUE"),
    ("iothread,id=a,thread-id=1", "Parameter 'thread-id' is read-only"),
    ("{}", "Parameter 'qom-type' is missing"),
    ('{"qom-type": "iothread", "id": "a"} {}',
     """'{"qom-type": "iothread", "id": "a"} {}' is more than one JSON value"""),
])
def test_a_wrong_object_is_named(refused, text, error):
    assert refused("--object", "iothread,id=first", "--object", text) == (
        f"--object {text}: {error}")


@pytest.mark.parametrize("text", ["{", '{"qom-type": }', '{"a": 1} x', "{x", "{'a': 'b"])
def test_an_object_that_is_no_json_is_named(refused, text):
    assert refused("--object", text).startswith(f"--object {text}: ")


def test_an_object_that_is_no_utf8(refused):
    text = b"iothread,id=a,cpu-affinity=\xff"
    result = refused("--object", os.fsdecode(text), errors="surrogateescape")
    assert result.endswith(": the text is not UTF-8")


@pytest.mark.parametrize("lines, number, error", [
    (["", "", '{"execute": "nothing"}'], 3, "The command nothing has not been found"),
    (['{"execute": "query-version"}', '{"execute": "object-del",', ' "arguments": {"id": "x"}}'],
     2, "There is no object 'x'"),
    (["", "[]"], 2, "A request must be a JSON object"),
    (["{}"], 1, "A request needs the member 'execute'"),
    (["null"], 1, "A request must be a JSON object"),
    (['{"execute": "qmp_capabilities"}'], 1, "qmp_capabilities is for sessions only"),
    (['{"execute": "getfd", "arguments": {"fdname": "a"}}'], 1,
     "Descriptor 'a' can only be sent by a session"),
    (['{"execute": "x-debug-block", "arguments": {"duration-ms": 0}}'], 1,
     "The command x-debug-block has not been found"),
])
def test_a_command_that_fails_is_named_by_file_and_line(refused, sockets, lines, number, error):
    config = sockets / "config.json"
    config.write_text("\n".join(lines) + "\n" + '{"execute": "broken' + "\n")
    assert refused("--object", "iothread,id=a", "--config", config) == (
        f"--config {config}: line {number}: {error}")


@pytest.mark.parametrize("text, number", [
    (b'{"execute": "query-version"}\n\n{"execute" "quit"}\n', 3),
    (b'{"execute": "query-version"}\n}\n', 2),
    (b'\n\n"\xff"\n', 3),
    (b'\n{"execute": "query-version"\n', None),
])
def test_a_syntax_error_is_named_by_file_and_line(refused, sockets, text, number):
    config = sockets / "config.json"
    config.write_bytes(text)
    start = f"--config {config}: line " + (f"{number}: " if number else "")
    assert refused("--object", "iothread,id=a", "--config", config).startswith(start)


def test_a_configuration_file_that_can_not_be_read(refused, sockets):
    for path in (sockets / "none.json", sockets):
        text = refused("--config", path)
        assert text.startswith("--config: ") and str(path) in text


def test_an_empty_configuration_is_none(start_daemon):
    assert iothreads(start_daemon("--config", "/dev/null")) == []


def test_quit_in_a_configuration_ends_the_daemon_cleanly(run, sockets):
    config = sockets / "config.json"
    config.write_text(QUIT)
    result = run("--qmp", f"unix:{sockets}/a", "--object", "iothread,id=a", "--config", str(config))
    assert (result.returncode, result.stderr) == (0, "")
    assert os.listdir(sockets) == ["config.json"]


def test_no_client_is_served_before_the_configuration_is_complete(start_daemon, sockets):
    config = sockets / "config.fifo"
    os.mkfifo(config)
    daemon = start_daemon("--object", "iothread,id=io0", "--config", str(config), wait=False)
    with open(config, "w", encoding="utf-8") as fifo:  # the daemon is reading it now
        client = Qmp(daemon.socket, negotiate=False)
        with client:
            client.send({"execute": "qmp_capabilities"})
            client.send({"execute": "query-iothreads"})
            client.socket.settimeout(0)
            with pytest.raises(BlockingIOError):
                client.receive()
            client.socket.settimeout(DEADLINE)
            fifo.write(json.dumps({"execute": "object-add",
                                   "arguments": {"qom-type": "iothread", "id": "io1"}}))
            fifo.close()
            assert "QMP" in client.receive()
            assert client.receive() == {"return": {}}
            assert [i["id"] for i in client.receive()["return"]] == ["io0", "io1"]


def test_a_failed_start_removes_only_its_own_sockets(daemon, refused, sockets):
    refused("--qmp", f"unix:{sockets}/mine", "--qmp", f"unix:{daemon.socket}")
    assert not Path(f"{sockets}/mine").exists()
    daemon.connect().close()
