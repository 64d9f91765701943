"""Completion of evloopctl's command lines: what shells ask, and what bash makes of it."""

import os
import pty
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from fake_server import answering, play, serve  # noqa: F401
from qmp_client import DEADLINE

SCRIPT = Path(__file__).parents[2] / "ctl" / "completions" / "evloopctl"
OBJECTS = ("--object", "iothread,id=io0", "--object", "iothread,id=io1", "--object",
           "timer,id=tick,period-ns=1000000000", "--object", "event-notifier,id=bell")


@pytest.fixture
def socket(start_daemon):
    return start_daemon("--debug-commands", *OBJECTS).socket


@pytest.fixture
def complete(evloopctl, socket):
    """What evloopctl offers for the last of some words."""

    def run(*words, path=socket):
        result = subprocess.run([evloopctl, "complete", "--", *words], capture_output=True,
                                text=True, timeout=DEADLINE,
                                env={**os.environ, "EVLOOPD_SOCKET": path})
        assert (result.returncode, result.stderr) == (0, "")
        return [line.split("\t")[0] for line in result.stdout.splitlines()]

    return run


@pytest.mark.parametrize("words, offered", [
    (["ob"], ["object"]), (["object", "a"], ["add"]), (["obj", ""], []), (["nothing"], []),
    (["comp"], []),
    (["object", "add", ""], ["event-notifier", "iothread", "socket-relay", "timer"]),
    (["object", "add", "t"], ["timer"]), (["object", "add", "timer", ""], []),
    (["object", "add", "timer", "x", "c"], ["clock=", "catch-up="]),
    (["object", "add", "timer", "x", "clock=host", "c"], ["catch-up="]),
    (["object", "add", "timer", "x", "catch-up="],
     ["catch-up=skip", "catch-up=burst", "catch-up=delay"]),
    (["object", "add", "timer", "x", "one-shot=o"], ["one-shot=on", "one-shot=off"]),
    (["object", "add", "timer", "x", "iothread="],
     ["iothread=io0", "iothread=io1", "iothread=null"]),
    (["object", "add", "timer", "x", "expir"], []), (["object", "add", "clock", "x", ""], []),
    (["object", "add", "timer", "x", "period-ns=5"], []),
    (["object", "set", "b"], ["bell"]), (["object", "set", "tick", "c"], ["catch-up="]),
    (["object", "set", "tick", "catch-up=b"], ["catch-up=burst"]),
    (["object", "set", "nobody", ""], []),
    (["object", "del", ""], ["io0", "io1", "tick", "bell"]), (["object", "del", "tick", ""], []),
    (["trace", "start", "io"], ["io0", "io1"]), (["trace", "start", "io0", "m"],
                                                 ["main-loop", "mon_iothread"]),
    (["object", "show", "t"], ["tick"]), (["object", "types", "t"], ["timer"]),
    (["object", "move", "ti"], ["tick"]),
    (["object", "move", "tick", ""], ["io0", "io1", "main-loop"]),
    (["object", "move", "tick", "io0", ""], []),
    (["iothread", "del", ""], ["io0", "io1"]), (["iothread", "set", "io0", "poll-m"],
                                                ["poll-max-ns="]),
    (["iothread", "add", "io2", "fdmon="],
     ["fdmon=auto", "fdmon=io_uring", "fdmon=epoll", "fdmon=poll"]),
    (["iothread", "set", "io0", "fdm"], []),
    (["call", "query-so"], ["query-sources"]), (["call", "qom-get", ""], ["path=", "property="]),
    (["call", "qom-get", "path=x", ""], ["property="]),
    (["call", "object-add", "qom-type="], ["qom-type=event-notifier", "qom-type=iothread",
                                           "qom-type=socket-relay", "qom-type=timer"]),
    (["call", "object-add", "qom-type=timer", "cat"], ["catch-up="]),
    (["oob", "query-so"], ["query-sources"]), (["oob", "qom-g"], []),
    (["oob", "query-loops", ""], []), (["help", "trace"], ["trace", "trace-save", "trace-start",
                                                          "trace-stop"]),
    (["help", "trace", "s"], ["start", "stop", "save"]), (["help", "qom-get", ""], []),
    (["she"], ["shell"]), (["shell", "--js"], ["--json"]), (["oob", "--o"], []),
    (["events", "TIMER"], ["TIMER_EXPIRED"]), (["events", "X", "TIMER"], ["TIMER_EXPIRED"]),
    (["top", "--sort", "na"], ["name"]), (["top", "--sort=na"], ["--sort=name"]),
    (["top", "-o", "na"], ["name"]), (["top", "--loop", "i"], ["io0", "io1"]),
    (["top", "--lo"], ["--loop="]), (["top", "-b", "--it"], ["--iterations="]),
    (["top", ""], []), (["--vers"], ["--version"]), (["top", "--vers"], []),
    (["call", "--oo"], ["--oob"]), (["--sock"], ["--socket="]), (["-s", "x"], []),
    (["--socket=x"], []), (["top", "--no-such", ""], []), (["--help", "ob"], ["object"]),
])
def test_what_fits_is_offered(complete, words, offered):
    assert complete(*words) == offered


def test_all_commands_and_options_are_offered(complete, evloopctl):
    shown = subprocess.run([evloopctl, "--help"], capture_output=True, text=True, check=True,
                           timeout=DEADLINE).stdout
    listed = shown.split("Commands:\n")[1].split("\n\n")[0]
    assert complete("") == [line.split()[0] for line in listed.splitlines()]
    assert "complete" not in listed
    assert set(complete("-")) == {"--socket=", "--timeout=", "--help", "--version"}


def test_a_socket_that_is_named_in_the_words_is_asked(complete, socket):
    assert complete("-s", socket, "object", "del", "t", path="/nonexistent") == ["tick"]
    assert complete("object", "del", f"--socket={socket}", "t", path="/nonexistent") == ["tick"]


def test_without_a_daemon_what_needs_none_is_offered(complete):
    assert complete("object", "sh", path="/nonexistent") == ["show"]
    assert complete("object", "show", "", path="/nonexistent") == []


def test_a_candidate_comes_with_a_word_on_it(evloopctl, socket):
    shown = subprocess.run([evloopctl, "-s", socket, "complete", "--", "object", "add", "timer",
                            "x", "period"], capture_output=True, text=True, timeout=DEADLINE)
    assert shown.stdout.startswith("period-ns=\ttime between expirations")


def test_what_a_shell_would_not_take_for_a_plain_word_is_not_offered(play):
    """The shell puts a candidate into the line as it is."""
    plain = ["a", "B-1._", "gr\u00fcn", "x@y:/z,=+%"]
    odd = ["a b", "a;b", "$(a)", "`a`", "a'b", 'a"b', "a\\b", "a*", "a?", "[a]", "{a,b}", "~a", "a|b",
           "a&b", "<a", ">a", "!a", "#a", "a\nb", "a\tb", "\x1b[2J", "a\x7f", "a\x9bb", "a\u2028b", ""]
    children = [{"name": name, "type": "child<timer>"} for name in plain + odd]
    result = play(answering(children), "complete", "--", "object", "del", "")
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == plain


# ---- in bash ----


@pytest.fixture
def bash(evloopctl, socket):
    """What bash's function for evloopctl puts into COMPREPLY for words as bash splits them."""

    def run(*words):
        script = f"""
            source "$1" && shift
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
            _evloopctl
            for word in "${{COMPREPLY[@]}}"; do printf '%s\\n' "$word"; done"""
        result = subprocess.run(["bash", "--norc", "-uc", script, "bash", str(SCRIPT), evloopctl,
                                 *words], capture_output=True, text=True, timeout=DEADLINE,
                                env={**os.environ, "EVLOOPD_SOCKET": socket})
        assert (result.returncode, result.stderr) == (0, "")
        return result.stdout.splitlines()

    return run


@pytest.mark.parametrize("words, replies", [
    (["ob"], ["object"]), (["object", "del", "t"], ["tick"]),
    (["object", "add", "timer", "x", "cat"], ["catch-up="]),
    # Bash has "=" and ":" as words of their own, and replaces what is behind them.
    (["object", "add", "timer", "x", "catch-up", "="], ["skip", "burst", "delay"]),
    (["object", "add", "timer", "x", "catch-up", "=", "b"], ["burst"]),
    (["object", "add", "timer", "x", "clock", "=", "host", "cat"], ["catch-up="]),
    (["top", "--sort", "=", "na"], ["name"]), (["object", "show", "zzz"], []),
    (["call", "object-add", "qom-type", "=", "ti"], ["timer"]),
])
def test_bash_gets_what_replaces_the_word(bash, words, replies):
    assert bash(*words) == replies


class Shell:
    """An interactive shell, as a user has it."""

    def __init__(self, folder, socket, *command):
        environment = {**os.environ, "EVLOOPD_SOCKET": socket, "PS1": "> ", "LC_ALL": "C", "TERM": "dumb",
                       "PATH": f"{folder}:{os.environ['PATH']}", "INPUTRC": "/dev/null"}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, environment)
        self.text = ""

    def expect(self, part):
        deadline = time.monotonic() + DEADLINE
        while part not in self.text:
            timeout = max(0, deadline - time.monotonic())
            assert select.select([self.fd], [], [], timeout)[0], (part, self.text)
            self.text += os.read(self.fd, 65536).decode()
        self.text = ""

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def close(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def test_the_tab_key_completes_in_an_interactive_bash(evloopctl, socket):
    shell = Shell(os.path.dirname(evloopctl), socket, "bash", "--norc", "--noprofile", "-i")
    try:
        shell.type(f"source '{SCRIPT}'; echo rea''dy\n")
        shell.expect("ready")
        for typed, end in [("evloopctl obj\t", "object "), ("sh\t", "show "), ("ti\t", "tick ")]:
            shell.type(typed)
            shell.expect(end)
        shell.type("\x15evloopctl object add timer x cat\t")
        shell.expect("catch-up=")
        shell.type("bu\t")
        shell.expect("burst ")
        shell.type("\x15evloopctl -s '' top --sort=na\t")
        shell.expect("name ")
        shell.type("\x15exit\n")
    finally:
        shell.close()


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh")
def test_the_tab_key_completes_in_an_interactive_zsh(evloopctl, socket):
    shell = Shell(os.path.dirname(evloopctl), socket, "zsh", "-f", "-i")
    try:
        shell.type(f"fpath=('{SCRIPT.parent}' $fpath); autoload -U compinit\n")
        shell.type("compinit -u -D && echo rea''dy\n")
        shell.expect("ready\r")
        for typed, end in [("evloopctl ob\t", "ject "), ("sh\t", "ow "), ("ti\t", "ck "),
                           ("\x15evloopctl object add timer x cat\t", "catch-up="),
                           ("bu\t", "rst "), ("\x15evloopctl top --sort=na\t", "me ")]:
            shell.type(typed)
            shell.expect(end)
        shell.type("\x15exit\n")
    finally:
        shell.close()
