"""A passed socket that blocks must not hold the monitor thread in accept()."""

import fcntl
import os
import socket

from conftest import Daemon


def test_a_passed_socket_is_made_nonblocking(evloopd, sockets):
    path = sockets / "passed.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        assert not fcntl.fcntl(listener, fcntl.F_GETFL) & os.O_NONBLOCK
        script = f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@" 3<&{listener.fileno()}'
        daemon = Daemon("bash", path, ["-c", script, evloopd], pass_fds=[listener.fileno()])
        try:
            daemon.wait_until_up()
            with daemon.connect() as qmp:
                qmp.command("query-version")
            assert fcntl.fcntl(listener, fcntl.F_GETFL) & os.O_NONBLOCK
        finally:
            daemon.end()
