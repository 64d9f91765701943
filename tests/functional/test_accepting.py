"""How many clients are let in: max-clients=, a daemon out of descriptors, --negotiation-timeout."""

import json
import os
import re
import resource
import subprocess
import time

import pytest

from qmp_client import DEADLINE, Qmp


@pytest.fixture
def limited(start_daemon, sockets):
    """Start a daemon with a second socket: limited(SETTINGS, OPTION...)."""

    def start(settings, *options):
        path = f"{sockets}/limited"
        return start_daemon("--qmp", f"unix:{path},{settings}", *options), path

    return start


def wait_for_session(path):
    """A session on a socket on which another one is about to end."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        session = Qmp(path, negotiate=False)
        if session.receive():
            return session
        session.close()
    raise AssertionError("no session")


# ---- max-clients= ----


def test_one_client_too_many_is_turned_away(limited):
    daemon, path = limited("max-clients=2")
    with Qmp(path) as one, Qmp(path) as two:
        with Qmp(path, negotiate=False) as three:
            assert three.at_end()
        [line] = daemon.stderr().splitlines()
        assert re.fullmatch(rf"evloopd: warning: unix:{path}: turned a client away "
                            r"\(uid \d+, gid \d+, pid \d+\), for there are 2 already", line)
        one.sync()
        two.sync()


def test_a_client_that_leaves_makes_room(limited):
    _, path = limited("max-clients=1")
    for _ in range(5):
        wait_for_session(path).close()


def test_each_socket_counts_for_itself(limited):
    daemon, path = limited("max-clients=1")
    with Qmp(path), daemon.connect() as one, daemon.connect() as two:
        with Qmp(path, negotiate=False) as over:
            assert over.at_end()
        one.sync()
        two.sync()


def test_clients_that_come_again_and_again_do_not_flood_the_log(limited):
    daemon, path = limited("max-clients=1")
    with Qmp(path) as one:
        for _ in range(500):
            with Qmp(path, negotiate=False) as over:
                assert over.at_end()
        one.sync()
    daemon.end()
    text = daemon.stderr()
    lines = text.count(": turned a client away (")
    sums = re.findall(r": (\d+) further clients were turned away$", text, re.MULTILINE)
    assert lines + sum(map(int, sums)) == 500
    assert 5 <= lines <= 100  # five in each period of ten seconds


def test_a_soft_limit_of_descriptors_is_raised_to_the_hard_one(start_daemon):
    limits = (64, 1000)
    daemon = start_daemon("--log-level=debug", preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_NOFILE, limits))
    assert resource.prlimit(daemon.proc.pid, resource.RLIMIT_NOFILE) == (limits[1],) * 2
    assert "evloopd: debug: limit of descriptors raised from 64 to 1000\n" in daemon.stderr()
    clients = [daemon.connect() for _ in range(100)]
    for client in clients:
        client.sync()
        client.close()


def test_a_thousand_clients_by_default(start_daemon):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    try:
        daemon = start_daemon()
        sessions = [daemon.connect() for _ in range(1024)]
        with daemon.connect(negotiate=False) as over:
            assert over.at_end()
        for session in sessions:
            session.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- descriptors ----


@pytest.fixture
def exhausted(start_daemon):
    """A daemon without a descriptor to spare, a session on it, and a client that is not let in."""
    daemon = start_daemon("--log-level=info")
    session = daemon.connect(oob=True)
    spare = daemon.connect()
    _, hard = resource.prlimit(daemon.proc.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.proc.pid, resource.RLIMIT_NOFILE, (daemon.count_fds(), hard))
    waiting = daemon.connect(negotiate=False)
    deadline = time.monotonic() + DEADLINE
    while not pauses(daemon):
        assert time.monotonic() < deadline
        session.sync()
    yield daemon, session, spare, waiting
    for client in (session, spare, waiting):
        client.close()


def pauses(daemon):
    """The lines of the log about not accepting."""
    return [line for line in daemon.stderr().splitlines() if "accept" in line]


def monitor_counts(session):
    [loop] = [loop for loop in session.oob("query-loops") if loop["id"] == "mon_iothread"]
    return loop


def test_out_of_descriptors_is_logged_once_and_is_no_busy_loop(exhausted):
    daemon, session, _, waiting = exhausted
    assert pauses(daemon) == [f"evloopd: warning: unix:{daemon.socket}: "
                              "can't accept clients for now: Too many open files"]
    before = monitor_counts(session)
    queries = 1
    while (now := monitor_counts(session))["timer-callbacks"] < before["timer-callbacks"] + 5:
        queries += 1
        time.sleep(0.01)  # the condition is tried again; the count of passes is what matters
    # A pass for each timer and one for the try after it; a few for each query.
    assert now["passes"] - before["passes"] < 8 * (queries + 5) + 20
    assert len(pauses(daemon)) == 1
    assert not waiting.has_input()


def test_a_session_that_ends_lets_the_next_client_in(exhausted):
    daemon, session, spare, waiting = exhausted
    spare.close()
    assert "QMP" in waiting.receive()
    waiting.command("qmp_capabilities")
    waiting.sync()
    session.sync()
    assert len(pauses(daemon)) == 1


def test_a_descriptor_that_is_freed_elsewhere_lets_the_next_client_in(exhausted):
    daemon, _, _, waiting = exhausted
    soft, hard = resource.prlimit(daemon.proc.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.proc.pid, resource.RLIMIT_NOFILE, (soft + 1, hard))
    assert "QMP" in waiting.receive()
    assert len(pauses(daemon)) == 1


# ---- --negotiation-timeout ----


@pytest.mark.parametrize("sent", [b"", b'{"execute": ', b'{"execute": "query-version"}', b"\xff",
                                  b'{"execute": "qmp_capabilities", "arguments": {"a": 1}}'])
def test_a_session_that_never_negotiates_ends(start_daemon, sent):
    daemon = start_daemon("--negotiation-timeout=2")
    count = daemon.count_fds()
    with daemon.connect() as negotiated, daemon.connect(negotiate=False) as silent:
        silent.receive()
        silent.send_raw(sent)
        while line := silent.receive_line():
            assert "error" in json.loads(line)
        negotiated.sync()
        # What has negotiated may be silent for longer than that.
        with daemon.connect(negotiate=False) as silent:
            silent.receive()
            assert silent.at_end()
        negotiated.sync()
    assert re.findall(r"(?m): session \d+: disconnected, for it was not negotiated in time$",
                      daemon.stderr()) != []
    daemon.wait_for_fds(count)


def test_a_minute_by_default_and_none_if_so_wished(start_daemon):
    def deadline(daemon):
        with daemon.connect(oob=True) as session, daemon.connect(negotiate=False) as silent:
            silent.receive()
            timers = [source for source in session.oob("query-sources")
                      if source["name"] == "negotiation_took_too_long"]
            return [timer["deadline-ns"] - time.monotonic_ns() for timer in timers]

    [remaining] = deadline(start_daemon())
    assert 0 < remaining <= 60 * 10**9
    assert deadline(start_daemon("--negotiation-timeout=0")) == []


@pytest.mark.parametrize("setting", ["max-clients=1", "allow-uid=4294967294"])
def test_the_socket_of_a_daemon_that_turns_clients_away_is_left_alone(limited, evloopd, setting):
    """Who starts at its path is turned away too, and took it for one that nobody listens on."""
    daemon, path = limited(setting)
    inode = os.stat(path).st_ino
    with Qmp(path, negotiate=False) as one:
        one.receive()  # all that may come has come, or this is turned away
        run = subprocess.run([evloopd, "--qmp", f"unix:{path}", "--object", "none"],
                             capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert run.returncode == 1
    assert run.stderr == (f"evloopd: --qmp: socket '{path}': "
                          "another process is listening on it\n")
    assert os.stat(path).st_ino == inode
