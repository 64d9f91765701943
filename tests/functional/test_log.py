"""The log on stderr."""

import os

import pytest

from conftest import Daemon


@pytest.mark.parametrize("is_journal, prefix", [(True, "<5>"), (False, "evloopd: notice: ")])
def test_a_line_begins_with_its_priority_only_where_it_goes_to_the_journal(
        evloopd, sockets, is_journal, prefix):
    socket = sockets / "qmp.sock"
    stderr = sockets / "qmp.sock.stderr"  # as Daemon names it
    stderr.touch()
    stat = stderr.stat()
    stream = f"{stat.st_dev}:{stat.st_ino if is_journal else stat.st_ino + 1}"
    daemon = Daemon(evloopd, socket, ["--qmp", f"unix:{socket}"],
                    env={**os.environ, "JOURNAL_STREAM": stream})
    daemon.wait_until_up()
    daemon.end()
    assert daemon.stderr() == f"{prefix}ending on signal Terminated\n"
