"""evloopctl shell in trouble: a daemon that floods it or stops, much that is typed, a history that is
a trap."""

import fcntl
import json
import os
import pathlib
import signal
import stat
import threading
import time

import pytest

from fake_server import event, serve  # noqa: F401
from qmp_client import DEADLINE
from test_evloopctl_shell import (CTRL_C, PROMPT, UP, busy, history, run, shell,  # noqa: F401
                                  shells, wait_for_unanswered, with_libedit)


def flood(peer, *answers):
    """Send events without end, after these answers."""
    peer.negotiate()
    for answer in answers:
        peer.answer(answer)
    events = b"".join(json.dumps(event("TICK", i)).encode() + b"\r\n" for i in range(2000))
    while True:
        peer.send(events)


def at_prompt(screen):
    return screen.text()[-1] == PROMPT.rstrip()


# ---- a daemon that sends without end ----


def test_ctrl_c_ends_events_that_come_faster_than_they_are_printed(serve, shells):
    shell = shells(serve(flood).path)
    shell.type("events\r")
    shell.expect('"TICK"')
    shell.type(CTRL_C)
    shell.wait_for(at_prompt)


def test_ctrl_c_ends_a_command_that_is_not_answered_among_events_without_end(serve, shells):
    shell = shells(serve(flood).path)
    shell.type("call x\r")
    shell.wait_for_modes()
    shell.type(CTRL_C)
    shell.expect("evloopctl: x: interrupted")
    shell.wait_for(at_prompt)


def test_ctrl_c_drops_a_line_among_events_without_end(serve, shells):
    shell = shells(serve(flood).path)
    shell.type("some line")
    shell.wait_for(lambda screen: screen.text()[-1] == PROMPT + "some line")
    shell.type(CTRL_C)
    shell.wait_for(at_prompt)


def test_a_signal_ends_the_shell_among_events_without_end(serve, shells):
    shell = shells(serve(flood).path)
    shell.signal(signal.SIGTERM)
    assert shell.end() == -signal.SIGTERM
    assert shell.modes_are_restored()


def test_a_signal_while_completion_gets_no_answer_ends_the_shell(shell, busy):
    with busy.block_main_loop(600000), busy.connect(oob=True) as other:
        shell.type("object show t\t")
        wait_for_unanswered(other, shell)
        shell.signal(signal.SIGTERM)
        assert shell.end() == -signal.SIGTERM
        other.oob("x-debug-unblock")
    assert shell.modes_are_restored()


# ---- a daemon that is stopped ----


@pytest.fixture
def stopped(start_daemon):
    """A function that stops a daemon; it goes on afterwards."""
    daemon = start_daemon()

    def stop():
        daemon.proc.send_signal(signal.SIGSTOP)

    daemon.stop = stop
    yield daemon
    daemon.proc.send_signal(signal.SIGCONT)


def wait_for_sockets(shell, count):
    """Until the shell has so many."""
    deadline = time.monotonic() + DEADLINE
    folder = pathlib.Path(f"/proc/{shell.process.pid}/fd")
    while sum(fd.is_socket() for fd in folder.iterdir()) < count:
        assert time.monotonic() < deadline
        shell.read_some(0.01)


def test_a_shell_on_a_stopped_daemon_says_what_it_waits_for(stopped, shells):
    stopped.stop()
    shell = shells(stopped.socket, wait=False)
    shell.expect("evloopctl: greeting: no answer yet: out of band it does not answer either")
    shell.type(CTRL_C)
    assert shell.end() == -signal.SIGINT


def test_ctrl_c_while_it_is_asked_why_there_is_no_answer_ends_the_command(stopped, shells):
    shell = shells(stopped.socket)
    stopped.stop()
    shell.clear()
    shell.type("object list\r")
    wait_for_sockets(shell, 2)  # one for the command, one to ask why
    shell.type(CTRL_C)
    shell.expect("evloopctl: qom-list: interrupted")
    assert not any("no answer yet" in line for line in shell.screen.text())


# ---- what is typed ----


def test_all_lines_of_a_long_paste_are_run(shells, start_daemon, tmp_path):
    daemon = start_daemon()
    shell = shells(daemon.socket)
    lines = [f"object add event-notifier n{i} # {'x' * 60}" for i in range(150)]
    typist = threading.Thread(target=shell.type, args=["\r".join(lines) + "\r"])  # it may wait
    typist.start()
    with daemon.connect() as session:
        deadline = time.monotonic() + DEADLINE
        while len(session.command("qom-list", path="/objects")) < len(lines):
            assert time.monotonic() < deadline
            shell.read_some(0.01)
    typist.join()
    shell.wait_for(at_prompt)
    assert history(tmp_path).read_text().splitlines() == lines


def test_an_escaped_space_at_the_end_is_of_the_word(shell):
    assert run(shell, "x\\ ")[0].startswith("evloopctl: there is no command 'x '")


def test_a_line_longer_than_4096_bytes_is_run_and_not_remembered(shell, tmp_path):
    lines = [f"object show nothing {'x' * size}" for size in (4076, 4077)]
    assert [len(line) for line in lines] == [4096, 4097]
    for line in lines:
        shell.clear()
        shell.type(line + "\r")
        shell.expect("evloopctl: unexpected: 'xx")
        shell.wait_for(at_prompt)
    assert history(tmp_path).read_text() == lines[0] + "\n"


# ---- a history that is a trap ----


@pytest.fixture
def victim(tmp_path):
    """A file that the shell is not to touch."""
    path = tmp_path / "victim"
    path.write_text("precious\n")
    path.chmod(0o644)
    history(tmp_path).parent.mkdir(parents=True)
    yield path
    assert path.read_text() == "precious\n" and stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_link_is_no_history(shells, busy, tmp_path, victim):
    history(tmp_path).symlink_to(victim)
    shell = shells(busy.socket)
    shell.expect("evloopctl: no history is kept: ", "it is a symbolic link")
    run(shell, "object list")


def test_a_link_to_nothing_makes_no_file(shells, busy, tmp_path, victim):
    history(tmp_path).symlink_to(tmp_path / "nothing")
    shell = shells(busy.socket)
    shell.expect("it is a symbolic link")
    run(shell, "object list")
    assert not (tmp_path / "nothing").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_file_of_another_user_is_no_history(shells, busy, tmp_path, victim):
    os.chown(victim, 65534, 65534)
    history(tmp_path).hardlink_to(victim)
    shell = shells(busy.socket)
    shell.expect("evloopctl: no history is kept: ", "it is the file of another user")
    run(shell, "object list")


@pytest.mark.parametrize("home", ["home/nothing", "nothing", ""])
def test_no_home_is_made_for_a_history(shells, busy, tmp_path, home):
    shell = shells(busy.socket, cwd=tmp_path,
                   env={"HOME": str(tmp_path / home) if "/" in home else home})
    run(shell, "object list")
    assert not any("history" in line for line in shell.screen.text())
    assert not list((tmp_path / "home").iterdir())
    assert not (tmp_path / "nothing").exists() and not (tmp_path / ".local").exists()


def waits_for_lock(process):
    """Whether it is in flock()."""
    with open("/proc/locks") as locks:
        return any(" -> FLOCK " in line and f" {process.pid} " in line for line in locks)


def test_a_line_that_is_entered_while_the_history_is_made_smaller_is_kept(shells, busy, tmp_path):
    shell = shells(busy.socket)
    run(shell, "object list")
    path = history(tmp_path)
    with open(path) as old:
        fcntl.flock(old, fcntl.LOCK_EX)  # as another shell does that has found it to be long
        shell.type("object show io0\r")
        deadline = time.monotonic() + DEADLINE
        while not waits_for_lock(shell.process):
            assert time.monotonic() < deadline
            shell.read_some(0.01)
        smaller = tmp_path / "smaller"
        smaller.write_text("object types\n")
        smaller.rename(path)
    shell.expect("PROPERTY")
    assert path.read_text() == "object types\nobject show io0\n"


def test_a_history_that_another_shell_is_making_smaller_is_left_to_it(shells, busy, tmp_path):
    path = history(tmp_path)
    path.parent.mkdir(parents=True)
    text = "".join(f"line {i}\n" for i in range(2500))
    path.write_text(text)
    with open(path) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        shell = shells(busy.socket)
        assert path.read_text() == text
        shell.type(UP)
        shell.expect_line(PROMPT + "line 2499")
