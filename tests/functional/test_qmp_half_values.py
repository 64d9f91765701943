"""Clients that send half a value and stop: they cost what they have sent, and a constant."""

import select
import threading

import pytest

from held_thread import held
from qmp_client import Qmp

CLIENTS = 100


def cost_of_each(daemon, data):
    """What each of many clients that have sent @data takes of memory, in bytes."""
    clients = [Qmp(daemon.socket) for _ in range(CLIENTS)]
    daemon.sync_monitor()
    before = daemon.resident_kb()
    for client in clients:
        client.send_raw(data)
    daemon.sync_monitor()
    cost = (daemon.resident_kb() - before) * 1024 / CLIENTS
    readable, _, _ = select.select([client.socket for client in clients], [], [], 0)
    assert not readable, "it was answered, so it is not kept any more"
    for client in clients:
        client.close()
    return cost


@pytest.mark.parametrize("data", [
    b'{"execute": "x-debug-echo", "arguments": {"value": "' + b"x" * 300000,
    b'{"' + b"x" * 300000,
    b"1" * 300000,
], ids=["string", "name", "number"])
def test_half_a_long_token_costs_what_was_sent(start_daemon, data):
    daemon = start_daemon("--debug-commands")
    if daemon.is_sanitized():
        pytest.skip("a sanitizer keeps freed memory")
    assert cost_of_each(daemon, data) < 2 * len(data) + 16384
    with daemon.connect() as session:
        session.sync()


@pytest.mark.parametrize("data", [
    b"[" + b"{}," * 40000,
    b"[" + b"[1]," * 30000,
    b'{"execute": "x-debug-echo", "arguments": {"value": [' + b'"x",' * 50000,
    b"[" + b'{"":0},' * 20000,
    b"[" * 1000 + b" " * 10000,
    b'{"":' * 1000 + b" " * 10000,
], ids=["objects", "arrays", "strings", "members", "nested arrays", "nested objects"])
def test_half_a_tree_costs_what_was_sent(start_daemon, data):
    daemon = start_daemon("--debug-commands")
    if daemon.is_sanitized():
        pytest.skip("a sanitizer keeps freed memory")
    with daemon.connect() as session:
        # The memory in which the tree of one read grows before it is freed, for all.
        session.send_raw(data)
        daemon.sync_monitor()
    assert cost_of_each(daemon, data) < 4 * len(data) + 16384


def test_half_an_object_of_many_members_costs_a_few_times_what_was_sent(start_daemon):
    data = b"{" + b"".join(b'"%d":0,' % i for i in range(30000))
    daemon = start_daemon("--debug-commands")
    if daemon.is_sanitized():
        pytest.skip("a sanitizer keeps freed memory")
    assert cost_of_each(daemon, data) < 4 * len(data) + 16384
    with daemon.connect() as session:
        session.sync()


def test_half_a_request_costs_little(start_daemon):
    daemon = start_daemon("--debug-commands")
    if daemon.is_sanitized():
        pytest.skip("a sanitizer keeps freed memory")
    assert cost_of_each(daemon, b'{"execute": "x-debug-echo", "arguments": {"value": ') < 8192


# ---- whole values that wait for the main loop ----

TREE_MB = 32  # what the arguments below take as a tree, at most
TREE = b"[" + b"{}," * 40000 + b"{}]"
ARGUMENTS = b'"arguments": {"value": ' + TREE + b"}}"


@pytest.mark.parametrize("access, request_, trees", [
    ("full", b'{"execute": "x-debug-echo", ' + ARGUMENTS, 2),
    ("read-only", b'{"execute": "object-add", ' + ARGUMENTS, 0),
    ("read-only", TREE, 0),
], ids=["two that will run", "those that will be refused", "those that are no objects"])
def test_large_requests_that_wait_cost_so_many_trees(start_daemon, sockets, access, request_,
                                                     trees):
    path = str(sockets / "other.sock")
    daemon = start_daemon("--debug-commands", "--qmp", f"unix:{path},access={access}")
    if daemon.is_sanitized():
        pytest.skip("a sanitizer keeps freed memory")
    clients = [Qmp(path) for _ in range(4)]
    requests = request_ * 9
    daemon.sync_monitor()
    before = daemon.resident_kb()
    with held(daemon.proc.pid):
        senders = [threading.Thread(target=client.send_raw, args=(requests,)) for client in clients]
        for sender in senders:
            sender.start()
        # What it does not read by now, it has paused at.
        for _ in range(100):
            daemon.sync_monitor()
        cost = (daemon.resident_kb() - before) / 1024 / len(clients)
    for client, sender in zip(clients, senders):
        for _ in range(9):
            assert ("return" in client.receive_reply()) == (trees > 0)
        sender.join()
        client.close()
    assert cost < trees * TREE_MB + 12
