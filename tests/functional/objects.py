"""Short forms for tests of objects that work on loops."""

import os
import struct
import time

import pytest

from qmp_client import DEADLINE, QmpError

PLACES = [None, "io0", "io1"]
HOUR = 3600 * 10**9


def add(qmp, qom_type, name, **properties):
    return qmp.command("object-add", qom_type=qom_type, id=name, **properties)


def get(qmp, name, key):
    return qmp.command("qom-get", path=f"/objects/{name}", property=key)


def set_(qmp, name, key, value):
    return qmp.command("qom-set", path=f"/objects/{name}", property=key, value=value)


def delete(qmp, name):
    return qmp.command("object-del", id=name)


def add_places(qmp):
    """The IOThreads of PLACES."""
    for place in PLACES[1:]:
        add(qmp, "iothread", place)


def error_of(function, *args, **kwargs):
    with pytest.raises(QmpError) as caught:
        function(*args, **kwargs)
    return caught.value.desc


def wait_for(condition):
    """Until @condition() is true; returns what it gave."""
    deadline = time.monotonic() + DEADLINE
    while not (value := condition()):
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.001)  # the condition is tried again
    return value


def wait_for_count(qmp, name, key, count):
    """Until a property that counts has come to @count, where it must be then."""
    wait_for(lambda: get(qmp, name, key) >= count)
    assert get(qmp, name, key) == count


def counts_until_deleted(qmp, event, key):
    """What the events of an object, which nobody else sends events beside, have counted."""
    counts = []
    assert qmp.wait_event()["event"] == "OBJECT_ADDED"
    while (message := qmp.wait_event())["event"] != "OBJECT_DELETED":
        assert message["event"] == event
        counts.append(message["data"][key])
    assert counts[0] == 1  # the first is told at once
    return counts


def loop_of(qmp, name):
    """The loops that sources of this name are on."""
    return sorted({source["loop"] for source in qmp.oob("query-sources")
                   if source["name"] == name})


def ids(qmp):
    """Those of all objects."""
    return [item["name"] for item in qmp.command("qom-list", path="/objects")
            if item["name"] != "type"]


def get_fd(qmp, name, oob=False):
    """The eventfd of a notifier, from the daemon."""
    assert (qmp.oob if oob else qmp.command)("event-notifier-get", id=name) == {}
    assert len(qmp.fds) == 1
    return qmp.fds.pop()


def send_fd(qmp, name, fd):
    qmp.send_with_fds({"execute": "getfd", "arguments": {"fdname": name}}, [fd])
    assert qmp.receive_reply() == {"return": {}}


def kick(fd, count=1):
    os.write(fd, struct.pack("=Q", count))


def virtual_now(qmp):
    return next(clock for clock in qmp.command("query-clocks") if clock["clock"] == "virtual")
