"""What goes to the journal: lines with fields, also when it is stuck or not there. The test is the
journal, in a mount namespace of the daemon's own."""

import contextlib
import os
import re
import socket
import struct
import subprocess
import sys
import time

import pytest

from configuration import ConfigDir
from conftest import WRAPPER, Daemon
from configuration import add as configured
from held_thread import held
from log_messages import KINDS
from objects import wait_for
from parcel import Parcel, state_of
from parcel import own as kept
from qmp_client import DEADLINE, Qmp, QmpError
from service_manager import ServiceManager

# Puts the folder $1 where the journal's socket is, and becomes the rest.
SETUP = """
set -e
mount -t tmpfs none /run
mkdir -p /run/systemd/journal
mount --bind "$1" /run/systemd/journal
shift
exec "$@"
"""
UNSHARE = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--user", "--map-root-user"]),
           "sh", "-c", SETUP, "sh"]
UID = "0"  # of the test's own clients, as the daemon sees them in the namespace


def can_unshare(folder):
    return subprocess.run([*UNSHARE, str(folder), "true"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


class Journal:
    """The journal's socket, and the lines that have come."""

    def __init__(self, folder):
        self.path = str(folder / "socket")
        self.socket = None
        self.others = []  # that came while another was looked for
        self.listen()

    def listen(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(DEADLINE)
        self.socket.bind(self.path)

    def close(self):
        if self.socket:
            self.socket.close()
            self.socket = None
            os.unlink(self.path)

    def receive(self):
        """The fields of the next line."""
        data, fds, _, _ = socket.recv_fds(self.socket, 1 << 20, 1)
        for fd in fds:
            assert data == b""
            with open(fd, "rb") as file:
                file.seek(0)
                data = file.read()
        return parse(data)

    def forget(self):
        """What came up to now, from a daemon that has ended."""
        self.others.clear()
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.receive()
        self.socket.settimeout(DEADLINE)

    def try_to_find(self, name, timeout):
        """As find(); None when the journal gets no line for so many seconds."""
        self.socket.settimeout(timeout)
        try:
            return self.find(name)
        except TimeoutError:
            return None
        finally:
            self.socket.settimeout(DEADLINE)

    def find(self, name):
        """The next line of a kind; threads' lines are in no order."""
        found = [entry for entry in self.others if entry.get("EVLOOPD_MESSAGE") == name]
        if found:
            entry = found[0]
            self.others.remove(entry)
        else:
            while (entry := self.receive()).get("EVLOOPD_MESSAGE") != name:
                self.others.append(entry)
        kind = KINDS[name]
        assert (entry["MESSAGE_ID"], entry["PRIORITY"]) == (kind.id, kind.priority)
        return entry


def parse(data):
    """The fields of a datagram of the journal's protocol."""
    fields = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", data[:8])
            value, data = data[8:8 + length], data[8 + length:]
            assert data[:1] == b"\n"
            data = data[1:]
        assert name.decode() not in fields
        fields[name.decode()] = value.decode()
    return fields


def own(entry):
    """The fields that are evloopd's, without the name of the kind and what differs each time."""
    return {name[len("EVLOOPD_"):]: value for name, value in entry.items()
            if name.startswith("EVLOOPD_")
            and name not in ("EVLOOPD_MESSAGE", "EVLOOPD_PEER_PID", "EVLOOPD_PEER_GID")}


@pytest.fixture
def journal(tmp_path):
    folder = tmp_path / "journal"
    folder.mkdir()
    if not can_unshare(folder):
        pytest.skip("no mount namespaces")
    found = Journal(folder)
    yield found
    found.close()


@pytest.fixture
def start(evloopd, sockets, journal, tmp_path):
    """Start a daemon that logs to the journal: start(OPTION...)."""
    daemons = []

    def run(*options, wait=True, fds=(), env=None):
        path = sockets / "qmp.sock"
        stderr = sockets / "qmp.sock.stderr"
        stderr.touch()
        status = stderr.stat()
        env = {**(env or os.environ), "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        words = [*UNSHARE[1:], str(tmp_path / "journal"),
                 *([sys.executable, "-c", WRAPPER, ",".join(map(str, fds))] if fds else []),
                 evloopd, "--qmp", f"unix:{path}",
                 "--debug-commands", "--log-level=info", "--stall-threshold-ms=600000", *options]
        daemons.append(Daemon(UNSHARE[0], path, words, env=env, pass_fds=fds))
        if wait:
            daemons[-1].wait_until_up()
        return daemons[-1]

    yield run
    for daemon in daemons:
        daemon.end()


# ---- what is in it ----


def test_a_line_has_text_priority_thread_and_program(start, journal):
    daemon = start()
    ready = journal.find("ready")
    assert ready["MESSAGE"] == "ready: Serving 1 control socket"
    assert (ready["SYSLOG_IDENTIFIER"], ready["TID"]) == ("evloopd", str(daemon.proc.pid))
    opened = journal.find("session-opened")
    assert daemon.tasks()[int(opened["TID"])] == "mon_iothread"
    assert own(opened) == {"SESSION": "1", "PEER_UID": UID, "SOCKET": f"unix:{daemon.socket}"}
    assert opened["EVLOOPD_PEER_PID"] == str(os.getpid())
    daemon.end()
    ending = journal.find("ending")
    assert ending["MESSAGE"] == "ending on signal Terminated"
    assert daemon.stderr() == ""


def test_what_has_no_kind_is_there_too(start, journal):
    start()
    while (entry := journal.receive())["MESSAGE"] != "session 1: connected":
        pass
    assert entry["PRIORITY"] == "6" and "MESSAGE_ID" not in entry
    assert "GLIB_OLD_LOG_API" not in entry


@pytest.fixture
def fail_to_start(evloopd, journal, tmp_path):
    """Start a daemon that can't, and return the text of what it says: fail_to_start(OPTION...)."""

    def run(*options):
        reader, writer = os.pipe()
        status = os.fstat(writer)
        env = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        result = subprocess.run([*UNSHARE, str(tmp_path / "journal"), evloopd, *options],
                                stdin=subprocess.DEVNULL, stderr=writer, env=env, timeout=DEADLINE)
        os.close(writer)
        with open(reader, "rb") as stderr:
            assert (result.returncode, stderr.read()) == (1, b"")
        return journal.find("start-failed")["MESSAGE"]

    return run


def test_a_failed_start_is_in_it(fail_to_start):
    assert fail_to_start("--nonsense") == "Unknown option --nonsense"


def test_the_journal_s_socket_is_not_taken_for_one_that_was_passed(fail_to_start, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert fail_to_start("--fd-store", "--qmp", "fd:3") == "--qmp: descriptor 3 is not open"


def test_a_command_has_its_client_and_its_name(start, journal):
    daemon = start()
    with daemon.connect() as qmp:
        qmp.command("object-add", qom_type="iothread", id="io0")
        done = journal.find("command-done")
        expected = {"SOCKET": f"unix:{daemon.socket}", "PEER_UID": UID, "COMMAND": "object-add",
                    "OBJECT": "io0"}
        assert own(done) == {**expected, "SESSION": done["EVLOOPD_SESSION"]}
        with pytest.raises(QmpError) as caught:
            qmp.command("object-add", qom_type="iothread", id="io0")
        failed = journal.find("command-failed")
        assert own(failed) == {**expected, "SESSION": done["EVLOOPD_SESSION"],
                               "REASON": caught.value.desc}
        qmp.command("qom-set", path="/objects/io0", property="poll-max-ns", value=5)
        done = journal.find("command-done")
        assert (done["EVLOOPD_COMMAND"], done["EVLOOPD_OBJECT"]) == ("qom-set", "io0")


def test_what_a_client_names_does_nothing_to_a_terminal(start, journal):
    daemon = start()
    with daemon.connect() as qmp:
        with pytest.raises(QmpError):
            qmp.command("object-del", id="a\x1b[2J\nMESSAGE=b")
        failed = own(journal.find("command-failed"))
    assert failed["OBJECT"] == "a\\x1b[2J\\x0aMESSAGE=b"
    assert failed["REASON"] == "There is no object 'a\\x1b[2J\\x0aMESSAGE=b'"


# ---- stalls ----


def test_a_stall_has_its_loop_source_and_length(start, journal):
    daemon = start("--stall-threshold-ms=200", "--object", "iothread,id=io0")
    with daemon.connect() as qmp:
        qmp.command("x-debug-block", loop="io0", duration_ms=500)
        while (stalled := journal.find("loop-stalled"))["EVLOOPD_LOOP"] != "io0":
            pass  # another may be slow, on a busy machine
        assert own(stalled) == {"LOOP": "io0", "SOURCE": "debug_block_here"}
        while (resumed := journal.find("loop-resumed"))["EVLOOPD_LOOP"] != "io0":
            pass
        assert int(resumed["EVLOOPD_DURATION_NSEC"]) >= 500 * 10**6
        assert own(resumed)["SOURCE"] == "debug_block_here"


def source_while_held(session, loop):
    """What the held loop is in; None when its thread has a lock that the answer takes."""
    session.send({"exec-oob": "query-loops"})
    while session.has_input(timeout=2):
        reply = session.receive()
        if "return" in reply:  # else an event
            return next(item for item in reply["return"] if item["id"] == loop).get("source", "")
    return None


def find_of(journal, name, source):
    """The next line of a kind that is about @source, for others may be slow, on a busy machine. None
    when there is none: telling of it takes a lock that the held thread has, or there were as many
    lines already as are told in a while."""
    while (entry := journal.try_to_find(name, 5)) and entry.get("EVLOOPD_SOURCE") != source:
        pass
    return entry


def hold_in(daemon, journal, source):
    """Hold io0; the lines of its stall and of its end, when it was in @source, else None twice."""
    with daemon.connect(oob=True) as qmp:
        [thread] = [number for number, name in daemon.tasks().items() if name == "io0"]
        with held(thread):
            if source_while_held(qmp, "io0") != source:
                return None, None
            stalled = find_of(journal, "loop-stalled", source)
        return stalled, stalled and find_of(journal, "loop-resumed", source)


def test_a_stall_in_an_object_s_callback_names_the_object(start, journal):
    deadline = time.monotonic() + 2 * DEADLINE
    resumed = None
    while not resumed:  # it is in its callback for most of the time
        assert time.monotonic() < deadline
        daemon = start("--stall-threshold-ms=200", "--object", "iothread,id=io0",
                       "--object", "timer,id=tick,iothread=io0,period-ns=1,catch-up=burst")
        stalled, resumed = hold_in(daemon, journal, "timer_expired(tick)")
        daemon.end()
        journal.forget()
    for entry in (stalled, resumed):
        assert (entry["EVLOOPD_OBJECT"], entry["EVLOOPD_LOOP"]) == ("tick", "io0")


# ---- refusals ----


def test_a_client_that_is_refused_has_its_user(start, journal, sockets):
    start("--qmp", f"unix:{sockets}/guarded,allow-uid=54321")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{sockets}/guarded")
        assert client.recv(1) == b""
    refused = journal.find("client-refused")
    assert own(refused) == {"SOCKET": f"unix:{sockets}/guarded", "PEER_UID": UID}
    assert refused["EVLOOPD_PEER_PID"] == str(os.getpid())


def test_a_command_that_may_only_be_looked_at_has_its_name_and_client(start, journal, sockets):
    daemon = start("--qmp", f"unix:{sockets}/ro,access=read-only")
    with Qmp(f"{sockets}/ro") as qmp:
        for _ in range(7):
            with pytest.raises(QmpError, match="may only read"):
                qmp.command("quit")
        for _ in range(5):
            refused = journal.find("command-refused")
            assert own(refused) == {"SOCKET": f"unix:{sockets}/ro", "PEER_UID": UID,
                                    "COMMAND": "quit", "SESSION": refused["EVLOOPD_SESSION"]}
            assert re.fullmatch(r"unix:.*/ro: session \d+: refused quit \(uid 0, gid .*\), for it may "
                                "only read", refused["MESSAGE"])
    daemon.end()
    rest = journal.find("command-refused")
    assert own(rest) == {"SOCKET": f"unix:{sockets}/ro", "COUNT": "2"}
    assert rest["MESSAGE"] == f"unix:{sockets}/ro: 2 further commands were refused"


# ---- limits ----


def test_a_client_that_is_one_too_many_is_a_limit(start, journal, sockets):
    start("--qmp", f"unix:{sockets}/small,max-clients=1")
    with Qmp(f"{sockets}/small"), socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{sockets}/small")
        assert client.recv(1) == b""
        away = journal.find("client-turned-away")
        assert own(away) == {"SOCKET": f"unix:{sockets}/small", "PEER_UID": UID}


def test_a_session_that_leaves_too_much_unread_is_a_limit(start, journal):
    daemon = start("--max-output=10000")
    with daemon.connect() as qmp:
        request = {"execute": "x-debug-echo", "arguments": {"value": "x" * 500000}}
        try:
            for _ in range(10):
                qmp.send(request)
        except (BrokenPipeError, ConnectionResetError):
            pass
        unread = journal.find("session-unread")
        assert unread["EVLOOPD_REASON"] == "its client leaves more than 10000 bytes unread"
        while journal.find("session-closed")["EVLOOPD_SESSION"] != unread["EVLOOPD_SESSION"]:
            pass  # that of who has waited until the daemon was up


def test_a_session_that_is_not_negotiated_is_a_limit(start, journal):
    daemon = start("--negotiation-timeout=1")
    with daemon.connect(negotiate=False):
        assert own(journal.find("session-not-negotiated"))["PEER_UID"] == UID


def test_descriptors_that_are_too_many_are_a_limit(start, journal):
    daemon = start()
    with daemon.connect() as qmp, open("/dev/null", "rb") as file:
        qmp.send_with_fds({"execute": "getfd", "arguments": {"fdname": "fd"}}, [file.fileno()] * 17)
        assert "error" in qmp.receive()
        dropped = own(journal.find("descriptors-dropped"))
        for i in range(257):
            qmp.send_with_fds({"execute": "getfd", "arguments": {"fdname": f"fd{i}"}},
                              [file.fileno()])
            reply = qmp.receive()
        full = journal.find("descriptors-full")
        assert own(full) == {**dropped, "COMMAND": "getfd", "REASON": reply["error"]["desc"]}
        assert full["MESSAGE"].startswith(
            f"descriptors: session {dropped['SESSION']}: refused getfd (uid {UID}, ")


def test_a_relay_s_limit_and_targets_name_the_relay(start, journal, sockets):
    daemon = start()
    with daemon.connect() as qmp:
        target = socket.socket(socket.AF_UNIX)
        qmp.command("object-add", qom_type="socket-relay", id="web", max_connections=1,
                    target_retry_ms=0, listen=f"unix:{sockets}/listen",
                    target=f"unix:{sockets}/target")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{sockets}/listen")
            assert client.recv(1) == b""
        down = journal.find("target-down")
        assert own(down) == {"OBJECT": "web", "TYPE": "socket-relay",
                             "TARGET": f"unix:{sockets}/target",
                             "REASON": "No such file or directory"}
        assert down["MESSAGE"] == (f"relay 'web': target 'unix:{sockets}/target' is down: "
                                   "No such file or directory")
        target.bind(f"{sockets}/target")
        target.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{sockets}/listen")
            up = journal.find("target-up")
            assert own(up) == {"OBJECT": "web", "TYPE": "socket-relay",
                               "TARGET": f"unix:{sockets}/target"}
            with socket.socket(socket.AF_UNIX) as second:
                second.connect(f"{sockets}/listen")
                assert second.recv(1) == b""
            away = journal.find("client-turned-away")
            assert own(away) == {"OBJECT": "web", "SOCKET": f"unix:{sockets}/listen",
                                 "PEER_UID": UID, "COUNT": "1"}
        target.close()


# ---- configurations ----


def test_a_configuration_tells_what_it_changes(start, journal, tmp_path):
    (tmp_path / "conf").mkdir()
    files = ConfigDir(tmp_path / "conf")
    files.write("a.json", configured("iothread", "io0"))
    daemon = start("--config-dir", str(files.path))
    assert own(journal.find("object-added")) == {"OBJECT": "io0", "TYPE": "iothread"}
    assert own(journal.find("configuration-applied")) == {}
    with daemon.connect() as qmp:
        files.write("a.json", configured("iothread", "io0", poll_max_ns=7),
                    configured("iothread", "io1"))
        qmp.command("reload")
        assert own(journal.find("object-added")) == {"OBJECT": "io1", "TYPE": "iothread"}
        assert own(journal.find("property-set")) == {"OBJECT": "io0", "TYPE": "iothread",
                                                     "PROPERTY": "poll-max-ns"}
        files.write("a.json", configured("iothread", "io0", poll_max_ns=7))
        qmp.command("reload")
        assert own(journal.find("object-deleted")) == {"OBJECT": "io1", "TYPE": "iothread"}
        files.write("a.json", "{")
        with pytest.raises(QmpError) as caught:
            qmp.command("reload")
        assert own(journal.find("configuration-refused")) == {"REASON": caught.value.desc}


# ---- restarts ----


@pytest.fixture
def manager(start, sockets):
    found = ServiceManager(sockets, lambda fds, *options, env: start(*options, wait=False, fds=fds,
                                                                     env=env))
    yield found
    found.close()


def test_a_restart_tells_what_goes_on_and_what_does_not(manager, journal):
    with manager.start("--object", "event-notifier,id=old").connect() as qmp:
        qmp.command("object-add", qom_type="event-notifier", id="new")
    manager.restart()
    assert own(journal.find("restart-kept")) == {"COUNT": "2"}
    assert own(journal.find("restart-object-dropped")) == {"OBJECT": "old",
                                                           "TYPE": "event-notifier"}
    assert own(journal.find("restart-done")) == {"COUNT": "1"}


def test_objects_that_a_restart_loses_have_their_names(manager, journal):
    parcel = Parcel(state_of({}, kept("a", qom_type="event-notifier", chain=["gone"])))
    parcel.send(parcel.fds)
    manager.put(parcel.finish())
    manager.start()
    assert own(journal.find("restart-object-lost")) == {"REASON": "members are missing"}
    assert own(journal.find("restart-object-lost")) == {
        "OBJECT": "a", "TYPE": "event-notifier",
        "REASON": "Parameter 'chain': there is no event notifier 'gone'"}


def test_without_a_service_manager_nothing_will_be_kept(start, journal, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    start("--fd-store")
    assert own(journal.find("restart-not-kept")) == {"REASON": "there is no service manager"}


# ---- a journal that is stuck, or gone ----


def read_all(journal, last):
    """The messages up to the one that ends with @last."""
    lines = []
    while not lines or not lines[-1].endswith(last):
        lines.append(journal.receive()["MESSAGE"])
    return lines


def test_a_journal_that_is_stuck_holds_no_loop_and_loses_nothing(start, journal):
    daemon = start()
    count = 1000  # far more than a socket's queue takes
    with daemon.connect(oob=True) as qmp:
        for i in range(count):
            with pytest.raises(QmpError):
                qmp.command("object-del", id=f"none{i}")
        qmp.oob("query-loops")  # the monitor thread is as free as the main loop
        assert "journal" in daemon.tasks().values()
        lines = read_all(journal, f"There is no object 'none{count - 1}'")
    numbers = [line.rpartition("'none")[2] for line in lines if "object-del" in line]
    assert numbers == [f"{i}'" for i in range(count)]
    wait_for(lambda: "journal" not in daemon.tasks().values())
    assert daemon.stderr() == ""


def test_what_a_stuck_journal_can_t_be_given_is_counted(start, journal):
    daemon = start()
    count = 5000  # more than is kept
    with daemon.connect() as qmp:
        for i in range(count):
            with pytest.raises(QmpError):
                qmp.command("object-del", id=f"none{i}")
        numbers = []
        while (entry := journal.receive()).get("EVLOOPD_MESSAGE") != "lines-lost":
            if entry.get("EVLOOPD_COMMAND") == "object-del":
                numbers.append(entry["MESSAGE"].rpartition("'none")[2])
        assert numbers == [f"{i}'" for i in range(len(numbers))]
        assert len(numbers) > 1000
        assert int(entry["EVLOOPD_COUNT"]) == count - len(numbers)
        assert entry["MESSAGE_ID"] == KINDS["lines-lost"].id
        with pytest.raises(QmpError):
            qmp.command("object-del", id="next")
    assert journal.receive()["EVLOOPD_REASON"] == "There is no object 'next'"
    assert daemon.stderr() == ""


def test_without_a_journal_lines_go_to_stderr(start, journal):
    daemon = start()
    journal.find("ready")
    journal.close()
    with daemon.connect() as qmp:
        qmp.command("object-add", qom_type="iothread", id="io0")
    assert f"(uid {UID}, " in daemon.stderr()
    assert ': object-add {"qom-type": "iothread", "id": "io0"}\n' in daemon.stderr()
    assert all(line.startswith("<6>") for line in daemon.stderr().splitlines())
    journal.listen()
    before = daemon.stderr()
    with daemon.connect() as qmp:
        qmp.command("object-del", id="io0")
    assert own(journal.find("command-done"))["COMMAND"] == "object-del"
    assert daemon.stderr() == before
