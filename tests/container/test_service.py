"""evloopd as systemd runs it: started by its first client, guarded, locked up, read in the journal."""

import json
import re
import statistics
from pathlib import Path

import pytest

from service import (SOCKETS, UNITS, call, configure, ctl, journal, main_pid, use_example)

# Connects to the socket in the first argument, prints the seconds until the first command's reply.
FIRST_REPLY = """
import socket, sys, time
start = time.monotonic()
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[1])
    sock.sendall(b'{"execute": "qmp_capabilities"} {"execute": "query-version", "id": 1}')
    text = b""
    while b'"id": 1' not in text:
        text += sock.recv(65536) or sys.exit("it has hung up")
    print(time.monotonic() - start)
"""

# Two clients at once of the socket in the first argument; returns when the second is hung up on.
TWO_CLIENTS = """
import socket, sys
with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
    first.connect(sys.argv[1])
    assert first.recv(1) != b""
    second.connect(sys.argv[1])
    try:
        assert second.recv(1) == b""
    except ConnectionResetError:
        pass
"""

# Sends so many commands that fail, as the second argument says.
MANY_FAILURES = """
import json, socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.settimeout(50)
    sock.connect(sys.argv[1])
    file = sock.makefile("rw")
    file.readline()
    def call(command, **arguments):
        file.write(json.dumps({"execute": command, "arguments": arguments}))
        file.flush()
        while "event" in (reply := json.loads(file.readline())):
            pass
        return reply
    call("qmp_capabilities")
    for i in range(int(sys.argv[2])):
        assert "error" in call("object-del", id=f"none{i}")
"""
TCP_CLIENT = FIRST_REPLY.replace("AF_UNIX", "AF_INET").replace("sys.argv[1]",
                                                             "('127.0.0.1', 4711)")


# ---- who may connect ----


def test_the_first_client_starts_the_daemon(service, capsys):
    seconds = []
    for _ in range(5):
        service.run("systemctl", "stop", "evloopd.service")
        assert service.show("evloopd.service", "ActiveState") == ("inactive",)
        seconds.append(float(service.run("python3", "-c", FIRST_REPLY, SOCKETS[0], user="member")))
        assert service.show("evloopd.service", "ActiveState", "StatusText") == (
            "active", "Serving 2 control sockets")
    with capsys.disabled():
        print(f"# {statistics.median(seconds) * 1000:.0f} ms from socket activation to the first "
              "reply (median of 5)", flush=True)


def test_a_client_of_the_read_only_socket_starts_it_too(service):
    service.run("python3", "-c", FIRST_REPLY, SOCKETS[1], user="reader")
    assert ctl(service, "iothread", "list") is not None
    assert service.show("evloopd.service", "NRestarts") == ("0",)


def test_a_member_of_the_group_may_do_everything(service):
    ctl(service, "iothread", "add", "io0")
    assert [item["id"] for item in call(service, "query-iothreads")] == ["io0"]
    ctl(service, "quit")


def test_a_reader_may_look_and_no_more(service):
    ctl(service, "iothread", "add", "io0")
    words = ["evloopctl", "-s", SOCKETS[1], "iothread"]
    assert "io0" in service.run(*words, "list", user="reader")
    status, output = service.try_run(*words, "del", "io0", user="reader")
    assert status != 0 and "may only read" in output
    status, output = service.try_run("evloopctl", "iothread", "list", user="reader")
    assert status != 0 and "group is evloopd, are you in it?" in output


def test_an_outsider_is_told_the_group(service):
    for path, group in zip(SOCKETS, ["evloopd", "evloopd-ro"]):
        status, output = service.try_run("evloopctl", "-s", path, "iothread", "list",
                                         user="outsider")
        assert (status, output) == (2, f"evloopctl: cannot connect to {path}: permission denied; "
                                       f"the socket's group is {group}, are you in it? "
                                       f"'usermod -aG {group} USER' as root adds a user, who then "
                                       "logs in again\n")
    assert service.show("evloopd.service", "ActiveState") == ("inactive",)


# ---- the life of the service ----


def test_stopping_leaves_the_sockets_which_start_it_again(service):
    before = call(service, "query-version")
    service.run("systemctl", "stop", "evloopd.service")
    assert service.show("evloopd.service", "ActiveState", "Result") == ("inactive", "success")
    assert journal(service, "^ending on signal Terminated$", PRIORITY="5")
    assert call(service, "query-version") == before


def test_it_runs_without_its_socket_units_on_sockets_of_its_own(service):
    service.run("systemctl", "mask", "--runtime", "--now", *UNITS[:2])
    try:
        service.run("systemctl", "start", "evloopd.service")
        shown = service.run("stat", "--format=%A %U %G", *SOCKETS).splitlines()
        assert shown == ["srw-rw---- evloopd evloopd", "srw-rw---- evloopd evloopd-ro"]
        assert call(service, "query-iothreads") == []
        assert "may only read" in service.try_run("evloopctl", "-s", SOCKETS[1], "quit",
                                                  user="reader")[1]
        service.run("systemctl", "stop", "evloopd.service")
        assert service.try_run("ls", *SOCKETS)[0] != 0
    finally:
        service.run("systemctl", "unmask", "--runtime", *UNITS[:2])


def test_a_restart_is_a_new_daemon_on_the_same_sockets_with_the_same_objects(service):
    sockets = service.run("stat", "--format=%i", *SOCKETS)
    ctl(service, "iothread", "add", "io0")
    pid = main_pid(service)
    service.run("systemctl", "restart", "evloopd.service")
    assert main_pid(service) != pid
    assert service.run("stat", "--format=%i", *SOCKETS) == sockets
    assert [item["id"] for item in call(service, "query-iothreads")] == ["io0"]


def test_reloading_changes_what_the_files_ask_for_and_no_more(service):
    def iothreads(*names):
        return "".join('{"execute": "object-add", "arguments": {"qom-type": "iothread", '
                       f'"id": "{name}"}}}}\n' for name in names)

    def thread_ids():
        return {item["id"]: item["thread-id"] for item in call(service, "query-iothreads")}

    path = "/etc/evloopd/evloopd.conf.d/10-test.json"
    service.write(path, iothreads("io0"))
    try:
        before = thread_ids()
        assert list(before) == ["io0"]
        pid = main_pid(service)
        service.write(path, iothreads("io0", "io1"))
        service.run("systemctl", "reload", "evloopd.service")
        service.wait_for("the reload", lambda: len(thread_ids()) == 2)
        assert thread_ids()["io0"] == before["io0"]
        assert main_pid(service) == pid
        assert journal(service, "^configuration: applied: objects 1 added, 0 deleted", PRIORITY="5")
        after = thread_ids()
        service.write(path, "nonsense")
        status, _ = service.try_run("systemctl", "reload", "evloopd.service")
        if service.show("evloopd.service", "Type") == ("notify",):
            assert status != 0
        assert journal(service, "^configuration: not applied: .*10-test.json: line 1", PRIORITY="4")
        assert (main_pid(service), thread_ids()) == (pid, after)
    finally:
        service.run("rm", path)


@pytest.mark.parametrize("signal", ["KILL", "SEGV"])
def test_a_daemon_that_is_killed_is_started_again(service, signal):
    ctl(service, "iothread", "list")
    pid = main_pid(service)
    service.run("systemctl", "kill", f"--signal={signal}", "evloopd.service")
    service.wait_for("a restart",
                     lambda: service.show("evloopd.service", "NRestarts") != ("0",))
    assert main_pid(service) != pid
    assert call(service, "query-iothreads") == []


def test_a_daemon_that_is_asked_to_end_is_not_started_again(service):
    ctl(service, "quit")
    service.wait_for("the end", lambda: service.show("evloopd.service", "ActiveState", "Result",
                                                     "NRestarts") == ("inactive", "success", "0"))


def test_the_watchdog_ends_a_daemon_whose_main_loop_is_stuck(service):
    configure(service, "WatchdogSec=1", "Environment=EVLOOPD_OPTIONS=--debug-commands")
    ctl(service, "iothread", "list")
    pid = main_pid(service)
    status, output = service.try_run("evloopctl", "call", "x-debug-block", "duration-ms=3600000",
                                     user="member")
    assert (status != 0, "the daemon" in output) == (True, True)
    assert journal(service, r"^evloopd.service: Watchdog timeout")
    service.wait_for("a restart",
                     lambda: service.show("evloopd.service", "NRestarts") != ("0",))
    assert main_pid(service) != pid
    assert call(service, "query-iothreads") == []


def test_a_loop_that_is_held_for_a_while_is_a_warning_in_the_journal(service):
    configure(service,
              "Environment='EVLOOPD_OPTIONS=--debug-commands --stall-threshold-ms 100'")
    assert call(service, "x-debug-block", **{"duration-ms": 1000}) == {}
    assert journal(service, "^stall watch: loop 'main-loop' goes on after", PRIORITY="4")
    assert service.show("evloopd.service", "NRestarts") == ("0",)


# ---- found in the journal ----


def found_in_journal(machine, *matches, count=1):
    """At least @count entries that journalctl finds by fields, once there are so many."""
    def found():
        output = machine.run("journalctl", "--output=json", *matches)
        entries = [json.loads(line) for line in output.splitlines()]
        return entries if len(entries) >= count else None

    return machine.wait_for(f"{matches} in the journal", found)


def message_id(name):
    """The match for a kind of line, as an operator copies it from docs/operations.md."""
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    return "MESSAGE_ID=" + re.search(rf"^\| `{name}` \| `(\w+)` \|", page, re.MULTILINE)[1]


def uid_of(machine, user):
    return machine.run("id", "-u", user).strip()


def test_a_stall_is_found_by_its_id_its_loop_and_its_object(service):
    configure(service,
              "Environment='EVLOOPD_OPTIONS=--debug-commands --stall-threshold-ms 100'")
    ctl(service, "iothread", "add", "io-stall")
    assert call(service, "x-debug-block", **{"loop": "io-stall", "duration-ms": 500}) == {}
    [entry, *_] = found_in_journal(service, message_id("loop-stalled"), "EVLOOPD_LOOP=io-stall")
    assert entry["MESSAGE"] == ("stall watch: loop 'io-stall' has been held for more than 100 ms, "
                                "in the callback 'debug_block_here'")
    assert (entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"], entry["_SYSTEMD_UNIT"]) == (
        "4", "evloopd", "evloopd.service")
    [over, *_] = found_in_journal(service, "EVLOOPD_MESSAGE=loop-resumed", "EVLOOPD_LOOP=io-stall")
    assert int(over["EVLOOPD_DURATION_NSEC"]) >= 500 * 10**6


def test_refusals_are_found_by_id_and_by_user(service):
    configure(service, "Environment='EVLOOPD_OPTIONS=--qmp unix:/run/evloopd/test.sock,mode=0666,"
                       "allow-uid=root'")
    service.run("systemctl", "start", "evloopd.service")
    uid = uid_of(service, "outsider")
    service.try_run("evloopctl", "-s", "/run/evloopd/test.sock", "iothread", "list",
                    user="outsider")
    [entry, *_] = found_in_journal(service, message_id("client-refused"), f"EVLOOPD_PEER_UID={uid}")
    assert entry["EVLOOPD_SOCKET"] == "unix:/run/evloopd/test.sock"
    service.try_run("evloopctl", "-s", SOCKETS[1], "iothread", "add", "io0", user="reader")
    [entry, *_] = found_in_journal(service, message_id("command-refused"),
                                   f"EVLOOPD_PEER_UID={uid_of(service, 'reader')}",
                                   "EVLOOPD_COMMAND=object-add")
    assert re.search(r": session \d+: refused object-add \(uid .*\), for it may only read$",
                     entry["MESSAGE"])


def test_a_limit_is_found_by_id_and_by_object(service):
    assert add_relay(service, "unix:/run/evloopd/relay.sock", f"unix:{SOCKETS[1]}",
                     **{"max-connections": 1}) == {}
    service.run("python3", "-c", TWO_CLIENTS, "/run/evloopd/relay.sock", user="member")
    [entry, *_] = found_in_journal(service, message_id("client-turned-away"),
                                   "EVLOOPD_OBJECT=relay")
    assert entry["EVLOOPD_PEER_UID"] == uid_of(service, "member")
    assert int(entry["TID"]) == main_pid(service)


def test_a_change_is_found_by_who_made_it(service):
    configure(service, "Environment='EVLOOPD_OPTIONS=--log-level info'")
    ctl(service, "iothread", "add", "io0")
    [entry, *_] = found_in_journal(service, message_id("command-done"),
                                   f"EVLOOPD_PEER_UID={uid_of(service, 'member')}",
                                   "EVLOOPD_COMMAND=object-add")
    assert "object-add" in entry["MESSAGE"]


def test_journalctl_explains_what_it_shows(service):
    shown = service.run("journalctl", "--list-catalog", "--no-pager")
    assert shown.count(" evloopd: ") > 20
    ctl(service, "quit")
    ctl(service, "iothread", "list")
    service.run("systemctl", "stop", "evloopd.service")
    found_in_journal(service, message_id("ending"))
    text = service.run("journalctl", "-x", "--no-pager", message_id("ending"))
    assert "Subject: evloopd ends" in text and "Documentation: man:evloopd(8)" in text


def test_without_the_journal_s_socket_lines_come_by_way_of_stderr(service):
    ctl(service, "iothread", "list")
    service.run("systemctl", "stop", "evloopd.service")
    assert journal(service, "^ending on signal Terminated$", PRIORITY="5", _TRANSPORT="journal")
    configure(service, "InaccessiblePaths=/run/systemd/journal/socket")
    ctl(service, "iothread", "list")
    service.run("systemctl", "stop", "evloopd.service")
    assert journal(service, "^ending on signal Terminated$", PRIORITY="5", _TRANSPORT="stdout")


def test_a_journal_that_is_stopped_holds_nothing_up_and_has_all_in_the_end(service):
    configure(service, "Environment='EVLOOPD_OPTIONS=--log-level info'", "WatchdogSec=2")
    ctl(service, "iothread", "list")
    pid, count = main_pid(service), 1000
    service.run("systemctl", "kill", "--signal=STOP", "systemd-journald.service")
    try:
        service.run("python3", "-c", MANY_FAILURES, SOCKETS[0], str(count), user="member")
        assert "journal" in service.run("sh", "-c", f"cat /proc/{pid}/task/*/comm").split()
    finally:
        service.run("systemctl", "kill", "--signal=CONT", "systemd-journald.service")
    matches = [message_id("command-failed"), f"_PID={pid}", "EVLOOPD_COMMAND=object-del"]
    entries = found_in_journal(service, *matches, count=count)
    assert [entry["EVLOOPD_REASON"] for entry in entries] == [
        f"There is no object 'none{i}'" for i in range(count)]
    assert main_pid(service) == pid


def test_a_daemon_that_is_stopped_in_its_tracks_is_started_again(service):
    configure(service, "WatchdogSec=1")
    ctl(service, "iothread", "list")
    pid = main_pid(service)
    service.run("systemctl", "kill", "--signal=STOP", "evloopd.service")
    service.wait_for("a restart",
                     lambda: service.show("evloopd.service", "NRestarts") != ("0",))
    assert main_pid(service) != pid
    assert call(service, "query-iothreads") == []


def test_options_of_a_drop_in_file_and_what_is_wrong_with_them(service):
    configure(service, 'Environment="EVLOOPD_OPTIONS=--log-level info --object iothread,id=io0"')
    assert [item["id"] for item in call(service, "query-iothreads")] == ["io0"]
    assert journal(service, r"^session \d+: connected", PRIORITY="6", _COMM="evloopd")
    service.run("systemctl", "stop", "evloopd.service")
    configure(service, "Environment=EVLOOPD_OPTIONS=--nonsense")
    assert service.try_run("systemctl", "start", "evloopd.service")[0] != 0
    assert journal(service, "^Unknown option --nonsense$", PRIORITY="3")


# ---- what is locked, and unlocked ----


def test_it_has_no_rights_but_its_own(service):
    ctl(service, "iothread", "list")
    pid = main_pid(service)
    status = dict(line.split(":\t", 1) for line in
                  service.run("cat", f"/proc/{pid}/status").splitlines() if ":\t" in line)
    assert [status[name] for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")] == [
        "0" * 16, "0" * 16, "1", "2"]
    assert service.run("stat", "--format=%U %G", f"/proc/{pid}") == "evloopd evloopd\n"


def test_its_loops_use_io_uring(service):
    ctl(service, "iothread", "add", "io0")
    found = call(service, "qom-get", path="/objects/io0", property="fdmon-in-use")
    assert found == "io_uring"


def test_its_loops_can_tell_how_long_they_wait_for_processors(service):
    """By a file of procfs, of which the unit leaves little."""
    ctl(service, "iothread", "add", "io0")
    pid = main_pid(service)
    links = service.run("ls", "-l", f"/proc/{pid}/fd")
    threads = {loop["id"]: loop["thread-id"] for loop in call(service, "query-loops")}
    assert set(re.findall(r" -> (\S+/schedstat)$", links, re.MULTILINE)) == {
        f"/proc/{pid}/task/{threads[name]}/schedstat" for name in ("io0", "mon_iothread")}


def test_threads_have_cpus_and_scheduling_policies_but_for_real_time(service):
    ctl(service, "iothread", "add", "io0", "cpu-affinity=0", "sched-policy=batch")
    words = ["evloopctl", "iothread", "set", "io0", "sched-policy=fifo", "sched-priority=5"]
    status, output = service.try_run(*words, user="member")
    assert status != 0 and "Operation not permitted" in output
    use_example(service, "realtime.conf")
    if service.try_run("prlimit", "--rtprio=1:1", "true")[0] != 0:
        # A limit can't be raised here. The rest of the file must do.
        configure(service, "CapabilityBoundingSet=CAP_SYS_NICE", "AmbientCapabilities=CAP_SYS_NICE")
    service.run("systemctl", "restart", "evloopd.service")
    service.run(*words, user="member")


def test_timers_and_notifiers_work(service):
    ctl(service, "iothread", "add", "io0")
    assert call(service, "object-add", **{"qom-type": "timer", "id": "tick",
                                          "period-ns": 1000000, "iothread": "io0"}) == {}
    service.wait_for("an expiration", lambda: call(
        service, "qom-get", path="/objects/tick", property="expirations"))
    assert call(service, "object-add", **{"qom-type": "event-notifier", "id": "bell"}) == {}
    assert call(service, "event-notifier-set", id="bell") == {}
    service.wait_for("a kick", lambda: call(
        service, "qom-get", path="/objects/bell", property="kicks") == 1)


def add_relay(service, listen, target, **properties):
    return call(service, "object-add", **{"qom-type": "socket-relay", "id": "relay",
                                          "listen": listen, "target": target, **properties})


def test_a_relay_listens_beside_the_control_sockets_for_the_group(service):
    path = "/run/evloopd/relay.sock"
    assert add_relay(service, f"unix:{path}", f"unix:{SOCKETS[1]}") == {}
    assert service.run("stat", "--format=%A %G", path).split()[1] == "evloopd"
    service.run("python3", "-c", FIRST_REPLY, path, user="member")
    assert service.try_run("python3", "-c", FIRST_REPLY, path, user="outsider")[0] != 0


def test_a_relay_listens_elsewhere_with_a_drop_in_file(service):
    service.run("install", "-d", "-o", "evloopd", "/srv/sockets")
    listen = "unix:/srv/sockets/relay.sock"
    assert "Read-only file system" in add_relay(service, listen, f"unix:{SOCKETS[0]}")
    # Its /tmp is its own: nobody could connect there.
    for path in ("/tmp/relay.sock", "/var/tmp/relay.sock"):
        assert "Read-only file system" in add_relay(service, f"unix:{path}", f"unix:{SOCKETS[0]}")
    use_example(service, "sockets.conf")
    service.run("systemctl", "restart", "evloopd.service")
    assert add_relay(service, listen, f"unix:{SOCKETS[0]}") == {}


def test_a_relay_uses_the_network_with_a_drop_in_file(service):
    listen = "tcp:127.0.0.1:4711"
    assert "Address family not supported" in add_relay(service, listen, f"unix:{SOCKETS[1]}")
    use_example(service, "network.conf")
    service.run("systemctl", "restart", "evloopd.service")
    assert add_relay(service, listen, "tcp:localhost:4712") == {}
    assert call(service, "object-del", id="relay") == {}
    assert add_relay(service, listen, f"unix:{SOCKETS[1]}") == {}
    service.run("python3", "-c", TCP_CLIENT, user="outsider")


WEB_SOCKET = """
[Socket]
ListenStream=127.0.0.1:4711
FileDescriptorName=web
Service=evloopd.service
"""


def test_a_relay_listens_on_a_socket_of_systemd_s_whatever_is_locked(service):
    service.write("/run/systemd/system/evloopd-web.socket", WEB_SOCKET)
    relay = f"socket-relay,id=web,listen=fd:web,target=unix:{SOCKETS[1]}"
    configure(service, f"Environment=EVLOOPD_OPTIONS=--object={relay}")
    try:
        service.run("systemctl", "start", "evloopd-web.socket")
        service.run("python3", "-c", TCP_CLIENT, user="outsider")
        assert service.show("evloopd.service", "ActiveState") == ("active",)
    finally:
        service.run("systemctl", "stop", "evloopd-web.socket", "evloopd.service")


def test_a_relay_uses_vsock_with_a_drop_in_file(service):
    refused = add_relay(service, "vsock:any:4711", f"unix:{SOCKETS[1]}")
    assert "Address family not supported" in refused
    if service.try_run("python3", "-c", "import socket; socket.socket(socket.AF_VSOCK)")[0] != 0:
        pytest.skip("no vsock")
    use_example(service, "vsock.conf")
    service.run("systemctl", "restart", "evloopd.service")
    assert add_relay(service, "vsock:any:4711", f"unix:{SOCKETS[1]}") == {}
