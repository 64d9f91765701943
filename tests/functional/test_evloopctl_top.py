"""evloopctl top: what it prints, and what it does with a terminal."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from fake_server import ClientLeft, answering, names, play, serve, start  # noqa: F401
from objects import add
from qmp_client import DEADLINE

TIMER = ("--object", "iothread,id=io0", "--object", "timer,id=t,iothread=io0,period-ns=1000000")
LOOP_TITLES = "LOOP STATE FOR-MS BUSY% POLL% BLOCK% PASSES/S CALLS/S SOURCE".split()
SOURCE_TITLES = "LOOP NAME KIND N FD CALLS/S TIME% MEAN-US MAX-US".split()


@pytest.fixture
def busy(start_daemon):
    """A daemon with a timer that keeps a loop busy."""
    return start_daemon("--debug-commands", *TIMER)


def kill(daemon):
    """End it the hard way."""
    daemon.proc.kill()
    daemon.proc.wait()
    daemon.end = lambda: None  # it has no good status


@pytest.fixture
def top(evloopctl, busy):
    """Run evloopctl top on that daemon."""

    def run(*words, socket=busy.socket):
        return subprocess.run([evloopctl, "-s", socket, "top", *words], capture_output=True,
                              text=True, timeout=DEADLINE, stdin=subprocess.DEVNULL)

    return run


def samples(text):
    """What was printed: for each sample its first line, and two tables of dictionaries."""
    found = []
    for block in re.split(r"^(?=evloopctl top: )", text, flags=re.MULTILINE)[1:]:
        head, loops, sources, end = block.split("\n\n")
        assert end == ""
        tables = []
        for table, titles in [(loops, LOOP_TITLES), (sources, SOURCE_TITLES)]:
            first, *rows = [line.split() for line in table.splitlines()]
            assert first == titles
            assert all(len(row) == len(titles) for row in rows)
            tables.append([dict(zip(titles, row)) for row in rows])
        found.append((head, *tables))
    return found


def printed(result):
    assert (result.returncode, result.stderr) == (0, "")
    return samples(result.stdout)


def row(rows, **cells):
    [found] = [r for r in rows if all(r[key] == value for key, value in cells.items())]
    return found


# ---- what is printed ----


def test_a_timer_on_an_iothread_is_shown_at_work(top):
    first, second = printed(top("--batch", "-n", "2", "-d", "0.2"))
    assert re.fullmatch(r"evloopctl top: \S+ \S+, since the start, 3 loops, \d+ sources", first[0])
    assert re.fullmatch(r"evloopctl top: \S+ \S+, over 0\.\d+ s, 3 loops, \d+ sources", second[0])
    for _, loops, sources in [first, second]:
        assert {r["LOOP"] for r in loops} == {"main-loop", "mon_iothread", "io0"}
        io0 = row(loops, LOOP="io0")
        assert float(io0["CALLS/S"]) > 0 and float(io0["PASSES/S"]) > 0
        assert 99 < sum(float(io0[key]) for key in ["BUSY%", "POLL%", "BLOCK%"]) < 101
        timer = row(sources, NAME="timer_expired(t)")
        assert (timer["LOOP"], timer["KIND"], timer["FD"]) == ("io0", "timer", "-")
        assert float(timer["CALLS/S"]) > 0 and float(timer["MEAN-US"]) > 0
        assert float(timer["MAX-US"]) > 0


def test_it_works_while_the_main_loop_is_stuck(top, busy):
    with busy.block_main_loop(600000):
        result = top("-bn2", "-d0.05")
        kill(busy)
        first, second = printed(result)
        for _, loops, _ in [first, second]:
            main = row(loops, LOOP="main-loop")
            assert main["STATE"] in ("callback", "stalled") and main["SOURCE"] == "qmp_dispatch"
        assert float(main["BUSY%"]) > 0
        assert (main["POLL%"], main["BLOCK%"], main["PASSES/S"]) == ("0.0", "0.0", "0.0")


def test_one_loop_only(top):
    [(head, loops, sources)] = printed(top("--batch", "-n1", "--loop", "io0"))
    assert [r["LOOP"] for r in loops] == ["io0"]
    assert sources and {r["LOOP"] for r in sources} == {"io0"}
    assert ", 3 loops, " in head


@pytest.mark.parametrize("words, table, title, reverse", [
    (["--sort", "loop"], 1, "LOOP", False), (["-o", "loop", "-r"], 2, "LOOP", True),
    (["--sort=name"], 2, "NAME", False), (["--sort=calls"], 2, "CALLS/S", True),
    (["--sort=passes", "--reverse"], 1, "PASSES/S", False), ([], 1, "BUSY%", True),
    ([], 2, "TIME%", True),
])
def test_rows_come_in_the_order_that_is_asked_for(top, words, table, title, reverse):
    [sample] = printed(top("--batch", "-n1", *words))
    cells = [r[title] for r in sample[table]]
    assert len(cells) > 1
    if title.isalpha():
        assert cells == sorted(cells, reverse=reverse)
    else:
        numbers = [float(cell) for cell in cells if cell != "-"]
        assert numbers == sorted(numbers, reverse=reverse)


def test_as_json_each_sample_is_a_line(top):
    result = top("--json", "-n", "2", "-d", "0.05")
    assert (result.returncode, result.stderr) == (0, "")
    first, second = map(json.loads, result.stdout.splitlines())
    assert first["interval"] is None and 0 < second["interval"] < DEADLINE
    timer = row(second["sources"], name="timer_expired(t)")
    assert (timer["loop"], timer["kind"], timer["fd"], timer["number"]) == ("io0", "timer", None, 1)
    io0 = row(second["loops"], loop="io0")
    assert set(io0) == {"loop", "state", "for", "busy", "polling", "blocked", "passes", "calls",
                        "source"}


@pytest.mark.parametrize("words, part", [
    (["--iterations", "-1"], "--iterations is a number from 1"), (["-n", "few"], "few"),
    (["--delay", "0"], "--delay is a number of seconds from 0.01 to 86400"),
    (["-d", "nan"], "--delay is"), (["-d", "1e9"], "--delay is"), (["-d", "soon"], "soon"),
    (["--sort", "colour"], "--sort 'colour' is none of loop, state, "),
    (["--sort", ""], "--sort '' is none of"), (["--loop", ""], "--loop is the id of a loop"),
    (["--loop", b"\xff"], "--loop is"), (["io0"], "unexpected: 'io0'"), (["--fly"], "--fly"),
])
def test_wrong_options_are_told_before_any_connection(top, words, part):
    result = top("--batch", *words, socket="/nonexistent")
    assert (result.returncode, result.stdout) == (2, "")
    error, hint = result.stderr.splitlines()
    assert error.startswith("evloopctl: ") and part in error
    assert hint == "Try 'evloopctl top --help'."


def test_a_loop_that_is_not_there_is_an_error(top):
    result = top("--batch", "--loop", "io7")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "evloopctl: there is no loop 'io7'\n"


def test_without_a_terminal_it_says_what_to_do(top):
    result = top(socket="/nonexistent")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("evloopctl: ") and "'top --batch' prints" in result.stderr


# ---- against a server that says what the test wants ----


def loop(name, **members):
    return {"id": name, "thread-id": 1, "state": "idle", "state-ns": 0, **members}


def sampling(*pairs):
    """A script that answers samples."""
    return answering(*[answer for pair in pairs for answer in pair])


def test_it_asks_out_of_band_and_for_both_in_turn(play):
    result = play(sampling(([loop("a")], []), ([loop("a")], [])), "top", "-b", "-n2", "-d0.01")
    assert names(result)[1:] == ["query-loops", "query-sources"] * 2
    assert all("exec-oob" in request for request in result.requests[1:])


def test_where_out_of_band_is_not_offered_it_asks_in_band(play):
    def script(peer):
        peer.send({"QMP": {"version": {}, "capabilities": []}})
        peer.answer({})
        peer.answer([loop("a")])
        peer.answer([])

    result = play(script, "top", "-b", "-n1")
    assert (result.returncode, result.stderr) == (0, "")
    assert all("execute" in request for request in result.requests)


def test_events_in_between_are_passed_over(play):
    def script(peer):
        peer.negotiate()
        request = peer.receive()
        peer.send({"event": "X", "data": {}})
        peer.answer([loop("a")], request)
        peer.send({"event": "X", "data": {}})
        peer.answer([])

    assert len(printed(play(script, "top", "-b", "-n1"))) == 1


def test_answers_that_come_in_pieces(play):
    def script(peer):
        peer.negotiate()
        for value in [[loop("gr\u00fcn")], []]:
            request = peer.receive()
            answer = json.dumps({"return": value, "id": request["id"]}, ensure_ascii=False)
            for byte in answer.encode() + b"\r\n":
                peer.send(bytes([byte]))

    [(_, loops, _)] = printed(play(script, "top", "-b", "-n1"))
    assert [r["LOOP"] for r in loops] == ["gr\u00fcn"]


def test_a_loop_that_is_stalled_is_marked(play):
    stuck = loop("a", state="callback", source="f", stalled=True)
    [(_, loops, _)] = printed(play(sampling(([stuck, loop("b")], [])), "top", "-b", "-n1"))
    assert {r["LOOP"]: r["STATE"] for r in loops} == {"a": "stalled", "b": "idle"}


def test_what_a_server_sends_can_not_break_a_line(play):
    source = {"loop": "a\nb", "kind": "fd", "name": "\x1b[2J x", "fd": 1}
    [(_, loops, sources)] = printed(play(sampling(([loop("a\nb"), loop("gr\u00fcn")], [source])),
                                         "top", "-b", "-n1"))
    assert {r["LOOP"] for r in loops} == {"a_b", "gr\u00fcn"}
    assert [(r["LOOP"], r["NAME"]) for r in sources] == [("a_b", "_[2J_x")]


@pytest.mark.parametrize("answers, part", [
    ([{}, []], "query-loops: "), ([[loop("a")], {}], "query-sources: "),
    ([[5], []], "query-loops: "), ([[loop("a")], [{"loop": "a"}]], "query-sources: "),
])
def test_answers_of_another_shape_are_errors(play, answers, part):
    result = play(answering(*answers), "top", "-b")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("evloopctl: " + part)


def test_a_command_that_the_server_does_not_have_is_told(play):
    def script(peer):
        peer.negotiate()
        peer.send({"error": {"class": "CommandNotFound", "desc": "no"},
                   "id": peer.receive()["id"]})

    result = play(script, "top", "-b")
    assert result.returncode == 1
    assert result.stderr == "evloopctl: query-loops: CommandNotFound: no\n"


def test_a_server_that_ends_between_two_samples_is_told_at_once(play):
    result = play(sampling(([loop("a")], [])), "top", "-b", "-d", "86400")
    assert len(samples(result.stdout)) == 1 and result.returncode == 2
    assert result.stderr == "evloopctl: the daemon closed the connection\n"


def test_a_timeout_holds_while_it_waits_for_the_next_sample(play):
    def script(peer):
        sampling(([loop("a")], []))(peer)
        peer.expect_leave()

    result = play(script, "--timeout", "0.3", "top", "-b", "-d", "86400")
    assert (result.returncode, result.stderr) == (2, "evloopctl: timed out\n")


def test_it_ends_when_nobody_reads_the_output_any_more(start):
    def script(peer):
        sampling(([loop("a")], []))(peer)
        peer.expect_leave()

    process = start(script, "top", "-b", "-d", "86400")
    assert process.stdout.readline().startswith(b"evloopctl top: ")
    process.stdout.close()
    assert process.wait(DEADLINE) == 2
    assert process.stderr.read() == b"evloopctl: nobody reads the output any more\n"


# ---- in the terminal ----

ENTER = "\x1b[?1049h"  # what xterm is told when a program takes the screen, and gives it back
LEAVE = "\x1b[?1049l"
LEFT, RIGHT = "\x1bOD", "\x1bOC"
REDRAW = "\x0c"  # all is written again, not only what has changed


class Terminal:
    """evloopctl top in a terminal of its own."""

    def __init__(self, program, *words, rows=40, columns=120, term="xterm"):
        environment = {k: v for k, v in os.environ.items() if k not in ("LINES", "COLUMNS")}
        environment |= {"TERM": term, "LC_ALL": "C.UTF-8"}
        self.fd, slave = pty.openpty()
        self.resize(rows, columns)
        self.modes = termios.tcgetattr(slave)
        self.process = subprocess.Popen([program, *words], stdin=slave, stdout=slave,
                                        stderr=slave, env=environment, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.slave = slave  # kept open: its modes are looked at when the program has ended
        self.text = ""

    def resize(self, rows, columns):
        """Tell the terminal its size; whoever runs in it gets SIGWINCH."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_some(self, timeout):
        if not select.select([self.fd], [], [], timeout)[0]:
            return False
        self.text += os.read(self.fd, 65536).decode(errors="replace")
        return True

    def read_until(self, *parts):
        """Read until all of @parts have come; returns what came, which is then forgotten."""
        deadline = time.monotonic() + DEADLINE
        while not all(part in self.text for part in parts):
            assert self.read_some(max(0, deadline - time.monotonic())), (parts, self.text)
        text, self.text = self.text, ""
        return text

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def wait(self):
        """Its status; what it wrote last is in text then."""
        deadline = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end: {self.text!r}"
            self.read_some(0.01)
        while self.read_some(0):
            pass
        return self.process.returncode

    def is_as_before(self):
        """Whether the terminal was given back as it was taken."""
        return LEAVE in self.text and termios.tcgetattr(self.slave) == self.modes

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.slave)
        os.close(self.fd)


@pytest.fixture
def terminal(evloopctl):
    """Start evloopctl top on a socket, in a terminal."""
    probe = subprocess.run([evloopctl, "top"], stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, timeout=DEADLINE)
    if "without ncurses" in probe.stderr:
        pytest.skip("built without ncurses")
    terminals = []

    def run(socket, *more, program=evloopctl, words=None, **options):
        words = ["-s", socket, "top", *more] if words is None else words
        terminals.append(Terminal(program, *words, **options))
        return terminals[-1]

    yield run
    for item in terminals:
        item.close()


def test_the_screen_shows_loops_and_sources_and_q_gives_it_back(terminal, busy):
    screen = terminal(busy.socket, "-d", "0.05")
    screen.read_until(ENTER, "LOOP", "BUSY%", "main-loop", "mon_iothread", "io0", "timer_expired",
                      "(since the start)")
    screen.type("q")
    assert screen.wait() == 0
    assert screen.is_as_before()


def test_keys_choose_the_column_and_the_direction(terminal, busy):
    screen = terminal(busy.socket, "-d", "86400")
    screen.read_until("by time", "timer_expired")
    for key, shown in [(RIGHT, "by mean "), ("s", "by max "), (">", "by loop "), (LEFT, "by max "),
                       ("<", "by mean "), ("r", "by mean, reversed"), ("r", "by mean "),
                       ("\t", "by busy "), ("s", "by polling ")]:
        screen.type(key + REDRAW)
        screen.read_until(shown)


def test_a_key_shows_one_loop_after_another_and_then_all(terminal, busy):
    screen = terminal(busy.socket, "-d", "86400")
    screen.read_until("timer_expired", "signal_readable", "session_update")
    for shown, source in [("only: main-loop", "signal_readable"),
                          ("only: mon_iothread", "session_update"),
                          ("only: io0", "timer_expired")]:
        screen.type("l" + REDRAW)
        text = screen.read_until(shown, source)
        assert [name in text for name in ("signal_readable", "session_update",
                                          "timer_expired")].count(True) == 1
    screen.type("l" + REDRAW)
    assert "only:" not in screen.read_until("timer_expired", "signal_readable")
    screen.type("l" + REDRAW)
    screen.read_until("only: main-loop")
    screen.type("a" + REDRAW)
    assert "only:" not in screen.read_until("timer_expired", "signal_readable")


def test_help_comes_and_goes_with_a_key(terminal, busy):
    screen = terminal(busy.socket, "-d", "86400")
    screen.read_until("timer_expired")
    screen.type("h")
    screen.read_until("sort the other way round")
    screen.type("x")
    screen.read_until("timer_expired")


def test_space_takes_a_sample_now(terminal, busy, qmp):
    screen = terminal(busy.socket, "-d", "86400")
    screen.read_until("timer_expired")
    with busy.connect() as session:
        add(session, "iothread", "newcomer")
    screen.type(" ")
    screen.read_until("newcomer")


def test_another_size_is_taken_at_once(terminal, busy):
    names = ["timer_expired", "signal_readable", "session_readable", "session_update"]
    screen = terminal(busy.socket, "-d", "86400", rows=8)
    text = screen.read_until("NAME", "space now")
    hidden = [name for name in names if name not in text]
    assert len(hidden) >= 3  # there is room for one row
    screen.resize(60, 140)
    screen.read_until(*hidden)


@pytest.mark.parametrize("rows, columns", [(1, 1), (2, 5), (3, 20), (5, 10), (6, 80), (24, 3)])
def test_a_tiny_terminal_does_no_harm(terminal, busy, rows, columns):
    screen = terminal(busy.socket, "-d", "0.01", "-n", "5", rows=rows, columns=columns)
    assert screen.wait() == 0
    assert screen.is_as_before()


def test_a_terminal_may_shrink_to_nothing_and_grow_again(terminal, busy):
    screen = terminal(busy.socket, "-d", "86400")
    screen.read_until("timer_expired")
    for size in [(1, 1), (2, 2), (50, 1), (1, 50)]:
        screen.resize(*size)
        screen.type("r")
    screen.resize(40, 120)
    screen.type(REDRAW)
    screen.read_until("timer_expired")
    screen.type("q")
    assert screen.wait() == 0


def test_a_daemon_that_is_killed_is_told_on_a_terminal_that_is_as_before(terminal, busy):
    screen = terminal(busy.socket, "-d", "86400")
    screen.read_until("timer_expired")
    kill(busy)
    assert screen.wait() == 2
    assert screen.is_as_before()
    assert screen.text.split(LEAVE)[1].endswith("the daemon closed the connection\r\n")


def test_ctrl_z_gives_the_terminal_back_and_fg_takes_it_again(evloopctl, terminal, busy):
    shell = terminal(None, program="bash", words=["--norc", "--noprofile", "-i"])
    shell.type(f"{evloopctl} -s {busy.socket} top -d 86400\n")
    assert ENTER in shell.read_until("timer_expired")
    for columns, keys in [(120, "space now"), (30, "q quit  h help  left/right co+")] * 5:
        shell.type("\x1a")  # it may draw still
        # Up to the prompt: before it, bash reads the terminal's size and sets it to what it was.
        shell.read_until(LEAVE, "Stopped", "bash-")
        shell.resize(40, columns)
        shell.type("fg\n")
        shell.read_until(ENTER)
        shell.type(REDRAW)
        shell.read_until(keys)
    shell.type("q")
    shell.read_until(LEAVE)
    shell.type("exit\n")
    assert shell.wait() == 0


def test_many_changes_of_size_while_samples_come(terminal, busy):
    screen = terminal(busy.socket, "-d", "0.01")
    screen.read_until("timer_expired")
    for i in range(300):
        screen.resize(10 + i % 30, 40 + i % 80)
        screen.read_some(0)
    screen.resize(50, 150)
    screen.read_until("space now")
    screen.type("q")
    assert screen.wait() == 0
    assert screen.is_as_before()


def test_the_name_of_the_only_loop_is_harmless(terminal, serve):
    def script(peer):
        sampling(([loop("a\n\x9b\x1bb")], []))(peer)
        with pytest.raises(ClientLeft):
            peer.receive()

    screen = terminal(serve(script).path, "-d", "86400")
    screen.read_until("idle")
    screen.type("l" + REDRAW)
    screen.read_until("only: a___b")
    screen.type("q")
    assert screen.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP])
def test_a_signal_ends_it_with_the_terminal_as_before(terminal, busy, number):
    screen = terminal(busy.socket, "-d", "86400")
    screen.read_until("timer_expired")
    screen.process.send_signal(number)
    assert screen.wait() == 0
    assert screen.is_as_before()


def test_keys_work_while_the_daemon_does_not_answer(terminal, serve):
    def script(peer):
        sampling(([loop("a")], []))(peer)
        peer.receive()
        with pytest.raises(ClientLeft):
            peer.receive()

    screen = terminal(serve(script).path, "-d", "0.01")
    screen.read_until("no answer from the daemon for 1 s")
    screen.type("h")
    screen.read_until("sort the other way round")
    screen.type("q")
    assert screen.wait() == 0
    assert screen.is_as_before()


def test_a_stalled_loop_stands_out(terminal, serve):
    def script(peer):
        sampling(([loop("a", state="callback", source="f", stalled=True), loop("b")], []))(peer)
        with pytest.raises(ClientLeft):
            peer.receive()

    screen = terminal(serve(script).path, "-d", "86400", term="xterm")
    assert re.search(r"\x1b\[31m[^\n]*a[^\n]*stalled", screen.read_until("stalled", "idle"))
    screen.type("q")
    assert screen.wait() == 0


def test_a_terminal_of_an_unknown_kind_is_told(terminal, busy):
    screen = terminal(busy.socket, term="no-such-terminal")
    assert screen.wait() == 2
    assert "the terminal 'no-such-terminal' can't be used; 'top --batch' prints" in screen.text
