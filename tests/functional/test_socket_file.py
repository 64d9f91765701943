"""The file of a socket, at the start and at the end of its daemon."""

import fcntl
import os
import subprocess

from qmp_client import DEADLINE, Qmp


def test_the_socket_is_gone_before_the_daemon_says_that_it_ends(start_daemon):
    daemon = start_daemon()
    with daemon.connect() as qmp:
        qmp.send({"execute": "quit"})
        qmp.receive_reply()
        qmp.wait_event("SHUTDOWN")
        assert not os.path.exists(daemon.socket)


def test_a_daemon_that_ends_leaves_its_successor_s_socket_alone(start_daemon, evloopd):
    """The old one waits for the end of its clients' output when the new one comes up."""
    old = start_daemon("--debug-commands")
    with Qmp(old.socket) as slow, Qmp(old.socket) as qmp:
        slow.send({"execute": "x-debug-echo", "arguments": {"value": "x" * 900000}})
        assert slow.socket.recv(1) == b"{"  # the answer's beginning; there is more to be waited for
        qmp.send({"execute": "quit"})
        qmp.receive_reply()
        qmp.wait_event("SHUTDOWN")
        new = type(old)(evloopd, old.socket, ["--qmp", f"unix:{old.socket}"])
        new.wait_until_up()
    assert old.proc.wait() == 0
    with Qmp(new.socket) as qmp:
        qmp.command("query-version")
    new.end()


def test_a_directory_that_stays_locked_is_an_error(evloopd, sockets):
    """It held the daemon's start for good, without an end by SIGTERM."""
    socket = sockets / "qmp.sock"
    directory = os.open(sockets, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    try:
        run = subprocess.run([evloopd, "--qmp", f"unix:{socket}"], capture_output=True, text=True,
                             timeout=DEADLINE, check=False)
    finally:
        os.close(directory)
    assert run.returncode == 1
    assert run.stderr == (f"evloopd: --qmp: socket '{socket}': directory '{sockets}': "
                          "another process keeps it locked\n")
    assert not socket.exists()
