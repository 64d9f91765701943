"""Socket relays from the outside: what they relay, where they are placed, and what is refused."""

import json
import signal
import socket
import subprocess
import threading

import pytest

from qmp_client import DEADLINE, QmpError
from vsock import ANY_CID, LOCAL_CID, PORT, need_vsock

EMPTY_ERRORS = dict.fromkeys(
    ["reset", "idle-timeout", "limit", "accept", "resolve", "refused", "connect-timeout", "connect",
     "system", "stopped"], 0)
DEFAULTS = {
    "iothread": None, "iothreads": [], "buffer-size": 524288, "max-connections": 0,
    "idle-timeout-ms": 0, "connect-timeout-ms": 10000, "target-retry-ms": 5000,
    "drain-timeout-ms": 0, "connection-events": False,
}


def add(qmp, name, **properties):
    qmp.command("object-add", qom_type="socket-relay", id=name, **properties)


def get(qmp, key, name="r"):
    return qmp.command("qom-get", path=f"/objects/{name}", property=key)


def set_(qmp, key, value, name="r"):
    return qmp.command("qom-set", path=f"/objects/{name}", property=key, value=value)


def wait_until_deleting(qmp, name="r"):
    """Until its deletion has begun; nothing tells of that."""
    while True:
        try:
            set_(qmp, "connect-timeout-ms", 10000, name)
        except QmpError as error:
            assert "is being deleted" in error.desc
            return


def error_of(function, *args, **kwargs):
    with pytest.raises(QmpError) as caught:
        function(*args, **kwargs)
    return caught.value.desc


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(DEADLINE)
    client.connect(str(path))
    return client


@pytest.fixture
def target(sockets):
    """A target that echoes what each of its connections sends."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(sockets / "out"))
    listener.listen()

    def echo(client):
        with client:
            while data := client.recv(65536):
                client.sendall(data)

    def serve():
        while True:
            try:
                client = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=echo, args=(client,), daemon=True).start()

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"unix:{sockets}/out"
    listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    listener.close()


@pytest.fixture
def relay(qmp, sockets, target):
    """The path of a relay to the target."""
    add(qmp, "r", listen=f"unix:{sockets}/in", target=target)
    return sockets / "in"


def exchange(client, data):
    client.sendall(data)
    received = b""
    while len(received) < len(data):
        received += client.recv(65536)
    assert received == data


def wait_for(qmp, key, value):
    """A connection's end is known to the relay a little later than to its client."""
    while get(qmp, key) != value:
        pass


def test_its_properties(qmp, relay, sockets, target):
    listed = {p["name"]: p for p in qmp.command("qom-list-properties", typename="socket-relay")}
    assert {n for n, p in listed.items() if p.get("create-only")} == {"listen"}
    assert {n for n, p in listed.items() if p.get("read-only")} == {
        "address", "connections", "total-connections", "refused", "bytes-in", "bytes-out", "errors",
        "targets-down"}
    for key, value in DEFAULTS.items():
        assert get(qmp, key) == value
    assert get(qmp, "listen") == get(qmp, "address") == f"unix:{sockets}/in"
    assert get(qmp, "target") == target
    assert get(qmp, "errors") == EMPTY_ERRORS and get(qmp, "targets-down") == []


def test_it_relays_and_counts(qmp, relay):
    with connect(relay) as client:
        exchange(client, b"there and back")
        assert get(qmp, "connections") == get(qmp, "total-connections") == 1
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    wait_for(qmp, "connections", 0)
    assert get(qmp, "bytes-in") == get(qmp, "bytes-out") == len(b"there and back")
    assert get(qmp, "errors") == EMPTY_ERRORS


def test_it_moves_while_it_relays(qmp, relay):
    for name in ["io0", "io1", "io2"]:
        qmp.command("object-add", qom_type="iothread", id=name)
    places = [("iothread", "io0"), ("iothread", "io1"), ("iothread", None),
              ("iothreads", ["io0", "io1", "io2"]), ("iothreads", ["io2"]), ("iothreads", [])]
    clients = [connect(relay) for _ in range(10)]
    for key, value in places:
        set_(qmp, key, value)
        assert get(qmp, key) == value
        for client in clients:
            exchange(client, bytes(range(256)) * 1000)
    for client in clients:
        client.close()
    wait_for(qmp, "connections", 0)
    assert get(qmp, "errors") == EMPTY_ERRORS
    for name in ["io0", "io1", "io2"]:
        qmp.command("object-del", id=name)


def test_an_iothread_in_use_names_the_relay(qmp, sockets, target):
    for name in ["io0", "io1"]:
        qmp.command("object-add", qom_type="iothread", id=name)
    add(qmp, "r", listen=f"unix:{sockets}/in", target=target, iothreads=["io0", "io1"])
    for name in ["io0", "io1"]:
        assert error_of(qmp.command, "object-del", id=name) == f"Object '{name}' is in use by 'r'"
    qmp.command("object-del", id="r")
    for name in ["io0", "io1"]:
        qmp.command("object-del", id=name)


def test_a_client_may_pass_the_socket(qmp, sockets, target):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        qmp.send_with_fds({"execute": "getfd", "arguments": {"fdname": "web"}},
                          [listener.fileno()])
        assert qmp.receive_reply() == {"return": {}}
    add(qmp, "r", listen="fd:web", target=target)
    assert get(qmp, "address") == f"tcp:127.0.0.1:{port}"
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
        exchange(client, b"x")


# ---- unix sockets ----


def test_the_socket_of_a_killed_daemon_is_taken_over(start_daemon, evloopd, sockets, target):
    """It listens until the kernel has taken the killed one's io_uring apart."""
    options = ["--qmp", f"unix:{sockets}/qmp", "--object",
               f"socket-relay,id=r,listen=unix:{sockets}/in,target={target}"]
    for _ in range(3):
        with subprocess.Popen([evloopd, *options], stdin=subprocess.DEVNULL) as proc:
            relayed = False
            while not relayed:
                assert proc.poll() is None
                try:
                    with connect(sockets / "in") as client:
                        exchange(client, b"x")
                        relayed = True
                except OSError:
                    pass  # it is the killed one's, or not there yet
            proc.kill()
        assert (sockets / "in").exists()
    start_daemon("--object", f"socket-relay,id=r,listen=unix:{sockets}/in,target={target}")
    with connect(sockets / "in") as client:
        exchange(client, b"x")


def test_a_socket_that_another_process_has_put_there_stays(qmp, relay):
    relay.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(relay))
        other.listen()
        qmp.command("object-del", id="r")
        connect(relay).close()


def test_what_is_there_already_stays(qmp, sockets, target):
    listen = f"unix:{sockets}/out"  # the target's own
    assert error_of(add, qmp, "r", listen=listen, target=target) == (
        f"can't listen on '{listen}': another process is listening on it")
    connect(sockets / "out").close()
    (sockets / "file").write_text("mine")
    assert error_of(add, qmp, "r", listen=f"unix:{sockets}/file", target=target) == (
        f"can't listen on 'unix:{sockets}/file': there is a file that is no socket")
    assert (sockets / "file").read_text() == "mine"


# ---- vsock ----


def test_a_relay_listens_on_a_vsock(qmp, target):
    need_vsock(ANY_CID)
    listen = f"vsock:any:{PORT}"
    for _ in range(2):
        add(qmp, "r", listen=listen, target=target)
        assert get(qmp, "address") == f"vsock:{ANY_CID}:{PORT}"
        assert error_of(add, qmp, "s", listen=listen, target=target) == (
            f"can't listen on '{listen}': bind: Address already in use")
        qmp.command("object-del", id="r")
    listen = f"vsock:4294967294:{PORT}"
    assert error_of(add, qmp, "s", listen=listen, target=target) == (
        f"can't listen on '{listen}': bind: Cannot assign requested address")


def test_a_relay_over_vsocks(qmp, target):
    need_vsock(LOCAL_CID)
    add(qmp, "r", listen=f"vsock:local:{PORT}", target=target)
    add(qmp, "s", listen=f"vsock:any:{PORT + 1}", target=f"vsock:local:{PORT}")
    with socket.socket(socket.AF_VSOCK) as client:
        client.settimeout(DEADLINE)
        client.connect((LOCAL_CID, PORT + 1))
        exchange(client, b"there and back" * 10000)


# ---- the end ----


def test_deleting_lets_connections_finish(daemon, qmp, relay):
    set_(qmp, "drain-timeout-ms", 60000)
    with connect(relay) as client, daemon.connect() as other:
        exchange(client, b"x")
        other.send({"execute": "object-del", "arguments": {"id": "r"}})
        # Not an answer yet, and the connection goes on.
        exchange(client, b"y")
        assert "is being deleted" in error_of(qmp.command, "object-del", id="r")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        assert other.receive_reply() == {"return": {}}
    assert not relay.exists()


@pytest.mark.parametrize("places", [[], ["io0", "io1", "io2"]], ids=["main-loop", "iothreads"])
def test_the_time_to_finish_is_cut_short_by_setting_it(daemon, qmp, relay, places):
    for place in places:
        qmp.command("object-add", **{"qom-type": "iothread", "id": place})
    set_(qmp, "iothreads", places)
    set_(qmp, "drain-timeout-ms", 3600000)
    with connect(relay) as client, daemon.connect() as other:
        exchange(client, b"x")
        other.send({"execute": "object-del", "arguments": {"id": "r"}})
        wait_until_deleting(qmp)
        set_(qmp, "drain-timeout-ms", 3000000)
        exchange(client, b"y")
        assert "is being deleted" in error_of(set_, qmp, "idle-timeout-ms", 1)
        assert "expects" in error_of(set_, qmp, "drain-timeout-ms", -1)
        exchange(client, b"z")
        set_(qmp, "drain-timeout-ms", 0)
        assert client.recv(1) == b""
        assert other.receive_reply() == {"return": {}}


@pytest.mark.parametrize("way", ["qom-set", "signal"])
def test_a_configuration_that_waits_for_a_relay_to_finish_is_cut_short_too(
        daemon, qmp, sockets, target, way):
    """Whatever else changes objects waits for the configuration."""
    text = json.dumps({"execute": "object-add", "arguments": {
        "qom-type": "socket-relay", "id": "r", "listen": f"unix:{sockets}/in", "target": target,
        "drain-timeout-ms": 3600000}})
    qmp.command("config-apply", files=[{"name": "f", "text": text}])
    with connect(sockets / "in") as client, daemon.connect() as other:
        exchange(client, b"x")
        other.send({"execute": "config-apply", "arguments": {"files": []}})
        while (sockets / "in").exists():  # nothing tells that it goes
            exchange(client, b"y")
        if way == "signal":
            daemon.proc.send_signal(signal.SIGTERM)
            other.wait_event("SHUTDOWN")
            daemon.proc.send_signal(signal.SIGTERM)
        else:
            set_(qmp, "drain-timeout-ms", 0)
        assert client.recv(1) == b""
        [removed] = other.receive_reply()["return"]["removed"]
        assert removed["id"] == "r"


@pytest.mark.parametrize("first", ["object-del", "quit", signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_daemon_ends_breaks_connections_off(daemon, qmp, relay, first, second):
    set_(qmp, "drain-timeout-ms", 3600000)
    with connect(relay) as client, daemon.connect() as other:
        exchange(client, b"x")
        if first == signal.SIGTERM:
            daemon.proc.send_signal(first)
        elif first == "quit":
            qmp.command("quit")
        else:
            # The command runs still when the daemon ends.
            other.send({"execute": "object-del", "arguments": {"id": "r"}})
            wait_until_deleting(qmp)
            daemon.proc.send_signal(signal.SIGTERM)
        other.wait_event("SHUTDOWN")
        exchange(client, b"y")
        daemon.proc.send_signal(second)
        assert client.recv(1) == b""
    assert daemon.proc.wait(DEADLINE) == 0
    assert "ending at once" in daemon.stderr()


def test_the_daemon_ends_with_connections(daemon, qmp, relay):
    with connect(relay) as client:
        exchange(client, b"x")
        qmp.command("quit")
        assert client.recv(1) == b""
    assert daemon.proc.wait(DEADLINE) == 0
    assert not relay.exists()


def test_targets_take_turns_and_one_that_is_down_is_told_of(qmp, sockets, target):
    missing = f"unix:{sockets}/missing"
    add(qmp, "r", listen=f"unix:{sockets}/in", target=[missing, target])
    for _ in range(3):
        with connect(sockets / "in") as client:
            exchange(client, b"x")
    event = qmp.wait_event("RELAY_TARGET_DOWN")["data"]
    assert event == {"id": "r", "target": missing, "reason": "No such file or directory"}
    assert get(qmp, "targets-down") == [missing]


@pytest.mark.parametrize("arguments, message", [
    ({"target": 7}, "Parameter 'target' expects an address, or a list of addresses"),
    ({"target": ["tcp:127.0.0.1:1", {}]},
     "Parameter 'target' expects an address, or a list of addresses"),
    ({"target": ["unix:/a\0b"]}, "Parameter 'target' expects a string without the character "
                                "\\u0000"),
    ({"target": []}, "target: the list is empty, expected an address"),
    ({"target": "x"}, "target: 'x' is no address: expected unix:PATH, tcp:HOST:PORT or "
                      "vsock:CID:PORT"),
    ({"listen": "x"}, "listen: 'x' is no address: expected unix:PATH, tcp:HOST:PORT, "
                      "vsock:CID:PORT or fd:NAME"),
    ({"listen": "tcp:a.b:1"}, "can't listen on 'tcp:a.b:1': the host is a name, expected an IP "
                              "address, 'localhost' or '*'"),
    ({"listen": "fd:x"}, "Parameter 'listen': there is no descriptor 'x'; getfd keeps one"),
    ({"iothread": "x"}, "Parameter 'iothread' expects the id of an IOThread, or null for the main "
                        "loop; there is no IOThread 'x'"),
    ({"iothreads": ["x"]}, "Parameter 'iothreads' expects ids of IOThreads; there is no IOThread "
                           "'x'"),
    ({"iothreads": ["io0", "io0"]}, "Parameter 'iothreads' names IOThread 'io0' twice"),
    ({"iothread": "io0", "iothreads": ["io0"]},
     "Parameters 'iothread' and 'iothreads' can't both be set"),
    ({"buffer-size": 4095}, "Parameter 'buffer-size' expects an integer from 4096 to 1048576"),
    ({"idle-timeout-ms": -1},
     "Parameter 'idle-timeout-ms' expects an integer from 0 to 1099511627776"),
])
def test_what_is_wrong_is_named_and_leaves_nothing(qmp, daemon, arguments, message):
    qmp.command("object-add", qom_type="iothread", id="io0")
    before = daemon.count_fds()
    arguments = {"listen": "tcp:127.0.0.1:0", "target": "tcp:127.0.0.1:1", **arguments}
    reply = qmp.execute("object-add", {"qom-type": "socket-relay", "id": "r", **arguments})
    assert reply["error"]["desc"] == message
    assert daemon.count_fds() == before
    qmp.command("object-del", id="io0")


def test_a_property_that_is_refused_stays(qmp, relay, target):
    assert "is no address" in error_of(set_, qmp, "target", ["x"])
    assert get(qmp, "target") == target
    assert "no IOThread" in error_of(set_, qmp, "iothread", "x")
    assert get(qmp, "iothread") is None
    assert "can only be set when" in error_of(set_, qmp, "listen", "tcp:127.0.0.1:0")
    with connect(relay) as client:
        exchange(client, b"x")
