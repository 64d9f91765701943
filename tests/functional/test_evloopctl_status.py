"""evloopctl status: the daemon on one screen, what is wrong first."""

import json
import os
import pty
import socket
import subprocess

import pytest

from fake_server import DEADLINE, play, serve  # noqa: F401


@pytest.fixture
def status(evloopctl, daemon):
    def run(*words, path=daemon.socket, env=None, **options):
        clean = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")}
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.run([evloopctl, "-s", path, "status", *words], text=True,
                              timeout=DEADLINE, env={**clean, **(env or {})}, **options)

    return run


def tables(result):
    """The parts of the screen: lines of words, by the first word of each."""
    assert (result.returncode, result.stderr) == (0, "")
    parts = [part.splitlines() for part in result.stdout.split("\n\n")]
    return {part[0].split()[0]: [line.split() for line in part] for part in parts}


def test_one_screen_shows_loops_iothreads_objects_and_clients(status, qmp):
    qmp.command("object-add", qom_type="iothread", id="io0")
    qmp.command("object-add", qom_type="timer", id="tick", period_ns=10**12, iothread="io0")
    shown = tables(status())
    assert shown["evloopd"][0][-3:] == ["all", "is", "well"]
    assert [row[0] for row in shown["LOOP"][1:]] == ["main-loop", "mon_iothread", "io0"]
    assert shown["IOTHREAD"][1][0] == "io0"
    assert shown["OBJECT"] == [["OBJECT", "TYPE", "LOOP"], ["io0", "iothread", "-"],
                               ["tick", "timer", "io0"]]
    clients = dict(zip(shown["CLIENT"][0], shown["CLIENT"][1]))
    assert clients["PID"] == str(os.getpid())
    assert (clients["ACCESS"], clients["MODE"], clients["LEFT-OUT"]) == ("full", "command", "0")


def test_json_has_it_all_for_machines(status, qmp):
    qmp.command("object-add", qom_type="iothread", id="io0")
    result = status("--json")
    assert (result.returncode, result.stderr) == (0, "")
    shown = json.loads(result.stdout)
    assert list(shown) == ["version", "loops", "iothreads", "objects", "clients", "problems"]
    assert shown["objects"] == [{"id": "io0", "type": "iothread", "loop": None}]
    assert shown["iothreads"] == qmp.command("query-iothreads")
    assert shown["problems"] == []
    assert os.getpid() in [client["pid"] for client in shown["clients"]]


def test_a_stuck_main_loop_is_shown_and_what_needs_it_left_out(evloopctl, start_daemon, status):
    daemon = start_daemon("--debug-commands", "--stall-threshold-ms=100")
    with daemon.block_main_loop(600000), daemon.connect(oob=True) as other:
        while not any(loop["stalled"] for loop in other.oob("query-loops")):
            pass
        result = status("--json", path=daemon.socket)
        shown = json.loads(result.stdout)
        text = status("--color=always", path=daemon.socket).stdout
        other.oob("x-debug-unblock")
    assert (result.returncode, shown["objects"], shown["iothreads"]) == (0, None, None)
    assert shown["problems"][0].startswith("loop main-loop: stalled, for ")
    assert shown["problems"][0].endswith(" now in qmp_dispatch")
    assert shown["problems"][1].startswith("objects are not known: qom-list: timed out")
    [row] = [line for line in text.splitlines() if line.startswith("\033[31mmain-loop ")]
    assert "stalled" in row and row.endswith("qmp_dispatch\033[0m")


def test_a_client_that_loses_events_or_is_paused_is_a_problem(play):
    answers = {
        "query-version": {"qemu": {}, "package": "fake \x1b[2J1"},
        "query-loops": [],
        "query-clients": [{"id": 7, "pid": 12, "events-left-out": 3, "paused": True,
                           "unanswered": 9}],
    }

    def script(peer):
        peer.negotiate()
        for _ in answers:
            request = peer.receive()
            peer.answer(answers[request.get("exec-oob")], request)
        peer.expect_leave()

    result = play(script, "--timeout", "1.5", "status")
    assert result.returncode == 0
    assert "\x1b" not in result.stdout and result.stdout.startswith("fake  [2J1: 3 problems\n")
    assert "client 7 (pid 12): 3 events were left out, for it reads too slowly" in result.stdout
    assert "client 7 (pid 12): no more is read from it until some of 9 requests" in result.stdout
    assert "objects are not known: " in result.stdout


def test_a_relay_with_all_its_connections_taken_is_a_problem(status, qmp, sockets):
    with socket.socket(socket.AF_UNIX) as target:
        target.bind(f"{sockets}/target")
        target.listen()
        qmp.command("object-add", qom_type="socket-relay", id="r", listen=f"unix:{sockets}/listen",
                    target=f"unix:{sockets}/target", max_connections=1)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{sockets}/listen")
            with target.accept()[0]:
                while qmp.command("qom-get", path="/objects/r", property="connections") != 1:
                    pass
                assert json.loads(status("--json").stdout)["problems"] == \
                    ["object r: full, with 1 connections"]


def test_more_rows_than_fit_are_counted(status, qmp):
    for number in range(15):
        qmp.command("object-add", qom_type="event-notifier", id=f"n{number}")
    shown = tables(status())
    assert len(shown["OBJECT"]) == 1 + 12 + 1
    assert shown["OBJECT"][-1] == ["...", "and", "3", "more;", "--json", "shows", "all"]


# ---- colours ----


def on_terminal(status, *words, **env):
    """What it prints on a terminal."""
    terminal, stdout = pty.openpty()
    try:
        assert status(*words, stdout=stdout, env=env).returncode == 0
        return os.read(terminal, 65536).decode()
    finally:
        os.close(terminal)
        os.close(stdout)


@pytest.mark.parametrize("words, env, coloured", [
    ([], {}, True), ([], {"NO_COLOR": ""}, True), ([], {"NO_COLOR": "1"}, False),
    ([], {"TERM": "dumb"}, False), (["--color=never"], {}, False),
    (["--color=always"], {"NO_COLOR": "1"}, True),
])
def test_colours_on_a_terminal(status, words, env, coloured):
    assert ("\033[" in on_terminal(status, *words, **env)) == coloured


@pytest.mark.parametrize("words, coloured", [([], False), (["--color=always"], True)])
def test_colours_elsewhere(status, words, coloured):
    assert ("\033[" in status(*words).stdout) == coloured


def test_another_word_for_colours_is_an_error(status):
    result = status("--color=blue")
    assert result.returncode == 2
    assert "--color is auto, always or never" in result.stderr
