"""query-loops and query-sources: what loops do, and what runs on them."""

import os
import time

import pytest

from qmp_client import DEADLINE, QmpError

COUNTERS = ["passes", "waits", "fd-callbacks", "bh-callbacks", "timer-callbacks", "busy-ns",
            "polling-ns", "blocked-ns", "polls-hit", "polls-missed"]


def loops_by_id(session, oob=False):
    answer = session.oob("query-loops") if oob else session.command("query-loops")
    loops = {loop["id"]: loop for loop in answer}
    assert len(loops) == len(answer)
    return loops


def wait_for_state(session, loop, state):
    deadline = time.monotonic() + DEADLINE
    while (found := loops_by_id(session, oob=True)[loop])["state"] != state:
        assert time.monotonic() < deadline, f"{loop} does not become {state}"
    return found


def test_every_loop_is_there_with_its_thread(daemon, qmp):
    assert list(loops_by_id(qmp)) == ["main-loop", "mon_iothread"]
    qmp.command("object-add", qom_type="iothread", id="io0")
    qmp.command("object-add", qom_type="iothread", id="io1")
    loops = loops_by_id(qmp)
    assert list(loops) == ["main-loop", "mon_iothread", "io0", "io1"]
    assert loops["main-loop"]["thread-id"] == daemon.proc.pid
    tasks = daemon.tasks()
    for name in ["mon_iothread", "io0", "io1"]:
        assert tasks[loops[name]["thread-id"]] == name
    qmp.command("object-del", id="io0")
    assert list(loops_by_id(qmp)) == ["main-loop", "mon_iothread", "io1"]


def test_a_loop_is_shown_only_once_its_thread_runs(daemon, qmp):
    with daemon.connect() as adder:
        for _ in range(100):
            adder.send({"execute": "object-add",
                        "arguments": {"qom-type": "iothread", "id": "io0"}})
            adder.send({"execute": "object-del", "arguments": {"id": "io0"}})
        answered = 0
        while answered < 200:
            for loop in loops_by_id(qmp, oob=True).values():
                assert loop["thread-id"] > 0, loop
            while adder.has_input():
                answered += "return" in adder.receive()


def test_in_band_the_main_loop_runs_this_very_command(qmp):
    main = loops_by_id(qmp)["main-loop"]
    assert main["state"] == "callback" and main["source"] == "qmp_dispatch"


def test_out_of_band_the_monitor_reads_this_very_command(qmp):
    loops = loops_by_id(qmp, oob=True)
    assert loops["mon_iothread"]["state"] == "callback"
    assert loops["mon_iothread"]["source"] == "session_readable"


def test_a_loop_with_nothing_to_do_is_idle_and_has_no_source(qmp):
    qmp.command("object-add", qom_type="iothread", id="io0")
    for name in ["main-loop", "io0"]:
        assert "source" not in wait_for_state(qmp, name, "idle")


def test_a_held_main_loop_shows_what_holds_it(daemon, qmp):
    with daemon.block_main_loop() as blocker:
        first = loops_by_id(qmp, oob=True)["main-loop"]
        second = loops_by_id(qmp, oob=True)["main-loop"]
        assert not blocker.has_input(), "the main loop was not held any more"
        for main in (first, second):
            assert main["state"] == "callback" and main["source"] == "qmp_dispatch"
        # It stands still, only time goes by.
        assert all(first[name] == second[name] for name in COUNTERS)
        assert first["state-ns"] < second["state-ns"]
        assert blocker.receive() == {"return": {}}
    assert wait_for_state(qmp, "main-loop", "idle")["passes"] > first["passes"]


def test_counters_never_go_down_and_count_what_happens(qmp):
    before = loops_by_id(qmp)
    for _ in range(40):
        qmp.command("query-version")
    after = loops_by_id(qmp)
    for name, loop in after.items():
        for counter in COUNTERS:
            assert loop[counter] >= before[name][counter] >= 0
    # Each command was read by itself; one call of the dispatcher may run several.
    main, monitor = after["main-loop"], after["mon_iothread"]
    assert main["bh-callbacks"] > before["main-loop"]["bh-callbacks"]
    assert monitor["fd-callbacks"] >= before["mon_iothread"]["fd-callbacks"] + 40
    assert main["waits"] > 0 and main["blocked-ns"] > 0


def test_an_iothread_without_work_does_not_poll(qmp):
    qmp.command("object-add", qom_type="iothread", id="io0")
    loop = wait_for_state(qmp, "io0", "idle")
    for _ in range(40):
        qmp.command("query-version")
    later = wait_for_state(qmp, "io0", "idle")
    for name in ["passes", "polls-hit", "polls-missed", "polling-ns"]:
        assert later[name] == loop[name]


def test_no_loop_polls_for_longer_than_it_may(qmp):
    qmp.command("object-add", qom_type="iothread", id="io0", poll_max_ns=0)
    for _ in range(40):
        qmp.command("query-version")
    loops = loops_by_id(qmp)
    assert loops["io0"]["poll-ns"] == 0
    for name in ["main-loop", "mon_iothread"]:
        assert 0 <= loops[name]["poll-ns"] <= (200000 if name == "mon_iothread" else 32768)


def polls_of_the_monitor(daemon):
    """How often it polled, after as many commands one after the other."""
    with daemon.connect() as session:
        for _ in range(200):
            session.command("query-version")
        monitor = loops_by_id(session)["mon_iothread"]
    return monitor["polls-hit"] + monitor["polls-missed"]


def test_the_monitor_thread_polls_as_long_as_it_may(start_daemon):
    """Each command comes within a second of the answer before: polling that long would pay."""
    assert polls_of_the_monitor(start_daemon("--monitor-poll-max-ns=1000000000")) > 0


def test_the_monitor_thread_does_not_poll_when_it_may_not(start_daemon):
    assert polls_of_the_monitor(start_daemon("--monitor-poll-max-ns=0")) == 0


def test_the_fd_monitor_is_the_one_asked_for(qmp):
    qmp.command("object-add", qom_type="iothread", id="io0", fdmon="poll")
    qmp.command("object-add", qom_type="iothread", id="io1", fdmon="epoll")
    loops = loops_by_id(qmp)
    assert (loops["io0"]["fdmon"], loops["io1"]["fdmon"]) == ("poll", "epoll")


# ---- query-sources ----

def test_sources_are_those_of_the_loops(qmp):
    sources = qmp.command("query-sources")
    assert {source["loop"] for source in sources} <= set(loops_by_id(qmp))
    by_loop = []
    for loop in loops_by_id(qmp):
        answer = qmp.command("query-sources", loop=loop)
        assert {source["loop"] for source in answer} <= {loop}
        by_loop += answer
    assert sorted((source["loop"], source["kind"], source["name"]) for source in by_loop) == \
        sorted((source["loop"], source["kind"], source["name"]) for source in sources)


def test_the_dispatcher_is_a_bottom_half_of_the_main_loop(qmp):
    def dispatcher():
        [source] = [source for source in qmp.command("query-sources", loop="main-loop")
                    if source["name"] == "qmp_dispatch"]
        return source

    before = dispatcher()
    assert before["kind"] == "bh" and "fd" not in before and "deadline-ns" not in before
    for _ in range(40):  # one call may run several commands
        qmp.sync()
    after = dispatcher()
    assert after["calls"] > before["calls"]
    assert after["total-ns"] >= after["max-ns"] > 0


def test_each_session_is_a_descriptor_of_the_monitor(daemon, qmp):
    def sessions():
        return [source for source in qmp.command("query-sources", loop="mon_iothread")
                if source["kind"] == "fd" and source["name"] == "session_readable"]

    [own] = sessions()
    link = os.readlink(f"/proc/{daemon.proc.pid}/fd/{own['fd']}")
    assert link.startswith("socket:") and own["calls"] > 0
    with daemon.connect():
        assert len(sessions()) == 2
    while len(sessions()) != 1:
        daemon.sync_monitor()  # until the other's end is noticed


def test_a_source_has_what_its_kind_has(qmp):
    for source in qmp.command("query-sources"):
        assert ("fd" in source) == (source["kind"] == "fd")
        assert ("deadline-ns" in source) == (source["kind"] == "timer")
        assert source["name"] and 0 <= source["max-ns"] <= source["total-ns"]


def test_sources_can_be_asked_for_while_the_main_loop_is_held(daemon, qmp):
    with daemon.block_main_loop() as blocker:
        names = [source["name"] for source in qmp.oob("query-sources", loop="main-loop")]
        assert "qmp_dispatch" in names
        assert qmp.oob("query-sources") != []
        assert not blocker.has_input(), "the main loop was not held any more"


def test_an_unknown_loop_is_an_error(qmp):
    for loop in ["", "no-such-loop", "/objects/io0", "evloopd"]:
        for key in ["execute", "exec-oob"]:
            assert qmp.execute("query-sources", {"loop": loop}, key=key) == {"error": {
                "class": "GenericError", "desc": f"Parameter 'loop': there is no loop '{loop}'"}}


def test_a_deleted_loop_is_an_unknown_one(qmp):
    qmp.command("object-add", qom_type="iothread", id="io0")
    qmp.command("query-sources", loop="io0")
    qmp.command("object-del", id="io0")
    with pytest.raises(QmpError, match="there is no loop 'io0'"):
        qmp.command("query-sources", loop="io0")
