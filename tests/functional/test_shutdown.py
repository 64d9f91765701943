"""Ending: by signals and by quit, whatever the daemon is doing at that moment."""

import json
import os
import select
import signal
import socket
import subprocess

import pytest

from held_thread import held
from qmp_client import DEADLINE, Qmp, QmpError

SIGNALS = {"SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
WAYS = [*SIGNALS, "quit"]


def end(daemon, way):
    """Ask the daemon to end; returns the reason that SHUTDOWN must give."""
    if way != "quit":
        daemon.proc.send_signal(SIGNALS[way])
        return "host-signal"
    with daemon.connect() as qmp:
        assert qmp.command("quit") == {}
    return "host-qmp-quit"


def assert_ended(daemon):
    assert daemon.proc.wait(DEADLINE) == 0, daemon.stderr()
    assert not os.path.exists(daemon.socket)


def assert_shutdown(qmp, reason):
    assert qmp.wait_event("SHUTDOWN")["data"] == {"guest": False, "reason": reason}


def at_end(qmp):
    """Whether the server has closed. With commands that it left unread that is a reset."""
    try:
        return qmp.at_end()
    except ConnectionResetError:
        return True


def wait_until_deleting(qmp, name="io0"):
    while True:
        try:
            qmp.command("qom-set", path=f"/objects/{name}", property="poll-grow", value=1)
        except QmpError as error:
            assert "is being deleted" in error.desc
            return


def wait_until_blocked(watcher, qmp):
    """Until the main loop is blocked by the command of @qmp, or has answered it already."""
    while not select.select([qmp.socket], [], [], 0)[0]:
        [loop, *_] = watcher.oob("query-loops")
        if (loop["state"], loop.get("source")) == ("callback", "qmp_dispatch"):
            return


@pytest.mark.parametrize("way", WAYS)
def test_an_idle_daemon_ends(daemon, way):
    end(daemon, way)
    assert_ended(daemon)


@pytest.mark.parametrize("way", WAYS)
def test_iothreads_are_deleted_and_sessions_told_in_order(daemon, way):
    with daemon.connect() as qmp, daemon.connect() as idle:
        for i in range(20):
            qmp.command("object-add", qom_type="iothread", id=f"io{i}")
        qmp.command("query-version")
        qmp.events.clear()
        silent = Qmp(daemon.socket, negotiate=False)
        assert "QMP" in silent.receive()
        reason = end(daemon, way)
        for session in (qmp, idle):
            assert_shutdown(session, reason)
            gone = {session.wait_event("OBJECT_DELETED")["data"]["id"] for _ in range(20)}
            assert gone == {f"io{i}" for i in range(20)}
            assert at_end(session)
        assert at_end(silent)
        silent.close()
    assert_ended(daemon)


@pytest.mark.parametrize("ahead", range(0, 60, 6))
def test_objects_may_emit_while_the_daemon_ends(daemon, ahead):
    """Their events go by what is freed with the server; ThreadSanitizer looks on."""
    ids = [f"n{i}" for i in range(60)]
    with daemon.connect() as qmp, daemon.connect(oob=True) as kicker, daemon.connect() as watcher:
        for i in range(3):
            qmp.command("object-add", qom_type="iothread", id=f"io{i}")
        for i, name in enumerate(ids):
            qmp.command("object-add", qom_type="event-notifier", id=name, iothread=f"io{i % 3}")
        # The first event of each is due at once, in the thread of its own.
        kicks = [json.dumps({"exec-oob": "event-notifier-set", "arguments": {"id": name}}).encode()
                 for name in ids]
        kicker.send_raw(b"".join(kicks[:ahead]))
        qmp.send({"execute": "quit"})
        try:
            kicker.send_raw(b"".join(kicks[ahead:]))
        except (BrokenPipeError, ConnectionResetError):
            pass  # too late
        gone = set()
        ended = False
        while message := watcher.receive():
            name, data = message["event"], message.get("data", {})
            ended = ended or name == "SHUTDOWN"
            if name == "EVENT_NOTIFIER_SET":
                assert data["id"] not in gone
            elif name == "OBJECT_DELETED":
                gone.add(data["id"])
        assert ended and gone >= set(ids)
    assert_ended(daemon)


def test_the_answer_to_quit_comes_before_the_event(daemon):
    with daemon.connect() as qmp:
        qmp.send({"execute": "quit", "id": "q"})
        assert qmp.receive() == {"return": {}, "id": "q"}
        assert qmp.receive()["event"] == "SHUTDOWN"
        assert at_end(qmp)
    assert_ended(daemon)


@pytest.mark.parametrize("way", WAYS)
def test_a_command_that_runs_is_answered_and_those_queued_are_dropped(daemon, way):
    with daemon.connect(oob=True) as qmp, daemon.connect() as watcher:
        qmp.command("object-add", qom_type="iothread", id="io0")
        [info] = qmp.command("query-iothreads")
        with held(info["thread-id"]) as thread:
            qmp.send({"execute": "object-del", "arguments": {"id": "io0"}, "id": 1})
            for i in range(3):
                qmp.send({"execute": "x-debug-echo", "arguments": {"value": i}, "id": 2 + i})
            assert qmp.oob("x-debug-echo", value="all are queued") == "all are queued"
            wait_until_deleting(watcher)
            reason = end(daemon, way)
            assert_shutdown(watcher, reason)
            # It waits for the command, and lets nobody in any more.
            assert daemon.proc.poll() is None
            assert not os.path.exists(daemon.socket)
            thread.release()
            reply = qmp.receive_reply()
            assert reply == {"return": {}, "id": 1}
            assert [e["event"] for e in qmp.events[-2:]] == ["SHUTDOWN", "OBJECT_DELETED"]
            assert at_end(qmp)
    assert_ended(daemon)


@pytest.mark.parametrize("way", SIGNALS)
def test_a_blocked_main_loop_answers_first(daemon, qmp, way):
    with daemon.connect(oob=True) as watcher:
        qmp.send({"execute": "x-debug-block", "arguments": {"duration-ms": 300}, "id": 1})
        wait_until_blocked(watcher, qmp)
        reason = end(daemon, way)
    assert qmp.receive_reply() == {"return": {}, "id": 1}
    assert_shutdown(qmp, reason)
    assert at_end(qmp)
    assert_ended(daemon)


@pytest.mark.parametrize("way", WAYS)
def test_further_signals_change_nothing(daemon, way):
    with daemon.connect() as qmp, daemon.connect() as other:
        qmp.command("object-add", qom_type="iothread", id="io0")
        [info] = qmp.command("query-iothreads")
        with held(info["thread-id"]) as thread:
            qmp.send({"execute": "object-del", "arguments": {"id": "io0"}})
            wait_until_deleting(other)
            reason = end(daemon, way)
            assert_shutdown(other, reason)
            for number in SIGNALS.values():
                daemon.proc.send_signal(number)
            thread.release()
            assert other.wait_event()["event"] == "OBJECT_DELETED"
            assert at_end(other)
    assert_ended(daemon)


@pytest.mark.parametrize("way", SIGNALS)
def test_a_client_that_does_not_read_does_not_hold_up_the_end(daemon, qmp, way):
    with daemon.connect() as deaf:
        for _ in range(7):
            deaf.send({"execute": "x-debug-echo", "arguments": {"value": "x" * 100000}})
        deaf.send({"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "io0"}})
        qmp.wait_event("OBJECT_ADDED")  # so all before it has been answered
        reason = end(daemon, way)
        assert_shutdown(qmp, reason)
        assert_ended(daemon)


def test_a_session_that_has_lost_its_client_is_harmless(daemon):
    for _ in range(20):
        with daemon.connect() as qmp:
            for i in range(8):
                qmp.send({"execute": "query-qmp-schema", "id": i})
    with daemon.connect() as qmp:
        qmp.command("query-version")
    end(daemon, "SIGTERM")
    assert_ended(daemon)


def test_sigpipe_is_harmless(daemon):
    daemon.proc.send_signal(signal.SIGPIPE)
    with daemon.connect() as qmp:
        qmp.command("query-version")


def test_a_log_that_nobody_reads_any_more_is_harmless(evloopd, sockets):
    reader, writer = os.pipe()
    with subprocess.Popen([evloopd, "--qmp", f"unix:{sockets}/a", "--log-level=debug"],
                          stdin=subprocess.DEVNULL, stderr=writer) as proc:
        os.close(writer)
        while not os.path.exists(sockets / "a"):
            assert proc.poll() is None
        os.close(reader)
        while True:
            try:
                qmp = Qmp(f"{sockets}/a")
                break
            except ConnectionRefusedError:
                pass  # bound, and not listening yet
        with qmp:
            qmp.command("quit")
            assert_shutdown(qmp, "host-qmp-quit")
            assert at_end(qmp)
        assert proc.wait(DEADLINE) == 0


@pytest.mark.parametrize("way", SIGNALS)
def test_signals_that_the_parent_ignores_work(start_daemon, way):
    def ignore():
        for number in SIGNALS.values():
            signal.signal(number, signal.SIG_IGN)

    daemon = start_daemon(preexec_fn=ignore)
    end(daemon, way)
    assert_ended(daemon)


@pytest.mark.parametrize("kind", ["socket", "file", "nothing"])
def test_what_has_replaced_the_socket_is_left_alone(daemon, kind):
    qmp = daemon.connect()
    os.unlink(daemon.socket)
    with socket.socket(socket.AF_UNIX) as listener, qmp:
        if kind == "socket":
            listener.bind(daemon.socket)
            listener.listen()
        elif kind == "file":
            with open(daemon.socket, "w", encoding="utf-8") as file:
                file.write("mine")
        qmp.command("quit")
        assert daemon.proc.wait(DEADLINE) == 0
        assert os.path.exists(daemon.socket) == (kind != "nothing")
        if kind == "socket":
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(daemon.socket)
    if kind != "nothing":
        os.unlink(daemon.socket)


def test_the_socket_of_a_killed_daemon_is_taken_over(evloopd, sockets):
    path = f"{sockets}/a"
    for _ in range(3):
        with subprocess.Popen([evloopd, "--qmp", f"unix:{path}"], stdin=subprocess.DEVNULL) as proc:
            while True:
                try:
                    Qmp(path).close()
                    break
                except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError):
                    # Reset: the killed one's socket listens until its io_uring is taken apart.
                    assert proc.poll() is None
            proc.kill()
        assert os.path.exists(path)


def test_a_daemon_that_starts_while_another_ends_keeps_its_socket(start_daemon, evloopd):
    old = start_daemon()
    with old.connect() as qmp:
        qmp.command("object-add", qom_type="iothread", id="io0")
        [info] = qmp.command("query-iothreads")
        with held(info["thread-id"]) as thread:
            old.proc.send_signal(signal.SIGTERM)
            assert_shutdown(qmp, "host-signal")
            with subprocess.Popen([evloopd, "--qmp", f"unix:{old.socket}"],
                                  stdin=subprocess.DEVNULL) as new:
                while True:
                    try:
                        session = Qmp(old.socket)
                        break
                    except (FileNotFoundError, ConnectionRefusedError):
                        assert new.poll() is None
                thread.release()
                assert old.proc.wait(DEADLINE) == 0
                Qmp(old.socket).close()
                with session:
                    session.command("quit")
                assert new.wait(DEADLINE) == 0


def test_a_signal_during_the_configuration_ends_the_daemon_after_it(start_daemon, sockets):
    config = sockets / "config.fifo"
    os.mkfifo(config)
    daemon = start_daemon("--config", str(config), wait=False)
    with open(config, "w", encoding="utf-8") as fifo:
        daemon.proc.send_signal(signal.SIGTERM)
        fifo.write('{"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "a"}}')
        fifo.write('{"execute": "object-del", "arguments": {"id": "a"}}')
    assert_ended(daemon)


def test_many_starts_and_ends_under_fire(evloopd, sockets):
    path = f"{sockets}/a"
    for i in range(40):
        with subprocess.Popen([evloopd, "--qmp", f"unix:{path}", "--object", "iothread,id=a"],
                              stdin=subprocess.DEVNULL) as proc:
            sessions = []
            while not sessions:
                try:
                    sessions = [Qmp(path) for _ in range(3)]
                except (FileNotFoundError, ConnectionRefusedError):
                    assert proc.poll() is None
            for session in sessions:
                session.send({"execute": "object-add",
                              "arguments": {"qom-type": "iothread", "id": "b"}})
                session.send({"execute": "object-del", "arguments": {"id": "b"}})
            if i % 2:
                sessions.pop().close()
            proc.send_signal(signal.SIGTERM)
            assert proc.wait(DEADLINE) == 0
            for session in sessions:
                session.close()
        assert not os.path.exists(path)
