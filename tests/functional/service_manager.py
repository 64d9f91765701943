"""A service manager for tests: it is notified, keeps descriptors, and starts the daemon anew."""

import os
import signal
import socket
import threading

from qmp_client import DEADLINE

NAME = "evloopd-state"
MAX_FDS = 253


class ServiceManager:
    """The manager's end of NOTIFY_SOCKET, its store of descriptors, and the daemon that it runs."""

    def __init__(self, folder, launch):
        """@launch(FDS, OPTION..., env=) starts a daemon and passes it descriptors."""
        self.launch = launch
        self.messages = []  # all, each a list of lines
        self.store = []  # of (name, descriptor)
        self.keeps = True
        self.daemon = None
        self.changed = threading.Condition()
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    # ---- what it is told: a thread of its own, for the daemon waits for it ----

    def run(self):
        while self.take_message():
            pass

    def take_message(self):
        data, fds, _, _ = socket.recv_fds(self.socket, 65536, MAX_FDS, socket.MSG_CMSG_CLOEXEC)
        lines = data.decode().strip().split("\n")
        if lines == ["END"]:
            return False
        fields = dict(line.split("=", 1) for line in lines)
        with self.changed:
            self.messages.append(lines)
            if fields.get("FDSTORE") == "1" and self.keeps:
                assert fields["FDPOLL"] == "0"
                self.store += [(fields["FDNAME"], fd) for fd in fds]
                fds = []
            if fields.get("FDSTOREREMOVE") == "1":
                self.drop(fields["FDNAME"])
            self.changed.notify_all()
        for fd in fds:  # a barrier's too: that lets it go on
            os.close(fd)
        return True

    def drop(self, name):
        for other, fd in self.store:
            if other == name:
                os.close(fd)
        self.store = [item for item in self.store if item[0] != name]

    def put(self, *fds, name=NAME):
        """Put descriptors into the store, which it takes over."""
        with self.changed:
            self.store += [(name, fd) for fd in fds]

    def has_been_told(self, *lines):
        with self.changed:
            return list(lines) in self.messages

    # ---- what it does ----

    def start(self, *options, wait=True, **popen_options):
        """Start the daemon; it is passed what is in the store, which stays there."""
        with self.changed:
            names = ":".join(name for name, _ in self.store)
            fds = [fd for _, fd in self.store]
            count = len(self.messages)
        env = {**os.environ, "NOTIFY_SOCKET": self.path}
        env.update({"LISTEN_FDNAMES": names} if fds else {})
        self.daemon = self.launch(fds, "--fd-store", *options, env=env, **popen_options)
        if wait:
            self.wait_until_ready(count)
            self.daemon.wait_until_up()
        return self.daemon

    def wait_until_ready(self, count):
        """Until the daemon is ready, after the first @count messages, or has ended."""
        with self.changed:
            while not any("READY=1" in message for message in self.messages[count:]):
                if self.daemon.proc.poll() is not None:
                    return
                self.changed.wait(0.01)

    def stop(self, *signals):
        """Have the daemon end, by SIGTERM."""
        for number in signals or [signal.SIGTERM]:
            self.daemon.proc.send_signal(number)
        assert self.daemon.proc.wait(DEADLINE) == 0, self.daemon.stderr()

    def restart(self, *options, **popen_options):
        self.stop()
        return self.start(*options, **popen_options)

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"END", self.path)
        self.thread.join(DEADLINE)
        for _, fd in self.store:
            os.close(fd)
        self.socket.close()
