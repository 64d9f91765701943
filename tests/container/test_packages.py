"""The Debian packages: what installing, upgrading and removing them does to a machine."""

import re
from pathlib import Path

import pytest

SOCKETS = ["/run/evloopd/qmp.sock", "/run/evloopd/qmp-ro.sock"]
UNITS = ["evloopd.socket", "evloopd-ro.socket", "evloopd.service"]
# What dpkg, systemd and others that work for every package keep.
KEPT = re.compile(r"/(var/(lib/dpkg|log|cache)/|var/lib/systemd/catalog/database|"
                  r"etc/ld\.so\.cache|etc/machine-id)")
# Users and groups stay, as Debian's do: an id that is given again would come with files of old.
ACCOUNTS = {f"/etc/{name}{backup}" for name in ("passwd", "shadow", "group", "gshadow")
            for backup in ("", "-")} | {"/etc/.pwd.lock"}

@pytest.fixture
def clean(machine):
    """The container, without a package of ours before and after."""
    yield machine
    machine.run("dpkg", "--purge", "evloopd", "libevloop-dev", "libevloop0")


def states(machine):
    return [machine.show(unit, "ActiveState")[0] for unit in UNITS]


def test_installing_opens_the_sockets_and_starts_no_daemon(clean, install):
    output = install("evloopd")
    assert "rror" not in output and "arning" not in output
    assert states(clean) == ["active", "active", "inactive"]
    shown = clean.run("stat", "--format=%A %U %G", "/run/evloopd", *SOCKETS).splitlines()
    assert shown == ["drwxr-xr-x evloopd evloopd", "srw-rw---- root evloopd",
                     "srw-rw---- root evloopd-ro"]
    assert clean.run("systemctl", "is-enabled", "evloopd.socket", "evloopd-ro.socket").split() == [
        "enabled", "enabled"]
    assert "evloopd-ro" in clean.run("id", "-nG", "evloopd").split()


def test_an_upgrade_starts_a_running_daemon_anew_which_goes_on(clean, install):
    install("evloopd")
    sockets = clean.run("stat", "--format=%i", *SOCKETS)
    clean.run("evloopctl", "iothread", "add", "io0")
    [pid] = clean.show("evloopd.service", "MainPID")
    install("evloopd")
    assert states(clean) == ["active"] * 3
    assert clean.show("evloopd.service", "MainPID", "Result")[1] == "success"
    assert clean.show("evloopd.service", "MainPID") != (pid,)
    assert clean.run("stat", "--format=%i", *SOCKETS) == sockets
    assert "io0" in clean.run("evloopctl", "iothread", "list")


def test_an_upgrade_leaves_what_is_stopped_stopped(clean, install):
    install("evloopd")
    install("evloopd")
    assert states(clean) == ["active", "active", "inactive"]
    clean.run("systemctl", "disable", "--now", "evloopd.socket")
    install("evloopd")
    assert states(clean) == ["inactive", "active", "inactive"]


def test_removing_stops_the_daemon_and_its_sockets(clean, install):
    install("evloopd")
    clean.run("evloopctl", "call", "query-version")
    clean.run("dpkg", "--remove", "evloopd")
    assert states(clean) == ["inactive"] * 3
    assert clean.run("sh", "-c", "grep -lxs evloopd /proc/[0-9]*/comm || :") == ""
    assert clean.try_run("ls", *SOCKETS)[0] != 0


def test_purging_leaves_nothing_but_the_users(clean, install):
    before = clean.changed()
    install("evloopd", "libevloop0", "libevloop-dev")
    assert {path for path in clean.changed() - before if path.endswith("/evloopd")}
    clean.run("evloopctl", "call", "query-version")
    assert " evloopd: " in clean.run("journalctl", "--list-catalog", "--no-pager")
    clean.run("dpkg", "--purge", "evloopd", "libevloop-dev", "libevloop0")
    assert " evloopd: " not in clean.run("journalctl", "--list-catalog", "--no-pager")
    left = {path for path in clean.changed() - before if not KEPT.match(path)}
    assert left <= ACCOUNTS
    assert clean.try_run("ls", "/run/evloopd")[0] != 0
    assert clean.try_run("systemctl", "list-unit-files", "evloopd*", "--no-legend")[1] == ""


def test_the_package_s_own_tests_pass(clean, install):
    install("evloopd", "libevloop0", "libevloop-dev")
    tests = Path(__file__).parents[2] / "debian" / "tests"
    names = re.findall(r"^Tests: (.*)$", (tests / "control").read_text(), re.MULTILINE)
    assert names == ["library", "service"]
    for name in names:
        clean.run("sh", input=(tests / name).read_text(), stdin=None)
