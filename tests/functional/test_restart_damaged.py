"""Restarts with --fd-store: what is left is damaged, which is a warning and never a failed start."""

import json
import os
import re

import pytest

from objects import HOUR, get, get_fd, ids, kick, virtual_now, wait_for_count
from parcel import SEALS, Parcel, own, state_of


def notifier(name, **members):
    return {"qom-type": "event-notifier", "id": name, "asked-by": "client", "properties": {},
            **members}


@pytest.mark.parametrize("damage, reason", [
    ("no socket", "it is empty"),
    ("empty", "it is empty"),
    ("no header", "it is empty"),
    ("a place far away", "it is empty"),
    ("more than there are", None),
    ("no memory", "its memory is not sealed"),
    ("not sealed", "its memory is not sealed"),
    ("no text", "its state is no object"),
    ("two states", "its state is no object"),
    ("a list", "its state is no object"),
    ("cut off", "JSON"),
    ("another version", "its version is 2, this reads 1"),
    ("no version", "its version is -1, this reads 1"),
    ("no objects", "it has no objects"),
])
def test_a_state_that_is_damaged_is_a_warning(manager, damage, reason):
    state = {"not sealed": b"{}", "no text": b"", "two states": b"{} {}", "a list": b"[]",
             "cut off": json.dumps(state_of(notifier("n"))).encode()[:-1],
             "another version": state_of(version=2), "no version": {}, "no objects": {"version": 1}}
    parcel = Parcel(state.get(damage, state_of(notifier("n"))),
                    0 if damage == "not sealed" else SEALS)
    if damage == "no socket":
        manager.put(os.open("/dev/null", os.O_RDWR))
    elif damage == "no header":
        parcel.send(parcel.fds, header=b"x")
    elif damage == "a place far away":
        parcel.send(parcel.fds, first=2**64 - 2)
    elif damage == "no memory":
        with open("/dev/null", "rb") as file:
            parcel.send([file.fileno()])
    elif damage != "empty":
        parcel.send(parcel.fds, count=100 if damage == "more than there are" else None)
    manager.put(parcel.finish())
    with manager.start().connect() as qmp:
        found = ids(qmp)
    if damage == "more than there are":
        assert found == ["n"]  # the number is no more than that
        return
    assert found == []
    [line] = manager.daemon.stderr().splitlines()
    assert line.startswith("evloopd: warning: restart: what the daemon before has left can't be "
                           "used: ")
    assert reason in line


@pytest.mark.parametrize("entry, reason", [
    (1, "members are missing"),
    ({}, "members are missing"),
    (notifier("n", id=1), "members are missing"),
    (notifier("n", properties=[]), "members are missing"),
    ({**notifier("n"), "asked-by": "nobody"}, "members are missing"),
    (notifier("n", **{"qom-type": "disk"}), "there is no type 'disk'"),
    (notifier("1"), "Parameter 'id' expects a letter"),
    (notifier("good"), "there is another one with id 'good'"),
    (notifier("n", properties={"nonsense": 1}), "'nonsense'"),
    (notifier("n", properties={"chain": [None]}), "'chain"),
    (notifier("n", properties={"chain": "x"}), "'chain'"),
    (notifier("n", properties={"kicks": 1}), "'kicks'"),
    (notifier("n", properties={"chain": ["n"]}), "'n' would kick itself"),
    (notifier("n", properties={"chain": ["gone"]}), "there is no event notifier 'gone'"),
    (notifier("n", properties={"iothread": "gone"}), "there is no IOThread 'gone'"),
    (notifier("n", properties={"fd": "gone"}), "there is no descriptor 'gone'"),
    (notifier("n", properties={"fd": "m"}, state={"fd": {"name": "m", "key": 1}}),
     "there is no descriptor 'm'"),
    (own("n"), "needs 'period-ns' or 'deadline-ns'"),
], ids=str)
def test_an_object_that_is_damaged_is_lost_alone(manager, entry, reason):
    parcel = Parcel(state_of(notifier("good"), entry, notifier("fine")))
    parcel.send(parcel.fds)
    manager.put(parcel.finish())
    with manager.start().connect() as qmp:
        assert ids(qmp) == ["good", "fine"]
    assert re.search(r"warning: restart: (object number 2|\S+ 'n') is lost: .*" + re.escape(reason),
                     manager.daemon.stderr())


def test_objects_that_wait_for_each_other_are_lost(manager):
    parcel = Parcel(state_of(notifier("a", properties={"chain": ["b"]}),
                             notifier("b", properties={"chain": ["a"]}), notifier("c")))
    parcel.send(parcel.fds)
    manager.put(parcel.finish())
    with manager.start().connect() as qmp:
        assert ids(qmp) == ["c"]
    log = manager.daemon.stderr()
    assert "event-notifier 'a' is lost: Parameter 'chain': there is no event notifier 'b'" in log
    assert "event-notifier 'b' is lost: Parameter 'chain': there is no event notifier 'a'" in log


@pytest.mark.parametrize("state", [
    1, [], {}, {"kicks": -5, "polled": "x", "fd": []},
    {"fd": {"key": 0}}, {"fd": {"key": 1}}, {"fd": {"key": 10**15}}, {"fd": {"key": -7}},
    {"fd": {"key": 2}}, {"fd": {"key": 2}, "doorbell": {"key": 2}, "memory": 7},
    {"kicks": 2**63 - 1, "rings-seen": "x", "own-kicks": "99999999999999999999999"},
], ids=str)
def test_a_notifier_s_state_that_is_damaged_is_no_harm(manager, state):
    parcel = Parcel(state_of(notifier("n", state=state)))
    with open("/dev/null", "rb") as file:
        parcel.send([*parcel.fds, file.fileno()])
    manager.put(parcel.finish())
    with manager.start().connect() as qmp:
        fd = get_fd(qmp, "n")
        before = get(qmp, "n", "kicks")
        assert before >= 0
        kick(fd)
        wait_for_count(qmp, "n", "kicks", min(before + 1, 2**63 - 1))
        os.close(fd)
    manager.stop()


@pytest.mark.parametrize("state", [
    {}, {"next-ns": -1}, {"next-ns": 2**63 - 1}, {"next-ns": 1.5}, {"schedule": 1},
    {"expirations": -1, "missed": None, "lateness": []},
    {"lateness": {"buckets": [0] * 63}}, {"lateness": {"buckets": ["x"] * 64, "sum-ns": -1}},
    {"lateness": {"buckets": [-1] * 64, "sum-ns": 1e300, "count": -1, "max-ns": -1}},
], ids=range(9))
def test_a_timer_s_state_that_is_damaged_is_no_harm(manager, state):
    parcel = Parcel(state_of(own("t", state, clock="virtual", **{"period-ns": HOUR})))
    parcel.send(parcel.fds)
    manager.put(parcel.finish())
    with manager.start().connect() as qmp:
        assert get(qmp, "t", "expirations") == 0
        assert get(qmp, "t", "lateness")["mean-ns"] >= 0
        qmp.command("clock-advance", by_ns=HOUR)
        wait_for_count(qmp, "t", "expirations", 1)


@pytest.mark.parametrize("clocks", [
    None, [], {}, {"realtime-ns": 0, "virtual-ns": -1, "virtual-rt-ns": 0},
    {"realtime-ns": 2**62, "virtual-ns": 0, "virtual-rt-ns": 0},
    {"realtime-ns": 0, "virtual-ns": 2**63 - 1, "virtual-rt-ns": 0}], ids=str)
def test_clocks_whose_state_is_damaged_begin_anew(manager, clocks):
    parcel = Parcel(state_of(notifier("n"), clocks=clocks))
    parcel.send(parcel.fds)
    manager.put(parcel.finish())
    with manager.start().connect() as qmp:
        assert ids(qmp) == ["n"]
        assert virtual_now(qmp)["running"]
    assert ("warning: restart: the clocks begin anew: their state can't be used\n"
            in manager.daemon.stderr())
