"""evloopctl shell from a pipe: line by line, with the number of a line that fails; and results,
help and oob outside the shell."""

import json
import os
import pty
import re
import resource
import signal
import subprocess

import pytest

from fake_server import answering, names, play, serve  # noqa: F401
from qmp_client import DEADLINE, wait_until_up

OBJECTS = ("--object", "iothread,id=io0", "--object", "timer,id=tick,period-ns=3600000000000",
           "--object", "event-notifier,id=bell")


@pytest.fixture
def busy(start_daemon):
    return start_daemon("--debug-commands", *OBJECTS)


@pytest.fixture
def feed(evloopctl, busy, tmp_path):
    """Run lines by evloopctl shell."""

    def run(text, *words, socket=busy.socket, options=()):
        data = text if isinstance(text, bytes) else text.encode()
        result = subprocess.run([evloopctl, "-s", socket, *options, "shell", *words], input=data,
                                capture_output=True, timeout=DEADLINE,
                                env={**os.environ, "HOME": str(tmp_path), "TERM": "xterm"})
        result.stdout, result.stderr = result.stdout.decode(), result.stderr.decode()
        return result

    return run


@pytest.fixture
def ctl(evloopctl, busy):
    def run(*words, **options):
        return subprocess.run([evloopctl, "-s", busy.socket, *words], capture_output=True,
                              text=True, timeout=DEADLINE, **options)

    return run


# ---- lines ----


def test_lines_are_run_one_by_one_without_a_prompt(feed, tmp_path):
    result = feed("object add iothread io1\n\n  # a comment\nqom-get path=/objects/io1 "
                  "property=type # another\nquery-iothreads")
    assert (result.returncode, result.stderr) == (0, "")
    kind, iothreads = map(json.loads, result.stdout.splitlines())
    assert (kind, [item["id"] for item in iothreads]) == ("iothread", ["io0", "io1"])
    assert not list(tmp_path.iterdir())  # no history


def test_a_line_that_fails_is_named_and_the_others_are_run(feed, busy):
    result = feed("object add iothread io1\nobject del nobody\n\nobject ad\nobject add iothread io2\n")
    assert result.stderr.splitlines() == [
        "evloopctl: line 2: object-del: GenericError: There is no object 'nobody'",
        "evloopctl: line 4: there is no command 'ad'; near are: add", "Try 'object --help'."]
    with busy.connect() as session:
        assert [item["id"] for item in session.command("query-iothreads")] == ["io0", "io1", "io2"]


@pytest.mark.parametrize("text, status", [
    ("", 0), ("# nothing", 0), ("object list", 0), ("object del x", 1), ("no-such-command", 2),
    ("object del x\nno-such-command", 1), ("no-such-command\nobject del x\nobject list", 2),
    ("object 'list", 2), ("object list --help", 0), ("exit\nobject del x", 0), ("exit now", 2),
    ("--timeout 0.05 wait TIMER_EXPIRED", 3), ("object\0list", 2), (b"object del \xff", 2),
])
def test_the_exit_status_is_that_of_the_first_line_that_failed(feed, text, status):
    assert feed(text).returncode == status


def test_the_lines_are_not_what_a_command_reads(feed, busy):
    result = feed("apply -\n{}\n")
    assert "line 1: cannot read stdin" in result.stderr
    with busy.connect() as session:  # an empty configuration would have deleted them
        assert session.command("qom-get", path="/objects/tick", property="type") == "timer"


def test_json_for_machines(feed):
    result = feed("object list\nobject show tick\nquery-version\niothread list\n", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    objects, tick, version, iothreads = map(json.loads, result.stdout.splitlines())
    assert [item["id"] for item in objects] == ["io0", "tick", "bell"]
    assert tick["period-ns"] == 3600000000000
    assert "qemu" in version and iothreads[0]["id"] == "io0"


def test_events_on_shows_those_that_came(feed):
    result = feed("event-notifier-set id=bell\nevents on\nevent-notifier-set id=bell\n"
                  "query-version\nevents off\nevent-notifier-set id=bell\nquery-version\n")
    messages = [json.loads(line) for line in result.stdout.splitlines()]
    assert [message.get("event") for message in messages].count("EVENT_NOTIFIER_SET") == 1


def test_without_a_daemon_no_line_is_run(feed, tmp_path):
    result = feed("object list\n", socket=str(tmp_path / "nowhere"))
    assert result.returncode == 2 and "line 1" not in result.stderr
    assert "is the daemon running?" in result.stderr


def test_one_connection_is_used_for_all_lines(serve, evloopctl):
    server = serve(answering({}, {}, {}))
    result = subprocess.run([evloopctl, "-s", server.path, "shell"], timeout=DEADLINE, text=True,
                            input="call a\ncall b\ncall c\n", capture_output=True)
    server.thread.join()
    assert (result.returncode, result.stdout) == (0, "{}\n{}\n{}\n")
    assert names(server.peer) == ["qmp_capabilities", "a", "b", "c"]


def test_a_daemon_that_was_restarted_is_connected_to_again(evloopctl, evloopd, sockets):
    path = f"{sockets}/qmp"

    def start_one():
        daemon = subprocess.Popen([evloopd, "--qmp", f"unix:{path}"], stderr=subprocess.DEVNULL)
        wait_until_up(path)
        return daemon

    first = start_one()
    with subprocess.Popen([evloopctl, "-s", path, "shell"], stdin=subprocess.PIPE, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=1) as shell:
        shell.stdin.write("call query-iothreads\n")
        assert shell.stdout.readline() == "[]\n"
        first.terminate()
        first.wait(DEADLINE)
        second = start_one()
        try:
            stdout, stderr = shell.communicate("call query-iothreads\n", timeout=DEADLINE)
        finally:
            second.terminate()
            second.wait(DEADLINE)
    assert (shell.returncode, stdout) == (0, "[]\n")
    assert stderr == "evloopctl: the daemon had closed the connection; connected again\n"


def test_when_nobody_reads_the_output_no_further_line_is_run(evloopctl, busy):
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        result = subprocess.run([evloopctl, "-s", busy.socket, "shell"], stdout=write_end, text=True,
                                stderr=subprocess.PIPE, timeout=DEADLINE,
                                input="query-version\nobject del tick\n")
    finally:
        os.close(write_end)
    assert result.returncode == 2 and "line 1: cannot write to stdout" in result.stderr
    with busy.connect() as session:
        assert session.command("qom-get", path="/objects/tick", property="type") == "timer"


def test_ctrl_c_ends_a_shell_that_reads_a_pipe(evloopctl, busy):
    with busy.block_main_loop(600000), busy.connect(oob=True) as other:
        with subprocess.Popen([evloopctl, "-s", busy.socket, "shell"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as shell:
            shell.stdin.write(b"oob query-version\nobject list\n")
            shell.stdin.flush()
            assert shell.stdout.readline()
            shell.send_signal(signal.SIGINT)
            assert shell.wait(DEADLINE) == -signal.SIGINT
        other.oob("x-debug-unblock")


def test_without_libedit_a_terminal_is_told_what_there_is(evloopctl, busy):
    linked = subprocess.run(["ldd", evloopctl], capture_output=True, text=True, timeout=DEADLINE)
    if "libedit" in linked.stdout:
        pytest.skip("built with libedit")
    terminal, slave = pty.openpty()
    try:
        result = subprocess.run([evloopctl, "-s", busy.socket, "shell"], stdin=slave, stdout=slave,
                                stderr=subprocess.PIPE, text=True, timeout=DEADLINE)
    finally:
        os.close(terminal)
        os.close(slave)
    assert result.returncode == 2
    assert "built without libedit; 'evloopctl shell <FILE' runs the lines" in result.stderr


def test_words_after_shell_are_wrong(ctl):
    result = ctl("shell", "now", stdin=subprocess.DEVNULL)
    assert result.returncode == 2 and "unexpected: 'now'" in result.stderr


# ---- oob, results and help outside the shell ----


def test_oob_is_answered_while_the_main_loop_is_held(ctl, busy):
    with busy.block_main_loop(600000), busy.connect(oob=True) as other:
        result = ctl("oob", "query-loops")
        other.oob("x-debug-unblock")
    assert {loop["id"] for loop in json.loads(result.stdout)} >= {"main-loop", "io0"}


def test_oob_sends_the_command_out_of_band(play):
    result = play(answering({}), "oob", "x")
    assert list(result.requests[-1])[0] == "exec-oob" and result.stdout == "{}\n"


@pytest.mark.parametrize("words, output", [
    (["query-iothreads"], "(none)\n"), (["x"], ""),
])
def test_what_is_empty_in_a_table(play, words, output):
    value = [] if words == ["query-iothreads"] else {}
    result = play(answering(value), "call", "--table", *words)
    assert (result.returncode, result.stdout) == (0, output)


@pytest.mark.parametrize("value, output", [
    (5, "5\n"), ("a b", "a b\n"), (None, "null\n"), (True, "true\n"), (2.5, "2.5\n"),
    ([1, "a", None], "1\na\nnull\n"), ([{}, {}], "\n"), ([{"a": 1}, 2], '{"a":1}\n2\n'),
    ({"a": 1, "long": "x"}, "a     1\nlong  x\n"),
    ({"a": {"b": {"c": 1}, "d": []}, "e": {}}, "a.b.c  1\na.d    []\ne      {}\n"),
    ([{"x": 1, "id": "a"}, {"id": "bcd", "y": [1]}], "ID   X  Y\na    1  -\nbcd  -  [1]\n"),
    ([{"id": "a", "loop": None}, {"id": "b"}], "ID  LOOP\na   -\nb   -\n"),
    ([{"id": "a", "n": None}, {"id": "b", "n": 12345}], "ID      N\na       -\nb   12345\n"),
    ([{"x": "\u65e5", "y": 1}, {"x": "ab", "y": 22}], "X    Y\n\u65e5   1\nab  22\n"),
])
def test_a_result_for_people(play, value, output):
    result = play(answering(value), "call", "--table", "x")
    assert (result.returncode, result.stdout, result.stderr) == (0, output, "")


def on_terminal(command):
    terminal, stdout = pty.openpty()
    try:
        subprocess.run(command, stdout=stdout, timeout=DEADLINE, check=True)
        return os.read(terminal, 65536).decode().replace("\r\n", "\n")
    finally:
        os.close(terminal)
        os.close(stdout)


def test_on_a_terminal_a_result_is_for_people(evloopctl, busy):
    text = on_terminal([evloopctl, "-s", busy.socket, "call", "qom-list", "path=/objects/bell"])
    assert text.splitlines()[0].split() == ["NAME", "TYPE"]


def test_on_a_terminal_json_is_to_be_had(evloopctl, busy):
    text = on_terminal([evloopctl, "-s", busy.socket, "call", "--json", "query-version"])
    assert "qemu" in json.loads(text) and text.startswith("{\n  ")


def test_a_table_wider_than_the_terminal_is_a_block_for_each_object(evloopctl, serve):
    value = [{"a" * 50: 1, "b" * 50: 2}, {"a" * 50: 3}]
    text = on_terminal([evloopctl, "-s", serve(answering(value)).path, "call", "x"])
    assert text == f"{'a' * 50}  1\n{'b' * 50}  2\n\n{'a' * 50}  3\n"


def test_json_and_table_exclude_one_another(ctl):
    result = ctl("call", "--json", "--table", "query-version")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--json and --table exclude one another" in result.stderr


def test_no_control_character_is_in_a_table(play):
    evil = "a\x1b[2Jb\x07\x9bc\x7f\r\nd"
    for value in [evil, [evil], {evil: evil}, {evil: {evil: [evil]}}, [{evil: evil}], [{"a": {evil: evil}}]]:
        result = play(answering(value), "call", "--table", "x")
        assert not any(c in result.stdout for c in "\x1b\x07\x9b\x7f\r"), value
        assert result.returncode == 0


def bounded():
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))


@pytest.mark.parametrize("value", [
    [{"a": "x" * 1000000}] + [{"a": 1}] * 20000, [{"x" * 1000000: 1}] + [{"a": 1}] * 20000,
    {"x" * 1000000: 1, **{f"k{i}": 1 for i in range(20000)}},
    [{f"k{i}": 1} for i in range(20000)],
], ids=["wide cell", "wide title", "wide name", "many columns"])
def test_what_is_short_does_not_become_a_text_that_fills_the_memory(play, busy, value):
    limit = None if busy.is_sanitized() else bounded
    result = play(answering(value), "call", "--table", "x", preexec_fn=limit)
    assert (result.returncode, result.stderr) == (0, "")
    assert len(result.stdout) < 100 << 20


def test_objects_that_are_deep_in_one_another_are_json_in_the_end(play):
    value = 1
    for _ in range(400):
        value = {"a": value}
    result = play(answering(value), "call", "--table", "x")
    assert result.returncode == 0
    assert re.fullmatch(r"(a\.){16}a  (\{\"a\":)+1\}+\n", result.stdout)


def test_a_list_of_iothreads_with_too_many_members_is_an_error(play):
    result = play(answering([{f"k{i}": 1} for i in range(300)]), "iothread", "list", "--all")
    assert (result.returncode, result.stdout) == (2, "")
    assert "query-iothreads: what it returned has too many or too long members for a table" in result.stderr


def test_help_names_the_commands_of_the_daemon(ctl):
    result = ctl("help")
    assert (result.returncode, result.stderr) == (0, "")
    assert "Commands of the daemon, run by 'call':" in result.stdout
    assert " query-loops" in result.stdout and "\n  shell " in result.stdout


def test_help_without_a_daemon_has_what_it_knows_itself(evloopctl, tmp_path):
    result = subprocess.run([evloopctl, "-s", tmp_path / "nowhere", "help"], capture_output=True,
                            text=True, timeout=DEADLINE)
    assert result.returncode == 0 and "\n  object " in result.stdout
    assert "The commands of the daemon are not known: cannot connect" in result.stdout


@pytest.mark.parametrize("words", [["object", "add"], ["call"], ["top"]])
def test_help_on_a_command_is_as_its_option(ctl, words):
    assert ctl("help", *words).stdout == ctl(*words, "--help").stdout != ""


def test_help_has_every_command_of_the_daemon(ctl, busy):
    with busy.connect() as session:
        commands = [command["name"] for command in session.command("query-commands")]
    for name in commands:
        result = ctl("help", name)
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith("Usage:\n")


def test_help_on_an_unknown_command_names_what_is_near(ctl):
    result = ctl("help", "query-loop")
    assert result.returncode == 2
    assert "there is no command 'query-loop'; near are: query-loops" in result.stderr
