"""Descriptors that clients send along, by SCM_RIGHTS, and which request gets them."""

import os

import pytest

from qmp_client import Qmp


@pytest.fixture
def pipes():
    """Two pipes, as (read end, write end)."""
    pairs = [os.pipe(), os.pipe()]
    yield pairs
    for fd in [fd for pair in pairs for fd in pair if fd >= 0]:
        try:
            os.close(fd)
        except OSError:
            pass  # the test has closed it


def is_closed_everywhere(pair):
    """Whether no one has the write end any more; ours is closed first."""
    os.close(pair[1])
    os.set_blocking(pair[0], False)
    try:
        return os.read(pair[0], 1) == b""
    except BlockingIOError:
        return False


def test_a_getfd_during_negotiation_does_not_leave_its_descriptor_behind(daemon, pipes):
    with Qmp(daemon.socket, negotiate=False) as qmp:
        qmp.receive()
        qmp.send_with_fds({"execute": "getfd", "arguments": {"fdname": "x"}}, [pipes[0][1]])
        assert qmp.receive_reply()["error"]["class"] == "CommandNotFound"
        qmp.command("qmp_capabilities")
        reply = qmp.execute("getfd", {"fdname": "x"})
        assert reply["error"]["desc"] == "No descriptor for 'x' was sent along, by SCM_RIGHTS"
        assert is_closed_everywhere(pipes[0])


def test_more_descriptors_than_a_message_may_have_are_logged(daemon, qmp, pipes):
    before = daemon.count_fds()
    qmp.send_with_fds({"execute": "query-version"}, [pipes[0][1]] * 40)
    assert "return" in qmp.receive_reply()
    assert daemon.count_fds() == before + 16
    assert daemon.stderr().count("\n") == 1
