"""Which clients may connect: allow-uid= and allow-gid=, by what the kernel says of them."""

import os
import pwd
import re
import subprocess
import sys

import pytest

from qmp_client import DEADLINE, Qmp

UID = 54321
GID = 54322
OTHER = 54323

# Prints the first bytes that it is sent, and then, until its input ends, stays.
CLIENT = """
import socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[1])
    print(sock.recv(7).decode(), flush=True)
"""
FLOOD = """
import socket, sys
for _ in range(int(sys.argv[2])):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(sys.argv[1])
        assert sock.recv(1) == b""
"""

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be other users")


@pytest.fixture
def guarded(start_daemon, sockets):
    """Start a daemon with a socket that every user's clients reach: guarded(SETTINGS)."""
    sockets.chmod(0o711)

    def start(settings, *options):
        path = f"{sockets}/guarded"
        return start_daemon("--qmp", f"unix:{path},mode=0666,{settings}", *options), path

    return start


def is_greeted(path, uid, gid, groups=()):
    """Whether a process of this user and these groups gets a session."""
    client = subprocess.run([sys.executable, "-I", "-c", CLIENT, path], user=uid, group=gid,
                            extra_groups=list(groups), cwd="/", capture_output=True, text=True,
                            timeout=DEADLINE, check=True)
    assert client.stdout in ('{"QMP":\n', "\n")
    return client.stdout != "\n"


def refusals(daemon):
    """How many refusals the log tells of one by one, and how many in sums."""
    text = daemon.stderr()
    sums = re.findall(r"(\d+) further clients were refused$", text, re.MULTILINE)
    return text.count(": refused a client ("), sum(map(int, sums))


@as_root
@pytest.mark.parametrize("settings, uid, gid, groups, greeted", [
    (f"allow-uid={UID}", UID, OTHER, [], True),
    (f"allow-uid={UID}", OTHER, OTHER, [], False),
    (f"allow-uid={UID}", OTHER, UID, [UID], False),
    (f"allow-uid={UID}", 0, 0, [], False),
    (f"allow-uid=1:{UID}:root", UID, OTHER, [], True),
    (f"allow-uid=1:{UID}:root", 0, 0, [], True),
    (f"allow-uid=1:{UID}:root", OTHER, OTHER, [], False),
    (f"allow-gid={GID}", OTHER, GID, [], True),
    (f"allow-gid={GID}", OTHER, OTHER, [GID], True),
    (f"allow-gid={GID}", OTHER, OTHER, [*range(1000, 1200), GID], True),
    (f"allow-gid={GID}", OTHER, OTHER, [*range(1000, 1200)], False),
    (f"allow-gid={GID}", GID, OTHER, [], False),
    (f"allow-gid={GID}", 0, 0, [], False),
    (f"allow-gid=root:{GID}", OTHER, 0, [], True),
    (f"allow-uid={UID},allow-gid={GID}", UID, OTHER, [], True),
    (f"allow-uid={UID},allow-gid={GID}", OTHER, OTHER, [GID], True),
    (f"allow-uid={UID},allow-gid={GID}", OTHER, OTHER, [UID], False),
    ("access=full", OTHER, OTHER, [], True),
])
def test_who_is_greeted(guarded, settings, uid, gid, groups, greeted):
    daemon, path = guarded(settings)
    assert is_greeted(path, uid, gid, groups) == greeted
    lines = re.findall(r"evloopd: warning: (.*)\n", daemon.stderr())
    if greeted:
        assert lines == []
    else:
        [line] = lines
        assert re.fullmatch(rf"unix:{path}: refused a client \(uid {uid}, gid {gid}, pid \d+\)",
                            line)


def test_users_and_groups_go_by_name_too(guarded):
    user = pwd.getpwuid(os.getuid()).pw_name
    _, path = guarded(f"allow-uid={user}")
    Qmp(path).close()


def test_a_refused_client_leaves_nothing_behind(guarded):
    daemon, path = guarded(f"allow-uid={OTHER}")
    count = daemon.count_fds()
    for _ in range(3):
        with Qmp(path, negotiate=False) as session:
            assert session.at_end()
    daemon.sync_monitor()
    daemon.wait_for_fds(count)
    assert refusals(daemon) == (3, 0)


def test_a_client_that_comes_again_and_again_does_not_flood_the_log(guarded):
    daemon, path = guarded(f"allow-uid={OTHER}")
    subprocess.run([sys.executable, "-c", FLOOD, path, "2000"], check=True, timeout=DEADLINE)
    daemon.end()
    lines, summed = refusals(daemon)
    assert lines + summed == 2000
    assert 5 <= lines <= 100  # five in each period of ten seconds


@as_root
def test_the_session_knows_its_peer(guarded):
    daemon, path = guarded("access=full", "--log-level=info")
    assert is_greeted(path, UID, GID)
    daemon.sync_monitor()
    assert re.search(rf"session \d+: uid {UID}, gid {GID}, pid \d+, on unix:{path}\n",
                     daemon.stderr())
