"""Limits of a request: each an option, each with an error of its own, at the limit and over it."""

import json
import subprocess

import pytest


def echo(value, **members):
    return {"execute": "x-debug-echo", "arguments": {"value": value}, **members}


def padded(size, **members):
    """A request of exactly @size bytes."""
    empty = json.dumps(echo("", **members)).encode()
    request = json.dumps(echo("x" * (size - len(empty)), **members)).encode()
    assert len(request) == size
    return request


def nested(depth):
    """A request that nests @depth levels; the request and its arguments are two of them."""
    return (b'{"execute": "x-debug-echo", "arguments": {"value": ' + b"[" * (depth - 2)
            + b"]" * (depth - 2) + b"}}")


def of_tokens(count):
    """A request of @count tokens, an odd number."""
    numbers = (count - 15) // 2  # with a comma each
    return b'{"execute": "x-debug-echo", "arguments": {"value": [1' + b",1" * numbers + b"]}}"


def assert_return(session):
    """The next reply is no error; not parsed, for Python's parser has a limit of its own."""
    assert session.receive_line().startswith(b'{"return": ')


@pytest.mark.parametrize("option, build, limit, over, text", [
    ("--max-request-size", padded, 100, 101, "JSON value is longer than 100 bytes"),
    ("--max-request-size", padded, 70000, 70001, "JSON value is longer than 70000 bytes"),
    ("--max-nesting", nested, 3, 4, "JSON value is nested deeper than 3 levels"),
    ("--max-nesting", nested, 2000, 2001, "JSON value is nested deeper than 2000 levels"),
    ("--max-tokens", of_tokens, 21, 23, "JSON value has more than 21 tokens"),
])
def test_a_limit_is_an_option(start_daemon, option, build, limit, over, text):
    daemon = start_daemon("--debug-commands", option, str(limit))
    with daemon.connect() as session:
        session.send_raw(build(limit))
        assert_return(session)
        session.expect_error(build(over), text)
        session.send_raw(build(limit))
        assert_return(session)


@pytest.mark.parametrize("build, limit, over, text", [
    (padded, 1048576, 1048577, "JSON value is longer than 1048576 bytes"),
    (nested, 1024, 1025, "JSON value is nested deeper than 1024 levels"),
    (of_tokens, 131071, 131073, "JSON value has more than 131072 tokens"),
])
def test_limits_by_default(qmp, build, limit, over, text):
    qmp.send_raw(build(limit))
    assert_return(qmp)
    qmp.expect_error(build(over), text)


def test_a_token_limit_that_is_even_is_exact_too(start_daemon):
    with start_daemon("--debug-commands", "--max-tokens", "22").connect() as session:
        session.send_raw(of_tokens(21))
        assert "return" in session.receive()
        session.expect_error(of_tokens(23), "JSON value has more than 22 tokens")


def test_white_space_between_requests_does_not_count(start_daemon):
    with start_daemon("--debug-commands", "--max-request-size", "100").connect() as session:
        session.send_raw(b" \n" * 1000 + padded(100) + b"\t\r\n" * 1000 + padded(100))
        assert "return" in session.receive()
        assert "return" in session.receive()


@pytest.mark.parametrize("option, value, text", [
    ("--max-request-size", 200, "JSON value is longer than 200 bytes"),
    ("--max-nesting", 3, "JSON value is nested deeper than 3 levels"),
    ("--max-tokens", 25, "JSON value has more than 25 tokens"),
])
def test_a_value_over_a_limit_is_discarded_whole(start_daemon, option, value, text):
    """What follows the limit, in a string or as JSON, is not taken for a request."""
    daemon = start_daemon("--debug-commands", option, str(value))
    request = {"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "a"}}
    inner = [[[request] * 5, json.dumps(request) * 5, "]}'"]] * 3
    with daemon.connect() as session:
        session.expect_error(json.dumps(echo(inner)).encode(), text)
        assert session.command("query-iothreads") == []
        assert session.events == []


def test_an_endless_value_takes_no_memory(start_daemon):
    daemon = start_daemon("--debug-commands", "--max-request-size", "65536")
    if daemon.is_sanitized():
        pytest.skip("a sanitizer keeps freed memory")
    with daemon.connect() as session:
        session.send_raw(b'["')
        for _ in range(16):
            session.send_raw(b"x" * (1 << 20))
        assert session.receive()["error"]["desc"] == "JSON value is longer than 65536 bytes"
        daemon.sync_monitor()
        resident = daemon.resident_kb()
        for _ in range(16):
            session.send_raw(b"x" * (1 << 20))
        daemon.sync_monitor()
        assert daemon.resident_kb() < resident + 1024
        session.send_raw(b'"]')
        session.sync()


def test_endless_nesting_takes_no_memory(start_daemon):
    daemon = start_daemon("--debug-commands")
    if daemon.is_sanitized():
        pytest.skip("a sanitizer keeps freed memory")
    with daemon.connect() as session:
        session.send_raw(b"[" * 4096)
        assert session.receive()["error"]["desc"] == "JSON value is nested deeper than 1024 levels"
        resident = daemon.resident_kb()
        for _ in range(8):
            session.send_raw(b"[" * (1 << 20))
        daemon.sync_monitor()
        assert daemon.resident_kb() < resident + 1024
        session.send_raw(b"\xff")  # the way out: a byte that can't occur
        session.sync()


def test_a_limit_is_for_each_value_alone(start_daemon):
    with start_daemon("--debug-commands", "--max-request-size", "100", "--max-tokens",
                      "21").connect() as session:
        session.send_raw(b"".join([padded(100)] * 100))
        for _ in range(100):
            assert "return" in session.receive()


def test_a_limit_holds_in_negotiation_mode(start_daemon):
    daemon = start_daemon("--max-request-size", "100")
    with daemon.connect(negotiate=False) as session:
        session.receive()
        session.send_raw(b'{"execute": "%s"}' % (b"x" * 100))
        assert session.receive() == {"error": {"class": "GenericError",
                                               "desc": "JSON value is longer than 100 bytes"}}
        session.command("qmp_capabilities")
        session.sync()


@pytest.mark.parametrize("option, most", [("--max-request-size", 1073741824),
                                          ("--max-nesting", 8192), ("--max-tokens", 2147483647),
                                          ("--max-output", 2147483647),
                                          ("--max-output-total", 9223372036854775807)])
@pytest.mark.parametrize("value", ["0", "-1", "", "1k", "x", "1.5", " 1", "{over}"])
def test_a_bad_limit_ends_the_start(evloopd, sockets, option, most, value):
    value = value.format(over=most + 1)
    run = subprocess.run([evloopd, "--qmp", f"unix:{sockets}/s", option, value],
                         capture_output=True, text=True, check=False)
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr == f"evloopd: {option}: '{value}' is no integer from 1 to {most}\n"
    assert list(sockets.iterdir()) == []


def test_the_id_of_a_value_over_a_limit_is_lost_with_it(qmp):
    qmp.expect_error(json.dumps({"id": 1, **echo("x" * 1048576)}).encode(),
                     "JSON value is longer than 1048576 bytes")
