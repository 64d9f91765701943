"""evloopctl wait: one event for a script, and names that can't be mistyped."""

import json
import os
import subprocess

import pytest

from fake_server import DEADLINE, event, play, serve, start  # noqa: F401

SCHEMA = [
    {"name": "A_FIRST", "meta-type": "event", "arg-type": "Data"},
    {"name": "B_SECOND", "meta-type": "event", "arg-type": "Data"},
    {"name": "Data", "meta-type": "object", "members": [
        {"name": name, "type": "any"} for name in ("text", "number", "on", "list", "none")]},
]


def told(name, **data):
    """An event as the server sends it."""
    return {"timestamp": {"seconds": 1, "microseconds": 2}, "event": name, "data": data}


def telling(*events):
    """A script: answer the question for the schema, then send events, and stay."""

    def script(peer):
        peer.negotiate()
        peer.answer(SCHEMA)
        for message in events:
            peer.send(message)
        peer.expect_leave()

    return script


def waited(result):
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


def assert_wrong(result, *parts):
    assert (result.returncode, result.stdout) == (2, "")
    for part in parts:
        assert part in result.stderr


def test_it_prints_the_first_event_with_one_of_the_names_and_ends(play):
    result = play(telling(told("OTHER"), told("B_SECOND", number=1), told("A_FIRST")),
                  "wait", "A_FIRST", "B_SECOND")
    assert waited(result) == told("B_SECOND", number=1)


@pytest.mark.parametrize("word, value, others", [
    ("text=x", "x", ["y", "", None, "xx"]), ("text=5", "5", ["6"]), ("number=5", 5, [4, "", 55]),
    ("number=2.5", 2.5, [2]), ("on=on", True, [False]), ("on=true", True, [False, "truex"]),
    ("on=no", False, [True]), ("none=null", None, ["x", 0]), ("list=[1,2]", [1, 2], [[1], [2, 1]]),
])
def test_a_filter_is_a_value_in_the_type_that_it_has(play, word, value, others):
    name = word.split("=")[0]
    events = [told("A_FIRST", **{name: other}) for other in others]
    events += [told("A_FIRST"), told("B_SECOND", **{name: value})]
    wanted = told("A_FIRST", **{name: value})
    assert waited(play(telling(*events, wanted), "wait", "A_FIRST", word)) == wanted


def test_all_filters_must_fit(play):
    wanted = told("A_FIRST", text="x", number=1)
    result = play(telling(told("A_FIRST", text="x", number=2), told("A_FIRST", text="y", number=1),
                          wanted), "wait", "number=1", "A_FIRST", "text=x")
    assert waited(result) == wanted


def test_an_event_that_comes_while_it_asks_for_the_schema_counts(play):
    wanted = told("A_FIRST", number=1)

    def script(peer):
        peer.negotiate()
        request = peer.receive()
        peer.send(wanted)
        peer.answer(SCHEMA, request)
        peer.expect_leave()

    assert waited(play(script, "wait", "A_FIRST")) == wanted


def test_when_none_comes_in_time_the_status_says_so(play):
    result = play(telling(told("B_SECOND")), "--timeout", "1.5", "wait", "A_FIRST")
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr == "evloopctl: no such event in time\n"


def test_a_daemon_that_ends_is_no_timeout(play):
    def script(peer):
        peer.negotiate()
        peer.answer(SCHEMA)

    assert_wrong(play(script, "wait", "A_FIRST"), "closed the connection")


def test_nobody_reading_ends_the_wait(start):
    reader, writer = os.pipe()
    process = start(telling(), "wait", "A_FIRST", stdout=writer)
    os.close(writer)
    os.close(reader)
    assert process.wait(DEADLINE) == 2


@pytest.mark.parametrize("words, parts", [
    (["A_FRIST"], ["no event 'A_FRIST'", "near are: A_FIRST\n"]),
    (["second"], ["no event 'second'", "near are: B_SECOND\n"]),
    (["b-second"], ["near are: B_SECOND\n"]),
    (["QQQQQQQ"], ["there are: A_FIRST, B_SECOND\n"]),
    (["A_FIRST", "nummer=1"], ["no member of A_FIRST 'nummer'", "near are: number\n"]),
    (["A_FIRST\x1b[31m"], ["no event 'A_FIRST [31m'"]),
])
def test_a_name_that_does_not_exist_is_an_error_at_once_and_names_near_ones(play, words, parts):
    result = play(telling(), "wait", *words)
    assert_wrong(result, *parts)
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize("words", [[], ["number=1"], ["A_FIRST", "x=1", "x=2"]])
def test_wrong_words_are_errors(evloopctl, daemon, words):
    result = subprocess.run([evloopctl, "-s", daemon.socket, "wait", *words], capture_output=True,
                            text=True, timeout=DEADLINE)
    assert_wrong(result, "evloopctl: ", "--help")


def test_an_event_of_a_real_daemon(evloopctl, daemon, qmp):
    command = [evloopctl, "-s", daemon.socket, "wait", "OBJECT_DELETED", "id=b"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while not any(client["pid"] == process.pid and client["mode"] == "command"
                      for client in qmp.oob("query-clients")):
            assert process.poll() is None
        for name in "ab":
            qmp.command("object-add", qom_type="iothread", id=name)
            qmp.command("object-del", id=name)
        text, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert json.loads(text)["data"]["id"] == "b"


def test_completion_offers_events_and_the_members_of_those_named(evloopctl, daemon):
    def complete(*words):
        result = subprocess.run([evloopctl, "complete", "--", "-s", daemon.socket, *words],
                                capture_output=True, text=True, timeout=DEADLINE)
        return {line.split("\t")[0] for line in result.stdout.splitlines()}

    assert {"LOOP_STALLED", "LOOP_RESUMED"} == complete("wait", "LOOP_")
    assert {"id=", "qom-type=", "path="} <= complete("wait", "OBJECT_DELETED", "")


@pytest.mark.parametrize("words, line", [
    (["staus"], "there is no command 'staus'; near are: status\n"),
    (["iothread", "lst"], "there is no command 'lst'; near are: list\n"),
    (["xyzzy"], "there is no command 'xyzzy'\n"),
])
def test_a_mistyped_command_names_near_ones_too(evloopctl, words, line):
    result = subprocess.run([evloopctl, *words], capture_output=True, text=True, timeout=DEADLINE)
    assert_wrong(result, line)
