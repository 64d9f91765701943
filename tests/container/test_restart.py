"""systemctl restart loses nothing: connections, kicks, deadlines."""

import json
import select
import subprocess
import time
from pathlib import Path

import pytest

from service import SOCKETS, call, ctl, journal, main_pid

DEADLINE = 60
TRAFFIC = (Path(__file__).parent / "traffic.py").read_text()
RESTARTS = 5

# Keeps the eventfd of the notifier in the second argument; kicks it for each line of input.
KICKER = """
import array, json, os, socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[1])
    sock.sendall(b'{"execute": "qmp_capabilities"}'
                 + json.dumps({"execute": "event-notifier-get", "id": 1,
                               "arguments": {"id": sys.argv[2]}}).encode())
    fds = []
    while not fds:
        data, fds, _, _ = socket.recv_fds(sock, 65536, 1)
        data or sys.exit("it has hung up")
print("ready", flush=True)
for line in sys.stdin:
    os.eventfd_write(fds[0], 1)
    print("kicked", flush=True)
"""


# A target at the second argument, connected to by way of the relay at the first; for each line of
# input a byte goes through.
CONNECTION = """
import os, socket, sys
os.umask(0)  # the daemon is another user
with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
    listener.bind(sys.argv[2])
    listener.listen()
    client.connect(sys.argv[1])
    target = listener.accept()[0]
    print("connected", flush=True)
    for line in sys.stdin:
        client.sendall(b"x")
        print("sent", flush=True)
        print("received" if target.recv(1) else "ended", flush=True)
"""

# A client that waits to be greeted.
CLIENT = """
import socket, sys
with socket.socket(socket.AF_UNIX) as client:
    client.connect(sys.argv[1])
    print("connected", flush=True)
    print("greeted" if client.recv(1) else "ended", flush=True)
"""


class Helper:
    """A program that runs beside the service, in the container, and is told by lines."""

    def __init__(self, machine, text, *words):
        self.process = subprocess.Popen(machine.command(["python3", "-c", text, *words], "member"),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def expect(self, line):
        assert select.select([self.process.stdout], [], [], DEADLINE)[0], f"no {line!r}"
        assert self.process.stdout.readline() == f"{line}\n"

    def tell(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def finish(self):
        """End its input; what it still prints."""
        output, _ = self.process.communicate(timeout=DEADLINE)
        assert self.process.returncode == 0
        return output


@pytest.fixture
def start(service):
    """Start helpers: start(TEXT, WORD...)."""
    helpers = []

    def run(text, *words):
        helpers.append(Helper(service, text, *words))
        return helpers[-1]

    yield run
    for helper in helpers:
        helper.process.kill()
        helper.process.wait()


def restart(machine):
    """Restart the service; how long that took."""
    before = main_pid(machine)
    begin = time.monotonic()
    machine.run("systemctl", "restart", "evloopd.service")
    seconds = time.monotonic() - begin
    assert main_pid(machine) != before
    return seconds


def get(machine, name, key):
    return call(machine, "qom-get", path=f"/objects/{name}", property=key)


def test_traffic_through_a_relay_goes_on(service, start, capsys):
    service.run("install", "-d", "-o", "member", "-g", "evloopd", "/srv/traffic")
    service.run("rm", "-f", "/srv/traffic/target")
    assert call(service, "object-add", **{"qom-type": "iothread", "id": "io0"}) == {}
    assert call(service, "object-add", **{
        "qom-type": "socket-relay", "id": "relay", "listen": "unix:/run/evloopd/relay.sock",
        "target": "unix:/srv/traffic/target", "iothread": "io0"}) == {}
    traffic = start(TRAFFIC, "/run/evloopd/relay.sock", "/srv/traffic/target")
    traffic.expect("connected")
    seconds = []
    pauses = []
    for _ in range(RESTARTS):
        wait_for_traffic(service)
        seconds.append(restart(service))
        assert get(service, "relay", "connections") == 1
    wait_for_traffic(service)
    ways = json.loads(traffic.finish())
    for way in ways:
        assert way["whole"], ways
        assert way["bytes"] > RESTARTS * 10**8
        pauses.append(way["longest"])
    with capsys.disabled():
        print(f"# {RESTARTS} restarts of {max(seconds) * 1000:.0f} ms at most; traffic of "
              f"{sum(way['bytes'] for way in ways) / 1e9:.1f} GB paused for "
              f"{max(pauses) * 1000:.0f} ms at most", flush=True)


def wait_for_traffic(machine):
    """Until some more has gone both ways, as the relay counts it."""
    for key in ("bytes-in", "bytes-out"):
        before = get(machine, "relay", key)
        machine.wait_for("traffic", lambda: get(machine, "relay", key) > before + 10**8)


def test_kicks_and_deadlines_go_on(service, start):
    assert call(service, "object-add", **{"qom-type": "event-notifier", "id": "bell"}) == {}
    assert call(service, "object-add", **{"qom-type": "timer", "id": "tick",
                                          "period-ns": 1000000}) == {}
    assert call(service, "object-add", **{"qom-type": "timer", "id": "once",
                                          "deadline-ns": 1}) == {}
    kicker = start(KICKER, SOCKETS[0], "bell")
    kicker.expect("ready")
    for kicks in range(1, RESTARTS + 1):
        kicker.tell("once")
        kicker.expect("kicked")
        service.wait_for("a kick", lambda: get(service, "bell", "kicks") == kicks)
        ticks = get(service, "tick", "expirations")
        restart(service)
        assert get(service, "bell", "kicks") == kicks
        assert get(service, "tick", "expirations") >= ticks
    assert get(service, "once", "expirations") == 1
    assert journal(service, "^restart: kept: objects 3, descriptors 1$", PRIORITY="5")
    assert journal(service, "^restart: objects that go on: 3$", PRIORITY="5")
    assert service.show("evloopd.service", "NFileDescriptorStore") == ("0",)


def test_a_start_that_fails_loses_nothing_however_often(service, start):
    """systemd tries again until the configuration is mended; by default it would give up."""
    wrong = "/etc/evloopd/evloopd.conf.d/90-wrong.json"
    service.run("install", "-d", "-o", "member", "-g", "evloopd", "/srv/traffic")
    service.run("rm", "-f", "/srv/traffic/waits")
    assert call(service, "object-add", **{
        "qom-type": "socket-relay", "id": "relay", "listen": "unix:/run/evloopd/relay.sock",
        "target": "unix:/srv/traffic/waits"}) == {}
    connection = start(CONNECTION, "/run/evloopd/relay.sock", "/srv/traffic/waits")
    connection.expect("connected")
    assert call(service, "object-add", **{"qom-type": "event-notifier", "id": "bell"}) == {}
    kicker = start(KICKER, SOCKETS[0], "bell")
    kicker.expect("ready")
    kicker.tell("once")
    kicker.expect("kicked")
    service.wait_for("a kick", lambda: get(service, "bell", "kicks") == 1)
    service.write(wrong, "{}\n")
    try:
        assert service.try_run("systemctl", "restart", "evloopd.service")[0] != 0
        client = start(CLIENT, SOCKETS[0])
        client.expect("connected")
        connection.tell("once")
        connection.expect("sent")
        service.wait_for("more tries than systemd allows by default", lambda: int(
            service.show("evloopd.service", "NRestarts")[0]) > 6)
        # Each start takes it, and gives it back.
        service.wait_for("what is kept", lambda: service.show(
            "evloopd.service", "NFileDescriptorStore") == ("1",))
        kicker.tell("once")
        kicker.expect("kicked")
    finally:
        service.run("rm", wrong)
    connection.expect("received")
    client.expect("greeted")
    service.wait_for("the kick", lambda: get(service, "bell", "kicks") == 2)


def test_a_stop_and_a_crash_are_an_end(service):
    ctl(service, "iothread", "add", "io0")
    restart(service)
    assert [item["id"] for item in call(service, "query-iothreads")] == ["io0"]
    service.run("systemctl", "stop", "evloopd.service")
    assert call(service, "query-iothreads") == []
    ctl(service, "iothread", "add", "io0")
    restart(service)
    pid = main_pid(service)
    service.run("systemctl", "kill", "--signal=KILL", "evloopd.service")
    service.wait_for("another daemon", lambda: main_pid(service) != pid)
    assert call(service, "query-iothreads") == []
