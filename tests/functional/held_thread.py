"""Hold one thread of a process still, by ptrace(2): how a test makes "not yet" last."""

import ctypes
import os
from contextlib import contextmanager

import pytest

PTRACE_DETACH = 17
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
WALL = 0x40000000  # waitpid(2): also threads

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


class HeldThread:
    """A thread that stands still until release()."""

    def __init__(self, thread_id):
        self.thread_id = thread_id
        if libc.ptrace(PTRACE_SEIZE, thread_id, None, None) != 0:
            pytest.skip(f"no ptrace here: {os.strerror(ctypes.get_errno())}")
        self.held = True
        assert libc.ptrace(PTRACE_INTERRUPT, thread_id, None, None) == 0
        os.waitpid(thread_id, WALL)

    def release(self):
        if self.held:
            self.held = False
            libc.ptrace(PTRACE_DETACH, self.thread_id, None, None)


@contextmanager
def held(thread_id):
    thread = HeldThread(thread_id)
    try:
        yield thread
    finally:
        thread.release()
