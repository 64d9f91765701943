"""The log on stderr."""

import os
import subprocess

import pytest

from conftest import Daemon
from qmp_client import DEADLINE


def environment(stderr, is_journal):
    """As a service is started whose stderr is said to be, or not to be, the journal."""
    stat = stderr.stat()
    return {**os.environ,
            "JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino if is_journal else stat.st_ino + 1}"}


@pytest.mark.parametrize("is_journal, prefix", [(True, "<5>"), (False, "evloopd: notice: ")])
def test_a_line_begins_with_its_priority_only_where_it_goes_to_the_journal(
        evloopd, sockets, is_journal, prefix):
    socket = sockets / "qmp.sock"
    stderr = sockets / "qmp.sock.stderr"  # as Daemon names it
    stderr.touch()
    daemon = Daemon(evloopd, socket, ["--qmp", f"unix:{socket}"],
                    env=environment(stderr, is_journal))
    daemon.wait_until_up()
    daemon.end()
    assert daemon.stderr() == f"{prefix}ending on signal Terminated\n"


@pytest.mark.parametrize("is_journal, prefix", [(True, "<3>"), (False, "evloopd: ")])
def test_a_failed_start_is_an_error_in_the_journal(evloopd, sockets, is_journal, prefix):
    path = sockets / "stderr"
    with open(path, "wb") as stderr:
        run = subprocess.run([evloopd], stderr=stderr, env=environment(path, is_journal),
                             timeout=DEADLINE, check=False)
    assert run.returncode == 1
    assert path.read_text() == f"{prefix}there is no control socket: give --qmp unix:PATH\n"
