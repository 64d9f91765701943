"""Timers from the outside: properties, expirations, their event, and the commands for clocks."""

import pytest

from objects import (HOUR, PLACES, add, add_places, counts_until_deleted, delete, error_of, get, set_,
                     wait_for, wait_for_count)
from qmp_schema import Schema

INT64_MAX = 2**63 - 1
CLOCKS = ["realtime", "virtual", "host", "virtual-rt"]


def clocks(qmp):
    return {item["clock"]: item for item in qmp.command("query-clocks")}


def advance(qmp, hours):
    return qmp.command("clock-advance", by_ns=round(hours * HOUR))


# ---- properties ----

def test_defaults(qmp):
    add(qmp, "timer", "t", period_ns=HOUR)
    for key, value in {"clock": "realtime", "period-ns": HOUR, "deadline-ns": 0, "one-shot": False,
                       "catch-up": "skip", "iothread": None, "expirations": 0, "missed": 0,
                       "lateness": {"min-ns": 0, "mean-ns": 0, "max-ns": 0, "histogram": []},
                       }.items():
        assert get(qmp, "t", key) == value


def test_the_type_shows_itself(qmp):
    assert "timer" in [item["name"] for item in qmp.command("qom-list-types")]
    properties = {item["name"]: item
                  for item in qmp.command("qom-list-properties", typename="timer")}
    assert list(properties) == ["type", "iothread", "clock", "period-ns", "deadline-ns",
                                "one-shot", "catch-up", "expirations", "missed", "lateness"]
    assert all(item.get("description") for item in properties.values() if item["name"] != "type")
    assert [key for key, item in properties.items() if item.get("read-only")] == [
        "expirations", "missed", "lateness"]
    assert [key for key, item in properties.items() if item.get("create-only")] == ["clock"]
    assert properties["catch-up"]["default-value"] == "skip"


@pytest.mark.parametrize("key", ["period-ns", "deadline-ns"])
def test_a_bad_time_names_its_range(qmp, state, key):
    before = state()
    for bad in (-1, 2**63, 1.5, "1", None, True, []):
        assert (error_of(add, qmp, "timer", "t", **{key: bad})
                == f"Parameter '{key}' expects an integer from 0 to {INT64_MAX}")
    assert state() == before


@pytest.mark.parametrize("key, words", [
    ("clock", "'realtime', 'virtual', 'host', 'virtual-rt'"),
    ("catch-up", "'skip', 'burst', 'delay'")])
def test_a_bad_word_names_those_that_there_are(qmp, key, words):
    for bad in ("", "Skip", 1, None, ["skip"]):
        assert (error_of(add, qmp, "timer", "t", period_ns=1, **{key: bad})
                == f"Parameter '{key}' expects one of {words}")


def test_other_mistakes(qmp):
    needs = "Parameter '{}': a timer needs 'period-ns' or 'deadline-ns', or both"
    assert error_of(add, qmp, "timer", "t") == needs.format("period-ns")
    assert (error_of(add, qmp, "timer", "t", period_ns=1, one_shot=1)
            == "Parameter 'one-shot' expects true or false")
    add(qmp, "timer", "t", period_ns=HOUR)
    assert error_of(set_, qmp, "t", "period-ns", 0) == needs.format("period-ns")
    assert (error_of(set_, qmp, "t", "clock", "host")
            == "Property 'clock' can only be set when the object is added")
    for key in ("expirations", "missed", "lateness"):
        assert error_of(set_, qmp, "t", key, 0) == f"Property '{key}' is read-only"
        assert (error_of(add, qmp, "timer", "u", period_ns=1, **{key: 0})
                == f"Parameter '{key}' is read-only")


# ---- expirations ----

@pytest.mark.parametrize("clock", CLOCKS)
def test_a_timer_expires_on_every_clock(qmp, clock):
    add(qmp, "timer", "t", clock=clock, period_ns=10**6)
    wait_for(lambda: get(qmp, "t", "expirations") >= 3)


@pytest.mark.parametrize("catch_up, expirations, missed",
                         [("skip", 1, 9), ("burst", 10, 0), ("delay", 1, 9)])
def test_missed_periods(qmp, catch_up, expirations, missed):
    add(qmp, "timer", "t", clock="virtual", period_ns=HOUR, catch_up=catch_up)
    advance(qmp, 10.5)
    wait_for_count(qmp, "t", "expirations", expirations)
    assert get(qmp, "t", "missed") == missed
    lateness = get(qmp, "t", "lateness")
    assert lateness["max-ns"] >= 9.5 * HOUR
    assert sum(bucket["count"] for bucket in lateness["histogram"]) == expirations


def test_a_timer_at_10_khz_moves_a_thousand_times_and_loses_nothing(qmp):
    add_places(qmp)
    first = clocks(qmp)["realtime"]["now-ns"]
    add(qmp, "timer", "t", deadline_ns=first, period_ns=100000, catch_up="burst")
    for i in range(1, 1001):
        set_(qmp, "t", "iothread", PLACES[i % 3])
    due = (clocks(qmp)["realtime"]["now-ns"] - first) // 100000 + 1
    count = wait_for(lambda: (n := get(qmp, "t", "expirations")) >= due and n)
    assert count <= (clocks(qmp)["realtime"]["now-ns"] - first) // 100000 + 1
    assert get(qmp, "t", "missed") == 0


# ---- the event ----

def test_the_event_tells_the_expirations_since_the_last_at_most_one_a_second(qmp):
    schema = Schema(qmp.command("query-qmp-schema"))
    add(qmp, "timer", "t", clock="virtual", period_ns=10**6)
    events = [qmp.wait_event("TIMER_EXPIRED") for _ in range(3)]
    qmp.command("clock-stop")
    # What was being called is over: the timer has been stopped and started.
    set_(qmp, "t", "catch-up", "skip")
    count = get(qmp, "t", "expirations")
    delete(qmp, "t")
    qmp.command("clock-resume")
    while sum(event["data"]["expirations"] for event in events) < count:
        events.append(qmp.wait_event("TIMER_EXPIRED"))
    for event in events:
        schema.check_event(event)
        assert event["data"]["id"] == "t"
        assert event["data"]["lateness-ns"] >= 0
    assert events[0]["data"]["expirations"] == 1
    assert sum(event["data"]["expirations"] for event in events) == count
    stamps = [event["timestamp"]["seconds"] * 10**6 + event["timestamp"]["microseconds"]
              for event in events[:3]]
    assert all(b - a > 900000 for a, b in zip(stamps, stamps[1:]))


def test_the_last_event_comes_before_the_timer_has_gone(qmp):
    for _ in range(2):  # the second is another timer, whose first event is not about the first
        add(qmp, "timer", "t", clock="virtual", period_ns=HOUR, catch_up="burst")
        advance(qmp, 6)
        wait_for_count(qmp, "t", "expirations", 6)
        delete(qmp, "t")
        assert sum(counts_until_deleted(qmp, "TIMER_EXPIRED", "expirations")) == 6


def test_each_timer_has_its_own_events(qmp):
    for name in "abc":
        add(qmp, "timer", name, deadline_ns=1)
    assert {qmp.wait_event("TIMER_EXPIRED")["data"]["id"] for _ in range(3)} == set("abc")


# ---- clocks ----

def test_query_clocks(qmp):
    first = clocks(qmp)
    assert list(first) == CLOCKS
    assert all(item["running"] for item in first.values())
    second = clocks(qmp)
    assert all(second[name]["now-ns"] > first[name]["now-ns"] for name in CLOCKS)


def test_the_virtual_clock_stops_advances_and_resumes(qmp):
    add(qmp, "timer", "t", clock="virtual", period_ns=HOUR)
    stopped = qmp.command("clock-stop")
    assert stopped["clock"] == "virtual" and stopped["running"] is False
    assert qmp.command("clock-stop")["now-ns"] == stopped["now-ns"]
    assert [name for name, item in clocks(qmp).items() if not item["running"]] == [
        "virtual", "virtual-rt"]
    assert advance(qmp, 2.5)["now-ns"] == stopped["now-ns"] + 2.5 * HOUR
    dest = stopped["now-ns"] + 3 * HOUR
    assert qmp.command("clock-advance", to_ns=dest)["now-ns"] == dest
    assert qmp.command("clock-advance", to_ns=1)["now-ns"] == dest  # never back
    assert get(qmp, "t", "expirations") == 0
    assert qmp.command("clock-resume")["running"] is True
    wait_for_count(qmp, "t", "expirations", 1)
    assert get(qmp, "t", "missed") in (1, 2)


@pytest.mark.parametrize("arguments, text", [
    ({}, "Either 'by-ns' or 'to-ns' is expected"),
    ({"by_ns": 1, "to_ns": 1}, "Either 'by-ns' or 'to-ns' is expected"),
    ({"by_ns": 0}, f"Parameter 'by-ns' expects an integer from 1 to {2**62}"),
    ({"to_ns": -1}, f"Parameter 'to-ns' expects an integer from 1 to {2**62}"),
    ({"to_ns": 2**63}, f"Parameter 'to-ns' expects an integer from 1 to {2**62}"),
    ({"by_ns": 2**62}, f"Parameter 'by-ns': the clock can be advanced to {2**62} at the most"),
    ({"by_ns": "1"}, f"Parameter 'by-ns' expects an integer from 1 to {2**62}")], ids=repr)
def test_a_wrong_advance_changes_nothing(qmp, arguments, text):
    before = qmp.command("clock-stop")
    assert error_of(qmp.command, "clock-advance", **arguments) == text
    assert qmp.command("clock-stop") == before


def test_clocks_obey_while_the_main_loop_is_stuck(daemon, qmp):
    add_places(qmp)
    add(qmp, "timer", "t", clock="virtual", period_ns=HOUR, iothread="io0")
    with daemon.block_main_loop():
        assert qmp.oob("clock-stop")["running"] is False
        qmp.oob("clock-advance", by_ns=HOUR)
        assert qmp.oob("clock-resume")["running"] is True
        # The timer does not need the main loop, nor do its events.
        assert qmp.wait_event("TIMER_EXPIRED")["data"]["id"] == "t"
        assert {item["clock"] for item in qmp.oob("query-clocks")} == set(CLOCKS)
