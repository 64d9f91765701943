"""evloopd-qmp(7): every example in it happens as shown, and it has all there is."""

import json
import os
import re
import socket
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from conftest import BUILD
from manual import page_path, page_text, plain
from qmp_client import DEADLINE

ROOT = Path(__file__).parents[2]
PAGE = "evloopd-qmp.7"
EXAMPLES = ROOT / "man" / "evloopd-qmp.examples"
OPTIONS = ["--object", "iothread,id=io0", "--debug-commands"]
# Members whose value depends on the system, or on the moment.
VARYING = {"socket", "fdmon", "fdmon-in-use", "package", "state", "backtrace"}


def read_examples(text):
    """By name, each a list of (arrow, whether a descriptor goes along, message)."""
    examples = {}
    for part in re.split(r"^= ", text, flags=re.MULTILINE)[1:]:
        name, body = part.split("\n", 1)
        assert name not in examples
        examples[name] = []
        for message in re.split(r"^(?=-> |<- )", body.strip(), flags=re.MULTILINE)[1:]:
            arrow, fd, value = re.fullmatch(r"(->|<-) (\(fd\) )?(.*)", message, re.DOTALL).groups()
            examples[name].append((arrow, fd is not None, json.loads(value)))
    return examples


EXAMPLES_BY_NAME = read_examples(EXAMPLES.read_text())


# ---- comparing ----


def is_like(shown, seen, key=None):
    """Whether what was seen is as an example shows it."""
    if isinstance(shown, dict):
        return isinstance(seen, dict) and shown.keys() == seen.keys() and all(
            is_like(shown[name], seen[name], name) for name in shown)
    if isinstance(shown, list):
        return isinstance(seen, list) and bool(shown) == bool(seen) and all(
            any(is_like(element, candidate, key) for candidate in seen) for element in shown)
    if type(shown) is int or key in VARYING:
        return type(shown) is type(seen)
    return type(shown) is type(seen) and shown == seen


@pytest.mark.parametrize("shown, seen, alike", [
    ({"a": 1}, {"a": 2}, True), ({"a": 1}, {}, False), ({}, {"a": 1}, False),
    ({"a": 1}, {"a": "1"}, False), ({"a": 1}, {"a": True}, False), ({"a": "x"}, {"a": "y"}, False),
    ({"state": "idle"}, {"state": "running"}, True), ({"state": "idle"}, {"state": 1}, False),
    ([], [], True), ([], [1], False), ([1], [], False), ([{"a": "x"}], [{"a": "y"}], False),
    ([{"a": "x"}], [{"b": 1}, {"a": "x"}], True), (None, None, True), (None, {}, False),
    (True, False, False), ("x", "x", True),
])
def test_comparing_can_fail(shown, seen, alike):
    assert is_like(shown, seen) == alike


# ---- the examples ----


# These take a client that is slow first, loops that are watched, and clients of a relay.
STALL_EVENTS = ["LOOP_STALLED", "LOOP_RESUMED"]
RELAY_EVENTS = ["RELAY_CONNECTED", "RELAY_DISCONNECTED", "RELAY_TARGET_DOWN", "RELAY_TARGET_UP"]


@pytest.mark.parametrize("name", [name for name in EXAMPLES_BY_NAME
                                  if name not in ("EVENTS_LOST", *STALL_EVENTS, *RELAY_EVENTS)])
def test_an_example_happens_as_shown(start_daemon, tmp_path, name):
    daemon = start_daemon(*OPTIONS, "--config-dir", str(tmp_path))
    # Its version of itself is no number of the example's.
    with daemon.connect(negotiate=name != "qmp_capabilities", oob=True) as session:
        if name == "qmp_capabilities":
            assert "QMP" in session.receive()
        for arrow, with_fd, message in EXAMPLES_BY_NAME[name]:
            if arrow == "<-":
                seen = session.receive()
                assert is_like(message, seen), f"shown: {message}\nseen: {seen}"
            elif with_fd:
                with tempfile.TemporaryFile() as file:
                    session.send_with_fds(message, [file.fileno()])
            else:
                session.send(message)
        # Nothing came but what the example shows.
        if any(message.get("event") == "SHUTDOWN" for _, _, message in EXAMPLES_BY_NAME[name]):
            events = [message for message in iter(session.receive, None)]
            assert {event["event"] for event in events} == {"OBJECT_DELETED"}
        else:
            session.sync()
            assert session.events == []


def test_the_example_of_lost_events_happens_as_shown(start_daemon):
    [(_, _, shown)] = EXAMPLES_BY_NAME["EVENTS_LOST"]
    daemon = start_daemon("--max-output", "20000")
    with daemon.connect() as slow, daemon.connect() as other:
        for _ in range(750):
            other.command("object-add", qom_type="iothread", id="io0")
            other.command("object-del", id="io0")
            other.events.clear()
        assert is_like(shown, slow.wait_event("EVENTS_LOST"))


def test_the_examples_of_stalls_happen_as_shown(start_daemon):
    daemon = start_daemon(*OPTIONS, "--stall-threshold-ms=50")
    has_backtrace = "#define HAVE_BACKTRACE 1" in (BUILD / "config.h").read_text()
    # Two sessions: the answer of the command that holds the loop comes somewhere among them.
    with daemon.connect(oob=True) as session, daemon.connect() as watcher:
        for name in STALL_EVENTS:
            for arrow, _, message in EXAMPLES_BY_NAME[name]:
                if arrow == "->":
                    session.send(message)
                elif "event" in message:
                    seen = watcher.wait_event(name)
                    while seen["data"]["loop"] != "io0":  # a busy machine
                        seen = watcher.wait_event(name)
                    if not has_backtrace:
                        message["data"].pop("backtrace", None)
                    assert is_like(message, seen), f"shown: {message}\nseen: {seen}"
        assert session.receive_reply() == session.receive_reply() == {"return": {}}


def test_the_examples_of_relays_happen_as_shown(start_daemon, sockets):
    names = {"unix:@app": f"unix:@evloopd-test-{os.getpid()}"}
    target = names["unix:@app"].replace("unix:@", "\0")

    def connect():
        client = socket.socket(socket.AF_UNIX)
        client.connect(f"{sockets}/in")
        return client

    with start_daemon(*OPTIONS).connect() as session:
        session.command("object-add", qom_type="socket-relay", id="web", connection_events=True,
                        listen=f"unix:{sockets}/in", target=names["unix:@app"])
        with connect():
            seen = [session.wait_event("RELAY_TARGET_DOWN")]
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(target)
            listener.listen()
            with connect():
                seen.append(session.wait_event("RELAY_TARGET_UP"))
                seen.append(session.wait_event("RELAY_CONNECTED"))
                listener.accept()[0].close()
            seen.append(session.wait_event("RELAY_DISCONNECTED"))
    for event in seen:
        event["data"]["target"] = "unix:@app"
        [(_, _, shown)] = EXAMPLES_BY_NAME[event["event"]]
        assert is_like(shown, event), f"shown: {shown}\nseen: {event}"
    assert sorted(event["event"] for event in seen) == RELAY_EVENTS


@pytest.mark.parametrize("name", EXAMPLES_BY_NAME)
def test_an_example_shows_what_it_is_of(name):
    messages = [message for _, _, message in EXAMPLES_BY_NAME[name]]
    assert any(name in (message.get("execute"), message.get("exec-oob"), message.get("event"))
               for message in messages)


# ---- the page ----


@pytest.fixture(scope="module")
def page():
    return plain(page_text(PAGE))


def test_the_page_has_every_command_and_event_with_its_example(start_daemon, page):
    with start_daemon(*OPTIONS).connect() as session:
        entries = session.command("query-qmp-schema")
    names = [entry["name"] for entry in entries if entry["meta-type"] in ("command", "event")]
    described = page.split(".Sh COMMANDS")[1]
    assert re.findall(r"^\.Ss (.*)$", described, re.MULTILINE) == names
    assert set(EXAMPLES_BY_NAME) == set(names)
    parts = re.split(r"^= (.*)\n", EXAMPLES.read_text(), flags=re.MULTILINE)[1:]
    for name, example in zip(parts[0::2], parts[1::2]):
        [section] = re.findall(rf"^\.Ss {name}\n(.*?)(?=^\.S[sh] )", page,
                               re.MULTILINE | re.DOTALL)
        assert f".Bd -literal -offset indent\n{example.strip()}\n.Ed\n" in section


def test_the_page_has_every_argument_and_member(start_daemon, page):
    """Also those of object types, and those of arrays in results."""
    with start_daemon(*OPTIONS).connect() as session:
        entries = {entry["name"]: entry for entry in session.command("query-qmp-schema")}

    def members(type_name):
        entry = entries[type_name]
        for member in entry.get("members", []):
            if entry["meta-type"] == "object":
                yield member["name"]
                yield from members(member["type"])
        for variant in entry.get("variants", []):
            yield from members(variant["type"])
        if entry["meta-type"] == "array":
            yield from members(entry["element-type"])

    for name, entry in entries.items():
        if entry["meta-type"] in ("command", "event"):
            [section] = re.findall(rf"^\.Ss {name}\n(.*?)(?=^\.S[sh] )", page,
                                   re.MULTILINE | re.DOTALL)
            listed = re.findall(r"^\.It Li (\S+) Pq ", section, re.MULTILINE)
            wanted = [*members(entry["arg-type"]), *members(entry.get("ret-type", "Empty"))]
            assert sorted(listed) == sorted(wanted), name


def test_the_page_tells_ranges_defaults_and_limits(page):
    assert '.It Li poll-max-ns Pq "integer from 0; optional, default 32768"' in page
    assert '.It Li duration-ms Pq "integer from 0 to 3600000"' in page
    assert '.It Li fdset-id Pq "integer from 0; optional"' in page
    assert "cannot be changed later" in page
    assert '.It Li values Pq "array of strings; deprecated"' in page
    assert "At most one with the same\n.Li id\nis sent in 1000 ms" in page


# ---- what makes it ----

PROGRAM = BUILD / "man" / "qmp-page"


@pytest.mark.skipif(not PROGRAM.exists(), reason="no qmp-page")
@pytest.mark.parametrize("change, error", [
    (lambda text: text.replace("= quit\n", "= quti\n"), "there is no example: quit"),
    (lambda text: text + "\n= nothing\n-> {}\n",
     "there is an example of something that there is not: nothing"),
    (lambda text: text + "\n= quit\n-> {}\n", "there are two examples: quit"),
], ids=["left out", "too many", "twice"])
def test_each_has_one_example(tmp_path, change, error):
    examples = tmp_path / "examples"
    examples.write_text(change(EXAMPLES.read_text()))
    result = subprocess.run([PROGRAM, ROOT / "man" / "evloopd-qmp.7.in", examples], text=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=DEADLINE)
    assert result.returncode == 1
    assert result.stderr.startswith(f"qmp-page: {error}")


@pytest.mark.skipif(not PROGRAM.exists(), reason="no qmp-page")
def test_the_page_is_what_the_tables_make(page):
    result = subprocess.run([PROGRAM, ROOT / "man" / "evloopd-qmp.7.in", EXAMPLES], text=True,
                            stdout=subprocess.PIPE, check=True, timeout=DEADLINE)
    assert plain(result.stdout) == page


@pytest.mark.skipif(not shutil.which("groff"), reason="no groff")
def test_what_the_page_shows_can_be_copied():
    """As a terminal shows it: quotes and dashes of examples are still those of ASCII."""
    shown = subprocess.run(["groff", "-mdoc", "-Tutf8", "-P-cbou", page_path(PAGE)], text=True,
                           stdout=subprocess.PIPE, check=True, timeout=DEADLINE).stdout
    for line in EXAMPLES.read_text().split("\n= ", 1)[1].splitlines()[1:]:
        assert line.strip() in shown or line.startswith("= ")
