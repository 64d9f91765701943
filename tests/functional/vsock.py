"""Which vsocks this machine has, for tests of what listens on one."""

import os
import socket

import pytest

ANY_CID = 0xFFFFFFFF
LOCAL_CID = 1
# Ports are the whole machine's, and have 32 bits: this one and the next are this process's alone.
PORT = (1 << 24) + 2 * os.getpid()


def vsock_error(cid):
    """Why no vsock can listen at @cid; 0 when one can."""
    try:
        with socket.socket(socket.AF_VSOCK) as sock:
            sock.bind((cid, PORT))
    except OSError as error:
        return error.errno
    return 0


def need_vsock(cid):
    """Skip the test that calls this when none can listen at @cid; 1 is there with loopback only."""
    if error := vsock_error(cid):
        pytest.skip(f"no vsock at {cid}: {os.strerror(error)}")
