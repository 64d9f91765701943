"""What a daemon leaves to the next, made by hand."""

import fcntl
import json
import os
import socket
import struct

F_ADD_SEALS, SEALS = 1033, 15  # to be sealed, not to shrink, to grow, to be written to


class Parcel:
    """A parcel, to be put into the store of a service manager."""

    def __init__(self, state=None, seals=SEALS, content=b""):
        self.receiver, self.sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.fds = []
        if state is not None:
            text = state if isinstance(state, bytes) else json.dumps(state).encode()
            self.add_memory(text, seals)
            self.add_memory(content, SEALS)

    def add_memory(self, content, seals):
        fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.write(fd, content)
        fcntl.fcntl(fd, F_ADD_SEALS, seals)
        self.fds.append(fd)

    def send(self, fds, first=0, count=None, header=None):
        header = header or struct.pack("=QQ", first, len(fds) if count is None else count)
        socket.send_fds(self.sender, [header], fds)

    def finish(self):
        """The descriptor to be put into the store."""
        for fd in self.fds:
            os.close(fd)
        self.sender.close()
        return self.receiver.detach()


def open_parcel(parcel):
    """The state that is in a parcel, which is empty then, and its other descriptors."""
    fds = []
    with socket.socket(fileno=os.dup(parcel)) as sock:
        while received := socket.recv_fds(sock, 4096, 253)[1]:
            fds += received
    with os.fdopen(fds[0], "rb") as file:
        return json.loads(os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)), fds[1:]


def state_of(*objects, **members):
    return {"version": 1, "objects": list(objects),
            "clocks": {"realtime-ns": 0, "virtual-ns": 0, "virtual-rt-ns": 0, "running": True},
            **members}


def own(name, state=None, qom_type="timer", **properties):
    return {"qom-type": qom_type, "id": name, "asked-by": "client", "properties": properties,
            **({} if state is None else {"state": state})}
