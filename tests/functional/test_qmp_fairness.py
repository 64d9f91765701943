"""A client that floods: others have their turn, on the monitor thread and on the main loop."""

import json
from collections import Counter

import pytest

from held_thread import held

VALUES_A_TURN = 32
FLOOD = 400


def monitor_passes(loops):
    [monitor] = [loop for loop in loops if loop["id"] == "mon_iothread"]
    return monitor["passes"]


def receive_passes(session, count):
    """In which pass of the monitor's loop each of so many answers to query-loops was made."""
    return [monitor_passes(session.receive_reply()["return"]) for _ in range(count)]


def hold_monitor(daemon):
    [monitor] = [tid for tid, name in daemon.tasks().items() if name == "mon_iothread"]
    return held(monitor)


def test_one_turn_on_the_monitor_takes_a_bounded_number_of_requests(daemon, qmp):
    """They come in one read, so nothing else would end the turn."""
    with hold_monitor(daemon):
        qmp.send_raw(b'{"exec-oob":"query-loops"}' * FLOOD)
    passes = receive_passes(qmp, FLOOD)
    assert passes == sorted(passes)
    assert max(Counter(passes).values()) <= VALUES_A_TURN
    qmp.sync()


def test_out_of_band_a_flood_delays_others_by_a_turn_only(daemon, qmp):
    with daemon.connect(oob=True) as flooder:
        with hold_monitor(daemon):
            flooder.send_raw(b'{"exec-oob":"query-loops"}' * FLOOD)
            qmp.send_raw(b'{"exec-oob":"query-loops"}')
        [mine] = receive_passes(qmp, 1)
        flood = receive_passes(flooder, FLOOD)
    assert sum(number < mine for number in flood) <= VALUES_A_TURN
    assert sum(number > mine for number in flood) >= FLOOD - 2 * VALUES_A_TURN


def test_a_flood_of_errors_delays_others_by_a_turn_only(daemon, qmp):
    """They are answered in the order of in-band requests, so eight of them pause the session."""
    with daemon.connect(oob=True) as flooder:
        with hold_monitor(daemon):
            flooder.send_raw(b"\xff\n" * 8000)
            qmp.send_raw(b'{"exec-oob":"query-loops"}')
        assert "return" in qmp.receive_reply()
        for _ in range(8000):
            assert "error" in flooder.receive()
        flooder.sync()


def test_in_negotiation_mode_a_turn_is_bounded_too(daemon, qmp):
    with daemon.connect(negotiate=False) as flooder:
        with hold_monitor(daemon):
            flooder.send_raw(b'{"execute":"quit"}' * FLOOD)
            qmp.send_raw(b'{"exec-oob":"query-loops"}')
        assert "return" in qmp.receive_reply()
        assert "QMP" in flooder.receive()
        for _ in range(FLOOD):
            assert flooder.receive()["error"]["class"] == "CommandNotFound"


@pytest.mark.parametrize("name", ["x-debug-echo", "x-debug-block"])
def test_in_band_a_flood_delays_others_by_one_request_only(daemon, qmp, name):
    """Also where its answers are held back to be sent together."""
    arguments = {"value": 0} if name == "x-debug-echo" else {"duration-ms": 0}
    flood = {"execute": name, "arguments": arguments}
    add = {"execute": "object-add", "arguments": {"qom-type": "iothread"}}
    with daemon.connect(oob=True) as flooder, daemon.connect(oob=True) as other:
        with daemon.block_main_loop() as blocker:
            for i in range(4):
                for session, object_id in [(flooder, f"flood{i}"), (other, f"other{i}")]:
                    add["arguments"]["id"] = object_id
                    session.send_raw(json.dumps(add).encode())
                flooder.send(flood)
                flooder.oob("query-version")
                other.oob("query-version")
            assert not blocker.has_input(), "the main loop was not held any more"
            assert blocker.receive() == {"return": {}}
        order = [qmp.wait_event("OBJECT_ADDED")["data"]["id"] for _ in range(8)]
    # Two requests of the flooder's for each one that it adds.
    assert [i for i in order if i.startswith("other")] == [f"other{i}" for i in range(4)]
    assert order.index("other1") < order.index("flood2")
    assert order.index("other3") <= order.index("flood3")
