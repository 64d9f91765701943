"""evloopctl shell in a terminal: editing, history, completion, events, Ctrl-C."""

import os
import re
import signal
import stat
import subprocess
import threading
import time

import pytest

from fake_server import serve  # noqa: F401
from pty_screen import Terminal
from qmp_client import DEADLINE, wait_until_up

PROMPT = "evloopd> "
LEFT, UP, HOME, END, DELETE = "\x1b[D", "\x1b[A", "\x1b[H", "\x1b[F", "\x1b[3~"
CTRL_A, CTRL_C, CTRL_D, CTRL_E, CTRL_K, CTRL_R, CTRL_U, CTRL_W, CTRL_Z = (
    "\x01", "\x03", "\x04", "\x05", "\x0b", "\x12", "\x15", "\x17", "\x1a")
OBJECTS = ("--object", "iothread,id=io0", "--object", "iothread,id=io1", "--object",
           "timer,id=tick,period-ns=3600000000000", "--object", "event-notifier,id=bell")


@pytest.fixture(autouse=True)
def with_libedit(evloopctl):
    linked = subprocess.run(["ldd", evloopctl], capture_output=True, text=True, timeout=DEADLINE)
    if "libedit" not in linked.stdout:
        pytest.skip("built without libedit")


@pytest.fixture
def shells(evloopctl, tmp_path):
    """Start shells on a socket, with a home folder of their own."""
    terminals = []
    (tmp_path / "home").mkdir()

    def start(socket, *words, options=(), env=None, wait=True, command=None, **more):
        environment = {k: v for k, v in os.environ.items()
                       if k not in ("LINES", "COLUMNS", "XDG_STATE_HOME", "EDITRC")}
        environment |= {"TERM": "xterm", "LC_ALL": "C.UTF-8", "HOME": str(tmp_path / "home"),
                        **(env or {})}
        command = command or [evloopctl, "-s", socket, *options, "shell", *words]
        terminals.append(Terminal(command, environment, **more))
        if wait:
            terminals[-1].expect_line(PROMPT.rstrip())
        return terminals[-1]

    yield start
    for terminal in terminals:
        terminal.close()


@pytest.fixture
def busy(start_daemon):
    return start_daemon("--debug-commands", *OBJECTS)


@pytest.fixture
def shell(shells, busy):
    return shells(busy.socket)


def run(shell, line):
    """Type @line; returns what is printed until the next prompt."""
    shell.clear()
    shell.type(line + "\r")
    shell.wait_for(lambda screen: len(screen.text()) > 1 and screen.text()[-1] == PROMPT.rstrip())
    return screen_between(shell)


def screen_between(shell):
    return shell.screen.text()[1:-1]


def type_line(shell, keys, line):
    """Type @keys, and wait until the line is @line."""
    shell.type(keys)
    shell.expect_line((PROMPT + line).rstrip())


# ---- lines ----


def test_it_says_what_it_is_connected_to(shell, busy):
    shell.expect(f"Connected to {busy.socket}. 'help' shows the commands, Ctrl-D leaves.")


def test_commands_are_run_without_the_word_evloopctl(shell):
    assert run(shell, "object list") == [
        "ID    TYPE            LOOP", "io0   iothread        -", "io1   iothread        -",
        "tick  timer           main-loop", "bell  event-notifier  main-loop"]
    assert run(shell, "object add timer x period-ns=1000000000 iothread=io0") == []
    assert "x     timer           io0" in run(shell, "object list")
    assert run(shell, "iothread set io0 poll-max-ns=4321") == []
    assert run(shell, "qom-get path=/objects/io0 property=poll-max-ns") == ["4321"]
    assert run(shell, "status")[0].endswith("all is well")


def test_an_error_does_not_leave_the_shell(shell):
    assert run(shell, "object del nobody") == [
        "evloopctl: object-del: GenericError: There is no object 'nobody'"]
    assert run(shell, "object ad timer")[0] == (
        "evloopctl: there is no command 'ad'; near are: add")
    assert run(shell, "object list 'a")[0].startswith("evloopctl: ")
    assert run(shell, "object add") == ["evloopctl: expected: TYPE ID [NAME=VALUE...]",
                                        "Try 'object add --help'."]
    assert run(shell, "qom-get path=/objects/io0 property=type") == ["iothread"]


@pytest.mark.parametrize("line", ["", "   ", "# object del io0", "  # nothing"])
def test_an_empty_line_and_a_comment_do_nothing(shell, line):
    assert run(shell, line) == []


def test_words_are_quoted_as_in_a_shell(shell):
    assert run(shell, "qom-get '{\"path\": \"/objects/io0\", \"property\": \"type\"}' # a comment") == [
        "iothread"]
    assert run(shell, 'object show "ti"ck')[0].split() == ["PROPERTY", "VALUE"]
    assert run(shell, r"object del no\ body") == [
        "evloopctl: object-del: GenericError: There is no object 'no body'"]


@pytest.mark.parametrize("keys", ["exit\r", CTRL_D])
def test_it_is_left(shell, keys):
    shell.type(keys)
    assert shell.end() == 0
    assert shell.modes_are_restored()


def test_quit_does_not_end_the_daemon_by_mistake(shell, busy):
    assert run(shell, "quit")[0] == "evloopctl: 'exit' leaves the shell, 'call quit' ends the daemon"
    assert run(shell, "query-version --json")
    assert busy.proc.poll() is None


def test_an_option_of_a_line_is_for_that_line(shell, start_daemon):
    other = start_daemon("--object", "iothread,id=elsewhere")
    assert run(shell, f"-s {other.socket} object list")[1].startswith("elsewhere")
    assert run(shell, "object list")[1].startswith("io0")


def test_one_connection_serves_all_commands(shell, busy):
    with busy.connect(oob=True) as watcher:
        def ids():
            return [client["id"] for client in watcher.oob("query-clients")]
        before = ids()
        for line in ["object list", "status", "oob query-loops", "help qom-get", "qom-list path=/"]:
            assert run(shell, line)
        type_line(shell, "object show t\t", "object show tick")
        assert ids() == before


def test_timeout_is_for_each_command(shells, busy):
    shell = shells(busy.socket, options=("--timeout", "0.3"))
    with busy.block_main_loop(600000), busy.connect(oob=True) as other:
        assert "timed out" in run(shell, "object list")[0]
        assert run(shell, "oob query-loops")  # the time begins anew
        other.oob("x-debug-unblock")
    assert run(shell, "object list")[0].split() == ["ID", "TYPE", "LOOP"]


# ---- results ----


def test_a_list_of_objects_is_a_table(shell):
    lines = run(shell, "qom-list path=/objects/bell")
    assert lines[0].split() == ["NAME", "TYPE"]
    assert ["type", "string"] in [line.split() for line in lines]


def test_a_table_that_is_too_wide_is_a_block_for_each_object(shells, busy):
    shell = shells(busy.socket, columns=60)
    lines = run(shell, "oob query-loops")
    assert ["id", "main-loop"] in [line.split() for line in lines]
    assert "" in lines
    assert run(shell, "qom-list path=/objects")[0].split() == ["NAME", "TYPE"]


def test_an_object_is_lines_of_names_and_values(shell):
    lines = run(shell, "query-version")
    assert [line.split()[0] for line in lines] == ["qemu.major", "qemu.minor", "qemu.micro",
                                                   "package"]


def test_nothing_returned_prints_nothing_and_an_empty_list_says_so(shells, start_daemon):
    shell = shells(start_daemon().socket)
    assert run(shell, "query-iothreads") == ["(none)"]
    assert run(shell, "object-add qom-type=iothread id=io0") == []


def test_json_for_machines(shells, busy):
    shell = shells(busy.socket, "--json")
    assert run(shell, "query-version")[0] == "{"
    assert run(shell, "object list")[0] == "["
    assert run(shell, "call --table query-version")[0].startswith("qemu.major")


# ---- help ----


def test_help_shows_all_commands_those_of_the_daemon_too(shell):
    text = "\n".join(run(shell, "help"))
    assert "Commands of the daemon:" in text
    assert re.search(r"^  object  ", text, re.MULTILINE)
    assert re.search(r"^  exit  ", text, re.MULTILINE)
    assert "query-loops" in text and "qom-list-properties" in text
    assert not re.search(r"^  (complete|shell|quit)  ", text, re.MULTILINE)


@pytest.mark.parametrize("line", ["help qom-set", "qom-set --help"])
def test_help_on_a_command_of_the_daemon_is_of_its_schema(shell, line):
    lines = run(shell, line)
    assert lines[:2] == ["Usage:", "  qom-set path=... property=... value=..."]
    assert "A command of the daemon, not out of band." in lines
    assert ["value", "any", "yes"] in [row.split() for row in lines]


def test_help_tells_what_a_tag_chooses_and_what_is_returned(shell):
    lines = [row.split() for row in run(shell, "help object-add")]
    assert ["catch-up", "skip|burst|delay", "no", "qom-type=timer"] in lines
    lines = [row.split() for row in run(shell, "help query-clients")]
    assert ["A", "command", "of", "the", "daemon,", "which", "can", "be", "run", "out", "of",
            "band."] in lines
    assert ["Returns", "a", "list,", "each", "with:"] in lines


def test_help_on_a_command_of_the_shell(shell):
    lines = run(shell, "help object add")
    assert lines[:2] == ["Usage:", "  object add [OPTION...] TYPE ID [NAME=VALUE...]"]
    assert run(shell, "help qom-gett")[0] == (
        "evloopctl: there is no command 'qom-gett'; near are: qom-get, qom-set")


def test_a_wrong_command_names_what_is_near(shell):
    assert run(shell, "query-loop") == ["evloopctl: there is no command 'query-loop'; near are: "
                                        "query-loops", "Try 'help'."]


# ---- editing ----


@pytest.mark.parametrize("keys, line", [
    ("abc\x7fd", "abd"), ("ac" + LEFT + "b", "abc"), ("bc" + CTRL_A + "a", "abc"),
    ("bc" + HOME + "a" + END + "d", "abcd"), ("ab" + HOME + DELETE, "b"), ("abc" + CTRL_U + "x", "x"),
    ("one two" + CTRL_W + "three", "one three"), ("ab" + LEFT + CTRL_K, "a"),
    ("gr\u00fcn" + LEFT + LEFT + "\u00df", "gr\u00df\u00fcn"), ("\u65e5\u672c\x7f", "\u65e5"),
])
def test_keys_edit_the_line(shell, keys, line):
    type_line(shell, keys, line)


def test_a_line_longer_than_the_terminal_is_edited(shells, busy):
    shell = shells(busy.socket, columns=40)
    shell.type("qom-get path=/objects/io0 property=poll-max-ns" + CTRL_A + "x" + END + "\x7f" * 11
               + "type" + HOME + DELETE + "\r")
    shell.wait_for(lambda screen: screen.text()[-2:] == ["iothread", PROMPT.rstrip()])


def test_ctrl_c_drops_the_line(shell):
    type_line(shell, "object del io0", "object del io0")
    shell.type(CTRL_C)
    shell.expect_line(PROMPT.rstrip())
    assert run(shell, "qom-get path=/objects/io0 property=type") == ["iothread"]


def test_a_terminal_of_another_size_is_noticed(shells, busy):
    shell = shells(busy.socket, columns=120)
    shell.resize(40, 60)
    shell.screen.columns = 60
    assert "" in run(shell, "oob query-loops")


def test_ctrl_z_stops_it_and_the_line_is_there_again(shells, busy, evloopctl):
    """From a shell with job control, for nobody else could continue it."""
    bash = shells(busy.socket, command=["bash", "--norc", "-i"], env={"PS1": "$ "}, wait=False)
    bash.type(f"{evloopctl} -s {busy.socket} shell\n")
    bash.expect_line(PROMPT.rstrip())
    for typed, line in [("obj", "obj"), ("ect li", "object li")]:
        type_line(bash, typed, line)
        bash.type(CTRL_Z)
        bash.expect("Stopped")
        bash.clear()
        bash.type("echo sa''ne\n")
        bash.expect_line("$")
        bash.expect("sane")
        bash.clear()
        bash.type("fg\n")
        bash.expect_line(PROMPT + line)
    bash.type("st\r")
    bash.expect("bell  event-notifier  main-loop")
    bash.type("exit\r")
    bash.expect_line("$")
    bash.type("exit\r")
    assert bash.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_it_and_the_terminal_is_as_before(shell, number):
    type_line(shell, "object", "object")
    shell.signal(number)
    assert shell.end() == -number
    assert shell.modes_are_restored()


def test_a_dumb_terminal_will_do(shells, busy):
    shell = shells(busy.socket, env={"TERM": "dumb"}, wait=False)
    shell.expect(PROMPT.rstrip())
    shell.type("qom-get path=/objects/io0 property=type\r")
    shell.wait_for(lambda screen: "iothread" in screen.text())


# ---- the history ----


def history(tmp_path):
    return tmp_path / "home" / ".local" / "state" / "evloopctl" / "history"


def test_lines_are_there_again_with_the_arrow_key(shell):
    run(shell, "qom-get path=/objects/io0 property=type")
    run(shell, "object show io1")
    type_line(shell, UP, "object show io1")
    type_line(shell, UP, "qom-get path=/objects/io0 property=type")


def test_the_history_outlives_the_shell(shells, busy, tmp_path):
    first = shells(busy.socket)
    run(first, "object show tick")
    first.type(CTRL_D)
    assert first.end() == 0
    assert stat.S_IMODE(os.stat(history(tmp_path)).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(history(tmp_path).parent).st_mode) == 0o700
    second = shells(busy.socket)
    type_line(second, UP, "object show tick")


def test_two_shells_at_a_time_keep_the_lines_of_both(shells, busy, tmp_path):
    one, two = shells(busy.socket), shells(busy.socket)
    run(one, "object show io0")
    run(two, "object show io1")
    run(one, "object show tick")
    assert history(tmp_path).read_text().splitlines() == [
        "object show io0", "object show io1", "object show tick"]


def test_the_history_is_kept_where_xdg_says(shells, busy, tmp_path):
    shell = shells(busy.socket, env={"XDG_STATE_HOME": str(tmp_path / "state")})
    run(shell, "object show io0")
    assert (tmp_path / "state" / "evloopctl" / "history").read_text() == "object show io0\n"


def test_a_line_that_begins_with_a_space_and_one_again_are_not_kept(shells, busy, tmp_path):
    shell = shells(busy.socket)
    for line in ["object show io0", " object show io1", "object show io0", "", "object list"]:
        run(shell, line)
    assert history(tmp_path).read_text() == "object show io0\nobject list\n"


def test_the_history_is_bounded(shells, busy, tmp_path):
    path = history(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"line {i}\n" for i in range(2500)))
    shells(busy.socket)
    lines = path.read_text().splitlines()
    assert len(lines) <= 1000 and lines[-1] == "line 2499"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_history_that_others_may_read_is_closed_to_them(shells, busy, tmp_path):
    path = history(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text("object list\n")
    path.chmod(0o644)
    shells(busy.socket)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_history_that_can_not_be_kept_is_told_and_does_no_harm(shells, busy, tmp_path):
    history(tmp_path).mkdir(parents=True)
    shell = shells(busy.socket)
    shell.expect("evloopctl: no history is kept: ")
    run(shell, "object show io0")
    type_line(shell, UP, "object show io0")


def test_the_history_is_searched(shell):
    run(shell, "object show tick")
    run(shell, "object list")
    shell.type(CTRL_R + "tick")
    shell.expect("object show tick")
    shell.type("\r")
    shell.expect("PROPERTY")


# ---- completion ----


@pytest.mark.parametrize("keys, line", [
    ("object sh\tti\t", "object show tick"), ("stat\t", "status"),
    ("object add t\t", "object add timer"), ("query-so\t", "query-sources"),
    ("qom-get pa\t", "qom-get path="), ("object add timer x cat\tb\t",
                                        "object add timer x catch-up=burst"),
    ("iothread add x fdmon=e\t", "iothread add x fdmon=epoll"), ("trace start io\t0",
                                                                "trace start io0"),
    ("object-add qom-type=ti\t", "object-add qom-type=timer"), ("oob query-so\t", "oob query-sources"),
    ("help qom-s\t", "help qom-set"), ("help object mo\t", "help object move"),
    ("events TIM\t", "events TIMER_EXPIRED"), ("top --sort=na\t", "top --sort=name"),
    ("object show\x01\x05 ti\t", "object show tick"), ("nothing-like-it\t", "nothing-like-it"),
    ("object show 'ti\t", "object show 'ti"), ("# ob\t", "# ob"),
    ("object set tick per\t1" + LEFT * 2 + "\t5", "object set tick period-ns=51"),
])
def test_the_tab_key_completes(shell, keys, line):
    type_line(shell, keys, line)


def test_the_tab_key_shows_what_there_is_to_choose_from(shell):
    shell.clear()
    shell.type("object set \t")
    shell.wait_for(lambda screen: screen.text()[-1] == PROMPT + "object set" and len(screen.text()) > 2)
    assert [line.split() for line in screen_between(shell)] == [
        ["io0", "iothread"], ["io1", "iothread"], ["tick", "timer"], ["bell", "event-notifier"]]
    type_line(shell, "be\t", "object set bell")


def test_the_rest_of_the_line_stays_when_choices_are_shown(shells, busy):
    shell = shells(busy.socket, columns=40)
    shell.type("object set  and a line that is longer than one row" + CTRL_A + "\x1bf\x1bf\x06\t")
    shell.wait_for(lambda screen: "event-notifier" in "".join(screen.text()) and
                   screen.text()[-2:] == ["evloopd> object set  and a line that is",
                                          "longer than one row"])


def test_completion_asks_out_of_band_while_the_main_loop_is_held(shell, busy):
    with busy.block_main_loop(600000), busy.connect(oob=True) as other:
        type_line(shell, "oob query-so\t", "oob query-sources")
        other.oob("x-debug-unblock")


# ---- while the main loop is held ----


def test_a_command_out_of_band_is_answered(shell, busy):
    with busy.block_main_loop(600000), busy.connect(oob=True) as other:
        lines = "\n".join(run(shell, "oob query-loops"))
        assert "qmp_dispatch" in lines
        other.oob("x-debug-unblock")


def wait_for_unanswered(session, shell):
    deadline = time.monotonic() + DEADLINE
    while not any(client["unanswered"] for client in session.oob("query-clients")
                  if client["pid"] == shell.process.pid):
        assert time.monotonic() < deadline


def test_ctrl_c_stops_waiting_and_what_had_not_begun_is_not_done(shell, busy):
    with busy.block_main_loop(600000), busy.connect(oob=True) as other:
        shell.clear()
        shell.type("object add event-notifier late\r")
        wait_for_unanswered(other, shell)
        shell.type(CTRL_C)
        shell.wait_for(lambda screen: screen.text()[-1] == PROMPT.rstrip() and
                       "evloopctl: object-add: interrupted" in screen.text())
        assert "qmp_dispatch" in "\n".join(run(shell, "oob query-loops"))
        other.oob("x-debug-unblock")
    assert "late" not in "\n".join(run(shell, "object list"))


def test_why_there_is_no_answer_is_said(shell, busy):
    with busy.block_main_loop(600000), busy.connect(oob=True) as other:
        shell.type("object list\r")
        shell.expect("evloopctl: qom-list: no answer yet: main-loop has been in 'qmp_dispatch' for")
        shell.type(CTRL_C)
        shell.expect_line(PROMPT.rstrip())
        other.oob("x-debug-unblock")


def test_ctrl_c_ends_reading_arguments_from_the_terminal(shell):
    shell.clear()
    shell.type("call qom-get -\r")
    shell.wait_for_modes()
    shell.type("{\"path\":\n")
    shell.expect("{\"path\":")
    shell.type(CTRL_C)
    shell.wait_for(lambda screen: screen.text()[-2:] == ["^C", PROMPT.rstrip()])


# ---- top, events and wait ----


def test_top_takes_the_screen_and_gives_it_back(shell):
    shell.type("top\r")
    shell.wait_for(lambda screen: "\x1b[?1049h" in shell.raw and "main-loop" in shell.raw)
    shell.type(CTRL_C)
    shell.wait_for(lambda screen: "\x1b[?1049l" in shell.raw)
    shell.expect_line(PROMPT.rstrip())
    assert run(shell, "qom-get path=/objects/io0 property=type") == ["iothread"]


def ring(busy):
    with busy.connect() as other:
        other.command("event-notifier-set", id="bell")


def test_events_are_printed_until_ctrl_c(shell, busy):
    shell.clear()
    shell.type("events EVENT_NOTIFIER_SET\r")
    shell.wait_for_modes()
    deadline = time.monotonic() + DEADLINE
    while not any('"EVENT_NOTIFIER_SET"' in line for line in shell.screen.text()[1:]):
        assert time.monotonic() < deadline
        ring(busy)  # until it listens
        shell.read_some(0.05)
    shell.type(CTRL_C)
    shell.wait_for(lambda screen: screen.text()[-1] == PROMPT.rstrip())
    assert not any(line.startswith("evloopctl:") for line in shell.screen.text())


def test_events_are_shown_above_the_line_that_is_edited(shell, busy):
    assert run(shell, "events on") == []
    type_line(shell, "object li", "object li")
    shell.clear()
    ring(busy)
    shell.wait_for(lambda screen: len(screen.text()) > 1 and screen.text()[-1] == PROMPT + "object li")
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d\d\d EVENT_NOTIFIER_SET id=bell.*",
                        shell.screen.text()[0])
    shell.type("st\r")
    shell.expect("tick  timer           main-loop")


def test_events_above_a_line_of_several_rows(shells, busy):
    shell = shells(busy.socket, columns=40)
    run(shell, "events on")
    shell.clear()
    shell.type("object add timer a-timer-with-a-long-name period-ns=1")
    rows = ["evloopd> object add timer a-timer-with-a", "-long-name period-ns=1"]
    shell.wait_for(lambda screen: screen.text() == rows)
    ring(busy)
    shell.wait_for(lambda screen: len(screen.text()) > 2 and screen.text()[-2:] == rows)
    assert "EVENT_NOTIFIER" in shell.screen.text()[0]


def test_events_off_shows_no_more(shell, busy):
    run(shell, "events on")
    ring(busy)
    shell.expect("EVENT_NOTIFIER_SET id=bell")
    run(shell, "events off")
    ring(busy)
    assert run(shell, "qom-get path=/objects/io0 property=type") == ["iothread"]


def test_events_are_shown_by_a_new_connection_too(shell, busy):
    run(shell, "events on")
    with busy.block_main_loop(600000), busy.connect(oob=True) as other:
        shell.type("--timeout 0.2 object list\r")
        shell.expect("timed out")
        shell.expect_line(PROMPT.rstrip())
        other.oob("x-debug-unblock")
    shell.clear()
    ring(busy)
    shell.expect("EVENT_NOTIFIER")


# ---- a daemon that goes ----


def test_the_end_of_the_daemon_is_told_and_the_next_one_is_connected_to(shells, start_daemon,
                                                                        evloopd):
    daemon = start_daemon()
    shell = shells(daemon.socket)
    type_line(shell, "object li", "object li")
    shell.clear()
    daemon.proc.send_signal(signal.SIGTERM)
    shell.wait_for(lambda screen: screen.text() == [
        "evloopctl: the daemon closed the connection; the next command connects again",
        PROMPT + "object li"])
    daemon.proc.wait(DEADLINE)
    shell.type("st\r")
    shell.expect("evloopctl: cannot connect to")
    shell.expect_line(PROMPT.rstrip())
    with subprocess.Popen([evloopd, "--qmp", f"unix:{daemon.socket}", "--object",
                           "iothread,id=anew"], stderr=subprocess.DEVNULL) as again:
        try:
            wait_until_up(daemon.socket)
            told, *table = run(shell, "object list")
            assert told == "evloopctl: the daemon had closed the connection; connected again"
            assert [line.split() for line in table] == [["ID", "TYPE", "LOOP"],
                                                        ["anew", "iothread", "-"]]
            assert run(shell, "object list")[0].split() == ["ID", "TYPE", "LOOP"]
        finally:
            again.terminate()


def test_the_end_of_the_daemon_that_a_command_asked_for_is_told(shells, start_daemon):
    daemon = start_daemon()
    shell = shells(daemon.socket)
    shell.type("call quit\r")
    shell.expect("evloopctl: the daemon closed the connection; the next command connects again")
    shell.expect_line(PROMPT.rstrip())
    assert sum("closed the connection" in line for line in shell.screen.text()) == 1


def test_ctrl_c_while_completion_gets_no_answer_is_not_for_the_line(shell, busy):
    with busy.block_main_loop(600000), busy.connect(oob=True) as other:
        shell.type("object show t\t")
        wait_for_unanswered(other, shell)
        shell.type(CTRL_C)
        shell.wait_for(lambda screen: screen.bells > 0)  # nothing is found
        other.oob("x-debug-unblock")
    type_line(shell, "ick", "object show tick")


def test_without_a_daemon_it_does_not_begin(evloopctl, shells, tmp_path):
    shell = shells(str(tmp_path / "nowhere"), wait=False)
    assert shell.end() == 2
    assert "is the daemon running?" in shell.raw


# ---- what the daemon sends ----


def quiet(peer, *values):
    """Negotiate as the shell does, and answer some commands."""
    peer.negotiate()
    for value in values:
        peer.answer(value)


def test_no_control_character_of_the_daemon_reaches_the_terminal(serve, shells):
    evil = "a\x1b[2Jb\x07\x9b31mc\x7f\r\nd"

    def script(peer):
        quiet(peer, [{"name": evil, "meta-type": "command", "arg-type": "0", "ret-type": evil},
                     {"name": "x", "meta-type": "command", "arg-type": "0", "ret-type": "0"}],
              [{evil: evil}, {evil: [evil]}])
        request = peer.receive()
        peer.send({"error": {"class": evil, "desc": evil}, "id": request["id"]})
        peer.send({"event": evil, "data": {evil: evil}, "timestamp": {"seconds": 1, "microseconds": 2}})
        peer.receive()

    shell = shells(serve(script).path)
    lines = run(shell, "x")
    assert len(lines) == 3
    shell.type("events on\r")
    run(shell, "call x")
    shell.expect("evloopctl: x: ")
    shell.wait_for(lambda screen: any(re.match(r"\d\d:\d\d:01\.000 a", line) for line in screen.text()))
    assert shell.screen.unknown == [] and shell.screen.bells == 0
    assert "\x1b[2J" not in shell.raw and "\x9b" not in shell.raw and "\x7f" not in shell.raw


def test_what_is_no_qmp_ends_the_connection_not_the_shell(serve, shells):
    begun = threading.Event()

    def script(peer):
        peer.negotiate()
        begun.wait(DEADLINE)
        peer.send(b"[1]")
        peer.receive()

    shell = shells(serve(script).path)
    begun.set()
    shell.expect("evloopctl: what the daemon sent is not QMP")
    shell.expect_line(PROMPT.rstrip())
    shell.type(CTRL_D)
    assert shell.end() == 0
