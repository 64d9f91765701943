"""Restarts with --fd-store: relays go on with their connections and listening sockets."""

import hashlib
import os
import re
import signal
import socket
import threading

import pytest

from configuration import ConfigDir
from configuration import add as add_line
from held_thread import held
from objects import add, error_of, get, wait_for, wait_for_count
from parcel import Parcel, own, state_of
from qmp_client import DEADLINE


class Target:
    """A target whose connections the test plays itself."""

    def __init__(self, path):
        self.address = f"unix:{path}"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.settimeout(DEADLINE)
        self.listener.bind(str(path))
        self.listener.listen(1024)

    def accept(self):
        connection = self.listener.accept()[0]
        connection.settimeout(DEADLINE)
        return connection


@pytest.fixture
def target(sockets):
    target = Target(sockets / "target")
    yield target
    target.listener.close()


def start(manager, *options, **others):
    """Without counting its descriptors: their number changes, for there is traffic at once."""
    count = len(manager.messages)
    daemon = manager.start(*options, wait=False, **others)
    manager.wait_until_ready(count)
    return daemon


def restart(manager, *options, **others):
    manager.stop()
    return start(manager, *options, **others)


def connect(address):
    kind, path = address.split(":", 1)
    if kind == "unix":
        client = socket.socket(socket.AF_UNIX)
        place = path
    else:
        client = socket.socket()
        host, port = path.rsplit(":", 1)
        place = (host, int(port))
    client.settimeout(DEADLINE)
    client.connect(place)
    return client


def pair(address, target):
    """A client, and the target's end of its connection."""
    client = connect(address)
    return client, target.accept()


def exchange(one, other, data=b"there and back"):
    for source, sink in ((one, other), (other, one)):
        source.sendall(data)
        assert receive(sink, len(data)) == data


def receive(sock, length):
    data = b""
    while len(data) < length:
        part = sock.recv(length - len(data))
        assert part
        data += part
    return data


def fill(sock, data):
    """Send what fits; how much that was."""
    sock.setblocking(False)
    sent = 0
    try:
        while sent < len(data):
            sent += sock.send(data[sent:sent + 65536])
    except BlockingIOError:
        pass
    sock.settimeout(DEADLINE)
    return sent


def assert_ended(*sockets):
    """Nothing comes any more; a reset says that too."""
    for sock in sockets:
        try:
            assert sock.recv(1) == b""
        except ConnectionResetError:
            pass
        sock.close()


def inode(address):
    return os.stat(address.removeprefix("unix:")).st_ino


# ---- connections ----


def test_connections_listening_socket_and_numbers_go_on(manager, sockets, target):
    listen = f"unix:{sockets}/r"
    with start(manager).connect() as qmp:
        add(qmp, "iothread", "io0")
        add(qmp, "iothread", "io1")
        add(qmp, "socket-relay", "r", listen=listen, target=target.address,
            iothreads=["io0", "io1"], drain_timeout_ms=1000)
        before = inode(listen)
        pairs = [pair(listen, target) for _ in range(5)]
        for ends in pairs:
            exchange(*ends)
    for restarts in range(1, 4):
        manager.stop()
        between = connect(listen)  # nobody accepts it yet
        pairs[0][0].sendall(b"sent to nobody")
        with start(manager).connect() as qmp:
            pairs.append((between, target.accept()))
            assert receive(pairs[0][1], len(b"sent to nobody")) == b"sent to nobody"
            for ends in pairs:
                exchange(*ends)
            assert inode(listen) == before
            assert get(qmp, "r", "connections") == get(qmp, "r", "total-connections") == len(pairs)
            assert get(qmp, "r", "iothreads") == ["io0", "io1"]
            assert get(qmp, "r", "drain-timeout-ms") == 1000
            count = sum(5 + i for i in range(restarts + 1)) * len(b"there and back")
            # They are counted when they have been passed on.
            wait_for_count(qmp, "r", "bytes-out", count)
            wait_for_count(qmp, "r", "bytes-in", count + restarts * len(b"sent to nobody"))
            assert set(get(qmp, "r", "errors").values()) == {0}
    for client, other in pairs:
        client.close()
        assert_ended(other)


@pytest.mark.parametrize("side", [0, 1])
def test_what_a_connection_holds_and_its_ends_go_on(manager, sockets, target, side):
    listen = f"unix:{sockets}/r"
    data = hashlib.shake_128(b"data").digest(4000000)
    with start(manager).connect() as qmp:
        add(qmp, "socket-relay", "r", listen=listen, target=target.address)
        ends = pair(listen, target)
        source, sink = ends[side], ends[1 - side]
        key = ["bytes-in", "bytes-out"][side]
        sent = fill(source, data)
        wait_for(lambda: get(qmp, "r", key) > 65536)
    received = b""
    for _ in range(4):
        manager.stop()
        received += sink.recv(200000)
        with start(manager).connect():
            received += sink.recv(200000)
            sent += fill(source, data[sent:])
    source.shutdown(socket.SHUT_WR)
    with restart(manager).connect() as qmp:
        received += receive(sink, sent - len(received))
        assert sink.recv(1) == b""
        assert received == data[:sent]
        assert get(qmp, "r", key) == sent
    with restart(manager).connect() as qmp:
        sink.sendall(b"the other half")
        assert receive(source, len(b"the other half")) == b"the other half"
        sink.close()
        assert_ended(source)
        wait_for_count(qmp, "r", "total-connections", 1)
        wait_for(lambda: get(qmp, "r", "connections") == 0)


def test_events_go_on_with_the_same_numbers(manager, sockets, target):
    listen = f"unix:{sockets}/r"
    with start(manager).connect() as qmp:
        add(qmp, "socket-relay", "r", listen=listen, target=target.address, connection_events=True)
        client, other = pair(listen, target)
        exchange(client, other, b"four")
        number = qmp.wait_event("RELAY_CONNECTED")["data"]["connection"]
    with restart(manager).connect() as qmp:
        exchange(client, other, b"four")
        client.close()
        other.close()
        data = qmp.wait_event("RELAY_DISCONNECTED")["data"]
        assert data.pop("duration-ns") > 0
        assert data == {"id": "r", "connection": number, "target": target.address, "bytes-in": 8,
                        "bytes-out": 8, "cause": "none"}


def test_a_client_without_a_target_yet_gets_one(manager, sockets):
    full = Target(sockets / "full")
    full.listener.listen(0)
    listen = f"unix:{sockets}/r"
    with connect(full.address), start(manager).connect() as qmp:
        add(qmp, "socket-relay", "r", listen=listen, target=full.address)
        with connect(listen) as client:
            wait_for(lambda: get(qmp, "r", "connections") == 1)
            client.sendall(b"hello")
            with restart(manager).connect() as after:
                assert get(after, "r", "connections") == 1
                full.accept().close()
                with full.accept() as other:
                    assert receive(other, 5) == b"hello"
    full.listener.close()


class Traffic(threading.Thread):
    """Connections one after the other, each with a stream there and back, until it is stopped."""

    def __init__(self, address, seed):
        super().__init__()
        self.address = address
        self.data = hashlib.shake_128(seed).digest(300000)
        self.go_on = True
        self.rounds = 0
        self.error = None

    def run(self):
        try:
            while self.go_on:
                self.transfer()
                self.rounds += 1
        except Exception as error:  # it is the test's to fail
            self.error = error

    def transfer(self):
        with connect(self.address) as client:
            writer = threading.Thread(target=self.write, args=(client,))
            writer.start()
            received = b""
            while part := client.recv(65536):
                received += part
            writer.join()
            assert received == self.data

    def write(self, client):
        client.sendall(self.data)
        client.shutdown(socket.SHUT_WR)


def echo(target):
    def serve(connection):
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    def accept():
        while True:
            try:
                connection = target.listener.accept()[0]
            except OSError:
                return
            connection.settimeout(DEADLINE)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    target.listener.settimeout(None)
    thread = threading.Thread(target=accept)
    thread.start()
    return thread


def test_traffic_does_not_notice(manager, sockets, target):
    server = echo(target)
    with start(manager).connect() as qmp:
        add(qmp, "iothread", "io0")
        add(qmp, "socket-relay", "r", listen="tcp:127.0.0.1:0", target=target.address,
            iothread="io0")
        address = get(qmp, "r", "address")
    threads = [Traffic(address, bytes([i])) for i in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        rounds = [thread.rounds for thread in threads]
        with restart(manager).connect() as qmp:
            assert get(qmp, "r", "address") == address
            wait_for(lambda: any(thread.error for thread in threads) or all(
                thread.rounds > before for thread, before in zip(threads, rounds)))
    for thread in threads:
        thread.go_on = False
        thread.join()
        assert thread.error is None
    with manager.daemon.connect() as qmp:
        wait_for(lambda: get(qmp, "r", "connections") == 0)
        assert get(qmp, "r", "total-connections") == sum(thread.rounds for thread in threads)
        assert set(get(qmp, "r", "errors").values()) == {0}
    target.listener.shutdown(socket.SHUT_RDWR)
    server.join()


# ---- the configuration has changed ----


def relay_line(name, listen, target, **properties):
    return add_line("socket-relay", name, listen=listen, target=target.address, **properties)


def test_connections_go_on_where_the_address_does_not(manager, sockets, target, tmp_path):
    old, new = f"unix:{sockets}/old", f"unix:{sockets}/new"
    files = ConfigDir(tmp_path)
    options = ("--config-dir", str(files.path))
    files.write("a.json", relay_line("r", old, target))
    with start(manager, *options).connect():
        ends = [pair(old, target) for _ in range(3)]
    files.write("a.json", relay_line("r", new, target, max_connections=1))
    with restart(manager, *options).connect() as qmp:
        for client, other in ends:
            exchange(client, other)
        assert not os.path.exists(f"{sockets}/old")
        assert get(qmp, "r", "connections") == 3
        assert_ended(connect(new))  # there are too many for another one
        for client, other in ends:
            client.close()
            assert_ended(other)
        wait_for(lambda: get(qmp, "r", "connections") == 0)
        exchange(*pair(new, target))


def test_a_relay_of_another_name_has_the_listening_socket(manager, sockets, target, tmp_path):
    """Once it would have been in use, and the daemon not have started."""
    listen = f"unix:{sockets}/r"
    files = ConfigDir(tmp_path)
    options = ("--config-dir", str(files.path))
    files.write("a.json", relay_line("web", listen, target))
    with start(manager, *options).connect():
        before = inode(listen)
        old = pair(listen, target)
    files.write("a.json", relay_line("front", listen, target))
    manager.stop()
    between = connect(listen)
    with start(manager, *options).connect():
        exchange(between, target.accept())
        assert inode(listen) == before
        assert_ended(*old)


def test_addresses_change_places(manager, sockets, target, tmp_path):
    names = [f"unix:{sockets}/{i}" for i in range(2)]
    files = ConfigDir(tmp_path)
    options = ("--config-dir", str(files.path))
    files.write("a.json", *(relay_line(f"r{i}", names[i], target) for i in range(2)))
    with start(manager, *options).connect():
        inodes = [inode(name) for name in names]
        ends = [pair(name, target) for name in names]
    files.write("a.json", *(relay_line(f"r{i}", names[1 - i], target) for i in range(2)))
    with restart(manager, *options).connect() as qmp:
        assert [inode(name) for name in names] == inodes
        for i, (client, other) in enumerate(ends):
            exchange(client, other)
            assert get(qmp, f"r{i}", "connections") == 1
            assert get(qmp, f"r{i}", "address") == names[1 - i]


def test_a_socket_that_is_in_the_way_goes(manager, target, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    files = ConfigDir(tmp_path)
    options = ("--config-dir", str(files.path))
    files.write("a.json", relay_line("r", f"tcp:127.0.0.1:{port}", target))
    with start(manager, *options).connect():
        ends = pair(f"tcp:127.0.0.1:{port}", target)
    for name, listen in (("r", f"tcp:0.0.0.0:{port}"), ("q", f"tcp:localhost:{port}")):
        files.write("a.json", relay_line(name, listen, target))
        with restart(manager, *options).connect():
            exchange(*pair(f"tcp:127.0.0.1:{port}", target))
            if name == "r":
                exchange(*ends)
    assert_ended(*ends)


def test_a_start_that_fails_breaks_no_connection(manager, sockets, target, tmp_path):
    """Whether the relay had been there already, or was what failed, or was to come yet."""
    listen = {name: f"unix:{sockets}/{name}" for name in ("there", "fails", "later")}
    files = ConfigDir(tmp_path)
    options = ("--config-dir", str(files.path))
    lines = {name: relay_line(name, listen[name], target) for name in ("there", "fails")}
    files.write("a.json", *lines.values())
    with start(manager, *options).connect() as qmp:
        add(qmp, "socket-relay", "later", listen=listen["later"], target=target.address)
        inodes = {name: inode(address) for name, address in listen.items()}
        ends = {name: pair(address, target) for name, address in listen.items()}
        data = os.urandom(1 << 22)
        held = {name: fill(client, data) for name, (client, _) in ends.items()}
    manager.stop()
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        wrong = relay_line("fails", f"tcp:127.0.0.1:{used.getsockname()[1]}", target)
        files.write("a.json", lines["there"], wrong)
        for _ in range(2):
            failed = manager.start(*options, wait=False)
            assert failed.proc.wait(DEADLINE) == 1
            failed.proc.returncode = 0  # as it should
            assert "Address already in use" in failed.stderr()
            assert "restart: kept: objects 3, descriptors 9\n" in failed.stderr()
    files.write("a.json", *lines.values())
    between = [connect(address) for address in listen.values()]
    with start(manager, *options).connect() as qmp:
        for name, (client, other) in ends.items():
            assert inode(listen[name]) == inodes[name]
            assert get(qmp, name, "total-connections") >= 1
            assert receive(other, held[name]) == data[:held[name]]
            exchange(client, other)
            exchange(other, client)
        for client in between:
            client.sendall(b"x")
        assert [receive(target.accept(), 1) for _ in between] == [b"x"] * len(between)
        for address in listen.values():
            exchange(*pair(address, target))


def test_the_file_of_a_socket_that_nobody_wants_is_removed(manager, sockets, target, tmp_path):
    listen = f"unix:{sockets}/r"
    files = ConfigDir(tmp_path)
    options = ("--config-dir", str(files.path))
    files.write("a.json", relay_line("r", listen, target))
    with start(manager, *options).connect():
        ends = pair(listen, target)
    files.write("a.json")
    with restart(manager, *options).connect():
        assert not os.path.exists(f"{sockets}/r")
        assert_ended(*ends)


def test_a_file_that_another_has_put_there_stays(manager, sockets, target):
    listen = f"unix:{sockets}/r"
    with start(manager).connect() as qmp:
        add(qmp, "socket-relay", "r", listen=listen, target=target.address)
        ends = pair(listen, target)
    manager.stop()
    os.unlink(f"{sockets}/r")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(f"{sockets}/r")
        other.listen()
        with start(manager).connect() as qmp:
            assert "There is no object" in error_of(get, qmp, "r", "address")
            assert os.path.exists(f"{sockets}/r")
    assert ("evloopd: warning: restart: socket-relay 'r' is lost: can't listen on "
            f"'{listen}': another process is listening on it\n") in manager.daemon.stderr()
    assert_ended(*ends)


# ---- descriptors that were given ----


def test_a_listening_socket_that_a_client_has_sent_is_used_on(manager, target):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = "tcp:127.0.0.1:%d" % listener.getsockname()[1]
        with start(manager).connect() as qmp:
            qmp.send_with_fds({"execute": "getfd", "arguments": {"fdname": "l"}},
                              [listener.fileno()])
            assert qmp.receive_reply() == {"return": {}}
            add(qmp, "socket-relay", "r", listen="fd:l", target=target.address)
            ends = pair(address, target)
    with restart(manager).connect() as qmp:
        exchange(*ends)
        exchange(*pair(address, target))
        assert get(qmp, "r", "listen") == "fd:l"
        assert "there is no descriptor 'l'" in error_of(
            add, qmp, "socket-relay", "q", listen="fd:l", target=target.address)


def test_a_listening_socket_that_the_daemon_is_passed_is_taken_from_there(manager, target):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = "tcp:127.0.0.1:%d" % listener.getsockname()[1]
        manager.put(os.dup(listener.fileno()), name="web")
    option = f"socket-relay,id=r,listen=fd:web,target={target.address}"
    with start(manager, "--object", option).connect():
        ends = pair(address, target)
    for _ in range(2):
        manager.stop()
        between = connect(address)
        with start(manager, "--object", option).connect() as qmp:
            exchange(*ends)
            exchange(between, target.accept())
            assert "is in use by 'r'" in error_of(
                add, qmp, "socket-relay", "q", listen="fd:web", target=target.address)


# ---- what does not go on ----


def test_what_there_is_no_room_for_ends(manager, sockets, target):
    listen = f"unix:{sockets}/r"
    with start(manager, limit_fds=200).connect() as qmp:
        add(qmp, "socket-relay", "r", listen=listen, target=target.address)
        # The daemon leaves 64 descriptors for itself.
        ends = [pair(listen, target) for _ in range(75)]
        wait_for_count(qmp, "r", "total-connections", 75)
    manager.stop()
    [line] = [line for line in manager.daemon.stderr().splitlines() if "relay 'r'" in line]
    found = re.fullmatch(r"evloopd: warning: relay 'r': (\d+) of (\d+) connections end with the "
                         "daemon: Too many open files", line)
    lost, total = map(int, found.groups())
    assert total == 75 and 5 < lost < 25
    with start(manager, limit_fds=200).connect() as qmp:
        assert get(qmp, "r", "connections") == 75 - lost
        assert get(qmp, "r", "errors")["stopped"] == lost
        assert get(qmp, "r", "total-connections") == 75
        assert manager.daemon.stderr().endswith("restart: objects that go on: 1\n")
    for client, other in ends:
        client.close()
        other.close()


def test_what_is_not_kept_in_the_end_leaves_no_socket(manager, sockets, target):
    listen = f"unix:{sockets}/r"
    with start(manager).connect() as qmp:
        add(qmp, "iothread", "io0")
        add(qmp, "socket-relay", "r", listen=listen, target=target.address, iothread="io0")
        ends = pair(listen, target)
        number = next(number for number, found in manager.daemon.tasks().items() if found == "io0")
        with held(number):
            manager.daemon.proc.send_signal(signal.SIGTERM)
            assert qmp.wait_event("SHUTDOWN")
            manager.daemon.proc.send_signal(signal.SIGTERM)
            wait_for(lambda: "ending at once" in manager.daemon.stderr())
        assert manager.daemon.proc.wait(DEADLINE) == 0
    assert not os.path.exists(f"{sockets}/r")
    assert_ended(*ends)


# ---- states that are damaged ----


def relay_state(target, **state):
    return own("r", state, "socket-relay", listen="tcp:127.0.0.1:0", target=target.address)


@pytest.mark.parametrize("connection", [
    1,
    {},
    {"client": -1},
    {"client": 1},
    {"client": 1000000000000},
    {"client": 2},  # no socket
    {"client": 4},  # it listens
    {"client": 3, "address": "unix:/x"},
    {"client": 3, "target": 3, "address": "unix:/x"},
    {"client": 3, "target": 2, "address": "unix:/x"},
    {"client": 3, "target": 5, "address": "nowhere"},
    {"client": 3, "target": 5, "address": "fd:x"},
    {"client": 3, "target": 5, "address": "unix:/x", "in": {"held": 4, "at": 0}},
    {"client": 3, "target": 5, "address": "unix:/x", "in": {"held": 1048577, "at": 0}},
    {"client": 3, "target": 5, "address": "unix:/x", "out": {"held": 1, "at": 3}},
    {"client": 3, "target": 5, "address": "unix:/x", "in": {"broken": True}},
    {"client": 3, "target": 5, "address": "unix:/x", "in": {"eof": True}, "out": {"eof": True}},
])
def test_a_connection_that_is_damaged_ends_alone(manager, target, connection):
    good = {"client": 6, "target": 7, "address": "unix:/y", "out": {"held": 3, "at": 0}, "id": 3}
    parcel = Parcel(state_of(relay_state(target, connections=[connection, good])), content=b"abc")
    ends = [socket.socketpair() for _ in range(4)]
    with open("/dev/null", "rb") as file, socket.create_server(("127.0.0.1", 0)) as listener:
        fds = [file.fileno(), ends[0][1].fileno(), listener.fileno(),
               *(end[1].fileno() for end in ends[1:])]
        parcel.send([*parcel.fds, *fds])
    for _, other in ends:
        other.close()
    manager.put(parcel.finish())
    with start(manager).connect() as qmp:
        assert receive(ends[2][0], 3) == b"abc"
        exchange(ends[2][0], ends[3][0])
        assert get(qmp, "r", "connections") == 1
        assert get(qmp, "r", "errors")["stopped"] == 1
        assert_ended(ends[0][0], ends[1][0])
    assert ("evloopd: warning: relay 'r': 1 of 2 connections were kept, but can't go on\n"
            in manager.daemon.stderr())
    for end in ends:
        end[0].close()


@pytest.mark.parametrize("state", [
    {"connections": {}},
    {"connections": 1, "down": 2, "errors": 3, "last-id": "x"},
    {"down": [1, {}, {"address": 1}, {"address": "unix:/x", "until-ns": -5}]},
    {"errors": {"reset": -1, "nonsense": 7}, "bytes-in": -7, "last-id": -1},
])
@pytest.mark.parametrize("listeners", [
    None,
    1,
    [1, {}, {"name": 1}, {"name": "x", "fd": 1}],
    [{"name": "tcp:127.0.0.1:0 of r", "fd": 2}],
    [{"name": "tcp:127.0.0.1:0 of r", "fd": 99, "path": "/x", "device": 1, "inode": 1}],
    [{"name": "tcp:127.0.0.1:0 of r", "fd": 2, "path": 1, "device": "x", "inode": -1}],
])
def test_a_relay_s_state_that_is_damaged_is_no_harm(manager, target, state, listeners):
    parcel = Parcel(state_of(relay_state(target, **state), listeners=listeners))
    with open("/dev/null", "rb") as file:
        parcel.send([*parcel.fds, file.fileno()])
    manager.put(parcel.finish())
    with start(manager).connect() as qmp:
        exchange(*pair(get(qmp, "r", "address"), target))
        assert get(qmp, "r", "total-connections") == 1
