"""A real state, changed here and there in all ways: the next daemon starts, works and ends."""

import copy
import json
import os
import random
import socket

import pytest

from objects import HOUR, add, ids, set_, wait_for_count
from parcel import Parcel, open_parcel
from qmp_client import QmpError

ROUNDS = 12
STARTS = max(1, round(4 * float(os.environ.get("EVLOOP_STRESS", 1))))  # in each round
VALUES = [None, True, -1, 0, 1, 2**31, 2**63 - 1, 1.5, "", "x", "io0", "a" * 1000, [], ["b"], {}]


def nodes(value, path=()):
    """The paths of all values in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(
        value if isinstance(value, list) else [])
    for key, item in items:
        yield from nodes(item, (*path, key))


def parent_of(value, path):
    for key in path[:-1]:
        value = value[key]
    return value


def mutate(state, chance):
    """Change @state in one place, which is told."""
    path = chance.choice([path for path in nodes(state) if path])
    parent, key = parent_of(state, path), path[-1]
    others = [other for other in nodes(state) if other]
    change = chance.randrange(5)
    if change == 0:
        parent.pop(key)
        return f"without {path}"
    if change == 1 and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[key]))
        return f"twice {path}"
    if change == 2:
        other = chance.choice(others)
        parent[key] = copy.deepcopy(parent_of(state, other)[other[-1]])
        return f"{path} is {other}"
    parent[key] = copy.deepcopy(chance.choice(VALUES))
    return f"{path} is {parent[key]!r}"


def send_fd(qmp, name, fd):
    qmp.send_with_fds({"execute": "getfd", "arguments": {"fdname": name}}, [fd])
    assert qmp.receive_reply() == {"return": {}}


@pytest.fixture
def left(manager, sockets):
    """What a daemon with objects of each type leaves: state and descriptors."""
    bell = os.memfd_create("bell", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.truncate(bell, 4096)
    with socket.socket(socket.AF_UNIX) as target, manager.start().connect() as qmp:
        target.bind(f"{sockets}/target")
        target.listen()
        add(qmp, "iothread", "io0")
        for name in "ab":
            add(qmp, "event-notifier", name)
        set_(qmp, "a", "chain", ["b"])
        send_fd(qmp, "bell", bell)
        add(qmp, "event-notifier", "c", doorbell="bell", iothread="io0", chain=["a"])
        add(qmp, "timer", "t", clock="virtual", period_ns=HOUR, iothread="io0")
        add(qmp, "timer", "once", deadline_ns=1)
        wait_for_count(qmp, "once", "expirations", 1)
        add(qmp, "socket-relay", "r", listen=f"unix:{sockets}/r", iothreads=["io0"],
            target=f"unix:{sockets}/target")
        ends = []
        for _ in range(2):
            client = socket.socket(socket.AF_UNIX)
            client.connect(f"{sockets}/r")
            ends += [client, target.accept()[0]]
        # What is on its way when the daemon ends.
        ends[0].setblocking(False)
        while True:
            try:
                ends[0].send(bytes(65536))
            except BlockingIOError:
                break
        manager.stop()
        [(_, parcel)] = manager.store
        found = open_parcel(parcel)
        manager.drop("evloopd-state")
        yield found
        for fd in found[1]:
            os.close(fd)
        for end in ends:
            end.close()
    os.close(bell)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_state_that_has_been_changed_is_no_harm(manager, left, seed):
    state, fds = left
    chance = random.Random(seed)
    for _ in range(STARTS):
        changed = copy.deepcopy(state)
        changes = [mutate(changed, chance) for _ in range(chance.choice([1, 1, 2, 5]))]
        parcel = Parcel(json.dumps(changed).encode())
        parcel.send([parcel.fds[0], *fds])
        manager.drop("evloopd-state")
        manager.put(parcel.finish())
        told = len(manager.messages)
        daemon = manager.start(wait=False)  # descriptors of its connections come and go
        try:
            manager.wait_until_ready(told)
            with daemon.connect() as qmp:
                for name in ids(qmp):
                    for item in qmp.command("qom-list", path=f"/objects/{name}"):
                        qmp.command("qom-get", path=f"/objects/{name}", property=item["name"])
                qmp.command("quit")
            assert daemon.proc.wait(60) == 0
        except (AssertionError, OSError, QmpError) as error:
            raise AssertionError(f"{changes}: {error}: {daemon.stderr()}") from error
