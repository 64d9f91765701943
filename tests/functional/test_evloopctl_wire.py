"""evloopctl against a server in this file, which says exactly what a test wants: hostile things,
unusual framing, and a schema with every kind of type."""

import json
import os
import signal
import socket
import subprocess
import threading

import pytest

DEADLINE = 60  # seconds; only a hang reaches it
GREETING = {"QMP": {"version": {"qemu": {"major": 0, "minor": 1, "micro": 0}, "package": "fake"},
                    "capabilities": ["oob"]}}


class ClientLeft(Exception):
    """The client has closed the connection: the end of a script, and for the test to judge."""


class Peer:
    """The server's end of a connection."""

    def __init__(self, connection):
        self.connection = connection
        self.requests = []  # all that were received
        self.decoder = json.JSONDecoder()
        self.text = ""

    def send(self, message):
        if not isinstance(message, bytes):
            message = json.dumps(message).encode() + b"\r\n"
        try:
            self.connection.sendall(message)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ClientLeft from error

    def receive_some(self):
        try:
            data = self.connection.recv(1 << 20)
        except ConnectionResetError as error:
            raise ClientLeft from error
        if not data:
            raise ClientLeft
        return data.decode()

    def receive(self):
        """The next request."""
        while True:
            try:
                request, end = self.decoder.raw_decode(self.text)
            except ValueError:
                self.text += self.receive_some()
                continue
            self.text = self.text[end:].lstrip()
            self.requests.append(request)
            return request

    def expect_leave(self):
        """Wait until the client leaves, without another request."""
        assert self.receive() is None

    def answer(self, value, request=None):
        request = request or self.receive()
        self.send({"return": value, "id": request["id"]})

    def negotiate(self):
        self.send(GREETING)
        self.answer({})


class Server:
    """Accepts one connection and plays @script, a function of a Peer, on it."""

    def __init__(self, path, script):
        self.path = path
        self.error = None
        self.peer = None
        self.script = script
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.listener.settimeout(DEADLINE)
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        try:
            connection = self.listener.accept()[0]
            with connection:
                connection.settimeout(DEADLINE)
                self.peer = Peer(connection)
                self.script(self.peer)
        except ClientLeft:
            pass
        except Exception as error:  # handed to the test by end()
            self.error = error

    def end(self):
        self.thread.join()
        self.listener.close()
        if self.error:
            raise self.error


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(script):
        servers.append(Server(str(tmp_path / f"fake{len(servers)}.sock"), script))
        return servers[-1]

    yield start
    for server in servers:
        server.end()


@pytest.fixture
def play(serve, evloopctl):
    """Run evloopctl against a script: its result, with the requests that the server received."""

    def run(script, *words, **options):
        server = serve(script)
        result = subprocess.run([evloopctl, "-s", server.path, *words], capture_output=True,
                                text=True, timeout=DEADLINE, **options)
        server.thread.join()
        result.requests = server.peer.requests
        return result

    return run


@pytest.fixture
def start(serve, evloopctl):
    """Start evloopctl against a script: the process."""
    processes = []

    def popen(script, *words, **options):
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        processes.append(
            subprocess.Popen([evloopctl, "-s", serve(script).path, *words], **options))
        return processes[-1]

    yield popen
    for process in processes:
        process.kill()
        process.communicate()


def answering(*values):
    """A script that answers as many commands with these values."""

    def script(peer):
        peer.negotiate()
        for value in values:
            peer.answer(value)

    return script


def sending(*messages):
    """A script that sends these in answer to the first command."""

    def script(peer):
        peer.negotiate()
        peer.receive()
        for message in messages:
            peer.send(message)

    return script


def event(name, number=0):
    return {"event": name, "data": {"number": number},
            "timestamp": {"seconds": 1700000000, "microseconds": number}}


def assert_broken(result, *parts):
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("evloopctl: ") and result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


# ---- broken servers ----


@pytest.mark.parametrize("greeting", [
    b"SSH-2.0-OpenSSH_9.2\r\n", b"\0\0\0\0", b"\xff\xfe", b"<html>", b"[]\r\n", b"5\r\n",
    b"null\r\n", b'"QMP"\r\n', b"{}\r\n", b'{"QMP": null}\r\n', b'{"hello": 1}\r\n', b"{]",
])
def test_a_greeting_that_is_not_qmp_is_an_error(play, greeting):
    assert_broken(play(lambda peer: peer.send(greeting), "call", "x"), "QMP")


def test_a_server_that_closes_at_once_is_an_error(play):
    assert_broken(play(lambda peer: None, "call", "x"), "closed the connection")


def test_a_server_that_closes_in_its_greeting_is_an_error(play):
    result = play(lambda peer: peer.send(b'{"QMP": {'), "call", "x")
    assert_broken(result, "closed the connection in the middle of a message")


def test_a_server_that_closes_in_an_answer_is_an_error(play):
    assert_broken(play(sending(b'{"return": [1, 2,'), "call", "x"), "x: ", "middle of a message")


def test_a_server_that_closes_before_an_answer_is_an_error(play):
    assert_broken(play(sending(event("E")), "call", "x"), "x: the daemon closed the connection")


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


# ---- what is sent ----


def names(result):
    return [request.get("execute") or request.get("exec-oob") for request in result.requests]


@pytest.mark.parametrize("words", [(), ("{}",), ('{"a": 1}',)])
def test_the_schema_is_not_asked_for_without_need(play, words):
    result = play(answering({}), "call", "x", *words)
    assert names(result) == ["qmp_capabilities", "x"]
    assert result.requests[1].get("arguments") == (json.loads(words[0]) if words else None)


def test_an_iothread_without_properties_needs_no_schema(play):
    result = play(answering({}), "iothread", "add", "007")
    assert names(result) == ["qmp_capabilities", "object-add"]
    assert result.requests[1]["arguments"] == {"qom-type": "iothread", "id": "007"}


def builtin(name, json_type):
    return {"name": name, "meta-type": "builtin", "json-type": json_type}


def member(name, type_name):
    return {"name": name, "type": type_name}


SCHEMA = [
    builtin("str", "string"), builtin("int", "int"), builtin("number", "number"),
    builtin("bool", "boolean"), builtin("null", "null"), builtin("any", "value"),
    {"name": "1", "meta-type": "enum", "values": ["off", "7"]},
    {"name": "[int]", "meta-type": "array", "element-type": "int"},
    {"name": "2", "meta-type": "object", "members": [member("x", "int")]},
    {"name": "3", "meta-type": "alternate", "members": [member("", "str"), member("", "int")]},
    {"name": "4", "meta-type": "alternate",
     "members": [member("", "str"), member("", "2"), member("", "null")]},
    {"name": "x", "meta-type": "command", "arg-type": "5", "ret-type": "2"},
    {"name": "5", "meta-type": "object", "tag": "kind", "members": [
        member("kind", "1"), member("s", "str"), member("i", "int"), member("n", "number"),
        member("b", "bool"), member("z", "null"), member("any", "any"), member("e", "1"),
        member("a", "[int]"), member("o", "2"), member("si", "3"), member("so", "4"),
        member("lost", "no-such-type")],
     "variants": [{"case": "off", "type": "6"}, {"case": "7", "type": "7"}]},
    {"name": "6", "meta-type": "object", "members": [member("v", "int")]},
    {"name": "7", "meta-type": "object", "members": [member("v", "bool")]},
]


@pytest.mark.parametrize("words, arguments", [
    (["s=5"], {"s": "5"}), (["s="], {"s": ""}), (["s=a=b"], {"s": "a=b"}),
    (["s=gr\u00fcn \"'\\"], {"s": "gr\u00fcn \"'\\"}),
    (["i=5"], {"i": 5}), (["i=-5"], {"i": -5}), (["i=18446744073709551615"], {"i": 2**64 - 1}),
    (["i=-9223372036854775808"], {"i": -2**63}), (["i=18446744073709551616"], {"i": str(2**64)}),
    (["i=5k"], {"i": "5k"}), (["i=0x10"], {"i": "0x10"}), (["i=1.0"], {"i": "1.0"}),
    (["i="], {"i": ""}), (["i= 5"], {"i": " 5"}), (["i=true"], {"i": "true"}),
    (["n=5"], {"n": 5}), (["n=-2.5e3"], {"n": -2500.0}), (["n=nan"], {"n": "nan"}),
    (["b=on"], {"b": True}), (["b=true"], {"b": True}), (["b=yes"], {"b": True}),
    (["b=off"], {"b": False}), (["b=false"], {"b": False}), (["b=no"], {"b": False}),
    (["b=1"], {"b": "1"}), (["b=ON"], {"b": "ON"}),
    (["z=null"], {"z": None}), (["z=none"], {"z": "none"}),
    (["any=5"], {"any": 5}), (["any=[null]"], {"any": [None]}), (["any=on"], {"any": "on"}),
    (["any=null"], {"any": None}), (['any="5"'], {"any": "5"}),
    (["any=99999999999999999999"], {"any": "99999999999999999999"}),
    (["e=off"], {"e": "off"}), (["e=7"], {"e": "7"}), (["e=other"], {"e": "other"}),
    (["a=[1, 2]"], {"a": [1, 2]}), (["a=1,2"], {"a": "1,2"}), (["a=[1"], {"a": "[1"}),
    (['o={"x": 1}'], {"o": {"x": 1}}), (["o=x"], {"o": "x"}),
    (["si=5"], {"si": 5}), (["si=five"], {"si": "five"}),
    (["so=5"], {"so": "5"}), (['so={"x": 5}'], {"so": {"x": 5}}), (["so=null"], {"so": None}),
    (["lost=5"], {"lost": "5"}), (["unknown=5"], {"unknown": "5"}),
    (["v=5"], {"v": "5"}), (["v=5", "kind=off"], {"v": 5, "kind": "off"}),
    (["kind=7", "v=on"], {"kind": "7", "v": True}), (["kind=8", "v=5"], {"kind": "8", "v": "5"}),
    (["i=1", "b=on", "s=on"], {"i": 1, "b": True, "s": "on"}),
])
def test_words_get_the_types_that_the_schema_says(play, words, arguments):
    result = play(answering(SCHEMA, {}), "call", "x", *words)
    assert (result.returncode, result.stdout) == (0, "{}\n")
    assert names(result) == ["qmp_capabilities", "query-qmp-schema", "x"]
    sent = result.requests[2]["arguments"]
    assert (sent, repr(sent)) == (arguments, repr(arguments))  # repr() tells 1 from True


@pytest.mark.parametrize("schema", [
    [], [None, 5, {}, {"name": 5}], [{"name": "x", "meta-type": "command"}],
    [{"name": "x", "meta-type": "command", "arg-type": "x"}],
    [{"name": "x", "meta-type": "command", "arg-type": "y"},
     {"name": "y", "meta-type": "object", "members": 5, "tag": "i", "variants": [5]}],
])
def test_with_a_schema_that_says_nothing_words_are_strings(play, schema):
    result = play(answering(schema, {}), "call", "x", "i=5")
    assert result.requests[2]["arguments"] == {"i": "5"}


def test_a_schema_that_is_no_array_is_an_error(play):
    assert_broken(play(answering({}), "call", "x", "i=5"), "query-qmp-schema: ")


def test_properties_get_the_types_that_their_list_says(play):
    listed = [member("i", "int"), member("u", "uint32"), member("z", "size"), member("b", "bool"),
              member("n", "number"), member("s", "str"), member("t", "string"),
              member("e", "SchedPolicy"), {"name": "x"}]
    words = ["i=1", "u=2", "z=3", "b=on", "n=4.5", "s=5", "t=6", "e=7", "x=8", "unknown=9"]
    values = [1, 2, 3, True, 4.5, "5", "6", "7", "8", "9"]
    result = play(answering(listed, *([{}] * len(words))), "iothread", "set", "io0", *words)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.requests[1]["execute"] == "qom-list-properties"
    assert result.requests[1]["arguments"] == {"typename": "iothread"}
    for request, word, value in zip(result.requests[2:], words, values):
        assert request["execute"] == "qom-set"
        assert request["arguments"] == {"path": "/objects/io0", "property": word.split("=")[0],
                                        "value": value}


# ---- out of band ----


def test_out_of_band_is_negotiated_only_when_asked_for(play):
    result = play(answering({}), "call", "x")
    assert "arguments" not in result.requests[0] and "execute" in result.requests[1]
    result = play(answering({}), "call", "x", "--oob")
    assert result.requests[0]["arguments"] == {"enable": ["oob"]}
    assert result.requests[1]["exec-oob"] == "x"


def test_a_server_without_out_of_band_is_told(play):
    greeting = {"QMP": {"version": {}, "capabilities": []}}
    assert_broken(play(lambda peer: peer.send(greeting), "call", "--oob", "x"), "out of band")


def test_the_schema_is_asked_for_out_of_band_first(play):
    result = play(answering(SCHEMA, {}), "call", "--oob", "x", "i=5")
    assert result.requests[1]["exec-oob"] == "query-qmp-schema"
    assert result.requests[2]["exec-oob"] == "x" and result.requests[2]["arguments"] == {"i": 5}


def test_the_schema_is_asked_for_in_band_where_it_must_be(play):
    def script(peer):
        peer.negotiate()
        peer.send({"error": {"class": "GenericError", "desc": "no"}, "id": peer.receive()["id"]})
        peer.answer(SCHEMA)
        peer.answer({})

    result = play(script, "call", "--oob", "x", "i=5")
    assert [list(request)[0] for request in result.requests[1:]] == ["exec-oob", "execute",
                                                                      "exec-oob"]
    assert result.requests[3]["arguments"] == {"i": 5}


# ---- events ----


def events_then(*messages, stay=False):
    """A script that sends these once negotiation is over, and waits for the client to leave."""

    def script(peer):
        peer.negotiate()
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


def test_events_end_after_the_count(play):
    script = events_then(event("A", 1), event("B", 2), event("A", 3), stay=True)
    result = play(script, "events", "--count", "2")
    assert [json.loads(line)["data"]["number"] for line in result.stdout.splitlines()] == [1, 2]
    assert result.returncode == 0


def test_events_of_other_names_are_neither_printed_nor_counted(play):
    script = events_then(event("A", 1), event("B", 2), event("C", 3), event("B", 4), stay=True)
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
    script = events_then(event("A"), stay=True)
    result = play(script, "--timeout", "0.2", "events", "B")
    assert_broken(result, "timed out")


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


def test_the_table_of_iothreads_has_a_column_for_each_member(play):
    rows = [{"thread-id": 7, "id": "a", "sched-policy": "other"},
            {"id": "longer\x1b-name", "thread-id": 12345678901, "poll-max-ns": None, "busy": 0.5}]
    result = play(answering(rows), "iothread", "list")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (
        "ID              THREAD-ID  SCHED-POLICY  POLL-MAX-NS  BUSY\n"
        "a                       7  other                   -     -\n"
        "longer -name  12345678901  -                       -   0.5\n")


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
