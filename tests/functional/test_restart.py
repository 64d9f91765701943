"""Restarts with --fd-store: objects go on where they were, in another process."""

import mmap
import os
import re
import signal
import socket
import struct

from configuration import ConfigDir
from configuration import add as add_line
from held_thread import held
from objects import (HOUR, add, delete, error_of, get, get_fd, ids, kick, send_fd, set_,
                     virtual_now, wait_for, wait_for_count)
from qmp_client import DEADLINE
from service_manager import NAME


# ---- timers and clocks ----


def test_a_timer_keeps_its_deadline_and_its_counts(manager):
    with manager.start().connect() as qmp:
        add(qmp, "iothread", "io0")
        add(qmp, "timer", "t", clock="virtual", period_ns=HOUR, iothread="io0")
        qmp.command("clock-advance", by_ns=3 * HOUR + HOUR // 2)  # two are missed
        wait_for_count(qmp, "t", "expirations", 1)
        lateness = get(qmp, "t", "lateness")
        assert lateness["max-ns"] >= 2 * HOUR
    with manager.restart().connect() as qmp:
        assert ids(qmp) == ["io0", "t"]
        assert [get(qmp, "t", key) for key in ("expirations", "missed", "lateness", "iothread")] == [
            1, 2, lateness, "io0"]
        qmp.command("clock-advance", by_ns=HOUR // 4)
        qmp.sync()
        assert get(qmp, "t", "expirations") == 1
        qmp.command("clock-advance", by_ns=HOUR // 4)
        wait_for_count(qmp, "t", "expirations", 2)


def test_a_clock_that_stands_does_so_in_the_next_process(manager):
    with manager.start().connect() as qmp:
        qmp.command("clock-advance", by_ns=HOUR)
        before = qmp.command("clock-stop")
        add(qmp, "timer", "t", clock="virtual", deadline_ns=before["now-ns"] + HOUR)
    with manager.restart().connect() as qmp:
        assert virtual_now(qmp) == before
        qmp.command("clock-advance", by_ns=HOUR)
        qmp.sync()
        assert get(qmp, "t", "expirations") == 0
        qmp.command("clock-resume")
        wait_for_count(qmp, "t", "expirations", 1)


def test_a_clock_that_runs_goes_on_running(manager):
    with manager.start().connect() as qmp:
        qmp.command("clock-advance", by_ns=1000 * HOUR)
        before = virtual_now(qmp)
    with manager.restart().connect() as qmp:
        now = virtual_now(qmp)
        assert now["running"] and before["now-ns"] < now["now-ns"] < before["now-ns"] + HOUR


def test_what_has_expired_for_good_does_not_expire_again(manager):
    with manager.start().connect() as qmp:
        add(qmp, "timer", "once", deadline_ns=1)
        add(qmp, "timer", "shot", period_ns=1, one_shot=True)
        for name in ("once", "shot"):
            wait_for_count(qmp, name, "expirations", 1)
    for _ in range(2):
        with manager.restart().connect() as qmp:
            qmp.sync()
            assert [get(qmp, name, "expirations") for name in ("once", "shot")] == [1, 1]


def test_a_timer_that_an_option_gives_another_period_begins_anew(manager):
    option = "timer,id=t,clock=virtual,period-ns=%d"
    with manager.start("--object", option % HOUR).connect() as qmp:
        qmp.command("clock-advance", by_ns=HOUR + HOUR // 2)
        wait_for_count(qmp, "t", "expirations", 1)
    with manager.restart("--object", option % (4 * HOUR)).connect() as qmp:
        qmp.command("clock-advance", by_ns=3 * HOUR)
        qmp.sync()
        assert get(qmp, "t", "expirations") == 1
        qmp.command("clock-advance", by_ns=HOUR)
        wait_for_count(qmp, "t", "expirations", 2)


# ---- event notifiers ----


def test_kicks_are_counted_through_the_same_eventfd(manager):
    with manager.start().connect() as qmp:
        add(qmp, "iothread", "io0")
        add(qmp, "event-notifier", "n", iothread="io0")
        fd = get_fd(qmp, "n")
        kick(fd, 3)
        wait_for_count(qmp, "n", "kicks", 3)
    for kicks in (5, 7):
        manager.stop()
        kick(fd)  # while there is nobody
        with manager.start().connect() as qmp:
            kick(fd)
            wait_for_count(qmp, "n", "kicks", kicks)
    os.close(fd)


def test_an_eventfd_that_a_client_has_sent_is_used_on(manager):
    fd = os.eventfd(0)
    with manager.start().connect() as qmp:
        send_fd(qmp, "mine", fd)
        add(qmp, "event-notifier", "n", fd="mine")
        kick(fd)
        wait_for_count(qmp, "n", "kicks", 1)
    with manager.restart().connect() as qmp:
        kick(fd)
        wait_for_count(qmp, "n", "kicks", 2)
        assert get(qmp, "n", "fd") == "mine"
        # The name is only a name now: another may have it, and it is nobody's for others.
        assert "there is no descriptor 'mine'" in error_of(add, qmp, "event-notifier", "m",
                                                           fd="mine")
        delete(qmp, "n")
    os.close(fd)


def test_rings_of_a_doorbell_are_counted_whenever_they_come(manager):
    bell = os.memfd_create("bell", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.truncate(bell, 4096)
    fd = os.eventfd(0)
    with mmap.mmap(bell, 4096) as memory:
        def ring(count):
            [rings] = struct.unpack_from("=Q", memory)
            struct.pack_into("=Q", memory, 0, rings + count)
            kick(fd)

        ring(100)  # before anybody looks
        with manager.start().connect() as qmp:
            send_fd(qmp, "mine", fd)
            send_fd(qmp, "bell", bell)
            add(qmp, "event-notifier", "n", fd="mine", doorbell="bell")
            ring(2)
            wait_for_count(qmp, "n", "kicks", 2)
            qmp.command("event-notifier-set", id="n")
            wait_for_count(qmp, "n", "kicks", 3)
        manager.stop()
        assert struct.unpack_from("=Q", memory, 8) == (0,)
        ring(4)
        with manager.start().connect() as qmp:
            wait_for_count(qmp, "n", "kicks", 7)
            ring(1)
            wait_for_count(qmp, "n", "kicks", 8)
    os.close(bell)
    os.close(fd)


def test_an_eventfd_that_the_daemon_is_passed_is_taken_from_there(manager):
    fd = os.eventfd(0)
    manager.put(os.dup(fd), name="mine")
    with manager.start("--object", "event-notifier,id=n,fd=mine").connect() as qmp:
        kick(fd)
        wait_for_count(qmp, "n", "kicks", 1)
    with manager.restart("--object", "event-notifier,id=n,fd=mine").connect() as qmp:
        kick(fd)
        wait_for_count(qmp, "n", "kicks", 2)
        assert "is in use by 'n'" in error_of(add, qmp, "event-notifier", "m", fd="mine")
    os.close(fd)


def test_a_chain_goes_on_even_to_those_that_came_later(manager):
    with manager.start().connect() as qmp:
        add(qmp, "event-notifier", "a")
        add(qmp, "event-notifier", "b")
        add(qmp, "iothread", "io0")
        add(qmp, "event-notifier", "c")
        set_(qmp, "a", "chain", ["b", "c"])
        set_(qmp, "b", "iothread", "io0")
        fd = get_fd(qmp, "a")
    with manager.restart().connect() as qmp:
        kick(fd, 5)
        for name in "abc":
            wait_for_count(qmp, name, "kicks", 5)
        assert get(qmp, "b", "iothread") == "io0"
        assert "in use by" in error_of(delete, qmp, "c")
    os.close(fd)


def test_hundreds_of_descriptors_go_over(manager):
    """More than one message takes."""
    with manager.start().connect() as qmp:
        fds = []
        for i in range(300):
            add(qmp, "event-notifier", f"n{i}")
            fds.append(get_fd(qmp, f"n{i}"))
        qmp.sync()  # the copy that the last answer had is closed
        count = manager.daemon.count_fds()
    manager.stop()
    assert "restart: kept: objects 300, descriptors 300\n" in manager.daemon.stderr()
    assert len(manager.store) == 1
    for i, fd in enumerate(fds):
        kick(fd, i + 1)
        os.close(fd)
    with manager.start().connect() as qmp:
        for i in range(300):
            wait_for_count(qmp, f"n{i}", "kicks", i + 1)
        assert manager.daemon.count_fds() == count


# ---- IOThreads ----


def test_an_iothread_has_the_properties_that_it_had(manager):
    with manager.start().connect() as qmp:
        add(qmp, "iothread", "io0", poll_max_ns=1000, fdmon="epoll", cpu_affinity="0")
        set_(qmp, "io0", "poll-grow", 3)
        [before] = qmp.command("query-iothreads")
    with manager.restart().connect() as qmp:
        [after] = qmp.command("query-iothreads")
        assert after.pop("thread-id") != before.pop("thread-id")
        assert after == before


# ---- which objects there are ----


def test_what_the_start_asks_for_is_that_and_goes_on_with_what_was(manager):
    with manager.start("--object", "event-notifier,id=n", "--object", "iothread,id=io0",
                       "--object", "iothread,id=io1").connect() as qmp:
        set_(qmp, "n", "iothread", "io0")
        fd = get_fd(qmp, "n")
        add(qmp, "event-notifier", "m")
    with manager.restart("--object", "event-notifier,id=n",
                         "--object", "iothread,id=io0").connect() as qmp:
        assert ids(qmp) == ["n", "io0", "m"]
        assert get(qmp, "n", "iothread") is None
        kick(fd)
        wait_for_count(qmp, "n", "kicks", 1)
    assert ("notice: restart: iothread 'io1' is dropped, for nothing asks for it any more\n"
            in manager.daemon.stderr())
    assert "notice: restart: objects that go on: 3\n" in manager.daemon.stderr()
    os.close(fd)


def test_the_configuration_decides_about_its_own(manager, tmp_path):
    files = ConfigDir(tmp_path)
    options = ("--config-dir", str(files.path))
    files.write("a.json", add_line("event-notifier", "n"), add_line("iothread", "io0"))
    with manager.start(*options).connect() as qmp:
        fd = get_fd(qmp, "n")
        add(qmp, "event-notifier", "m")
        add(qmp, "event-notifier", "asked-for-later")
        later = get_fd(qmp, "asked-for-later")
    files.write("a.json", add_line("event-notifier", "n"), add_line("iothread", "io2"),
                add_line("event-notifier", "asked-for-later"))
    with manager.restart(*options).connect() as qmp:
        assert sorted(ids(qmp)) == ["asked-for-later", "io2", "m", "n"]
        for other, name in ((fd, "n"), (later, "asked-for-later")):
            kick(other)
            wait_for_count(qmp, name, "kicks", 1)
            os.close(other)
    assert ("notice: restart: iothread 'io0' is dropped, for nothing asks for it any more\n"
            in manager.daemon.stderr())
    files.write("a.json")
    with manager.restart(*options).connect() as qmp:
        assert ids(qmp) == ["m"]


def test_what_a_client_has_applied_stays_where_no_directory_says_otherwise(manager, tmp_path):
    text = add_line("event-notifier", "n") + "\n"
    with manager.start().connect() as qmp:
        qmp.command("config-apply", files=[{"name": "a.json", "text": text}])
    with manager.restart().connect() as qmp:
        assert ids(qmp) == ["n"]
        # It still is the configuration's.
        result = qmp.command("config-apply", files=[], dry_run=True)
        assert [item["id"] for item in result["removed"]] == ["n"]
    with manager.restart("--config-dir", str(tmp_path)).connect() as qmp:
        assert ids(qmp) == []


def test_the_command_to_end_keeps_nothing(manager):
    with manager.start().connect() as qmp:
        add(qmp, "event-notifier", "n")
        qmp.command("quit")
        assert manager.daemon.proc.wait(DEADLINE) == 0
    assert manager.store == []
    with manager.start().connect() as qmp:
        assert ids(qmp) == []


def test_clients_are_told_of_the_end_and_of_no_deletion(manager):
    with manager.start().connect() as qmp:
        add(qmp, "event-notifier", "n")
        qmp.events.clear()
        manager.stop()
        events = []
        while message := qmp.receive():
            events.append(message["event"])
        assert events == ["SHUTDOWN"]


def test_an_object_that_is_being_deleted_goes(manager, sockets):
    """Its deletion would wait for connections, which the end does not."""
    with socket.socket(socket.AF_UNIX) as target, manager.start().connect() as qmp:
        target.bind(f"{sockets}/target")
        target.listen()
        add(qmp, "socket-relay", "r", listen=f"unix:{sockets}/r", target=f"unix:{sockets}/target",
            drain_timeout_ms=3600000)
        add(qmp, "event-notifier", "n")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{sockets}/r")
            with target.accept()[0]:
                qmp.send({"execute": "object-del", "arguments": {"id": "r"}})
                with manager.daemon.connect() as other:
                    wait_for(lambda: "is being deleted" in error_of(
                        set_, other, "r", "connection-events", True))
                manager.stop()
    with manager.start().connect() as qmp:
        assert ids(qmp) == ["n"]


def test_a_reload_that_waits_for_connections_does_not_hold_up_a_restart(manager, sockets, tmp_path):
    """What it was about to delete goes; what it has done beside is done."""
    files = ConfigDir(tmp_path)
    relay = add_line("socket-relay", "r", listen=f"unix:{sockets}/r",
                     target=f"unix:{sockets}/target", drain_timeout_ms=3600000)
    files.write("a.json", relay)
    options = ("--config-dir", str(files.path))
    with socket.socket(socket.AF_UNIX) as target, manager.start(*options).connect() as qmp:
        target.bind(f"{sockets}/target")
        target.listen()
        add(qmp, "event-notifier", "n")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{sockets}/r")
            with target.accept()[0]:
                files.write("a.json", add_line("event-notifier", "m"))
                qmp.send({"execute": "reload"})
                qmp.send({"execute": "object-add", "arguments": {"qom-type": "event-notifier",
                                                                 "id": "late"}})
                wait_for(lambda: not os.path.exists(f"{sockets}/r"))
                manager.stop()
    with manager.start(*options).connect() as qmp:
        assert sorted(ids(qmp)) == ["m", "n"]


def test_an_end_that_comes_before_the_start_is_over_loses_nothing(manager, tmp_path):
    with manager.start().connect() as qmp:
        add(qmp, "event-notifier", "n")
    manager.stop()
    config = tmp_path / "config.fifo"
    os.mkfifo(config)
    daemon = manager.start("--config", str(config), wait=False)
    with open(config, "w", encoding="utf-8"):  # it is open: the daemon has taken what was left
        wait_for(lambda: manager.has_been_told("FDSTOREREMOVE=1", f"FDNAME={NAME}"))
        daemon.proc.send_signal(signal.SIGTERM)
    assert daemon.proc.wait(DEADLINE) == 0
    with manager.start().connect() as qmp:
        assert ids(qmp) == ["n"]


# ---- what goes wrong ----


def test_nothing_comes_back_after_a_crash(manager):
    with manager.start().connect() as qmp:
        add(qmp, "event-notifier", "n")
    with manager.restart().connect() as qmp:
        assert ids(qmp) == ["n"]
        assert manager.has_been_told("FDSTOREREMOVE=1", f"FDNAME={NAME}")
    manager.daemon.proc.kill()
    manager.daemon.proc.wait(DEADLINE)
    dead = manager.daemon
    os.unlink(dead.socket)
    with manager.start().connect() as qmp:
        assert ids(qmp) == []
    dead.proc.returncode = 0  # it was us


def test_nothing_comes_back_even_if_the_manager_does_not_forget(manager):
    with manager.start().connect() as qmp:
        add(qmp, "event-notifier", "n")
    manager.stop()
    [(_, parcel)] = manager.store
    spare = os.dup(parcel)
    with manager.start().connect() as qmp:
        assert ids(qmp) == ["n"]
        qmp.command("quit")
        assert manager.daemon.proc.wait(DEADLINE) == 0
    manager.put(spare)
    with manager.start().connect() as qmp:
        assert ids(qmp) == []
    assert ("evloopd: warning: restart: what the daemon before has left can't be used: it is empty\n"
            in manager.daemon.stderr())


def test_a_second_signal_ends_it_as_ever(manager):
    with manager.start().connect() as qmp:
        add(qmp, "iothread", "io0")
        add(qmp, "event-notifier", "n", iothread="io0")
        with held(thread_of(manager, "io0")):
            manager.daemon.proc.send_signal(signal.SIGTERM)
            assert qmp.wait_event("SHUTDOWN")
            manager.daemon.proc.send_signal(signal.SIGTERM)
            wait_for(lambda: "ending at once" in manager.daemon.stderr())
        assert manager.daemon.proc.wait(DEADLINE) == 0
    assert manager.store == []


def thread_of(manager, name):
    return next(number for number, found in manager.daemon.tasks().items() if found == name)


def test_a_loop_that_is_held_keeps_others_from_nothing(manager):
    with manager.start().connect() as qmp:
        add(qmp, "iothread", "io0")
        add(qmp, "event-notifier", "n", iothread="io0")
        add(qmp, "event-notifier", "m")
        fds = {name: get_fd(qmp, name) for name in "nm"}
        for fd in fds.values():
            kick(fd)
        for name in "nm":
            wait_for_count(qmp, name, "kicks", 1)
        with held(thread_of(manager, "io0")):
            manager.daemon.proc.send_signal(signal.SIGTERM)
            wait_for(lambda: "kept: objects 3," in manager.daemon.stderr())
        assert manager.daemon.proc.wait(DEADLINE) == 0
        assert ("evloopd: warning: restart: event-notifier 'n' begins anew, for it can't be "
                "stopped: is its loop held?\n") in manager.daemon.stderr()
    with manager.start().connect() as qmp:
        for fd in fds.values():
            kick(fd)
            os.close(fd)
        wait_for_count(qmp, "m", "kicks", 2)
        assert get(qmp, "n", "kicks") == 0


def test_without_a_manager_there_is_a_warning(start_daemon):
    daemon = start_daemon("--fd-store", env={key: value for key, value in os.environ.items()
                                             if key != "NOTIFY_SOCKET"})
    with daemon.connect() as qmp:
        add(qmp, "event-notifier", "n")
    daemon.end()
    assert daemon.stderr().splitlines()[0] == (
        "evloopd: warning: --fd-store does nothing, for there is no service manager")


def test_a_manager_that_has_gone_is_a_warning(start_daemon, sockets):
    daemon = start_daemon("--fd-store", env={**os.environ, "NOTIFY_SOCKET": f"{sockets}/nobody"})
    with daemon.connect() as qmp:
        add(qmp, "event-notifier", "n")
    daemon.end()
    assert "evloopd: warning: restart: nothing is kept: " in daemon.stderr()


def test_a_manager_that_keeps_nothing_gets_a_daemon_that_begins_anew(manager):
    manager.keeps = False
    with manager.start().connect() as qmp:
        add(qmp, "event-notifier", "n")
    with manager.restart().connect() as qmp:
        assert ids(qmp) == []


def start_that_fails(manager, *options):
    failed = manager.start(*options, wait=False)
    assert failed.proc.wait(DEADLINE) == 1
    failed.proc.returncode = 0  # as it should
    return failed.stderr()


def test_a_start_that_fails_loses_nothing(manager, tmp_path):
    """Neither what it had not come to, nor what it had."""
    (tmp_path / "bad").write_text("nonsense")
    options = ("--object", "timer,id=t,clock=virtual,period-ns=%d" % HOUR)
    with manager.start(*options).connect() as qmp:
        qmp.command("clock-advance", by_ns=HOUR)
        wait_for_count(qmp, "t", "expirations", 1)
        for name in "nm":
            add(qmp, "event-notifier", name)
        fds = {name: get_fd(qmp, name) for name in "nm"}
    manager.stop()
    for _ in range(2):
        log = start_that_fails(manager, *options, "--config", str(tmp_path / "bad"))
        assert "restart: kept: objects 3, descriptors 2\n" in log
    with manager.start(*options).connect() as qmp:
        assert ids(qmp) == ["t", "n", "m"]
        assert get(qmp, "t", "expirations") == 1
        for name, fd in fds.items():
            kick(fd, 2)
            os.close(fd)
            wait_for_count(qmp, name, "kicks", 2)


def test_a_start_that_fails_without_the_option_says_that_all_is_lost(manager):
    with manager.start().connect() as qmp:
        add(qmp, "event-notifier", "n")
    manager.stop()
    launch = manager.launch
    manager.launch = lambda fds, _, *options, **others: launch(fds, *options, **others)
    assert ("evloopd: warning: restart: what the daemon before has left ends with this one, for "
            "there is no --fd-store, or no service manager\n"
            in start_that_fails(manager, "--object", "nonsense"))
    with manager.start().connect() as qmp:
        assert ids(qmp) == []


def test_a_start_with_wrong_options_loses_nothing(manager):
    with manager.start().connect() as qmp:
        add(qmp, "event-notifier", "n")
    manager.stop()
    start_that_fails(manager, "--nonsense")
    with manager.start().connect() as qmp:
        assert ids(qmp) == ["n"]


def test_a_lower_limit_of_descriptors_is_a_warning(manager):
    with manager.start().connect() as qmp:
        for i in range(150):
            add(qmp, "event-notifier", f"n{i}")
    manager.stop()
    count = len(manager.messages)
    manager.start(limit_fds=120, wait=False)
    manager.wait_until_ready(count)
    log = manager.daemon.stderr()
    assert re.search(r"warning: restart: \d+ of 152 descriptors have not come: is LimitNOFILE= lower "
                     r"than it was\?\n", log)
    assert "warning: restart: event-notifier 'n0' " not in log
    assert "warning: restart: event-notifier 'n149' is lost: " in log
