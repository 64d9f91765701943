"""The stall watch: LOOP_STALLED and LOOP_RESUMED, query-loops, and that a daemon at rest has none."""

import re
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import BUILD
from held_thread import held
from objects import add
from qmp_client import DEADLINE, QmpError

THRESHOLD = 50  # ms; what is held below is held until it is let go
THRESHOLD_NS = THRESHOLD * 10**6
HAS_BACKTRACE = "#define HAVE_BACKTRACE 1" in (BUILD / "config.h").read_text()


@pytest.fixture
def watched(start_daemon):
    """A daemon with the watch, and two IOThreads."""
    return start_daemon("--debug-commands", f"--stall-threshold-ms={THRESHOLD}",
                        "--object", "iothread,id=io0", "--object", "iothread,id=io1")


@pytest.fixture
def session(watched):
    with watched.connect(oob=True) as qmp:
        yield qmp


def loop_of(session, name):
    return next((loop for loop in session.oob("query-loops") if loop["id"] == name), None)


def block(blocker, name, duration_ms=3600000):
    """Ask to hold a loop; the answer comes when it is over."""
    blocker.send({"execute": "x-debug-block",
                  "arguments": {"loop": name, "duration-ms": duration_ms}})


def wait_until_held(session, name):
    deadline = time.monotonic() + DEADLINE
    while loop_of(session, name).get("source") not in ("debug_block_here", "qmp_dispatch"):
        assert time.monotonic() < deadline, f"{name} is not held"


@contextmanager
def blocked(daemon, name):
    """Hold a loop; yields the session that waits for the answer. Then let it go, and wait."""
    with daemon.connect(oob=True) as blocker:
        block(blocker, name)
        try:
            yield blocker
        finally:
            deadline = time.monotonic() + DEADLINE
            answered = False
            while not answered:  # it may not have begun yet
                assert time.monotonic() < deadline, f"{name} does not go on"
                blocker.send({"exec-oob": "x-debug-unblock", "arguments": {"loop": name}, "id": 1})
                while (reply := blocker.receive_reply()) != {"return": {}, "id": 1}:
                    assert reply == {"return": {}}
                    answered = True


def wait_for(session, event, loop):
    """The next such event of the loop; another may be slow, on a busy machine."""
    while (found := session.wait_event(event))["data"]["loop"] != loop:
        pass
    return found["data"]


def events_of(session, stall):
    """The names of the events of one stall that have come since those that were waited for."""
    session.sync()
    return [event["event"] for event in session.events
            if event["event"] in ("LOOP_STALLED", "LOOP_RESUMED")
            and all(event["data"][name] == stall[name] for name in ("loop", "since-ns"))]


def assert_pair(stalled, resumed):
    """The two events are of one stall, which was long enough."""
    for name in ("loop", "since-ns"):
        assert stalled[name] == resumed[name]
    assert stalled.get("source") == resumed.get("source")
    assert resumed["duration-ns"] > THRESHOLD_NS


# ---- what is told ----


@pytest.mark.parametrize("name, source", [
    ("main-loop", "qmp_dispatch"), ("io0", "debug_block_here")])
def test_a_held_loop_is_told_of_and_shown_and_goes_on(watched, session, name, source):
    before = session.command("query-clocks")[0]["now-ns"]
    with blocked(watched, name):
        stalled = wait_for(session, "LOOP_STALLED", name)
        shown = loop_of(session, name)
        assert (shown["state"], shown["source"], shown["stalled"]) == ("callback", source, True)
        assert shown["stalled-since-ns"] == stalled["since-ns"] > before
        assert shown["state-ns"] > THRESHOLD_NS
        assert stalled["source"] == source
        assert ("backtrace" in stalled) <= HAS_BACKTRACE
    resumed = wait_for(session, "LOOP_RESUMED", name)
    assert_pair(stalled, resumed)
    session.sync()
    shown = loop_of(session, name)
    assert not shown["stalled"] and "stalled-since-ns" not in shown


def test_it_is_told_once_however_long_it_lasts(watched, session):
    with blocked(watched, "io0"):
        stalled = wait_for(session, "LOOP_STALLED", "io0")
        # The watch has looked again, several times.
        looks = tick_calls(session)
        while tick_calls(session) < looks + 3:
            pass
        assert events_of(session, stalled) == []
    assert_pair(stalled, wait_for(session, "LOOP_RESUMED", "io0"))
    assert events_of(session, stalled) == []


def tick_calls(session):
    """How often the watch has looked, as far as it shows: it is a source while it is armed."""
    return next((source["calls"] for source in session.oob("query-sources", loop="mon_iothread")
                 if source["name"] == "stall_watch_tick"), 0)


def test_two_loops_at_once(watched, session):
    with blocked(watched, "io0"):
        with blocked(watched, "io1"):
            stalled = {}
            while {"io0", "io1"} - stalled.keys():
                event = session.wait_event("LOOP_STALLED")["data"]
                stalled[event["loop"]] = event
            assert all(loop_of(session, name)["stalled"] for name in ("io0", "io1"))
        assert_pair(stalled["io1"], wait_for(session, "LOOP_RESUMED", "io1"))
        assert loop_of(session, "io0")["stalled"] and not loop_of(session, "io1")["stalled"]
        assert events_of(session, stalled["io0"]) == []
    assert_pair(stalled["io0"], wait_for(session, "LOOP_RESUMED", "io0"))


def test_each_stall_is_another(watched, session):
    times = []
    for _ in range(3):
        with blocked(watched, "io0"):
            stalled = wait_for(session, "LOOP_STALLED", "io0")
        assert_pair(stalled, wait_for(session, "LOOP_RESUMED", "io0"))
        times += [stalled["since-ns"]]
    assert times == sorted(set(times))


def test_what_was_over_before_the_watch_looked_is_told_too(start_daemon):
    daemon = start_daemon("--debug-commands", "--stall-threshold-ms=500",
                          "--object", "iothread,id=io0")
    with daemon.connect(oob=True) as session, daemon.connect() as blocker:
        monitor = loop_of(session, "mon_iothread")["thread-id"]
        block(blocker, "io0", duration_ms=800)
        wait_until_held(session, "io0")
        with held(monitor):
            assert blocker.receive_reply() == {"return": {}}  # of the main thread
        stalled = wait_for(session, "LOOP_STALLED", "io0")
        assert_pair(stalled, wait_for(session, "LOOP_RESUMED", "io0"))


def test_the_monitor_thread_tells_of_itself_afterwards(watched, session):
    session.command("x-debug-block", loop="mon_iothread", duration_ms=2 * THRESHOLD)
    stalled = wait_for(session, "LOOP_STALLED", "mon_iothread")
    assert stalled["source"] == "debug_block_here" and "backtrace" not in stalled
    resumed = wait_for(session, "LOOP_RESUMED", "mon_iothread")
    assert_pair(stalled, resumed)
    assert resumed["duration-ns"] >= 2 * THRESHOLD_NS


def wait_until_deleting(session, name):
    while True:
        try:
            session.command("qom-set", path=f"/objects/{name}", property="poll-grow", value=1)
        except QmpError as error:
            assert error.desc == f"Object '{name}' is being deleted"
            return


def let_the_end_be_slow(watched, session):
    """Whether io0 stood still between telling the watch that it goes on, and going on. A watch that
    is awake need not be told by a write."""
    thread = loop_of(session, "io0")["thread-id"]
    # The main loop is awake, and need not be told of anything by a write.
    with blocked(watched, "io0"), blocked(watched, "main-loop"):
        wait_until_held(session, "main-loop")
        stalled = wait_for(session, "LOOP_STALLED", "io0")
        with held(thread) as io0:
            session.oob("x-debug-unblock", loop="io0")
            written = io0.run_until_written()
            assert_pair(stalled, wait_for(session, "LOOP_RESUMED", "io0"))
            looks = tick_calls(session)
            while tick_calls(session) < looks + 3:
                pass
        assert [event["event"] for event in session.events
                if event.get("data", {}).get("loop") == "io0"] == []
    assert events_of(session, stalled) == []
    return written


def test_the_end_is_told_once_however_slow_the_loop_is_to_go_on(watched, session):
    for _ in range(20):
        if let_the_end_be_slow(watched, session):
            return
    raise AssertionError("the watch was awake each time")


def test_a_thread_that_waits_to_be_joined_does_not_stall(watched, session):
    thread = loop_of(session, "io0")["thread-id"]
    with watched.connect() as deleter:
        with held(thread) as io0:
            deleter.send({"execute": "object-del", "arguments": {"id": "io0"}})
            wait_until_deleting(session, "io0")
            with blocked(watched, "main-loop"):
                wait_for(session, "LOOP_STALLED", "main-loop")
                io0.release()
                while thread in watched.tasks():
                    pass
                looks = tick_calls(session)
                while tick_calls(session) < looks + 3:
                    pass
                assert loop_of(session, "io0")["state"] == "unused"
        assert deleter.receive_reply() == {"return": {}}
    session.sync()
    assert [event for event in session.events
            if event.get("data", {}).get("loop") == "io0"] == []


def test_a_loop_that_is_deleted_goes_on_first(watched, session):
    with watched.connect() as deleter:
        with blocked(watched, "io0"):
            stalled = wait_for(session, "LOOP_STALLED", "io0")
            deleter.send({"execute": "object-del", "arguments": {"id": "io0"}})
            session.sync()
            assert loop_of(session, "io0")["stalled"]
        assert_pair(stalled, wait_for(session, "LOOP_RESUMED", "io0"))
        assert deleter.receive_reply() == {"return": {}}
        assert loop_of(session, "io0") is None
    assert events_of(session, stalled) == []


def test_a_new_loop_is_watched(watched, session):
    wait_until_at_rest(watched)
    add(session, "iothread", "io2")
    wait_until_at_rest(watched)
    with blocked(watched, "io2"):
        stalled = wait_for(session, "LOOP_STALLED", "io2")
    assert_pair(stalled, wait_for(session, "LOOP_RESUMED", "io2"))


def test_the_end_of_the_daemon_has_the_end_of_the_stall(watched, session):
    with watched.connect(oob=True) as blocker:
        block(blocker, "io0")
        since = wait_for(session, "LOOP_STALLED", "io0")["since-ns"]
        session.command("quit")
        session.wait_event("SHUTDOWN")
        session.oob("x-debug-unblock", loop="io0")
        told = [message["event"] for message in [*session.events, *iter(session.receive, None)]
                if message.get("data", {}).get("since-ns") == since]
    assert told == ["LOOP_RESUMED"]
    assert watched.proc.wait(DEADLINE) == 0


def test_the_log_has_both(watched, session):
    with blocked(watched, "io0"):
        wait_for(session, "LOOP_STALLED", "io0")
    duration = wait_for(session, "LOOP_RESUMED", "io0")["duration-ns"]
    watched.end()
    log = watched.stderr()
    assert (f"evloopd: warning: stall watch: loop 'io0' has been held for more than {THRESHOLD} ms,"
            " in the callback 'debug_block_here'\n") in log
    assert (f"evloopd: warning: stall watch: loop 'io0' goes on after {duration // 10**6} ms\n"
            in log)


# ---- the threshold ----


def test_with_0_nothing_is_watched(start_daemon):
    daemon = start_daemon("--debug-commands", "--stall-threshold-ms=0",
                          "--object", "iothread,id=io0")
    with daemon.connect(oob=True) as session:
        with blocked(daemon, "io0"):
            wait_until_held(session, "io0")
            while loop_of(session, "io0")["state-ns"] < 4 * THRESHOLD_NS:
                assert not loop_of(session, "io0")["stalled"]
        session.command("x-debug-block", loop="mon_iothread", duration_ms=4 * THRESHOLD)
        session.sync()
        assert session.events == []


def test_what_is_shorter_is_not_told_of(start_daemon):
    daemon = start_daemon("--debug-commands", "--stall-threshold-ms=86400000",
                          "--object", "iothread,id=io0")
    with daemon.connect(oob=True) as session:
        for name in ("main-loop", "mon_iothread", "io0"):
            session.command("x-debug-block", loop=name, duration_ms=4 * THRESHOLD)
        session.sync()
        assert session.events == []


# ---- backtraces ----


@pytest.mark.skipif(not HAS_BACKTRACE, reason="built without backtraces")
def test_the_backtrace_is_of_the_thread_that_is_held(watched, session):
    for name, outermost in (("main-loop", "main"), ("io0", "iothread_main")):
        with blocked(watched, name):
            stalled = wait_for(session, "LOOP_STALLED", name)
        wait_for(session, "LOOP_RESUMED", name)
        functions = [re.match(r"(\w+)(\.[\w.]+)?\+0x[0-9a-f]+ \(evloopd\+0x[0-9a-f]+\)$", frame)
                     for frame in stalled["backtrace"]]
        functions = [match[1] for match in functions if match]
        assert functions.index("wait_here") < functions.index("aio_bh_poll") < \
            functions.index(outermost), stalled
        assert "answer" not in functions  # nothing of how it was found


@pytest.mark.skipif(not HAS_BACKTRACE, reason="built without backtraces")
def test_a_thread_that_can_not_answer_has_none(start_daemon):
    daemon = start_daemon("--debug-commands", "--stall-threshold-ms=500",
                          "--object", "iothread,id=io0")
    with daemon.connect(oob=True) as session:
        thread = loop_of(session, "io0")["thread-id"]
        for _ in range(5):  # a busy machine may be too late with holding it
            with blocked(daemon, "io0"):
                wait_until_held(session, "io0")
                with held(thread):
                    stalled = wait_for(session, "LOOP_STALLED", "io0")
            wait_for(session, "LOOP_RESUMED", "io0")
            if "backtrace" not in stalled:
                break
        assert "backtrace" not in stalled
        # It was asked too late, and nobody takes that for an answer.
        with blocked(daemon, "io0"):
            stalled = wait_for(session, "LOOP_STALLED", "io0")
        assert "wait_here" in " ".join(stalled["backtrace"])


# ---- at rest ----


def sleeps(daemon, threads):
    """How many times each of these threads went to sleep."""
    return [re.search(r"^voluntary_ctxt_switches:\s+(\d+)",
                      Path(f"/proc/{daemon.proc.pid}/task/{thread}/status").read_text(),
                      re.MULTILINE)[1] for thread in threads]


def wait_until_at_rest(daemon):
    """Until there was a while, of several thresholds, in which no loop's thread woke up."""
    with daemon.connect() as session:  # a sanitizer has threads of its own
        threads = [loop["thread-id"] for loop in session.command("query-loops")]
    deadline = time.monotonic() + DEADLINE
    while True:
        before = sleeps(daemon, threads)
        time.sleep(5 * THRESHOLD / 1000)  # the while that is looked at
        if sleeps(daemon, threads) == before:
            return
        assert time.monotonic() < deadline, "it does not come to rest"


def test_a_daemon_with_nothing_to_do_does_not_wake_up(watched):
    wait_until_at_rest(watched)


def test_after_work_it_comes_to_rest_again_and_watches_still(watched, session):
    for name in ("main-loop", "io0", "io1"):
        for _ in range(50):
            session.command("x-debug-block", loop=name, duration_ms=0)
        session.events.clear()
        wait_until_at_rest(watched)
        with blocked(watched, name):
            stalled = wait_for(session, "LOOP_STALLED", name)
        assert_pair(stalled, wait_for(session, "LOOP_RESUMED", name))
    wait_until_at_rest(watched)
