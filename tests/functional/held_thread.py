"""Hold one thread of a process still, by ptrace(2): how a test makes "not yet" last."""

import ctypes
import os
import signal
from contextlib import contextmanager

import pytest

PTRACE_DETACH = 17
PTRACE_SYSCALL = 24
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
PTRACE_GET_SYSCALL_INFO = 0x420e
PTRACE_O_TRACESYSGOOD = 1
SYSCALL_STOP = signal.SIGTRAP | 0x80
SYSCALL_ENTRY = 1
SYS_WRITE = {"x86_64": 1}.get(os.uname().machine, 64)
# io_uring_enter and epoll_pwait2 everywhere, then what else a loop may sleep in
SYS_WAITS = {426, 441, *({7, 232, 271, 281} if os.uname().machine == "x86_64" else {22, 73})}
WALL = 0x40000000  # waitpid(2): also threads

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


class HeldThread:
    """A thread that stands still until release()."""

    def __init__(self, thread_id):
        self.thread_id = thread_id
        if libc.ptrace(PTRACE_SEIZE, thread_id, None, PTRACE_O_TRACESYSGOOD) != 0:
            pytest.skip(f"no ptrace here: {os.strerror(ctypes.get_errno())}")
        self.held = True
        assert libc.ptrace(PTRACE_INTERRUPT, thread_id, None, None) == 0
        os.waitpid(thread_id, WALL)

    def _run_to_system_call(self):
        """Up to the next beginning or end of one; returns its number when it begins."""
        delivered = 0
        while True:
            assert libc.ptrace(PTRACE_SYSCALL, self.thread_id, None, delivered) == 0
            status = os.waitpid(self.thread_id, WALL)[1]
            assert os.WIFSTOPPED(status)
            if os.WSTOPSIG(status) == SYSCALL_STOP:
                break
            # A signal is passed on; what is none, for PTRACE_SEIZE marks it, is not.
            delivered = 0 if status >> 16 else os.WSTOPSIG(status)
        info = ctypes.create_string_buffer(88)
        assert libc.ptrace(PTRACE_GET_SYSCALL_INFO, self.thread_id, len(info), info) > 0
        return (int.from_bytes(info[24:32], "little") if info[0] == bytes([SYSCALL_ENTRY])
                else None)

    def run_until_written(self):
        """Let it go on until it has called write(2) once, and hold it there; or until it begins to
        wait, when it has not: then it returns False."""
        while (number := self._run_to_system_call()) != SYS_WRITE:
            if number in SYS_WAITS:
                return False
        assert self._run_to_system_call() is None
        return True

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
