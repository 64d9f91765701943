"""What systemd sees: socket activation, notification, watchdog, log lines."""

import os
import re
import select
import signal
import socket
import subprocess

import pytest

from qmp_client import DEADLINE, Qmp, QmpError

class Manager:
    """The manager's end of NOTIFY_SOCKET."""

    def __init__(self, path, sock):
        self.path = str(path)
        self.socket = sock
        self.socket.bind(self.path)
        self.socket.settimeout(DEADLINE)

    def receive(self):
        return self.socket.recv(4096).decode().strip().split("\n")

    def drain(self):
        """What is there already."""
        messages = []
        while select.select([self.socket], [], [], 0)[0]:
            messages.append(self.receive())
        return messages


@pytest.fixture
def notify(sockets):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        yield Manager(sockets / "notify", sock)


# ---- socket activation ----


@pytest.mark.parametrize("names", [None, "qmp:qmp", "evloopd.socket:admin.socket", "unknown:qmp"])
def test_passed_sockets_are_served_and_left_behind(activate, listener, sockets, names):
    socks = [listener("a"), listener("b")]
    proc = activate([s.fileno() for s in socks], env={"LISTEN_FDNAMES": names} if names else {})
    with Qmp(f"{sockets}/a") as one, Qmp(f"{sockets}/b") as two:
        one.command("object-add", qom_type="iothread", id="io0")
        assert len(two.command("query-iothreads")) == 1
        two.command("quit")
    assert proc.wait(DEADLINE) == 0
    assert proc.stderr.read() == ""
    assert sorted(os.listdir(sockets)) == ["a", "b"]


def test_passed_sockets_beside_those_of_options(activate, listener, sockets):
    proc = activate([listener("a").fileno()], "--qmp", f"unix:{sockets}/b")
    with Qmp(f"{sockets}/a") as qmp:
        Qmp(f"{sockets}/b").close()
        qmp.command("quit")
    assert proc.wait(DEADLINE) == 0
    assert os.listdir(sockets) == ["a"]


def test_the_next_daemon_serves_a_passed_socket_again(activate, listener, sockets):
    sock = listener("a")
    for _ in range(2):
        proc = activate([sock.fileno()])
        with Qmp(f"{sockets}/a") as qmp:
            qmp.command("quit")
        assert proc.wait(DEADLINE) == 0


def test_a_passed_socket_is_made_non_blocking(activate, listener, sockets):
    sock = listener("a")
    assert sock.getblocking() and os.get_blocking(sock.fileno())
    activate([sock.fileno()])
    with Qmp(f"{sockets}/a"):
        assert not os.get_blocking(sock.fileno())


@pytest.mark.parametrize("address", ["fd:3", "unix:{sockets}/a"])
def test_a_passed_socket_has_the_access_of_the_option_that_stands_for_it(
        activate, listener, sockets, address):
    fds = [listener("a").fileno(), listener("b").fileno()]
    proc = activate(fds, "--qmp", address.format(sockets=sockets) + ",access=read-only")
    with Qmp(f"{sockets}/a") as reader, Qmp(f"{sockets}/b") as full:
        with pytest.raises(QmpError, match="may only read"):
            reader.command("quit")
        full.command("quit")
    assert proc.wait(DEADLINE) == 0
    assert sorted(os.listdir(sockets)) == ["a", "b"]


def test_a_passed_socket_with_two_options_is_an_error(activate, listener, sockets):
    proc = activate([listener("a").fileno()], "--qmp", "fd:3", "--qmp", f"unix:{sockets}/a")
    assert proc.wait(DEADLINE) == 1
    assert proc.stderr.read() == (
        f"evloopd: --qmp: 'fd:3' and 'unix:{sockets}/a' are the same socket\n")


@pytest.mark.parametrize("kind", ["datagram", "not listening", "connected", "file", "pipe", "tcp",
                                  "bad second"])
def test_a_wrong_kind_of_descriptor_is_refused(activate, listener, sockets, kind):
    path = sockets / "file"
    path.write_text("")
    good = listener("good")
    pair = socket.socketpair()
    pipe = os.pipe()
    tcp = socket.create_server(("127.0.0.1", 0))
    with open(path, encoding="utf-8") as file, pair[0], pair[1], tcp:
        fds = {"datagram": lambda: [listener("x", socket.SOCK_DGRAM, False).fileno()],
               "not listening": lambda: [listener("x", listen=False).fileno()],
               "connected": lambda: [pair[0].fileno()], "file": lambda: [file.fileno()],
               "pipe": lambda: [pipe[0]], "tcp": lambda: [tcp.fileno()],
               "bad second": lambda: [good.fileno(), file.fileno()]}[kind]()
        before = sorted(os.listdir(sockets))
        proc = activate(fds, "--qmp", f"unix:{sockets}/mine")
        assert proc.wait(DEADLINE) == 1
    os.close(pipe[0])
    os.close(pipe[1])
    number = 2 + len(fds)
    assert proc.stderr.read() == (f"evloopd: socket activation: descriptor {number} ('unknown') is "
                                  "no listening unix stream socket, as a control socket must be\n")
    assert sorted(os.listdir(sockets)) == before


@pytest.mark.parametrize("number", ["5", "x", "-1"])
def test_a_wrong_number_of_descriptors_is_refused(activate, listener, number):
    proc = activate([listener("a").fileno()], env={"LISTEN_FDS": number})
    assert proc.wait(DEADLINE) == 1
    text = proc.stderr.read()
    assert text.startswith("evloopd: socket activation: ") and text.count("\n") == 1


def test_descriptors_for_another_process_are_not_taken(activate, listener):
    proc = activate([listener("a").fileno()], env={"PID_OFF_BY": "1"})
    assert proc.wait(DEADLINE) == 1
    assert proc.stderr.read() == (
        "evloopd: there is no control socket: give --qmp unix:PATH\n")


# ---- notification ----


def test_ready_status_and_stopping(start_daemon, notify, sockets):
    config = sockets / "config.fifo"
    os.mkfifo(config)
    daemon = start_daemon("--qmp", f"unix:{sockets}/other", "--config", str(config), wait=False,
                          env={**os.environ, "NOTIFY_SOCKET": notify.path})
    with open(config, "w", encoding="utf-8"):
        assert notify.drain() == []
    assert notify.receive() == ["READY=1", "STATUS=Serving 2 control sockets"]
    with daemon.connect() as qmp:
        qmp.command("quit")
        qmp.wait_event("SHUTDOWN")
        assert notify.receive() == ["STOPPING=1", "STATUS=Stopping"]
    assert daemon.proc.wait(DEADLINE) == 0
    assert notify.drain() == []


def test_a_failed_start_is_never_ready(evloopd, notify):
    result = subprocess.run([evloopd, "--qmp", "unix:/none/x"], capture_output=True, check=False,
                            timeout=DEADLINE, env={**os.environ, "NOTIFY_SOCKET": notify.path})
    assert result.returncode == 1
    assert notify.drain() == []


def test_a_manager_that_has_gone_is_a_warning(start_daemon, sockets):
    daemon = start_daemon(env={**os.environ, "NOTIFY_SOCKET": f"{sockets}/nobody"})
    daemon.connect().close()
    daemon.end()
    assert "evloopd: warning: can't notify the service manager: " in daemon.stderr()


def pings_while_blocked(daemon, notify):
    """Block the main loop for many periods; what came in while it was seen to be blocked."""
    messages = []
    with daemon.connect(oob=True) as watcher, daemon.connect() as qmp:
        qmp.send({"execute": "x-debug-block", "arguments": {"duration-ms": 1000}})
        while not select.select([qmp.socket], [], [], 0)[0]:
            [loop, *_] = watcher.oob("query-loops")
            if (loop["state"], loop.get("source")) == ("callback", "qmp_dispatch"):
                messages.append(notify.drain())
        qmp.receive_reply()
    # The first may hold pings from before; behind the last the loop may have run again.
    return messages[1:-1]


def test_the_watchdog_is_fed_while_the_main_loop_runs_and_not_while_it_is_blocked(
        start_daemon, notify):
    daemon = start_daemon("--debug-commands", env={
        **os.environ, "NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "40000"})
    start = [notify.receive() for _ in range(8)]
    assert sorted(map(tuple, start[:2])) == [
        ("READY=1", "STATUS=Serving 1 control socket"), ("WATCHDOG=1",)]
    assert start[2:] == [["WATCHDOG=1"]] * 6
    messages = []
    while len(messages) < 10:  # on a busy machine the block may pass unseen
        messages = pings_while_blocked(daemon, notify)
        assert not any(messages)
    assert notify.receive() == ["WATCHDOG=1"]


def watchdog_ticks(session):
    """How often the main loop has thought of the watchdog."""
    [timer] = [source for source in session.oob("query-sources", loop="main-loop")
               if source["name"] == "watchdog_tick"]
    return timer["calls"]


def test_the_watchdog_is_not_fed_while_another_loop_is_stalled(start_daemon, notify):
    daemon = start_daemon("--debug-commands", "--stall-threshold-ms=50", "--log-level=notice",
                          "--object", "iothread,id=io0", env={
                              **os.environ, "NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "40000"})
    with daemon.connect(oob=True) as qmp, daemon.connect() as blocker:
        for _ in range(2):
            blocker.send({"execute": "x-debug-block",
                          "arguments": {"loop": "io0", "duration-ms": 3600000}})
            while qmp.wait_event("LOOP_STALLED")["data"]["loop"] != "io0":
                pass
            before = watchdog_ticks(qmp)
            while watchdog_ticks(qmp) == before:  # one may be under way that was sooner
                pass
            qmp.sync()
            notify.drain()
            before = watchdog_ticks(qmp)
            while watchdog_ticks(qmp) < before + 20:
                pass
            assert notify.drain() == []
            qmp.oob("x-debug-unblock", loop="io0")
            assert blocker.receive_reply() == {"return": {}}
            assert notify.receive() == ["WATCHDOG=1"]
    daemon.end()
    log = daemon.stderr()
    assert ("evloopd: warning: the service manager's watchdog is not fed: loop 'io0' is held, in "
            "the callback 'debug_block_here'\n") in log
    assert "evloopd: notice: the service manager's watchdog is fed again\n" in log


def test_the_watchdog_is_not_fed_while_the_monitor_thread_is_stalled(start_daemon, notify):
    daemon = start_daemon("--debug-commands", "--stall-threshold-ms=50", env={
        **os.environ, "NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "40000"})
    with daemon.connect() as qmp:
        line = ("the service manager's watchdog is not fed: loop 'mon_iothread' is held, in the "
                "callback 'debug_block_here'\n")
        for _ in range(20):  # on a busy machine the main loop may not look meanwhile
            qmp.command("x-debug-block", loop="mon_iothread", duration_ms=500)
            if line in daemon.stderr():
                break
        assert line in daemon.stderr()
        while notify.receive() != ["WATCHDOG=1"]:
            pass


@pytest.mark.parametrize("threshold", [0, 600000])
def test_what_is_not_watched_does_not_starve_the_watchdog(start_daemon, notify, threshold):
    daemon = start_daemon("--debug-commands", f"--stall-threshold-ms={threshold}",
                          "--object", "iothread,id=io0", env={
                              **os.environ, "NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "40000"})
    with daemon.connect(oob=True) as qmp, daemon.connect() as blocker:
        blocker.send({"execute": "x-debug-block",
                      "arguments": {"loop": "io0", "duration-ms": 3600000}})
        state = {}
        while state.get("source") != "debug_block_here" or state["state-ns"] < 10**8:
            [state] = [loop for loop in qmp.oob("query-loops") if loop["id"] == "io0"]
        notify.drain()
        for _ in range(10):
            assert notify.receive() == ["WATCHDOG=1"]
        qmp.oob("x-debug-unblock", loop="io0")


def test_without_a_manager_nothing_is_sent(start_daemon, notify):
    names = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "JOURNAL_STREAM")
    env = {key: value for key, value in os.environ.items() if key not in names}
    daemon = start_daemon(env=env)
    with daemon.connect() as qmp:
        qmp.command("quit")
    assert daemon.proc.wait(DEADLINE) == 0
    assert (notify.drain(), daemon.stderr()) == ([], "")


@pytest.mark.parametrize("env", [{"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
                                 {"WATCHDOG_USEC": "x"}, {}])
def test_no_pings_that_nobody_asked_for(start_daemon, notify, env):
    daemon = start_daemon(env={**os.environ, "NOTIFY_SOCKET": notify.path, **env})
    with daemon.connect() as qmp:
        qmp.command("quit")
    assert daemon.proc.wait(DEADLINE) == 0
    assert [m[0] for m in notify.drain()] == ["READY=1", "STOPPING=1"]


# ---- the log ----


def run_with_stderr(evloopd, sockets, *options, journal):
    """Serve one session; what is on stderr, which is the journal's stream when @journal says so."""
    path = f"{sockets}/log"
    reader, writer = os.pipe()
    status = os.fstat(writer)
    env = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + (not journal)}"}
    with subprocess.Popen([evloopd, "--qmp", f"unix:{path}", *options], stderr=writer, env=env,
                          stdin=subprocess.DEVNULL) as proc, open(reader, encoding="utf-8") as log:
        os.close(writer)
        while proc.poll() is None:
            try:
                Qmp(path).close()
                break
            except (FileNotFoundError, ConnectionRefusedError):
                pass
        proc.send_signal(signal.SIGTERM)
        proc.wait(DEADLINE)
        return log.read().splitlines()


def test_lines_for_the_journal_have_priorities(evloopd, sockets):
    lines = run_with_stderr(evloopd, sockets, "--log-level=debug", journal=True)
    assert "<5>ending on signal Terminated" in lines
    assert "<6>session 1: connected" in lines
    assert all(re.match(r"<[3-7]>", line) for line in lines)


def test_lines_for_others_name_program_and_level(evloopd, sockets):
    lines = run_with_stderr(evloopd, sockets, "--log-level=debug", journal=False)
    assert "evloopd: notice: ending on signal Terminated" in lines
    assert "evloopd: info: session 1: connected" in lines
    assert all(re.match(r"evloopd: (warning|notice|info|debug): ", line) for line in lines)


@pytest.mark.parametrize("level, notice, info", [
    (None, True, False), ("error", False, False), ("warning", False, False),
    ("notice", True, False), ("info", True, True), ("debug", True, True)])
def test_levels(evloopd, sockets, level, notice, info):
    options = [f"--log-level={level}"] if level else []
    text = "\n".join(run_with_stderr(evloopd, sockets, *options, journal=False))
    assert ("ending on signal" in text, "connected" in text) == (notice, info)


def test_the_reason_for_a_failed_start_is_an_error_in_the_journal(evloopd, sockets):
    lines = run_with_stderr(evloopd, sockets, "--nonsense", "--log-level=error", journal=True)
    assert lines == ["<3>Unknown option --nonsense"]


def test_a_message_of_another_thread_is_one_whole_line(start_daemon):
    daemon = start_daemon("--log-level=info")
    sessions = [daemon.connect() for _ in range(50)]
    for session in sessions:
        session.command("object-add", qom_type="iothread", id="io0")
        session.command("object-del", id="io0")
        session.close()
    daemon.end()
    lines = daemon.stderr().splitlines()
    assert sum(line.endswith(": connected") for line in lines) >= 50
    assert all(re.match(r"evloopd: [a-z]+: [^:]", line) for line in lines)
    assert all(line.count("evloopd: ") == 1 for line in lines)
