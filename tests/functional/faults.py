"""Fault injection: makes calls of a program fail, by the library of tests/fault."""

import errno
import mmap
import os
import struct

SLOT = struct.Struct("=32s4i")  # FaultSlot: name, countdown, times, error, fired


class Faults:
    """The control file of a program under test, once that runs."""

    def __init__(self, library, control):
        self.library = library
        self.control = control
        self.map = None

    def environment(self):
        """What the program needs in its environment."""
        return {**os.environ, "LD_PRELOAD": str(self.library), "FAULT_CONTROL": str(self.control)}

    def attach(self):
        """The program runs: learn which functions there are."""
        with open(self.control, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)
        self.offsets = {}
        for offset in range(0, len(self.map), SLOT.size):
            name = SLOT.unpack_from(self.map, offset)[0].rstrip(b"\0").decode()
            self.offsets[name] = offset

    def _write(self, function, countdown, times, error):
        # The countdown last, for it is what the program looks at.
        struct.pack_into("=3i", self.map, self.offsets[function] + 36, times, error, 0)
        struct.pack_into("=i", self.map, self.offsets[function] + 32, countdown)

    def arm(self, function, nth, error, times=1):
        """Let the @nth call from now on, from 1, fail; and those after it, @times in all."""
        self._write(function, nth, times, getattr(errno, error))

    def disarm(self, function):
        """Returns how many calls have failed since arm()."""
        fired = self.fired(function)
        self._write(function, 0, 0, 0)
        return fired

    def fired(self, function):
        return SLOT.unpack_from(self.map, self.offsets[function])[4]
