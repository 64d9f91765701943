"""Descriptors that systemd passes by name: to be control sockets, and to be what objects work on."""

import contextlib
import os
import socket

import pytest

import configuration
from objects import add, delete, error_of, get, wait_for_count
from qmp_client import DEADLINE, Qmp, QmpError


@pytest.fixture
def activated(activate, listener, sockets):
    """Start the daemon with a control socket and descriptors by name, for a session:
    activated({NAME: [FD...]}, OPTION...)."""
    sessions = []

    def start(descriptors, *options):
        names = ["qmp"]
        fds = [listener("control").fileno()]
        for name, group in descriptors.items():
            names += [name] * len(group)
            fds += group
        activate(fds, *options, env={"LISTEN_FDNAMES": ":".join(names)})
        sessions.append(Qmp(f"{sockets}/control"))
        return sessions[-1]

    yield start
    for session in sessions:
        session.close()


@pytest.fixture
def target(listener, sockets):
    """The end of a relay's connections, by address and as a listening socket."""
    sock = listener("target")
    sock.settimeout(DEADLINE)
    return f"unix:{sockets}/target", sock


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(DEADLINE)
    client.connect(str(path))
    return client


def assert_relayed(client, target):
    """What @client sends arrives at the next connection of @target."""
    with client, target.accept()[0] as server:
        server.settimeout(DEADLINE)
        client.sendall(b"through")
        assert server.recv(100) == b"through"


# ---- control sockets ----


def start_with_names(activate, listener, sockets, names, *options):
    """With control sockets "0", "1"... named @names; returns sessions on all."""
    fds = [listener(str(i)).fileno() for i in range(len(names))]
    activate(fds, *options, env={"LISTEN_FDNAMES": ":".join(names)})
    return [Qmp(f"{sockets}/{i}") for i in range(len(names))]


def test_one_named_qmp_ro_may_only_read(activate, listener, sockets):
    full, reader, other = start_with_names(activate, listener, sockets, ["qmp", "qmp-ro", "qmp-ro"])
    with full, reader, other:
        for session in (reader, other):
            with pytest.raises(QmpError, match="may only read"):
                session.command("object-add", qom_type="iothread", id="a")
            session.sync()
        full.command("object-add", qom_type="iothread", id="a")


@pytest.mark.parametrize("address", ["fd:4", "unix:{sockets}/1"])
def test_an_option_does_not_take_that_back(activate, listener, sockets, address):
    address = address.format(sockets=sockets)
    full, reader = start_with_names(activate, listener, sockets, ["qmp", "qmp-ro"], "--qmp",
                                    f"{address},access=full,oob=off")
    with full, reader:
        with pytest.raises(QmpError, match="may only read"):
            reader.command("quit")
        assert reader.greeting["QMP"]["capabilities"] == []


@pytest.mark.parametrize("address", ["fd:4", "unix:{sockets}/1"])
def test_one_of_any_name_is_a_control_socket_if_an_option_says_so(
        activate, listener, sockets, address):
    address = address.format(sockets=sockets)
    one, two = start_with_names(activate, listener, sockets, ["qmp", "web"], "--qmp", address)
    with one, two:
        two.sync()
        assert error_of(add, one, "socket-relay", "r", listen="fd:web", target="tcp:127.0.0.1:1") == (
            "Parameter 'listen': there is no descriptor 'web'; getfd keeps one")


def test_descriptors_for_objects_alone_are_no_control_socket(activate, listener):
    proc = activate([listener("a").fileno()], env={"LISTEN_FDNAMES": "web"})
    assert proc.wait(DEADLINE) == 1
    assert proc.stderr.read() == (
        "evloopd: there is no control socket: give --qmp unix:PATH\n")


def test_a_wrong_control_socket_is_named_whatever_comes_before_it(activate, listener):
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        proc = activate([listener("a").fileno(), tcp.fileno()],
                        env={"LISTEN_FDNAMES": "web:web.socket"})
        assert proc.wait(DEADLINE) == 1
        assert proc.stderr.read() == (
            "evloopd: socket activation: descriptor 4 ('web.socket') is no listening unix stream "
            "socket, as a control socket must be\n")


@pytest.mark.parametrize("names", ["qmp", "qmp:qmp:qmp"])
def test_a_wrong_number_of_names_is_refused(activate, listener, names):
    proc = activate([listener("a").fileno(), listener("b").fileno()],
                    env={"LISTEN_FDNAMES": names})
    assert proc.wait(DEADLINE) == 1
    text = proc.stderr.read()
    assert text.startswith("evloopd: socket activation: ") and text.count("\n") == 1


# ---- relays ----


def test_a_relay_listens_on_one_from_the_start(activated, listener, sockets, target):
    qmp = activated({"web": [listener("web").fileno()]}, "--object",
                    f"socket-relay,id=r,listen=fd:web,target={target[0]}")
    assert get(qmp, "r", "address") == f"unix:{sockets}/web"
    assert_relayed(connect(sockets / "web"), target[1])


def test_a_relay_listens_on_one_of_another_family(activated, target):
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        qmp = activated({"web": [tcp.fileno()]})
        add(qmp, "socket-relay", "r", listen="fd:web", target=target[0])
        assert_relayed(socket.create_connection(tcp.getsockname(), DEADLINE), target[1])


def test_one_relay_after_another_listens_on_it_and_clients_wait_meanwhile(
        activated, listener, sockets, target):
    qmp = activated({"web": [listener("web").fileno()]})
    for _ in range(3):
        waiting = connect(sockets / "web")  # nobody listens
        add(qmp, "socket-relay", "r", listen="fd:web", target=target[0])
        assert_relayed(waiting, target[1])
        delete(qmp, "r")
    assert (sockets / "web").exists()


def test_a_relay_that_can_not_be_leaves_it_to_the_next(activated, listener, sockets, target):
    qmp = activated({"web": [listener("web").fileno()]})
    assert "is no address" in error_of(add, qmp, "socket-relay", "r", listen="fd:web", target="x")
    add(qmp, "socket-relay", "r", listen="fd:web", target=target[0])
    assert_relayed(connect(sockets / "web"), target[1])


def test_only_one_object_has_it(activated, listener, target):
    qmp = activated({"web": [listener("web").fileno()]})
    add(qmp, "socket-relay", "r", listen="fd:web", target=target[0])
    assert error_of(add, qmp, "socket-relay", "s", listen="fd:web", target=target[0]) == (
        "Parameter 'listen': descriptor 'web' is in use by 'r'")
    delete(qmp, "r")
    add(qmp, "socket-relay", "s", listen="fd:web", target=target[0])


def test_the_next_relay_takes_over_while_connections_of_the_last_finish(
        activated, listener, sockets, target):
    qmp = activated({"web": [listener("web").fileno()]})
    add(qmp, "socket-relay", "r", listen="fd:web", target=target[0], drain_timeout_ms=100000)
    with connect(sockets / "web") as client, target[1].accept()[0] as server:
        client.sendall(b"one")
        assert server.recv(100) == b"one"
        with Qmp(f"{sockets}/control") as other:
            other.send({"execute": "object-del", "arguments": {"id": "r"}})
            while "is being deleted" not in error_of(delete, qmp, "r"):
                pass
            add(qmp, "socket-relay", "s", listen="fd:web", target=target[0])
            client.sendall(b"two")
            assert server.recv(100) == b"two"
            client.close()
            server.close()
            assert other.receive_reply() == {"return": {}}
    # The end of the first has not ended the claim of the second.
    assert error_of(add, qmp, "socket-relay", "t", listen="fd:web", target=target[0]) == (
        "Parameter 'listen': descriptor 'web' is in use by 's'")
    assert_relayed(connect(sockets / "web"), target[1])


def test_a_configuration_passes_one_on_to_another_relay(activated, listener, sockets, target,
                                                        tmp_path):
    web = tmp_path / "web.json"
    web.write_text(configuration.add("socket-relay", "r", listen="fd:web", target=target[0]))
    qmp = activated({"web": [listener("web").fileno()]}, "--config-dir", str(tmp_path))
    assert_relayed(connect(sockets / "web"), target[1])
    # It has to be free first; when that was for nothing it goes back.
    other = configuration.add("socket-relay", "s", listen="fd:web", target=target[0])
    web.write_text(other + configuration.add("event-notifier", "n", fd="none"))
    assert error_of(qmp.command, "reload").endswith(
        "web.json: line 2: Parameter 'fd': there is no descriptor 'none'; the daemon was passed "
        "'web'")
    assert configuration.objects_of(qmp) == {"r": "socket-relay"}
    assert_relayed(connect(sockets / "web"), target[1])
    web.write_text(other)
    qmp.command("reload")
    assert configuration.objects_of(qmp) == {"s": "socket-relay"}
    assert_relayed(connect(sockets / "web"), target[1])


def test_deleting_leaves_no_descriptor_behind(activate, listener, sockets, target):
    proc = activate([listener("control").fileno(), listener("web").fileno()],
                    env={"LISTEN_FDNAMES": "qmp:web"})
    with Qmp(f"{sockets}/control") as qmp:
        add(qmp, "socket-relay", "r", listen="fd:web", target=target[0])
        delete(qmp, "r")
        count = len(os.listdir(f"/proc/{proc.pid}/fd"))
        for _ in range(5):
            add(qmp, "socket-relay", "r", listen="fd:web", target=target[0])
            delete(qmp, "r")
            error_of(add, qmp, "event-notifier", "n", fd="web")
        assert len(os.listdir(f"/proc/{proc.pid}/fd")) == count


def test_the_next_daemon_gets_it_again(activate, listener, sockets, target):
    fds = [listener("control").fileno(), listener("web").fileno()]
    for _ in range(2):
        proc = activate(fds, "--object",
                        f"socket-relay,id=r,listen=fd:web,target={target[0]}",
                        env={"LISTEN_FDNAMES": "qmp:web"})
        assert_relayed(connect(sockets / "web"), target[1])
        with Qmp(f"{sockets}/control") as qmp:
            qmp.command("quit")
        assert proc.wait(DEADLINE) == 0


# ---- names ----


def test_a_name_that_is_not_there_is_answered_with_those_that_are(activated, listener):
    qmp = activated({"web": [listener("a").fileno()], "api": [listener("b").fileno()]})
    assert error_of(add, qmp, "socket-relay", "r", listen="fd:x", target="tcp:127.0.0.1:1") == (
        "Parameter 'listen': there is no descriptor 'x'; getfd keeps one; "
        "the daemon was passed 'web', 'api'")


@pytest.mark.parametrize("names, passed", [("qmp:web", "'web'"), ("qmp:qmp", "none")])
def test_nor_is_it_there_for_an_option(activate, listener, names, passed):
    proc = activate([listener("control").fileno(), listener("a").fileno()], "--object",
                    "event-notifier,id=n,fd=x", env={"LISTEN_FDNAMES": names})
    assert proc.wait(DEADLINE) == 1
    assert proc.stderr.read() == (
        "evloopd: --object event-notifier,id=n,fd=x: Parameter 'fd': there is no descriptor 'x'; "
        f"the daemon was passed {passed}\n")


def test_a_name_of_several_is_an_error(activated, listener):
    qmp = activated({"web": [listener("a").fileno(), listener("b").fileno()]})
    assert error_of(add, qmp, "socket-relay", "r", listen="fd:web", target="tcp:127.0.0.1:1") == (
        "Parameter 'listen': 2 descriptors were passed as 'web', expected one alone")
    assert error_of(add, qmp, "socket-relay", "r", listen="fd:x", target="tcp:127.0.0.1:1") == (
        "Parameter 'listen': there is no descriptor 'x'; getfd keeps one; the daemon was passed "
        "'web'")


@contextlib.contextmanager
def listener_of_a_client(qmp):
    """Send a listening socket as "web"; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        qmp.send_with_fds({"execute": "getfd", "arguments": {"fdname": "web"}}, [sock.fileno()])
        assert qmp.receive_reply() == {"return": {}}
        yield f"tcp:127.0.0.1:{sock.getsockname()[1]}"


def test_the_session_s_own_comes_first(activated, listener, sockets, target):
    qmp = activated({"web": [listener("web").fileno()]})
    for _ in range(2):
        with listener_of_a_client(qmp) as address:
            add(qmp, "socket-relay", "r", listen="fd:web", target=target[0])
            assert get(qmp, "r", "address") == address
        add(qmp, "socket-relay", "s", listen="fd:web", target=target[0])
        assert get(qmp, "s", "address") == f"unix:{sockets}/web"
        delete(qmp, "r")
        delete(qmp, "s")


# ---- notifiers ----


@pytest.fixture
def eventfd():
    fd = os.eventfd(0, os.EFD_CLOEXEC)
    yield fd
    os.close(fd)


def test_an_event_notifier_is_kicked_by_who_else_has_it(activated, eventfd):
    qmp = activated({"kick": [eventfd]})
    os.eventfd_write(eventfd, 2)  # it waits for the first
    for kicks in (2, 3):
        add(qmp, "event-notifier", "n", fd="kick")
        if kicks > 2:
            os.eventfd_write(eventfd, kicks)
        wait_for_count(qmp, "n", "kicks", kicks)
        assert error_of(add, qmp, "event-notifier", "m", fd="kick") == (
            "Parameter 'fd': descriptor 'kick' is in use by 'n'")
        delete(qmp, "n")


def test_a_descriptor_of_another_kind_is_refused_and_stays(activated, listener, target, eventfd):
    qmp = activated({"kick": [eventfd], "web": [listener("web").fileno()]})
    for _ in range(2):
        assert error_of(add, qmp, "event-notifier", "n", fd="web") == (
            "Parameter 'fd' expects an eventfd; 'web' is none")
        assert error_of(add, qmp, "socket-relay", "r", listen="fd:kick", target=target[0]) == (
            "can't listen on 'fd:kick': the descriptor is no stream socket that listens")
    assert "there is no descriptor 'bell'" in error_of(
        add, qmp, "event-notifier", "n", fd="kick", doorbell="bell")
    add(qmp, "event-notifier", "n", fd="kick")
    add(qmp, "socket-relay", "r", listen="fd:web", target=target[0])
