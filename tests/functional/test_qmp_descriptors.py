"""Descriptors by SCM_RIGHTS: getfd and closefd, and that none is ever leaked."""

import os

import pytest

from qmp_client import QmpError

MOST_WAITING = 16


@pytest.fixture
def pipe():
    """The two ends of a pipe; the ends that a test closes it takes out of the list."""
    ends = list(os.pipe())
    yield ends
    for end in ends:
        os.close(end)


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


def test_a_descriptor_replaces_one_of_the_same_name(daemon, qmp, pipe):
    count = daemon.count_fds()
    other = os.pipe()
    try:
        assert send_fds(qmp, other[:1]) == {"return": {}}
        assert is_held(daemon, other[0])
        assert send_fds(qmp, pipe[:1]) == {"return": {}}
        assert daemon.count_fds() == count + 1
        assert is_held(daemon, pipe[0]) and not is_held(daemon, other[0])
    finally:
        for end in other:
            os.close(end)


def test_several_descriptors_go_to_several_getfds_in_their_order(daemon, qmp, pipe):
    others = [os.pipe() for _ in range(3)]
    firsts = [ends[0] for ends in others]
    try:
        assert send_fds(qmp, firsts, "a") == {"return": {}}
        for name in "bc":
            assert qmp.command("getfd", fdname=name) == {}
        with pytest.raises(QmpError, match="No descriptor for 'd' was sent along"):
            qmp.command("getfd", fdname="d")
        for name, fd in zip("abc", firsts):
            assert is_held(daemon, fd)
            qmp.command("closefd", fdname=name)
            assert not is_held(daemon, fd)
    finally:
        for end in sum(others, ()):
            os.close(end)


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


def test_more_descriptors_than_may_wait_are_closed_at_once(daemon, qmp, pipe):
    count = daemon.count_fds()
    assert send_fds(qmp, pipe[:1] * (MOST_WAITING + 10)) == {"return": {}}
    assert daemon.count_fds() == count + MOST_WAITING
    assert daemon.stderr().count("dropped descriptors that were sent") == 1
    # They go to those who ask, and then there are none.
    for i in range(1, MOST_WAITING):
        qmp.command("getfd", fdname=f"fd{i}")
    with pytest.raises(QmpError, match="No descriptor"):
        qmp.command("getfd", fdname="one-more")
    for i in range(MOST_WAITING):
        qmp.command("closefd", fdname=f"fd{i}")
    assert daemon.count_fds() == count


def test_descriptors_that_nobody_takes_do_not_pile_up(daemon, qmp, pipe):
    count = daemon.count_fds()
    for _ in range(100):
        qmp.send_with_fds({"execute": "query-version"}, pipe[:1])
        assert "return" in qmp.receive()
    assert daemon.count_fds() == count + MOST_WAITING
    assert daemon.stderr().count("dropped descriptors that were sent") == 1  # not 84 lines


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
