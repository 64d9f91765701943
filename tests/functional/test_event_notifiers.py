"""Event notifiers from the outside: descriptors both ways, kicks by other processes, the doorbell."""

import fcntl
import mmap
import os
import select
import struct
import subprocess
import sys

import pytest

from objects import (PLACES, add, add_places, counts_until_deleted, delete, error_of, get, get_fd,
                     send_fd, set_, wait_for, wait_for_count)
from qmp_client import QmpError
from qmp_schema import Schema

ONE = struct.pack("=Q", 1)
F_ADD_SEALS, F_SEAL_WRITE = 1033, 8

# Writes to its standard output, an eventfd, as often as it is told to.
KICKER = "import os, sys\nfor _ in range(int(sys.argv[1])): os.write(1, (1).to_bytes(8, sys.byteorder))"


def start_kicker(fd, count):
    return subprocess.Popen([sys.executable, "-c", KICKER, str(count)], stdout=fd)


@pytest.fixture
def memfd():
    """A memfd that a doorbell fits in."""
    fd = os.memfd_create("bell", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, mmap.PAGESIZE)
    yield fd
    os.close(fd)


# ---- properties ----

def test_defaults(qmp):
    add(qmp, "event-notifier", "n")
    for key, value in {"fd": None, "doorbell": None, "chain": [], "iothread": None, "kicks": 0,
                       "polled": 0}.items():
        assert get(qmp, "n", key) == value


def test_the_type_shows_itself(qmp):
    assert "event-notifier" in [item["name"] for item in qmp.command("qom-list-types")]
    properties = {item["name"]: item
                  for item in qmp.command("qom-list-properties", typename="event-notifier")}
    assert list(properties) == ["type", "iothread", "fd", "doorbell", "chain", "kicks", "polled"]
    assert all(item.get("description") for item in properties.values() if item["name"] != "type")
    assert [key for key, item in properties.items() if item.get("read-only")] == ["kicks",
                                                                                  "polled"]
    assert [key for key, item in properties.items() if item.get("create-only")] == ["fd",
                                                                                    "doorbell"]


def test_wrong_properties_change_nothing(qmp, state):
    before = state()
    for arguments, text in [
            ({"fd": 1}, "Parameter 'fd' expects a string"),
            ({"fd": "x"}, "Parameter 'fd': there is no descriptor 'x'; getfd keeps one"),
            ({"doorbell": []}, "Parameter 'doorbell' expects a string"),
            ({"doorbell": "x"}, "Parameter 'doorbell': there is no descriptor 'x'; getfd keeps one"),
            ({"chain": "x"}, "Parameter 'chain' expects an array"),
            ({"chain": [1]}, "Parameter 'chain[0]' expects a string"),
            ({"chain": ["x"]}, "Parameter 'chain': there is no event notifier 'x'"),
            ({"chain": ["n"]}, "Parameter 'chain': 'n' would kick itself"),
            ({"kicks": 1}, "Parameter 'kicks' is read-only"),
            ({"polled": 1}, "Parameter 'polled' is read-only")]:
        assert error_of(add, qmp, "event-notifier", "n", **arguments) == text
    assert state() == before


@pytest.mark.parametrize("key, text", [
    ("fd", "Parameter 'fd' expects an eventfd; 'x' is none"),
    ("doorbell", "Parameter 'doorbell' expects a memfd")])
def test_a_descriptor_of_a_wrong_kind_stays_the_sessions(daemon, qmp, key, text):
    with open("/dev/null", "rb") as null:
        send_fd(qmp, "x", null.fileno())
    count = daemon.count_fds()
    assert error_of(add, qmp, "event-notifier", "n", **{key: "x"}) == text
    assert daemon.count_fds() == count
    qmp.command("closefd", fdname="x")


@pytest.mark.parametrize("size, flags, seals, text", [
    (0, os.MFD_ALLOW_SEALING, 0, "expects a memfd of 16 bytes or more"),
    (4096, 0, 0, "expects a memfd with the seal F_SEAL_SHRINK, or created with MFD_ALLOW_SEALING"),
    (4096, os.MFD_ALLOW_SEALING, F_SEAL_WRITE, ": the memfd can't be mapped")], ids=str)
def test_a_memfd_that_can_be_no_doorbell(qmp, size, flags, seals, text):
    fd = os.memfd_create("bell", os.MFD_CLOEXEC | flags)
    os.ftruncate(fd, size)
    if seals:
        fcntl.fcntl(fd, F_ADD_SEALS, seals)
    send_fd(qmp, "bell", fd)
    os.close(fd)
    assert text in error_of(add, qmp, "event-notifier", "n", doorbell="bell")
    qmp.command("closefd", fdname="bell")


def test_a_configuration_file_has_no_descriptors(start_daemon):
    daemon = start_daemon("--object", "event-notifier,id=n,fd=x", wait=False)
    assert daemon.proc.wait(60) == 1
    assert ("Parameter 'fd': there is no descriptor 'x'; the daemon was passed none"
            in daemon.stderr())
    daemon.proc.returncode = 0  # as it should be


# ---- kicks ----

def test_a_kick_by_command(qmp):
    add(qmp, "event-notifier", "n")
    for count in (1, 2, 3):
        assert qmp.command("event-notifier-set", id="n") == {}
        wait_for_count(qmp, "n", "kicks", count)


def test_the_daemon_hands_out_its_eventfd(daemon, qmp):
    add(qmp, "event-notifier", "n")
    count = daemon.count_fds()
    fd = get_fd(qmp, "n")
    daemon.wait_for_fds(count)  # the daemon closes its copy once that is sent
    os.write(fd, struct.pack("=Q", 5))
    wait_for_count(qmp, "n", "kicks", 5)
    os.close(fd)


def test_a_client_passes_its_eventfd(daemon, qmp):
    fd = os.eventfd(0)
    send_fd(qmp, "x", fd)
    add(qmp, "event-notifier", "n", fd="x")
    assert error_of(qmp.command, "closefd", fdname="x") == "There is no descriptor 'x'"
    os.write(fd, ONE)
    wait_for_count(qmp, "n", "kicks", 1)
    count = daemon.count_fds()
    delete(qmp, "n")
    assert daemon.count_fds() == count - 1
    os.close(fd)


def test_unknown_notifiers(daemon, qmp):
    add(qmp, "timer", "t", period_ns=10**12)
    for command in ("event-notifier-set", "event-notifier-get"):
        for name in ("", "x", "t"):
            for run in (qmp.command, qmp.oob):
                with pytest.raises(QmpError) as caught:
                    run(command, id=name)
                assert caught.value.error_class == "DeviceNotFound"
                assert caught.value.desc == f"There is no event notifier '{name}'"
    assert qmp.fds == []


def test_both_commands_work_while_the_main_loop_is_stuck(daemon, qmp):
    add_places(qmp)
    add(qmp, "event-notifier", "n", iothread="io0")
    with daemon.block_main_loop():
        qmp.oob("event-notifier-set", id="n")
        assert qmp.wait_event("EVENT_NOTIFIER_SET")["data"] == {"id": "n", "kicks": 1}
        fd = get_fd(qmp, "n", oob=True)
    os.write(fd, ONE)
    wait_for_count(qmp, "n", "kicks", 2)
    os.close(fd)


def test_the_event_tells_the_kicks_since_the_last(qmp):
    schema = Schema(qmp.command("query-qmp-schema"))
    add(qmp, "event-notifier", "n")
    for _ in range(10):
        qmp.command("event-notifier-set", id="n")
    wait_for_count(qmp, "n", "kicks", 10)
    delete(qmp, "n")
    events = []
    while not events or sum(event["data"]["kicks"] for event in events) < 10:
        events.append(qmp.wait_event("EVENT_NOTIFIER_SET"))
        schema.check_event(events[-1])
    assert len(events) == 2


def test_the_last_event_comes_before_the_notifier_has_gone(qmp):
    for _ in range(2):  # the second is another notifier, whose first event is not about the first
        add(qmp, "event-notifier", "n")
        for kicks in range(1, 7):
            qmp.command("event-notifier-set", id="n")
            wait_for_count(qmp, "n", "kicks", kicks)
        delete(qmp, "n")
        assert sum(counts_until_deleted(qmp, "EVENT_NOTIFIER_SET", "kicks")) == 6


def test_a_chain(qmp):
    add_places(qmp)
    add(qmp, "event-notifier", "c", iothread="io1")
    add(qmp, "event-notifier", "b", iothread="io0", chain=["c"])
    add(qmp, "event-notifier", "a", chain=["b", "c"])
    qmp.command("event-notifier-set", id="a")
    wait_for_count(qmp, "a", "kicks", 1)
    wait_for_count(qmp, "b", "kicks", 1)
    wait_for_count(qmp, "c", "kicks", 2)
    assert error_of(delete, qmp, "c") == "Object 'c' is in use by 'b', 'a'"
    assert (error_of(set_, qmp, "c", "chain", ["a"])
            == "Parameter 'chain': 'c' would kick itself by way of 'a'")
    set_(qmp, "a", "chain", [])
    qmp.command("event-notifier-set", id="a")
    wait_for_count(qmp, "a", "kicks", 2)
    assert get(qmp, "b", "kicks") == 1


def test_another_process_kicks_while_it_moves_a_thousand_times(qmp):
    add_places(qmp)
    add(qmp, "event-notifier", "end", iothread="io1")
    add(qmp, "event-notifier", "n", chain=["end"])
    fd = get_fd(qmp, "n")
    kicker = start_kicker(fd, 200000)
    for i in range(1, 1001):
        set_(qmp, "n", "iothread", PLACES[i % 3])
    assert kicker.wait(60) == 0
    os.close(fd)
    wait_for_count(qmp, "n", "kicks", 200000)
    wait_for_count(qmp, "end", "kicks", 200000)


# ---- the doorbell ----

def test_rings_are_counted(qmp, memfd):
    eventfd = os.eventfd(0)
    with mmap.mmap(memfd, mmap.PAGESIZE) as words:
        words[:8] = struct.pack("=Q", 41)
        send_fd(qmp, "fd", eventfd)
        send_fd(qmp, "bell", memfd)
        add(qmp, "event-notifier", "n", fd="fd", doorbell="bell")
        for count in (1, 2, 10):
            words[:8] = struct.pack("=Q", 41 + count)
            os.write(eventfd, ONE)
            wait_for_count(qmp, "n", "kicks", count)
        os.write(eventfd, ONE)  # no more than a wake-up
        qmp.command("event-notifier-set", id="n")  # a kick all the same
        wait_for_count(qmp, "n", "kicks", 11)
        assert words[8:16] == bytes(8) or get(qmp, "n", "polled") >= 0
        delete(qmp, "n")
    os.close(eventfd)


def test_polling_finds_rings_without_kicks(qmp, memfd):
    eventfd = os.eventfd(0)
    add(qmp, "iothread", "io0", poll_max_ns=10**9)
    [iothread] = qmp.command("query-iothreads")
    try:
        # It hardly waits for a processor then: else it does not poll while there is other load.
        os.sched_setscheduler(iothread["thread-id"], os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pytest.skip("no right to real-time threads")
    with mmap.mmap(memfd, mmap.PAGESIZE) as words:
        send_fd(qmp, "fd", eventfd)
        send_fd(qmp, "bell", memfd)
        add(qmp, "event-notifier", "n", fd="fd", doorbell="bell", iothread="io0")
        rings = 0

        def ring():
            nonlocal rings
            rings += 1
            words[:8] = struct.pack("=Q", rings)
            os.sched_yield()  # a system call, for want of a barrier
            if words[8:16] == bytes(8):
                os.write(eventfd, ONE)
            wait_for_count(qmp, "n", "kicks", rings)
            return get(qmp, "n", "polled") > 0

        wait_for(ring)
        delete(qmp, "n")
        assert words[8:16] == bytes(8)
    os.close(eventfd)


def test_a_doorbell_can_not_be_taken_away(qmp, memfd):
    send_fd(qmp, "bell", memfd)
    add(qmp, "event-notifier", "n", doorbell="bell")
    with pytest.raises(PermissionError):
        os.ftruncate(memfd, 0)
    qmp.command("event-notifier-set", id="n")
    wait_for_count(qmp, "n", "kicks", 1)


# ---- answers with descriptors ----

def test_descriptors_come_with_their_answers_behind_output_that_waits(daemon, qmp):
    names = [f"n{i}" for i in range(3)]
    for name in names:
        add(qmp, "event-notifier", name)
    count = daemon.count_fds()
    with daemon.connect() as lazy:
        for name in names:
            lazy.send({"execute": "x-debug-echo", "arguments": {"value": "x" * 400000}})
            lazy.send({"execute": "event-notifier-get", "arguments": {"id": name}})
        # All has been answered, and some of it waits in the daemon, descriptors included.
        wait_for(lambda: daemon.count_fds() > count + 1)
        for name in names:
            assert len(lazy.receive_reply()["return"]) == 400000
            assert lazy.receive_reply() == {"return": {}}
            os.write(lazy.fds[names.index(name)], ONE)
            wait_for_count(qmp, name, "kicks", 1)
        assert len(lazy.fds) == 3
    daemon.wait_for_fds(count)


def test_descriptors_that_nobody_reads_are_closed_with_the_session(daemon, qmp):
    add(qmp, "event-notifier", "n")
    count = daemon.count_fds()
    with daemon.connect() as lazy:
        lazy.send({"execute": "x-debug-echo", "arguments": {"value": "x" * 900000}})
        for _ in range(5):
            lazy.send({"execute": "event-notifier-get", "arguments": {"id": "n"}})
        wait_for(lambda: daemon.count_fds() > count + 1)
        assert select.select([lazy.socket], [], [], 0)[0]
    daemon.wait_for_fds(count)
