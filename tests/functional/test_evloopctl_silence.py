"""What evloopctl says when the daemon does not answer, and what to do where it can't connect."""

import grp
import os
import signal
import subprocess
import sys

import pytest

from fake_server import DEADLINE


@pytest.fixture
def ctl(evloopctl, daemon):
    def run(*words, **options):
        return subprocess.run([evloopctl, "-s", daemon.socket, *words], capture_output=True,
                              text=True, timeout=DEADLINE, **options)

    return run


def assert_error(result, *parts):
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


def test_a_timeout_while_the_main_loop_is_held_names_what_holds_it(ctl, daemon):
    with daemon.block_main_loop(600000), daemon.connect(oob=True) as other:
        while main_loop(other)["state-ns"] < 300 * 1000 * 1000:
            pass
        assert_error(ctl("--timeout", "1.5", "object", "list"), "qom-list: timed out",
                     "main-loop has been in 'qmp_dispatch' for ", "evloopctl top")
        other.oob("x-debug-unblock")


def main_loop(session):
    return next(loop for loop in session.oob("query-loops") if loop["id"] == "main-loop")


def test_an_answer_that_is_late_is_explained_and_waited_for(evloopctl, daemon):
    with daemon.block_main_loop(600000), daemon.connect(oob=True) as other:
        command = [evloopctl, "-s", daemon.socket, "object", "list"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as process:
            line = process.stderr.readline()
            assert line.startswith("evloopctl: qom-list: no answer yet: main-loop has been in "
                                   "'qmp_dispatch' for ")
            other.oob("x-debug-unblock")
            stdout, stderr = process.communicate(timeout=DEADLINE)
        assert (process.returncode, stderr) == (0, "")
        assert stdout.startswith("ID")


def test_a_command_that_takes_long_by_itself_is_told_apart(ctl, daemon, qmp):
    qmp.command("object-add", qom_type="iothread", id="io0")
    assert_error(ctl("--timeout", "1.5", "call", "x-debug-block", "duration-ms=600000", "loop=io0"),
                 "timed out", "no loop is stuck, so it is the command that takes long")
    qmp.oob("x-debug-unblock", loop="io0")


def test_a_daemon_that_is_stopped_sends_the_user_to_the_service_manager(ctl, daemon):
    daemon.proc.send_signal(signal.SIGSTOP)
    try:
        result = ctl("--timeout", "0.2", "status")
    finally:
        daemon.proc.send_signal(signal.SIGCONT)
    assert_error(result, "timed out", "out of band it does not answer either",
                 "systemctl status evloopd")


def test_a_socket_without_out_of_band_commands_says_that_it_can_not_be_asked(
        evloopctl, start_daemon, sockets):
    path = f"{sockets}/plain"
    daemon = start_daemon("--debug-commands", "--qmp", f"unix:{path},oob=off")
    with daemon.block_main_loop(600000), daemon.connect(oob=True) as other:
        result = subprocess.run([evloopctl, "-s", path, "--timeout", "1.5", "object", "list"],
                                capture_output=True, text=True, timeout=DEADLINE)
        other.oob("x-debug-unblock")
    assert_error(result, "timed out", "why can't be asked out of band")


def test_a_missing_socket_says_how_to_look_for_the_daemon(evloopctl, tmp_path):
    result = subprocess.run([evloopctl, "-s", tmp_path / "nowhere", "status"], capture_output=True,
                            text=True, timeout=DEADLINE)
    assert_error(result, "is the daemon running?", "systemctl status evloopd", "--socket")


# ---- permissions ----

# Gives up root's right to pass over modes, and runs the rest.
AS_ANYBODY = """
import os, sys
if os.geteuid() == 0:
    os.setgroups([int(gid) for gid in sys.argv[1].split(",") if gid])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
os.execv(sys.argv[2], sys.argv[2:])
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed")


def as_anybody(evloopctl, path, *gids):
    """Run evloopctl as nobody, in further groups."""
    return subprocess.run([sys.executable, "-c", AS_ANYBODY, ",".join(map(str, gids)), evloopctl,
                           "-s", str(path), "status"], capture_output=True, text=True,
                          timeout=DEADLINE)


@pytest.fixture
def reachable(daemon, sockets):
    """The daemon's socket, in a folder that anybody may enter."""
    os.chmod(sockets, 0o755)
    return daemon.socket


@needs_root
@pytest.mark.parametrize("mode, gids, part", [
    (0o660, [], "are you in it? 'usermod -aG {group} USER' as root"),
    (0o600, [], "which may not connect either: its mode is 0600"),
])
def test_a_denied_socket_says_what_its_group_may_and_how_to_get_into_it(
        evloopctl, reachable, mode, gids, part):
    os.chmod(reachable, mode)
    group = grp.getgrgid(os.stat(reachable).st_gid).gr_name
    assert_error(as_anybody(evloopctl, reachable, *gids), f"the socket's group is {group}",
                 part.format(group=group))


@needs_root
def test_a_denied_folder_says_which_group_may_enter_it(evloopctl, reachable, sockets):
    os.chmod(sockets, 0o750)
    group = grp.getgrgid(os.stat(sockets).st_gid).gr_name
    assert_error(as_anybody(evloopctl, reachable), "permission denied",
                 f"its folder's group is {group}, are you in it?")
