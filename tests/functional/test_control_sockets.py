"""Control sockets other than unix:PATH: passed descriptors and vsocks."""

import errno
import os
import re
import socket
import subprocess

import pytest

from qmp_client import DEADLINE, Qmp, QmpError
from vsock import ANY_CID, LOCAL_CID, PORT, need_vsock, vsock_error


@pytest.fixture
def keep():
    """Keep sockets until the test has ended: keep(SOCKET) gives it back."""
    kept = []

    def add(sock):
        kept.append(sock)
        return sock

    yield add
    for sock in kept:
        sock.close()


@pytest.fixture
def refused(evloopd):
    """Start the daemon with descriptors, which must fail with one line."""

    def run_refused(*options, pass_fds=()):
        run = subprocess.run([evloopd, *options], capture_output=True, text=True, check=False,
                             stdin=subprocess.DEVNULL, timeout=DEADLINE, pass_fds=pass_fds)
        assert (run.returncode, run.stdout, run.stderr.count("\n")) == (1, "", 1)
        return run.stderr.removeprefix("evloopd: ").removesuffix("\n")

    return run_refused


def pass_socket(start_daemon, sock, settings=""):
    fd = sock.fileno()
    return start_daemon("--qmp", f"fd:{fd}{settings}", "--log-level=info", pass_fds=[fd])


# ---- fd:N ----


def test_a_listening_socket_is_served_and_left_behind(start_daemon, sockets, keep):
    path = f"{sockets}/passed"
    listener = keep(socket.socket(socket.AF_UNIX))
    listener.bind(path)
    listener.listen()
    for _ in range(2):
        daemon = pass_socket(start_daemon, listener)
        with Qmp(path) as one, Qmp(path) as two:
            one.sync()
            two.command("quit")
        assert daemon.proc.wait(DEADLINE) == 0
        assert os.path.exists(path)


def test_a_listening_socket_is_made_non_blocking(start_daemon, sockets, keep):
    listener = keep(socket.socket(socket.AF_UNIX))
    listener.bind(f"{sockets}/passed")
    listener.listen()
    assert os.get_blocking(listener.fileno())
    pass_socket(start_daemon, listener)
    assert not os.get_blocking(listener.fileno())


def test_a_listening_socket_that_is_shut_down_by_another_process_is_given_up(
        start_daemon, sockets, keep):
    listener = keep(socket.socket(socket.AF_UNIX))
    listener.bind(f"{sockets}/passed")
    listener.listen()
    daemon = pass_socket(start_daemon, listener)
    with Qmp(f"{sockets}/passed") as session:
        count = daemon.count_fds()
        listener.shutdown(socket.SHUT_RDWR)
        daemon.wait_for_fds(count - 1)
        session.sync()
    assert daemon.stderr().count("no client can connect any more") == 1


def test_a_connected_socket_is_one_session(start_daemon):
    ours, theirs = socket.socketpair()
    with theirs:
        daemon = pass_socket(start_daemon, theirs)
    with Qmp(None, sock=ours) as session:
        session.sync()
        count = daemon.count_fds()
    daemon.wait_for_fds(count - 1)
    with daemon.connect() as session:
        session.sync()


def test_a_connected_socket_can_end_the_daemon(start_daemon):
    ours, theirs = socket.socketpair()
    with theirs:
        daemon = pass_socket(start_daemon, theirs)
    with Qmp(None, sock=ours) as session:
        session.command("quit")
        session.wait_event("SHUTDOWN")
        assert session.at_end()
    assert daemon.proc.wait(DEADLINE) == 0


def test_what_is_set_holds_on_a_connected_socket(start_daemon):
    ours, theirs = socket.socketpair()
    with theirs:
        pass_socket(start_daemon, theirs, ",access=read-only,oob=off")
    with Qmp(None, sock=ours) as session:
        assert session.greeting["QMP"]["capabilities"] == []
        with pytest.raises(QmpError, match="may only read"):
            session.command("quit")
        session.sync()


@pytest.mark.parametrize("kind", ["uid", "gid"])
def test_a_connected_peer_that_is_not_allowed_is_refused(start_daemon, kind):
    ours, theirs = socket.socketpair()
    with theirs:
        daemon = pass_socket(start_daemon, theirs, f",allow-{kind}=54321")
    with Qmp(None, sock=ours, negotiate=False) as session:
        assert session.at_end()
    assert re.search(r"warning: fd:\d+: refused a client \(uid \d+, gid \d+, pid \d+\)\n",
                     daemon.stderr())


def test_a_passed_socket_of_another_kind_has_peers_without_a_name(start_daemon, keep):
    listener = keep(socket.create_server(("127.0.0.1", 0)))
    daemon = pass_socket(start_daemon, listener)
    with Qmp(None, sock=socket.create_connection(listener.getsockname())) as session:
        session.command("object-add", qom_type="iothread", id="a")
    assert re.search(r"session \d+ \(unknown client\): object-add ", daemon.stderr())


def make_wrong_one(kind, sockets, keep):
    """A descriptor that is no control socket, and what is wrong with it."""
    if kind == "file":
        return keep(open(sockets / "file", "w", encoding="utf-8")), "is no stream socket"
    if kind == "datagram":
        return keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)), "is no stream socket"
    if kind == "packets":
        listener = keep(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        listener.bind(f"{sockets}/packets")
        listener.listen()
        return listener, "is no stream socket"
    return keep(socket.socket(socket.AF_UNIX)), "neither listens nor is connected"


@pytest.mark.parametrize("kind", ["file", "datagram", "packets", "new"])
def test_a_wrong_descriptor_is_named(refused, sockets, keep, kind):
    thing, wrong = make_wrong_one(kind, sockets, keep)
    fd = thing.fileno()
    assert refused("--qmp", f"fd:{fd}", pass_fds=[fd]) == f"--qmp: descriptor {fd} {wrong}"


def test_a_descriptor_that_is_not_open_is_named(refused, sockets):
    """Also one of a number that the daemon will use for itself."""
    for fd in (3, 4, 12, 1000000):
        assert refused("--qmp", f"unix:{sockets}/a", "--qmp", f"fd:{fd}") == (
            f"--qmp: descriptor {fd} is not open")
        assert os.listdir(sockets) == []


def test_the_same_descriptor_twice(refused):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fd = theirs.fileno()
        assert refused("--qmp", f"fd:{fd}", "--qmp", f"fd:{fd},oob=off", pass_fds=[fd]) == (
            f"--qmp: 'fd:{fd}' and 'fd:{fd}' are the same socket")


@pytest.mark.parametrize("setting", ["allow-uid=0", "allow-gid=0"])
def test_lists_of_users_need_a_unix_socket(refused, keep, setting):
    fd = keep(socket.create_server(("127.0.0.1", 0))).fileno()
    assert refused("--qmp", f"fd:{fd},{setting}", pass_fds=[fd]) == (
        f"--qmp: descriptor {fd} is no unix socket, which allow-uid= and allow-gid= need")


# ---- vsock:CID:PORT ----


@pytest.mark.parametrize("cid", ["local", str(LOCAL_CID), "any"])
def test_a_vsock_is_served(start_daemon, cid):
    need_vsock(LOCAL_CID)
    daemon = start_daemon("--qmp", f"vsock:{cid}:{PORT}", "--log-level=info")
    client = socket.socket(socket.AF_VSOCK)
    client.connect((LOCAL_CID, PORT))
    with Qmp(None, sock=client) as session:
        session.command("object-add", qom_type="iothread", id="a")
    assert re.search(r"session \d+ \(vsock CID 1, port \d+\): object-add ", daemon.stderr())


def test_a_vsock_of_the_whole_machine_listens(start_daemon):
    need_vsock(ANY_CID)
    daemon = start_daemon("--qmp", f"vsock:any:{PORT}")
    assert vsock_error(ANY_CID) == errno.EADDRINUSE
    daemon.end()
    assert vsock_error(ANY_CID) == 0


def test_a_vsock_that_is_taken_is_an_error(start_daemon, refused, sockets):
    need_vsock(ANY_CID)
    start_daemon("--qmp", f"vsock:any:{PORT}")
    before = sorted(os.listdir(sockets))
    assert refused("--qmp", f"unix:{sockets}/a", "--qmp", f"vsock:any:{PORT}") == (
        f"--qmp: socket 'vsock:any:{PORT}': bind: Address already in use")
    assert sorted(os.listdir(sockets)) == before


def test_an_address_that_the_machine_has_not_is_an_error(refused):
    need_vsock(ANY_CID)
    address = f"vsock:4294967294:{PORT}"
    assert refused("--qmp", address) == (
        f"--qmp: socket '{address}': bind: Cannot assign requested address")
