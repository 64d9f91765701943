"""Descriptors by SCM_RIGHTS: which request they belong to, getfd and closefd, and that none leaks."""

import array
import json
import os
import re
import resource
import signal
import socket
import struct

import pytest

from held_thread import held
from qmp_client import Qmp, QmpError

MOST = 16  # descriptors with one message
KEPT = 256  # by getfd, in one session
QUERY = b'{"execute": "query-version", "id": 1}'


@pytest.fixture(autouse=True)
def nothing_leaks(daemon):
    """Whatever a test does: once its clients are gone, the daemon has what it had before."""
    count = daemon.count_fds()
    yield
    daemon.wait_for_fds(count)


@pytest.fixture
def pipe():
    """The two ends of a pipe; the ends that a test closes it takes out of the list."""
    ends = list(os.pipe())
    yield ends
    for end in ends:
        os.close(end)


other_pipe = pipe


def send_fds(session, fds, name="fd0"):
    session.send_with_fds({"execute": "getfd", "arguments": {"fdname": name}}, fds)
    return session.receive_reply()


def is_held(daemon, fd):
    """Whether the daemon has the pipe that @fd is an end of."""
    wanted = os.fstat(fd).st_ino
    directory = f"/proc/{daemon.proc.pid}/fd"
    for name in os.listdir(directory):
        try:
            if os.stat(f"{directory}/{name}").st_ino == wanted:
                return True
        except FileNotFoundError:
            pass  # closed meanwhile
    return False


def test_getfd_keeps_a_descriptor_and_closefd_closes_it(daemon, qmp, pipe):
    count = daemon.count_fds()
    assert send_fds(qmp, pipe[:1]) == {"return": {}}
    assert daemon.count_fds() == count + 1 and is_held(daemon, pipe[0])
    assert qmp.command("closefd", fdname="fd0") == {}
    assert daemon.count_fds() == count and not is_held(daemon, pipe[0])


def test_the_name_can_be_used_again(daemon, qmp, pipe):
    count = daemon.count_fds()
    for _ in range(3):
        assert send_fds(qmp, pipe[:1]) == {"return": {}}
        qmp.command("closefd", fdname="fd0")
    assert daemon.count_fds() == count


def test_a_descriptor_replaces_one_of_the_same_name(daemon, qmp, pipe, other_pipe):
    count = daemon.count_fds()
    assert send_fds(qmp, other_pipe[:1]) == {"return": {}}
    assert is_held(daemon, other_pipe[0])
    assert send_fds(qmp, pipe[:1]) == {"return": {}}
    assert daemon.count_fds() == count + 1
    assert is_held(daemon, pipe[0]) and not is_held(daemon, other_pipe[0])


def test_a_session_keeps_so_many_and_no_more(daemon, qmp, pipe, other_pipe):
    count = daemon.count_fds()
    for i in range(KEPT):
        assert send_fds(qmp, pipe[:1], f"fd{i}") == {"return": {}}
    for _ in range(2):
        assert send_fds(qmp, other_pipe[:1], "more") == {"error": {
            "class": "GenericError", "desc":
            f"Descriptor 'more': the session keeps {KEPT} already, and may keep no more"}}
        assert daemon.count_fds() == count + KEPT and not is_held(daemon, other_pipe[0])
    # One can still be replaced, another session is not concerned, and all are still there.
    assert send_fds(qmp, other_pipe[:1], "fd7") == {"return": {}}
    with daemon.connect() as other:
        assert send_fds(other, pipe[:1]) == {"return": {}}
    qmp.command("closefd", fdname="fd7")
    assert send_fds(qmp, pipe[:1], "more") == {"return": {}}
    for i in range(KEPT):
        qmp.command("closefd", fdname=f"fd{i}" if i != 7 else "more")
    daemon.wait_for_fds(count)


def test_a_name_is_bounded(daemon, qmp, pipe):
    count = daemon.count_fds()
    assert send_fds(qmp, pipe[:1], "a" * 256) == {"error": {
        "class": "GenericError",
        "desc": "Parameter 'fdname' expects a string of at most 255 bytes"}}
    assert daemon.count_fds() == count
    assert send_fds(qmp, pipe[:1], "a" * 255) == {"return": {}}
    qmp.command("closefd", fdname="a" * 255)


@pytest.fixture
def lingering():
    """A socket whose close() waits until the other one is closed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 600))
    one.setblocking(False)
    try:
        while True:
            one.send(b"x" * 65536)
    except BlockingIOError:
        pass
    yield one, other
    other.close()  # first, for the other one waits for it
    one.close()


@pytest.mark.parametrize("fdmon", ["io_uring", "epoll", "poll"])
def test_a_socket_that_nobody_takes_does_not_linger(start_daemon, sockets, lingering, fdmon):
    """Its close() would hold up the thread that reads from all clients."""
    path = str(sockets / "readers.sock")
    daemon = start_daemon("--qmp", f"unix:{path},access=read-only",
                          env={**os.environ, "EVLOOP_FDMON": fdmon})
    one, _ = lingering
    with Qmp(path) as reader, daemon.connect(oob=True) as watcher:
        count = daemon.count_fds()
        os.kill(daemon.proc.pid, signal.SIGSTOP)
        os.waitpid(daemon.proc.pid, os.WUNTRACED)
        send_bytes_with_fds(reader, QUERY, [one.fileno()])
        one.close()
        os.kill(daemon.proc.pid, signal.SIGCONT)
        assert reader.receive()["id"] == 1
        assert "qemu" in watcher.oob("query-version")
        daemon.wait_for_fds(count)


def test_a_replaced_descriptor_that_is_slow_to_close_does_not_hold_up_the_session(
        daemon, qmp, pipe, lingering):
    one, other = lingering
    # It is on its way through a socket, with which it is closed.
    way, end = socket.socketpair()
    socket.send_fds(way, [b"x"], [one.fileno()])
    assert send_fds(qmp, [end.fileno()]) == {"return": {}}
    for sock in (one, way, end):
        sock.close()
    send_bytes_with_fds(qmp, getfd(), pipe[:1])
    with daemon.connect(oob=True) as watcher:
        source = None
        while source != "qmp_dispatch":
            [source] = [loop.get("source") for loop in watcher.oob("query-loops")
                        if loop["id"] == "main-loop"]
        # The main loop is in close(), but what is out-of-band goes on.
        assert "qemu" in qmp.oob("query-version")
        other.close()
        assert qmp.receive() == {"return": {}, "id": "fd0"}
    assert is_held(daemon, pipe[0])


def test_without_a_descriptor_getfd_fails(daemon, qmp):
    count = daemon.count_fds()
    qmp.expect_error({"execute": "getfd", "arguments": {"fdname": "fd0"}, "id": 1},
                     "No descriptor for 'fd0' was sent along, by SCM_RIGHTS")
    assert daemon.count_fds() == count


@pytest.mark.parametrize("name", ["", "0", "1fd"])
def test_a_name_that_starts_with_a_digit_is_refused_and_the_descriptor_closed(daemon, qmp, pipe,
                                                                              name):
    count = daemon.count_fds()
    assert send_fds(qmp, pipe[:1], name) == {"error": {
        "class": "GenericError", "desc": "Parameter 'fdname' expects a name that does not start "
        f"with a digit, not '{name}'"}}
    qmp.sync()
    assert daemon.count_fds() == count
    with pytest.raises(QmpError, match="No descriptor"):
        qmp.command("getfd", fdname="fd0")


@pytest.mark.parametrize("arguments", [{}, {"fdname": 1}, {"fdname": "a", "x": 1}], ids=repr)
def test_a_getfd_in_error_does_not_leave_its_descriptor_to_the_next(daemon, qmp, pipe, arguments):
    count = daemon.count_fds()
    qmp.send_with_fds({"execute": "getfd", "arguments": arguments}, pipe[:1])
    assert qmp.receive()["error"]["class"] == "GenericError"
    qmp.sync()
    assert daemon.count_fds() == count
    with pytest.raises(QmpError, match="No descriptor"):
        qmp.command("getfd", fdname="fd0")


def test_closefd_of_an_unknown_name_fails(qmp):
    qmp.expect_error({"execute": "closefd", "arguments": {"fdname": "fd0"}},
                     "There is no descriptor 'fd0'")


def test_names_are_the_sessions_own(daemon, qmp, pipe):
    assert send_fds(qmp, pipe[:1]) == {"return": {}}
    with daemon.connect() as other:
        other.expect_error({"execute": "closefd", "arguments": {"fdname": "fd0"}},
                           "There is no descriptor 'fd0'")
    assert is_held(daemon, pipe[0])


@pytest.mark.parametrize("taken", [True, False])
def test_a_client_that_leaves_takes_its_descriptors_with_it(daemon, qmp, pipe, taken):
    count = daemon.count_fds()
    with daemon.connect() as other:
        if taken:
            assert send_fds(other, pipe * 3) == {"return": {}}
        else:
            other.send_with_fds({"execute": "query-version"}, pipe * 3)
            other.receive()
    daemon.wait_for_fds(count)
    assert not is_held(daemon, pipe[0]) and not is_held(daemon, pipe[1])
    qmp.sync()


def test_a_message_takes_sixteen_descriptors_of_which_getfd_keeps_the_first(daemon, qmp, pipe,
                                                                            other_pipe):
    count = daemon.count_fds()
    assert send_fds(qmp, pipe[:1] + other_pipe[:1] * (MOST - 1)) == {"return": {}}
    assert daemon.count_fds() == count + 1
    assert is_held(daemon, pipe[0]) and not is_held(daemon, other_pipe[0])
    assert daemon.stderr() == ""
    qmp.command("closefd", fdname="fd0")


def test_more_descriptors_than_sixteen_are_an_error_and_closed(daemon, qmp, pipe):
    count = daemon.count_fds()
    for _ in range(3):
        assert send_fds(qmp, pipe[:1] * (MOST + 1)) == {"error": {
            "class": "GenericError", "desc": "More than 16 descriptors for 'fd0' were sent along"}}
        assert daemon.count_fds() == count
    assert daemon.stderr().count("dropped descriptors that were sent") == 1  # not 3 lines


def test_descriptors_of_a_request_s_pieces_are_counted_together(daemon, qmp, pipe):
    request = json.dumps({"execute": "getfd", "arguments": {"fdname": "fd0"}}).encode()
    send_bytes_with_fds(qmp, request[:20], pipe[:1] * (MOST - 1))
    daemon.sync_monitor()
    send_bytes_with_fds(qmp, request[20:], pipe[:1] * 2)
    assert qmp.receive()["error"]["desc"] == "More than 16 descriptors for 'fd0' were sent along"


def test_a_daemon_that_is_out_of_descriptors_says_so(daemon, qmp, pipe):
    count = daemon.count_fds()
    limit = resource.prlimit(daemon.proc.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.proc.pid, resource.RLIMIT_NOFILE, (count, limit[1]))
    try:
        assert send_fds(qmp, pipe[:1]) == {"error": {
            "class": "GenericError",
            "desc": "The descriptor for 'fd0' was lost: the daemon has no room for more"}}
    finally:
        resource.prlimit(daemon.proc.pid, resource.RLIMIT_NOFILE, limit)
    assert send_fds(qmp, pipe[:1]) == {"return": {}}
    qmp.command("closefd", fdname="fd0")


# ---- which request they belong to ----


def send_bytes_with_fds(session, data, fds):
    session.socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                     array.array("i", fds))])


def getfd(name="fd0"):
    return json.dumps({"execute": "getfd", "arguments": {"fdname": name}, "id": name}).encode()


def expect_getfd_without(session, name="fd0"):
    """There is none left for a getfd that brings none."""
    session.send_raw(getfd(name))
    assert session.receive() == {"id": name, "error": {
        "class": "GenericError",
        "desc": f"No descriptor for '{name}' was sent along, by SCM_RIGHTS"}}


@pytest.mark.parametrize("message", [
    QUERY,
    QUERY + b"\r\n",
    b'{"execute": "no-such", "id": 1}',
    b'{"execute": "getfd", "arguments": {"fdname": 1}, "id": 1}',
    b'{"execute": "getfd", "arguments": {}, "x": 1, "id": 1}',
    b'{"execute": "closefd", "arguments": {"fdname": "a"}, "id": 1}',
    b'{"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "9"}, "id": 1}',
    b"[]",
    b"5 ",
    b"nonsense ",
    b"{]}",
    b"\xff",
    b'{"exec-oob": "query-version", "id": 1}',
    b'{"exec-oob": "getfd", "arguments": {"fdname": "a"}, "id": 1}',
], ids=repr)
def test_what_a_request_does_not_take_is_closed_and_not_the_next_one_s(daemon, qmp, pipe, message):
    count = daemon.count_fds()
    send_bytes_with_fds(qmp, message, pipe)
    qmp.receive()
    daemon.sync_monitor()
    daemon.wait_for_fds(count)
    expect_getfd_without(qmp)


def test_descriptors_that_nobody_takes_do_not_pile_up(daemon, qmp, pipe):
    count = daemon.count_fds()
    for _ in range(100):
        send_bytes_with_fds(qmp, QUERY, pipe[:1])
        assert "return" in qmp.receive()
    daemon.sync_monitor()
    daemon.wait_for_fds(count)
    assert daemon.stderr() == ""


def test_each_of_many_requests_gets_its_own(daemon, qmp, pipe):
    """Also when they are read faster than they are answered: reading pauses in between."""
    pipes = [os.pipe() for _ in range(20)]
    blocker = daemon.block_main_loop(200)
    for i, ends in enumerate(pipes):
        send_bytes_with_fds(qmp, QUERY + getfd(f"fd{i}") + QUERY, ends[:1])
    replies = [qmp.receive() for _ in range(60)]
    assert [reply["id"] for reply in replies] == [
        item for i in range(20) for item in (1, f"fd{i}", 1)]
    assert all("return" in reply for reply in replies)
    for i, ends in enumerate(pipes):
        assert is_held(daemon, ends[0])
        qmp.command("closefd", fdname=f"fd{i}")
        assert not is_held(daemon, ends[0])
        os.close(ends[0])
        os.close(ends[1])
    blocker.close()


@pytest.mark.parametrize("before, behind", [
    (b"", QUERY), (QUERY, b""), (QUERY + b"\n", QUERY), (b'{"execute": "no-such"} ', b""),
    (b"\n  ", b"  \n"), (b"", b'{"execute": "query-ver'),
], ids=repr)
def test_of_several_requests_in_one_message_the_first_that_takes_descriptors_gets_them(
        daemon, qmp, pipe, before, behind):
    send_bytes_with_fds(qmp, before + getfd() + behind, pipe[:1])
    if before.strip():
        qmp.receive()
    assert qmp.receive() == {"return": {}, "id": "fd0"}
    assert is_held(daemon, pipe[0])


def test_a_second_getfd_in_the_same_message_gets_nothing(daemon, qmp, pipe):
    count = daemon.count_fds()
    send_bytes_with_fds(qmp, getfd("a") + getfd("b"), pipe)
    assert qmp.receive() == {"return": {}, "id": "a"}
    assert "No descriptor for 'b'" in qmp.receive()["error"]["desc"]
    assert daemon.count_fds() == count + 1


def test_requests_that_were_sent_before_and_are_read_along_do_not_take_them(daemon, qmp, pipe,
                                                                            other_pipe):
    """The kernel puts bytes without descriptors and later ones with them into one read."""
    blocker = daemon.block_main_loop(200)
    for _ in range(9):  # more than may be in flight: from here on nothing is read
        qmp.send_raw(QUERY)
    daemon.sync_monitor()
    qmp.send_raw(QUERY)
    send_bytes_with_fds(qmp, getfd(), pipe[:1])
    send_bytes_with_fds(qmp, getfd("fd1"), other_pipe[:1])
    replies = [qmp.receive() for _ in range(12)]
    assert all("return" in reply for reply in replies)
    qmp.command("closefd", fdname="fd0")
    assert not is_held(daemon, pipe[0]) and is_held(daemon, other_pipe[0])
    blocker.close()


@pytest.mark.parametrize("with_fds", [0, 1, 2])
def test_a_request_in_pieces_has_the_descriptors_of_each(daemon, qmp, pipe, with_fds):
    request = getfd()
    pieces = [request[:5], request[5:40], request[40:]]
    for i, piece in enumerate(pieces):
        if i == with_fds:
            send_bytes_with_fds(qmp, piece, pipe[:1])
        else:
            qmp.send_raw(piece)
        daemon.sync_monitor()
    assert qmp.receive() == {"return": {}, "id": "fd0"}
    assert is_held(daemon, pipe[0])
    expect_getfd_without(qmp, "fd1")


def test_the_piece_of_a_request_that_takes_none_does_not_leave_its_descriptor(daemon, qmp, pipe):
    send_bytes_with_fds(qmp, QUERY[:20], pipe[:1])
    daemon.sync_monitor()
    qmp.send_raw(QUERY[20:] + getfd())
    assert qmp.receive()["id"] == 1
    assert "No descriptor" in qmp.receive()["error"]["desc"]
    assert not is_held(daemon, pipe[0])


@pytest.mark.parametrize("space", [b" ", b"\r\n", b"\t\n  "], ids=repr)
def test_white_space_stands_for_the_request_that_follows_it(daemon, qmp, pipe, space):
    """As clients do that send descriptors by a helper of their own."""
    send_bytes_with_fds(qmp, space, pipe[:1])
    daemon.sync_monitor()
    qmp.send_raw(b" ")
    daemon.sync_monitor()
    qmp.send_raw(getfd())
    assert qmp.receive() == {"return": {}, "id": "fd0"}
    expect_getfd_without(qmp, "fd1")


def test_white_space_stands_for_no_request_beyond_the_next(daemon, qmp, pipe):
    send_bytes_with_fds(qmp, b" ", pipe[:1])
    daemon.sync_monitor()
    qmp.send_raw(QUERY + getfd())
    assert qmp.receive()["id"] == 1
    assert "No descriptor" in qmp.receive()["error"]["desc"]
    assert not is_held(daemon, pipe[0])


@pytest.mark.parametrize("broken, rest", [
    (b'{"execute": "getfd" "arguments"', b": {}}"),
    (b'{"execute": "getfd", "arguments": {"fdname" 1', b"} }")], ids=repr)
def test_a_request_that_is_broken_inside_does_not_leave_its_descriptor(daemon, qmp, pipe, broken,
                                                                       rest):
    count = daemon.count_fds()
    send_bytes_with_fds(qmp, broken, pipe[:1])
    assert "JSON syntax error" in qmp.receive()["error"]["desc"]
    daemon.sync_monitor()
    daemon.wait_for_fds(count)
    qmp.send_raw(rest)
    expect_getfd_without(qmp)


def test_a_request_that_breaks_in_a_later_piece_does_not_leave_its_descriptor(daemon, qmp, pipe):
    send_bytes_with_fds(qmp, b'{"execute": "getfd", ', pipe[:1])
    daemon.sync_monitor()
    assert is_held(daemon, pipe[0])
    qmp.send_raw(b"}")
    assert "JSON syntax error" in qmp.receive()["error"]["desc"]
    expect_getfd_without(qmp)
    assert not is_held(daemon, pipe[0])


@pytest.mark.parametrize("data", [b"", b" ", b'{"execute": '], ids=repr)
def test_a_client_that_leaves_before_its_request_is_complete_leaves_nothing(daemon, pipe, data):
    count = daemon.count_fds()
    with daemon.connect() as session:
        if data:
            send_bytes_with_fds(session, data, pipe)
    daemon.wait_for_fds(count)


def test_a_client_that_leaves_with_requests_queued_leaves_nothing(daemon, pipe):
    count = daemon.count_fds()
    with daemon.connect() as session:
        blocker = daemon.block_main_loop(100)
        for i in range(30):
            send_bytes_with_fds(session, getfd(f"fd{i}"), pipe * 8)
    blocker.receive()
    blocker.close()
    daemon.wait_for_fds(count)


@pytest.mark.parametrize("access, request_", [
    ("full", b'{"execute": "getfd", "arguments": {"fdname": 1}}'),
    ("full", b'{"execute": "add-fd", "arguments": {"opaque": "a"}, "x": 1}'),
    ("read-only", getfd()), ("read-only", b'{"execute": "add-fd"}'),
], ids=repr)
def test_what_came_with_a_refused_request_is_closed_while_its_answer_waits(
        start_daemon, sockets, pipe, access, request_):
    path = str(sockets / "other.sock")
    daemon = start_daemon("--qmp", f"unix:{path},access={access}")
    with Qmp(path, oob=True) as session:
        with held(daemon.proc.pid):
            send_bytes_with_fds(session, request_, pipe)
            daemon.sync_monitor()
            assert not session.has_input()
            assert not is_held(daemon, pipe[0]) and not is_held(daemon, pipe[1])
        assert session.receive()["error"]["class"] == "GenericError"


# ---- and ----


def test_a_getfd_in_negotiation_mode_does_not_leave_its_descriptor_to_the_next(daemon, pipe):
    with daemon.connect(negotiate=False) as session:
        session.receive()
        count = daemon.count_fds()
        assert send_fds(session, pipe[:1])["error"]["class"] == "CommandNotFound"
        session.command("qmp_capabilities")
        session.sync()
        assert daemon.count_fds() == count
        with pytest.raises(QmpError, match="No descriptor"):
            session.command("getfd", fdname="fd0")


def test_a_descriptor_that_is_kept_is_close_on_exec(daemon, qmp, pipe):
    send_fds(qmp, pipe[:1])
    wanted = os.fstat(pipe[0]).st_ino
    directory = f"/proc/{daemon.proc.pid}"
    [number] = [name for name in os.listdir(f"{directory}/fd")
                if os.stat(f"{directory}/fd/{name}").st_ino == wanted]
    with open(f"{directory}/fdinfo/{number}", encoding="ascii") as info:
        [flags] = [int(line.split()[1], 8) for line in info if line.startswith("flags:")]
    assert flags & os.O_CLOEXEC


def test_clients_that_come_again_with_too_many_do_not_flood_the_log(start_daemon, pipe):
    daemon = start_daemon()
    for _ in range(200):
        with daemon.connect() as session:
            session.send_with_fds({"execute": "query-version"}, pipe[:1] * (MOST + 1))
            assert "return" in session.receive_reply()
    daemon.end()
    text = daemon.stderr()
    lines = text.count(": dropped descriptors that were sent")
    sums = re.findall(r": (\d+) further sessions had descriptors dropped$", text, re.MULTILINE)
    assert lines + sum(map(int, sums)) == 200
    assert 5 <= lines <= 100  # five in each period of ten seconds


def test_a_socket_that_passes_credentials_too_takes_sixteen_descriptors(start_daemon, pipe):
    """They came first where descriptors are put, and took the place of half of them."""
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    daemon = start_daemon("--qmp", f"fd:{theirs.fileno()}", pass_fds=[theirs.fileno()])
    theirs.close()
    with Qmp(None, sock=ours) as session:
        assert send_fds(session, pipe[:1] * MOST) == {"return": {}}
    assert daemon.stderr() == ""
