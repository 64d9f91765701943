"""What the library's documentation shows is built against the installed copy, and works."""

import asyncio
import random
import re
import resource
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from installed_library import Installed, run
from qmp_client import DEADLINE

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return Installed(tmp_path_factory.mktemp("installed"))


# ---- docs/examples/echo-server.c ----


class EchoServer:
    """The example, running."""

    def __init__(self, program, path, n_iothreads, environment):
        self.path = str(path)
        self.proc = subprocess.Popen([program, self.path, str(n_iothreads)], env=environment,
                                     stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + DEADLINE
        while self.echoes(b"up") != b"up":
            assert self.proc.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)  # the condition is tried again

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(DEADLINE)
        client.connect(self.path)
        return client

    def echoes(self, data):
        """What comes back for @data up to the end, or None when nobody listens."""
        try:
            with self.connect() as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: client.recv(65536), b""))
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    def sleeps(self):
        """How many times each of its threads went to sleep, by the threads' names."""
        return {(path / "comm").read_text().strip(): int(re.search(
            r"^voluntary_ctxt_switches:\s+(\d+)", (path / "status").read_text(), re.MULTILINE)[1])
                for path in Path(f"/proc/{self.proc.pid}/task").iterdir()}

    def count_fds(self):
        return len(list(Path(f"/proc/{self.proc.pid}/fd").iterdir()))

    def end(self, how=signal.SIGTERM):
        """End it; its exit status must be 0, also under a sanitizer."""
        self.proc.send_signal(how)
        try:
            assert self.proc.wait(DEADLINE) == 0
        finally:
            self.proc.kill()
            self.proc.wait()


@pytest.fixture(scope="module")
def program(installed, tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "echo-server"
    installed.build(ROOT / "docs/examples/echo-server.c", path)
    return str(path)


@pytest.fixture
def start_server(installed, program, sockets):
    servers = []

    def start(n_iothreads):
        servers.append(EchoServer(program, sockets / f"echo{len(servers)}", n_iothreads,
                                  installed.environment()))
        return servers[-1]

    yield start
    for server in servers:
        if server.proc.poll() is None:
            server.end()


def test_the_echo_server_sends_back_every_byte_to_many_clients(start_server):
    server = start_server(3)

    async def client(number):
        data = random.Random(number).randbytes(1 << 20)
        reader, writer = await asyncio.open_unix_connection(server.path)
        writer.write(data)
        writer.write_eof()
        echoed = await reader.read()
        writer.close()
        return echoed == data

    async def clients():
        return await asyncio.wait_for(asyncio.gather(*map(client, range(50))), DEADLINE)

    assert asyncio.run(clients()) == [True] * 50


def test_the_echo_server_has_the_iothreads_it_was_asked_for(start_server):
    threads = start_server(3).sleeps().keys()
    assert {"echo-server", "echo0", "echo1", "echo2"} <= threads
    assert "echo3" not in threads


def test_the_echo_server_deals_its_clients_out_to_all_iothreads(start_server):
    server = start_server(3)
    before = server.sleeps()
    for _ in range(3):
        assert server.echoes(b"x") == b"x"
    deadline = time.monotonic() + DEADLINE
    # Who has served a client has slept once more since, or soon will.
    while any(server.sleeps()[name] == before[name] for name in ["echo0", "echo1", "echo2"]):
        assert time.monotonic() < deadline
        time.sleep(0.002)  # the condition is tried again


def fill(client):
    """Send until the other side takes no more; the number of bytes."""
    sent = 0
    client.setblocking(False)
    while select.select([], [client], [], 0)[1]:
        try:
            sent += client.send(b"x" * 65536)
        except BlockingIOError:
            pass
    client.settimeout(DEADLINE)
    return sent


def test_a_client_of_the_echo_server_that_does_not_read_holds_up_no_other(start_server):
    server = start_server(1)
    with server.connect() as client:
        sent = fill(client)
        assert server.echoes(b"other") == b"other"
        sent += fill(client)
        client.shutdown(socket.SHUT_WR)
        echoed = sum(map(len, iter(lambda: client.recv(65536), b"")))
        assert echoed == sent


def test_the_echo_server_closes_the_sockets_of_clients_that_have_gone(start_server):
    server = start_server(2)
    with server.connect() as client:  # by now the client that waited for the server has gone
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        before = server.count_fds()
    for _ in range(20):
        assert server.echoes(b"x") == b"x"
    deadline = time.monotonic() + DEADLINE
    while server.count_fds() >= before:
        assert time.monotonic() < deadline
        time.sleep(0.002)  # the condition is tried again


def test_the_echo_server_serves_clients_that_came_when_it_was_out_of_descriptors(start_server):
    server = start_server(1)
    with server.connect() as first:
        first.sendall(b"1")
        assert first.recv(1) == b"1"
        resource.prlimit(server.proc.pid, resource.RLIMIT_NOFILE, (server.count_fds(),) * 2)
        with server.connect() as second:
            second.sendall(b"2")
            first.sendall(b"1")
            assert first.recv(1) == b"1", "it goes on meanwhile"
            first.close()
            assert second.recv(1) == b"2"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_echo_server_and_its_clients(start_server, how):
    server = start_server(2)
    with server.connect() as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        server.end(how)
        assert client.recv(1) == b""
    assert not Path(server.path).exists()


def test_the_echo_server_says_what_is_wrong_with_its_socket(installed, program, sockets):
    result = subprocess.run([program, f"{sockets}/none/echo", "1"], env=installed.environment(),
                            stderr=subprocess.PIPE, text=True, timeout=DEADLINE)
    assert result.returncode == 1
    assert result.stderr == f"echo-server: {sockets}/none/echo: No such file or directory\n"


# ---- README.md ----


def test_the_program_in_readme_says_what_readme_shows(installed, tmp_path):
    text = (ROOT / "README.md").read_text()
    [program] = re.findall(r"^```c\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    [shown] = re.findall(r"^    \$ \./hello\n    (.*\n)", text, re.MULTILINE)
    (tmp_path / "hello.c").write_text(program)
    installed.build(tmp_path / "hello.c", tmp_path / "hello")
    assert run([str(tmp_path / "hello")], env=installed.environment()) == shown
