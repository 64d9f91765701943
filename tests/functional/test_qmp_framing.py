"""Framing and syntax: how values are told from one another, and what is one."""

import json
import subprocess

import pytest


def echo_bytes(value, reply_id=None):
    """A request for x-debug-echo, of JSON text @value."""
    member = b"" if reply_id is None else b', "id": %d' % reply_id
    return b'{"execute": "x-debug-echo", "arguments": {"value": ' + value + b"}" + member + b"}"


def echo(session, value):
    """What comes back for the JSON text @value, as the line's bytes."""
    session.send_raw(echo_bytes(value))
    return session.receive_line()


# ---- from the server ----

def test_greeting_names_version_and_capabilities(daemon, evloopd):
    package = subprocess.check_output([evloopd, "--version"], text=True).strip()
    major, minor, micro = package.split()[1].split(".")
    with daemon.connect(negotiate=False) as session:
        expected = ('{"QMP": {"version": {"qemu": {"major": %s, "minor": %s, "micro": %s}, '
                    '"package": "%s"}, "capabilities": ["oob"]}}\r\n'
                    % (major, minor, micro, package))
        assert session.receive_line() == expected.encode()
        assert not session.has_input()


def test_every_message_is_one_line_that_ends_in_cr_lf(daemon):
    with daemon.connect(negotiate=False) as session:
        session.send({"execute": "qmp_capabilities"})
        session.send({"execute": "x-debug-echo", "arguments": {"value": ["a\r\nb\n", {"c": 1}]}})
        session.send({"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "a"}})
        session.send({"execute": "no-such\r\ncommand"})
        session.send_raw(b"[tru]")
        lines = [session.receive_line() for _ in range(7)]
    for line in lines:
        assert line.endswith(b"\r\n") and b"\r" not in line[:-2] and b"\n" not in line[:-2]
    assert [next(iter(json.loads(line))) for line in lines] == [
        "QMP", "return", "return", "timestamp", "return", "error", "error"]


@pytest.mark.parametrize("text", ["é", "€", "😀", "\u007f", "\u0000", "\u001f", "\ufffd",
                                  "\uffff", "\U0010ffff"], ids=ascii)
def test_what_is_sent_to_clients_is_ascii(qmp, text):
    line = echo(qmp, json.dumps(text).encode())
    assert all(0x20 <= byte < 0x7f for byte in line[:-2])
    assert json.loads(line) == {"return": text}


@pytest.mark.parametrize("text", ["é", "€", "😀", "\u0080", "\u07ff", "\u0800", "\uffff",
                                  "\U00010000", "\U0010ffff"], ids=ascii)
def test_utf_8_and_escapes_mean_the_same(qmp, text):
    as_utf_8 = echo(qmp, json.dumps(text, ensure_ascii=False).encode())
    assert as_utf_8 == echo(qmp, json.dumps(text).encode())
    assert json.loads(as_utf_8) == {"return": text}


def test_error_texts_are_ascii_too(qmp):
    qmp.send_raw('{"execute": "größe"}'.encode())
    assert qmp.receive_line() == (b'{"error": {"class": "CommandNotFound", "desc": '
                                  b'"The command gr\\u00f6\\u00dfe has not been found"}}\r\n')


# ---- from the client ----

def test_a_value_may_be_cut_anywhere(daemon, qmp):
    request = echo_bytes('"é\\u00e9\\\\"'.encode(), 12) + b"\r\n"
    for cut in range(1, len(request)):
        qmp.send_raw(request[:cut])
        daemon.sync_monitor()
        qmp.send_raw(request[cut:])
        assert qmp.receive() == {"return": "éé\\", "id": 12}


def test_a_value_may_arrive_byte_by_byte(qmp):
    for byte in echo_bytes('{"a": [1, -2.5e1, true, null, "ü"]}'.encode()):
        qmp.send_raw(bytes([byte]))
    assert qmp.receive() == {"return": {"a": [1, -25.0, True, None, "ü"]}}


@pytest.mark.parametrize("between", [b"", b" ", b"\n", b"\r\n", b"\t \r\n \n"], ids=repr)
def test_several_values_may_arrive_at_once(qmp, between):
    qmp.send_raw(between.join(echo_bytes(b"%d" % i, i) for i in range(50)))
    assert [qmp.receive() for _ in range(50)] == [{"return": i, "id": i} for i in range(50)]


@pytest.mark.parametrize("text, value", [
    (b"'abc'", "abc"),
    (b"''", ""),
    (b"'say \"hi\"'", 'say "hi"'),
    (b"'it\\'s'", "it's"),
    (b'"it\'s"', "it's"),
    (b'"it\\\'s"', "it's"),
    (b"'\\\"'", '"'),
    (b"{'a': 'b', \"c\": 'd'}", {"a": "b", "c": "d"}),
], ids=repr)
def test_strings_may_be_single_quoted(qmp, text, value):
    assert json.loads(echo(qmp, text)) == {"return": value}


def test_a_request_may_be_single_quoted_throughout(qmp):
    qmp.send_raw(b"{'execute': 'x-debug-echo', 'arguments': {'value': 1}, 'id': 'x'}")
    assert qmp.receive() == {"return": 1, "id": "x"}


@pytest.mark.parametrize("text", [
    "0", "-1", "9223372036854775807", "-9223372036854775808", "18446744073709551615", "1.5",
    "0.1", "1e3", "1E-2", "-0.0", "1.0", "123456789012345678901234567890", "true", "false", "null",
    "[]", "{}", '""', '[[], {}, [{"a": []}]]', '"\\\\ \\" / \\b\\f\\n\\r\\t"',
])
def test_values_of_every_kind_come_back_as_they_were(qmp, text):
    assert echo(qmp, text.encode()) == b'{"return": ' + text.encode() + b"}\r\n"


@pytest.mark.parametrize("text, error", [
    (b"// a comment\n1", "unknown word '//'"),
    (b"/* a comment */ 1", "unknown word '/*'"),
    (b"# a comment\n1", "unknown word '#'"),
    (b"NaN", "unknown word 'NaN'"),
    (b"Infinity", "unknown word 'Infinity'"),
    (b"-Infinity", "invalid number '-I'"),
    (b"True", "unknown word 'True'"),
    (b"nul", "unknown word 'nul'"),
    (b"nulls", "unknown word 'nulls'"),
    (b"undefined", "unknown word 'undefined'"),
    (b"01", "invalid number '01'"),
    (b"-01", "invalid number '-01'"),
    (b"+1", "invalid number '+'"),
    (b".5", "invalid number '.'"),
    (b"1.", "invalid number '1.'"),
    (b"1.e3", "invalid number '1.e'"),
    (b"1e", "invalid number '1e'"),
    (b"-", "invalid number '-'"),
    (b"0x10", "invalid number '0x'"),
    (b"1_000", "invalid number '1_'"),
    (b"1e999", "number out of range '1e999'"),
    (b"[1,]", "expected a value after ',', found ']'"),
    (b"[,1]", "expected a value or ']', found ','"),
    (b"[1 2]", "expected ',' or ']', found '2'"),
    (b"[1", "expected ',' or ']', found '}'"),
    (b'{"a": 1,}', "expected a member name after ',', found '}'"),
    (b'{"a" 1}', "expected ':' after member name \"a\", found '1'"),
    (b'{"a"}', "expected ':' after member name \"a\", found '}'"),
    (b'{"a":}', "expected a value for member \"a\", found '}'"),
    (b"{a: 1}", "expected a member name or '}', found 'a'"),
    (b"{1: 1}", "expected a member name or '}', found '1'"),
    (b'{"a": 1, "a": 2}', 'duplicate member name "a"'),
    (b'"\\x41"', "unknown escape '\\x' in a string"),
    (b'"\\u12g4"', "\\u in a string needs four hex digits"),
    (b'"\\ud800"', "lone surrogate \\ud800 in a string"),
    (b'"\\udc00"', "lone surrogate \\udc00 in a string"),
    (b'"\\ud800\\u0041"', "lone surrogate \\ud800 in a string"),
    (b'{"a\\u0000": 1}', "\\u0000 in a member name"),
], ids=repr)
def test_nothing_else_goes_beyond_rfc_8259(qmp, state, text, error):
    before = state()
    # The line's end, because what a bracket too few or too many leaves open ends there.
    qmp.expect_error(echo_bytes(text, 7) + b"\n", f"JSON syntax error: {error}")
    assert state() == before


# ---- errors and the way on ----

def test_a_syntax_error_is_answered_without_id(qmp):
    qmp.send_raw(b'{"id": 1, "execute": tru, "id": 2}\n')
    assert qmp.receive() == {"error": {"class": "GenericError",
                                       "desc": "JSON syntax error: unknown word 'tru'"}}
    qmp.sync()


@pytest.mark.parametrize("byte", [*range(0x00, 0x09), 0x0b, 0x0c, *range(0x0e, 0x20)])
def test_a_control_character_is_an_error_and_the_next_byte_begins_anew(qmp, byte):
    for before in (b"", b'{"execute": ', b'{"execute": "a', b"[[[{"):
        where = " in a string" if before.endswith(b"a") else ""
        qmp.send_raw(before + bytes([byte]) + echo_bytes(b"1", 1))
        assert qmp.receive() == {"error": {
            "class": "GenericError",
            "desc": f"JSON syntax error: control character 0x{byte:02x}{where}"}}
        assert qmp.receive() == {"return": 1, "id": 1}


@pytest.mark.parametrize("bad, byte", [
    (b"\xff", 0xff), (b"\xfe", 0xfe), (b"\x80", 0x80), (b"\xbf", 0xbf), (b"\xc0", 0xc0),
    (b"\xc1", 0xc1), (b"\xf5", 0xf5), (b"\xc3", 0xc3), (b"\xe2\x82", 0xe2), (b"\xf0\x9f", 0xf0),
    (b"\xe0", 0xe0), (b"\xed", 0xed), (b"\xf4", 0xf4),
], ids=repr)
def test_invalid_utf_8_is_an_error_and_the_next_byte_begins_anew(qmp, bad, byte):
    for before in (b"", b'{"execute": ', b'{"execute": "a', b"[[[{"):
        qmp.send_raw(before + bad + echo_bytes(b"1", 1))
        assert qmp.receive() == {"error": {
            "class": "GenericError",
            "desc": f"JSON syntax error: byte 0x{byte:02x} is not valid UTF-8"}}
        assert qmp.receive() == {"return": 1, "id": 1}


@pytest.mark.parametrize("bad", [b"\xc0\x80", b"\xe0\x80\x80", b"\xed\xa0\x80",
                                 b"\xf4\x90\x80\x80"], ids=repr)
def test_overlong_forms_surrogates_and_too_high_ones_are_no_utf_8(qmp, bad):
    qmp.expect_error(b'{"execute": "' + bad + b'"}\n',
                     f"JSON syntax error: byte 0x{bad[0]:02x} is not valid UTF-8")


@pytest.mark.parametrize("newline", [b"\r", b"\n"], ids=repr)
def test_a_line_that_ends_inside_a_string_is_an_error(qmp, newline):
    qmp.expect_error(b'{"execute": "quit' + newline,
                     f"JSON syntax error: control character 0x{newline[0]:02x} in a string")


@pytest.mark.parametrize("broken", [
    b'{"execute": "x-debug-echo" "arguments": {"value": "}"}, "id": [1, {"a": 2}]}',
    b"[tru, fals, 01, 1.]",
    b'[\xff, "\xfe"]',
    b"foo bar baz",
    b"}}}}]]]]",
    b'{"a": "\x01\x02\x03"}',
    b"[1, 2}",
    b"{]",
    b": , :",
], ids=repr)
def test_one_broken_value_is_one_error(qmp, broken):
    qmp.send_raw(broken + b"\n" + echo_bytes(b"1", 1))
    assert qmp.receive()["error"]["class"] == "GenericError"
    assert qmp.receive() == {"return": 1, "id": 1}


def test_a_broken_value_after_another_is_an_error_of_its_own(qmp):
    qmp.send_raw(b"[tru]\n[fals]\n\xff\n" + echo_bytes(b"1"))
    assert [qmp.receive().get("error", {}).get("desc") for _ in range(4)] == [
        "JSON syntax error: unknown word 'tru'", "JSON syntax error: unknown word 'fals'",
        "JSON syntax error: byte 0xff is not valid UTF-8", None]


def test_a_broken_value_may_arrive_in_pieces_and_is_still_one_error(daemon, qmp):
    for byte in b'[tru, "]", {"execute": "quit"}]':
        qmp.send_raw(bytes([byte]))
        daemon.sync_monitor()
    qmp.send_raw(echo_bytes(b"1"))
    assert qmp.receive()["error"]["desc"] == "JSON syntax error: unknown word 'tru'"
    assert qmp.receive() == {"return": 1}


def test_a_command_inside_a_broken_value_is_not_run(qmp, state):
    before = state()
    qmp.expect_error(b'[tru, {"execute": "object-add", "arguments": '
                     b'{"qom-type": "iothread", "id": "a"}}]',
                     "JSON syntax error: unknown word 'tru'")
    assert state() == before


def test_a_long_token_is_shortened_in_the_error(qmp):
    shown = "x" * 32
    qmp.expect_error(b"[" + b"x" * 5000 + b"]\n", f"JSON syntax error: unknown word '{shown}...'")
