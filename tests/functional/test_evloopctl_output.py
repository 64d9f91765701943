"""What evloopctl prints: events as they come, tables, and what happens when nobody reads it."""

import json
import os
import signal

import pytest

from fake_server import (DEADLINE, GREETING, answering, assert_broken, event, play,  # noqa: F401
                         names, sending, serve, start)


# ---- events ----


SCHEMA = [{"name": name, "meta-type": "event", "arg-type": "Data"} for name in "ABC"]
SCHEMA += [{"name": "Data", "meta-type": "object", "members": []}]


def events_then(*messages, stay=False, asked=False):
    """A script that sends these once negotiation is over, and waits for the client to leave. A client
    that names events has @asked which there are."""

    def script(peer):
        peer.negotiate()
        if asked:
            peer.answer(SCHEMA)
        for message in messages:
            peer.send(message)
        if stay:
            peer.expect_leave()

    return script


def test_events_are_printed_a_line_each_until_the_daemon_goes(play):
    sent = [event("A", 1), event("B", 2)]
    result = play(events_then(*sent), "events")
    assert (result.returncode, result.stderr) == (0, "")
    assert [json.loads(line) for line in result.stdout.splitlines()] == sent


def test_events_that_arrive_with_the_answer_are_not_lost(play):
    def script(peer):
        peer.send(GREETING)
        peer.receive()
        peer.send(b'{"return": {}, "id": 1}{"event": "A"}{"event": "B"}')

    assert play(script, "events").stdout == '{"event":"A"}\n{"event":"B"}\n'


def test_no_control_character_of_the_daemon_reaches_the_terminal(play):
    """Above all those that JSON need not escape: DEL, and U+009B, which begins a control sequence."""
    text = "".join(map(chr, [*range(1, 0x20), *range(0x7f, 0xa0)])) + "\u00e9\u20ac\U0001f600"
    result = play(events_then({"event": "A", "data": {text: [text]}}), "events")
    assert [c for c in result.stdout if ord(c) < 0x20 or 0x7f <= ord(c) < 0xa0] == ["\n"]
    assert json.loads(result.stdout) == {"event": "A", "data": {text: [text]}}


def test_what_is_not_utf_8_is_replaced(play):
    """A terminal of 8 bits would take the byte 0x9b for the beginning of a control sequence."""
    result = play(events_then(b'{"event": "A", "data": "\x9b2J \xc3"}'), "events")
    assert json.loads(result.stdout) == {"event": "A", "data": "\ufffd2J \ufffd"}


def test_events_end_after_the_count(play):
    script = events_then(event("A", 1), event("B", 2), event("A", 3), stay=True)
    result = play(script, "events", "--count", "2")
    assert [json.loads(line)["data"]["number"] for line in result.stdout.splitlines()] == [1, 2]
    assert result.returncode == 0


def test_events_of_other_names_are_neither_printed_nor_counted(play):
    script = events_then(event("A", 1), event("B", 2), event("C", 3), event("B", 4), stay=True,
                         asked=True)
    result = play(script, "events", "--count", "3", "B", "C")
    assert [json.loads(line)["data"]["number"] for line in result.stdout.splitlines()] == [2, 3, 4]
    assert result.returncode == 0


def test_a_daemon_that_goes_before_the_count_is_an_error(play):
    result = play(events_then(event("A")), "events", "--count", "2")
    assert (result.returncode, result.stdout.count("\n")) == (2, 1)
    assert "closed the connection" in result.stderr


def test_a_daemon_that_breaks_off_inside_an_event_is_an_error(play):
    assert_broken(play(events_then(b'{"event": "A'), "events"), "middle of a message")


def test_what_is_no_event_is_an_error(play):
    assert_broken(play(events_then({"return": {}}), "events"), "neither an event")


def test_the_timeout_ends_the_wait_for_events(play):
    script = events_then(event("A"), stay=True, asked=True)
    result = play(script, "--timeout", "0.2", "events", "B")
    assert_broken(result, "timed out")


def test_a_name_of_no_event_is_an_error_at_once(play):
    result = play(events_then(stay=True, asked=True), "events", "A", "NOTHING")
    assert (result.returncode, result.stdout) == (2, "")
    assert "there is no event 'NOTHING'; there are: A, B, C\n" in result.stderr


def test_an_event_that_comes_while_it_asks_which_there_are_is_printed(play):
    def script(peer):
        peer.negotiate()
        request = peer.receive()
        peer.send(event("A", 1))
        peer.answer(SCHEMA, request)

    result = play(script, "events", "A")
    assert json.loads(result.stdout) == event("A", 1)


def test_an_event_is_flushed_at_once(start):
    process = start(events_then(event("A", 1), stay=True), "events")
    assert json.loads(process.stdout.readline()) == event("A", 1)  # evloopctl waits on for more


def test_an_interrupt_ends_the_wait_for_events(start):
    process = start(events_then(event("A"), stay=True), "events")
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE) == -signal.SIGINT


def test_that_nobody_reads_events_any_more_is_noticed_without_another_event(start):
    process = start(events_then(event("A"), stay=True), "events")
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(DEADLINE) == 2
    assert process.stderr.read() == b"evloopctl: nobody reads the output any more\n"


# ---- output that nobody takes ----


def test_a_result_that_nobody_reads_is_an_error(start):
    reader, writer = os.pipe()
    os.close(reader)
    process = start(answering({}), "call", "x", stdout=writer)
    os.close(writer)
    assert process.wait(DEADLINE) == 2
    assert process.stderr.read() == b"evloopctl: cannot write to stdout: Broken pipe\n"


def test_a_result_that_does_not_fit_is_an_error(start):
    with open("/dev/full", "wb") as full:
        process = start(answering({}), "call", "x", stdout=full)
    assert process.wait(DEADLINE) == 2
    assert process.stderr.read() == b"evloopctl: cannot write to stdout: No space left on device\n"


def test_a_closed_stdout_does_not_become_the_socket(start):
    def script(peer):
        peer.negotiate()
        peer.answer({})
        peer.expect_leave()  # the result is not sent back

    process = start(script, "call", "x", stdout=None, preexec_fn=lambda: os.close(1))
    assert process.wait(DEADLINE) == 2
    assert process.stderr.read().startswith(b"evloopctl: cannot write to stdout: ")


# ---- iothread list, quit ----


def test_the_table_of_iothreads_has_the_main_members(play):
    rows = [{"thread-id": 7, "poll-grow": 3, "id": "a", "sched-policy": "other"}]
    result = play(answering(rows), "iothread", "list")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == ("ID  SCHED-POLICY  THREAD-ID\n"
                             "a   other                 7\n")


def test_the_table_of_all_about_iothreads_has_a_column_for_each_member(play):
    rows = [{"thread-id": 7, "id": "a", "sched-policy": "other"},
            {"id": "longer\x1b-name", "thread-id": 12345678901, "poll-max-ns": None, "busy": 0.5}]
    result = play(answering(rows), "iothread", "list", "--all")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (
        "ID              THREAD-ID  SCHED-POLICY  POLL-MAX-NS  BUSY\n"
        "a                       7  other         -               -\n"
        "longer -name  12345678901  -             -             0.5\n")


def test_no_control_character_reaches_the_terminal_by_a_table(play):
    text = "\x1b[2J\x7f\x9b2J\n"
    result = play(answering([{"id": text, text: [text]}]), "iothread", "list", "--all")
    assert [c for c in result.stdout if ord(c) < 0x20 or 0x7f <= ord(c) < 0xa0] == ["\n", "\n"]


def test_columns_stand_below_each_other_whatever_the_characters_are_wide(play):
    rows = [{"id": name, "x": "y"} for name in ["\u65e5\u672c", "cafe\u0301", "abcd"]]
    result = play(answering(rows), "iothread", "list", "--all")
    assert result.stdout.splitlines() == [
        "ID    X", "\u65e5\u672c  y", "cafe\u0301  y", "abcd  y"]


def test_the_table_of_no_iothreads_is_its_title(play):
    assert play(answering([]), "iothread", "list").stdout == "ID\n"


@pytest.mark.parametrize("value", [None, {}, 5, [5], [None]])
def test_a_list_of_iothreads_that_is_none_is_an_error(play, value):
    assert_broken(play(answering(value), "iothread", "list"), "query-iothreads: ")


def test_quit_waits_until_the_connection_ends(play):
    sent = []

    def script(peer):
        peer.negotiate()
        peer.answer({})
        for number in range(40000):  # more than the socket holds: fails unless the client reads on
            peer.send(event("E", number))
            sent.append(number)

    result = play(script, "quit")
    assert len(sent) == 40000
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert names(result) == ["qmp_capabilities", "quit"]


def test_quit_that_is_refused_is_an_error(play):
    result = play(sending({"error": {"class": "GenericError", "desc": "busy"}}), "quit")
    assert (result.returncode, result.stderr) == (1, "evloopctl: quit: GenericError: busy\n")


# ---- what could drive a terminal ----


# They change the order in which what follows is shown, or begin a line.
DIRECTIONS = "\u061c\u200e\u200f\u2028\u2029\u202a\u202d\u202e\u2066\u2069"


@pytest.mark.parametrize("words", [("call", "x"), ("iothread", "list", "--json"),
                                   ("iothread", "list", "--all"), ("events", "-n1")])
def test_no_control_character_of_the_daemon_is_printed(play, words):
    value = [{"id": "".join(map(chr, [*range(1, 32), *range(0x7f, 0xa1)])),
              "list": ["\x9b2J", "\x7f", "\x1b[2J", DIRECTIONS, "\u00e9 \u200d"]}]

    def script(peer):
        peer.negotiate()
        if words[0] == "events":
            peer.send(json.dumps({"event": "E", "data": value}, ensure_ascii=False).encode())
        else:
            request = peer.receive()
            reply = {"return": value, "id": request["id"]}
            peer.send(json.dumps(reply, ensure_ascii=False).encode())

    result = play(script, *words)
    assert result.returncode == 0
    assert not [c for c in result.stdout if c != "\n" and
                (c < " " or "\x7f" <= c < "\xa0" or c in DIRECTIONS)]
    assert "\u00e9 \u200d" in result.stdout
    if words[-1] != "--all":
        shown = json.loads(result.stdout)
        assert (shown["data"] if words[0] == "events" else shown) == value
