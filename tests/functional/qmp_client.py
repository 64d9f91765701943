"""A QMP client for tests: raw where a test needs it, short where it does not."""

import array
import json
import os
import select
import socket
import time

DEADLINE = 60  # seconds; only a hang reaches it


class QmpError(Exception):
    """An error reply."""

    def __init__(self, error):
        super().__init__(f"{error['class']}: {error['desc']}")
        self.error_class = error["class"]
        self.desc = error["desc"]


def wait_until_up(path):
    """Until a daemon listens on @path."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            Qmp(path).close()
            return
        except (FileNotFoundError, ConnectionRefusedError):
            assert time.monotonic() < deadline, f"nobody listens on {path}"
            time.sleep(0.002)  # the condition is tried again


class Qmp:
    """One session. Replies and events that are not asked for yet are kept, in order."""

    def __init__(self, path, negotiate=True, oob=False, sock=None):
        """Connect to @path, or take the connected socket @sock over."""
        self.socket = sock or socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(DEADLINE)
        if sock is None:
            self.socket.connect(path)
        self.buffer = b""
        self.events = []
        self.fds = []  # that came with answers and are nobody's yet, in their order
        self.greeting = None
        if negotiate:
            self.greeting = self.receive()
            arguments = {"enable": ["oob"]} if oob else {}
            self.command("qmp_capabilities", **arguments)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        self.socket.close()
        while self.fds:
            os.close(self.fds.pop())

    def send_raw(self, data):
        """Send bytes as they are."""
        self.socket.sendall(data)

    def send(self, message):
        self.send_raw(json.dumps(message).encode() + b"\n")

    def send_with_fds(self, message, fds):
        """Send a message with descriptors, by SCM_RIGHTS."""
        self.socket.sendmsg([json.dumps(message).encode()],
                            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])

    def receive_line(self):
        """The next line as bytes, its end included; b"" when the server has closed."""
        while b"\n" not in self.buffer:
            data, fds, flags, _ = socket.recv_fds(self.socket, 65536, 16,
                                                  socket.MSG_CMSG_CLOEXEC)
            assert not flags & socket.MSG_CTRUNC
            self.fds += fds
            if not data:
                assert self.buffer == b"", f"half a line at the end: {self.buffer!r}"
                return b""
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line + b"\n"

    def receive(self):
        """The next message, whatever it is; None when the server has closed."""
        line = self.receive_line()
        return json.loads(line) if line else None

    def receive_reply(self):
        """The next message that is no event; events before it are kept."""
        while True:
            message = self.receive()
            if message is None or "event" not in message:
                return message
            self.events.append(message)

    def wait_event(self, name=None):
        """The next event (called @name), kept or not yet here; others before it are dropped."""
        while True:
            message = self.events.pop(0) if self.events else self.receive()
            assert message is not None, "the server closed the connection"
            assert "event" in message, f"no event but {message}"
            if name in (None, message["event"]):
                return message

    def execute(self, command, arguments=None, key="execute", **members):
        """Send a command and return its reply as it is."""
        message = {key: command, **members}
        if arguments is not None:
            message["arguments"] = arguments
        self.send(message)
        return self.receive_reply()

    def command(self, name, **arguments):
        """Run a command (arguments with _ for -) and return its result; QmpError on error."""
        arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
        reply = self.execute(name, arguments)
        assert reply is not None, "the server closed the connection"
        if "error" in reply:
            raise QmpError(reply["error"])
        return reply["return"]

    def oob(self, name, **arguments):
        """As command(), out-of-band."""
        arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
        reply = self.execute(name, arguments, key="exec-oob")
        if "error" in reply:
            raise QmpError(reply["error"])
        return reply["return"]

    def sync(self):
        """Go there and back; what the session goes on doing after an error."""
        reply = self.execute("query-version", id="sync")
        assert reply is not None, "the server closed the connection"
        assert reply.get("id") == "sync" and "return" in reply, f"no answer to sync() but {reply}"

    def expect_error(self, request, desc, error_class="GenericError"):
        """Send a request (bytes as they are) that must fail so; then the session must go on."""
        if isinstance(request, bytes):
            self.send_raw(request)
        else:
            self.send(request)
        expected = {"error": {"class": error_class, "desc": desc}}
        if isinstance(request, dict) and "id" in request:
            expected["id"] = request["id"]
        reply = self.receive_reply()
        assert reply == expected
        self.sync()

    def has_input(self, timeout=0):
        """Whether something has arrived that is not read yet, or does within so many seconds."""
        return self.buffer != b"" or select.select([self.socket], [], [], timeout)[0] != []

    def at_end(self):
        """Whether the server has closed, with nothing left to read."""
        return self.receive_line() == b""
