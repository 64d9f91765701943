"""A QMP server for tests of evloopctl that says exactly what a test wants.

A test gives it a script, a function of a Peer, and runs evloopctl against it with the fixtures
`play` (to its end) or `start` (a process that goes on).
"""

import json
import socket
import subprocess
import threading

import pytest

DEADLINE = 60  # seconds; only a hang reaches it
GREETING = {"QMP": {"version": {"qemu": {"major": 0, "minor": 1, "micro": 0}, "package": "fake"},
                    "capabilities": ["oob"]}}


class ClientLeft(Exception):
    """The client has closed the connection: the end of a script, and for the test to judge."""


class Peer:
    """The server's end of a connection."""

    def __init__(self, connection):
        self.connection = connection
        self.requests = []  # all that were received
        self.decoder = json.JSONDecoder()
        self.text = ""

    def send(self, message):
        if not isinstance(message, bytes):
            message = json.dumps(message).encode() + b"\r\n"
        try:
            self.connection.sendall(message)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ClientLeft from error

    def receive_some(self):
        try:
            data = self.connection.recv(1 << 20)
        except ConnectionResetError as error:
            raise ClientLeft from error
        if not data:
            raise ClientLeft
        return data.decode()

    def receive(self):
        """The next request."""
        while True:
            try:
                request, end = self.decoder.raw_decode(self.text)
            except ValueError:
                self.text += self.receive_some()
                continue
            self.text = self.text[end:].lstrip()
            self.requests.append(request)
            return request

    def expect_leave(self):
        """Wait until the client leaves, without another request."""
        assert self.receive() is None

    def answer(self, value, request=None):
        request = request or self.receive()
        self.send({"return": value, "id": request["id"]})

    def negotiate(self):
        self.send(GREETING)
        self.answer({})


class Server:
    """Accepts one connection and plays @script, a function of a Peer, on it."""

    def __init__(self, path, script):
        self.path = path
        self.error = None
        self.peer = None
        self.script = script
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.listener.settimeout(DEADLINE)
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        try:
            connection = self.listener.accept()[0]
            with connection:
                connection.settimeout(DEADLINE)
                self.peer = Peer(connection)
                self.script(self.peer)
        except ClientLeft:
            pass
        except Exception as error:  # handed to the test by end()
            self.error = error

    def end(self):
        self.thread.join()
        self.listener.close()
        if self.error:
            raise self.error


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(script):
        servers.append(Server(str(tmp_path / f"fake{len(servers)}.sock"), script))
        return servers[-1]

    yield start
    for server in servers:
        server.end()


@pytest.fixture
def play(serve, evloopctl):
    """Run evloopctl against a script: its result, with the requests that the server received."""

    def run(script, *words, **options):
        server = serve(script)
        result = subprocess.run([evloopctl, "-s", server.path, *words], capture_output=True,
                                text=True, timeout=DEADLINE, **options)
        server.thread.join()
        result.requests = server.peer.requests
        return result

    return run


@pytest.fixture
def start(serve, evloopctl):
    """Start evloopctl against a script: the process."""
    processes = []

    def popen(script, *words, **options):
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        processes.append(
            subprocess.Popen([evloopctl, "-s", serve(script).path, *words], **options))
        return processes[-1]

    yield popen
    for process in processes:
        process.kill()
        process.communicate()


def answering(*values):
    """A script that answers as many commands with these values."""

    def script(peer):
        peer.negotiate()
        for value in values:
            peer.answer(value)

    return script


def sending(*messages):
    """A script that sends these in answer to the first command."""

    def script(peer):
        peer.negotiate()
        peer.receive()
        for message in messages:
            peer.send(message)

    return script


def event(name, number=0):
    return {"event": name, "data": {"number": number},
            "timestamp": {"seconds": 1700000000, "microseconds": number}}


def assert_broken(result, *parts):
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("evloopctl: ") and result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


def names(result):
    """The commands that the server received."""
    return [request.get("execute") or request.get("exec-oob") for request in result.requests]
