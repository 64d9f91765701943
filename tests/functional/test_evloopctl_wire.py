"""evloopctl against servers that break the protocol, or frame it unusually."""

import json
import socket
import subprocess

import pytest

from fake_server import (DEADLINE, GREETING, answering, assert_broken, event, play,  # noqa: F401
                         sending, serve)


# ---- broken servers ----


@pytest.mark.parametrize("greeting", [
    b"SSH-2.0-OpenSSH_9.2\r\n", b"\0\0\0\0", b"\xff\xfe", b"<html>", b"[]\r\n", b"5\r\n",
    b"null\r\n", b'"QMP"\r\n', b"{}\r\n", b'{"QMP": null}\r\n', b'{"hello": 1}\r\n', b"{]",
])
def test_a_greeting_that_is_not_qmp_is_an_error(play, greeting):
    assert_broken(play(lambda peer: peer.send(greeting), "call", "x"), "QMP")


def test_a_server_that_closes_at_once_is_an_error(play):
    result = play(lambda peer: None, "call", "x")
    assert_broken(result, "greeting: the daemon closed the connection; it has refused this client, "
                  "or could not start: 'journalctl --unit evloopd' as root tells\n")


def test_a_server_that_closes_in_its_greeting_is_an_error(play):
    result = play(lambda peer: peer.send(b'{"QMP": {'), "call", "x")
    assert_broken(result, "closed the connection in the middle of a message")


def test_a_server_that_closes_in_an_answer_is_an_error(play):
    assert_broken(play(sending(b'{"return": [1, 2,'), "call", "x"), "x: ", "middle of a message")


def test_a_server_that_closes_before_an_answer_is_an_error(play):
    assert_broken(play(sending(event("E")), "call", "x"), "x: the daemon closed the connection\n")


@pytest.mark.parametrize("answer", [
    b'{"return": {}}', {"return": {}, "id": "other"}, {"return": {}, "id": 99}, {"id": 2},
    GREETING, {"error": {"class": "GenericError", "desc": "no"}, "id": 99}, b"[]", b"return",
    b'{"return": ' + 5000 * b"[" + 5000 * b"]" + b"}",
])
def test_what_is_no_answer_to_the_command_is_an_error(play, answer):
    assert_broken(play(sending(answer), "call", "x"), "x: what the daemon sent is not")


@pytest.mark.parametrize("script", [
    lambda peer: None, sending(), lambda peer: peer.send(b'{"QMP":'),
])
def test_a_server_that_never_answers_is_left_after_the_timeout(play, script):
    def silent(peer):
        script(peer)
        peer.expect_leave()

    assert_broken(play(silent, "--timeout", "0.1", "call", "x"), "timed out")


def test_events_without_end_do_not_put_off_the_timeout(play):
    def flood(peer):
        peer.negotiate()
        while True:
            peer.send(event("E"))

    assert_broken(play(flood, "call", "--timeout", "0.1", "x"), "timed out")


def test_a_server_that_accepts_no_connection_is_left_after_the_timeout(evloopctl, tmp_path):
    path = str(tmp_path / "full.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        waiting = []
        while True:  # fill the queue of connections
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            if waiting[-1].connect_ex(path) != 0:
                break
        result = subprocess.run([evloopctl, "-s", path, "--timeout", "0.1", "quit"],
                                capture_output=True, text=True, timeout=DEADLINE)
        for connection in waiting:
            connection.close()
    assert_broken(result, f"cannot connect to {path}: timed out")


# ---- errors of commands ----


def test_an_error_answer_is_told_with_class_and_text(play):
    def script(peer):
        peer.negotiate()
        peer.send({"error": {"class": "DeviceNotFound", "desc": "no 'io0'"},
                   "id": peer.receive()["id"]})

    result = play(script, "call", "x")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "evloopctl: x: DeviceNotFound: no 'io0'\n"


def test_an_error_answer_without_id_is_ours(play):
    error = {"error": {"class": "GenericError", "desc": "syntax"}}
    result = play(sending(error), "call", "x")
    assert (result.returncode, result.stderr) == (1, "evloopctl: x: GenericError: syntax\n")


@pytest.mark.parametrize("error", [{}, None, 5, {"class": 1, "desc": []}])
def test_an_error_answer_without_details_is_still_an_error(play, error):
    result = play(sending({"error": error}), "call", "x")
    assert result.returncode == 1
    assert result.stderr == "evloopctl: x: GenericError: the daemon does not say why\n"


def test_an_error_text_can_not_write_controls_to_the_terminal(play):
    desc = "one\ntwo\x1b[31m\x9b\x7fthr\u00e9e"
    result = play(sending({"error": {"class": "GenericError", "desc": desc}}), "call", "x")
    assert result.stderr == "evloopctl: x: GenericError: one two [31m  thr\u00e9e\n"


def test_negotiation_that_is_refused_is_an_error(play):
    def script(peer):
        peer.send(GREETING)
        peer.receive()
        peer.send({"error": {"class": "GenericError", "desc": "full"}})

    result = play(script, "call", "x")
    assert result.returncode == 1
    assert "qmp_capabilities: GenericError: full" in result.stderr


# ---- framing ----


def test_events_before_the_answer_are_passed_over(play):
    result = play(sending(event("A"), event("B"), {"return": 5, "id": 2}), "call", "x")
    assert (result.returncode, result.stdout) == (0, "5\n")


def test_an_answer_may_come_byte_by_byte(play):
    def script(peer):
        peer.negotiate()
        request = peer.receive()
        answer = json.dumps({"return": "gr\u00fcn", "id": request["id"]}, ensure_ascii=False)
        for byte in answer.encode():
            peer.send(bytes([byte]))

    assert play(script, "call", "x").stdout == '"gr\u00fcn"\n'


def test_messages_need_no_lines(play):
    def script(peer):
        peer.send(json.dumps(GREETING, indent=4).encode())
        peer.receive()
        peer.send(b'{"return":\n{},"id":1}{"event":"A"}\n\n\n {"event"\r\n:"B"}')
        peer.receive()
        peer.send(b'{"id":2,"return":[1,\n2]}')

    assert play(script, "call", "x").stdout == "[1,2]\n"


def test_a_result_of_megabytes_comes_through(play):
    value = [{"number": n, "text": "x" * 1000} for n in range(10000)]
    assert json.loads(play(answering(value), "call", "x").stdout) == value


@pytest.mark.parametrize("text", ["null", "false", "0", '""', "[]", "{}", "18446744073709551615",
                                  "-9223372036854775808", "0.1", "1e300", '"a/b"', '"\\u001b"'])
def test_a_result_is_printed_as_it_came(play, text):
    script = sending(b'{"return": ' + text.encode() + b', "id": 2}')
    assert play(script, "call", "x").stdout == text + "\n"


def test_a_long_request_goes_out_while_events_come_in(play):
    def script(peer):
        peer.negotiate()
        for number in range(40000):  # more than both sockets hold, before any of it is read
            peer.send(event("E", number))
        request = peer.receive()
        peer.answer(len(request["arguments"]["text"]), request)

    arguments = json.dumps({"text": "x" * 4000000})
    assert play(script, "call", "x", "-", input=arguments).stdout == "4000000\n"


def test_numbers_of_json_arguments_arrive_as_they_are(play):
    text = '{"a": 18446744073709551615, "b": -9223372036854775808, "c": 1e400, "d": 0.10}'
    server_got = []

    def script(peer):
        peer.negotiate()
        server_got.append(peer.receive_some())
        peer.send({"return": {}, "id": 2})

    assert play(script, "call", "x", text).returncode == 0
    assert text.replace(" ", "") in server_got[0]
