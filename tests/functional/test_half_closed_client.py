"""Clients that close their sending side and wait for their answers."""

import json
import socket

import pytest

from qmp_client import Qmp


@pytest.mark.parametrize("size", [10, 500000])
def test_the_last_answer_comes_whole_and_then_the_end(daemon, size):
    """It is given while the monitor thread sees the end of the input, and is more than the socket
    takes at once. What was left of it got lost when the two fell together."""
    value = "x" * size
    for _ in range(20):
        with Qmp(daemon.socket, negotiate=False) as qmp:
            qmp.send({"execute": "qmp_capabilities"})
            qmp.send({"execute": "x-debug-block", "arguments": {"duration-ms": 1}})
            qmp.send({"execute": "x-debug-echo", "arguments": {"value": value}})
            qmp.socket.shutdown(socket.SHUT_WR)
            lines = [qmp.receive_line() for _ in range(4)]
            assert [json.loads(line) for line in lines[1:]] == [
                {"return": {}}, {"return": {}}, {"return": value}]
            assert qmp.at_end()
