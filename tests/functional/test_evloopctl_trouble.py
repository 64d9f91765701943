"""evloopctl shell with a daemon that floods it, stops or restarts, and with much that is typed."""

import json
import pathlib
import signal
import threading
import time

import pytest

from fake_server import event, serve  # noqa: F401
from qmp_client import DEADLINE
from test_evloopctl_shell import (CTRL_C, CTRL_D, PROMPT, busy, run, shell, shells,  # noqa: F401
                                  with_libedit)


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
