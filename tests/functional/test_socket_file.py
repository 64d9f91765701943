"""The file of a socket, at the end of its daemon."""

import os

from qmp_client import Qmp


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
