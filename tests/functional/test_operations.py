"""docs/operations.md explains every line of the log, every event and every limit; what journalctl
says of a line agrees with it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from log_messages import KINDS
from qmp_client import DEADLINE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
CATALOG = ROOT / "daemon" / "systemd" / "evloopd.catalog"
FIELDS = set(re.findall(r'"(EVLOOPD_\w+)"', (ROOT / "qmp" / "qmp-log.c").read_text()))
FORMAT_MACRO = r"\b(?:PRI\w+|G_\w+_FORMAT)\b"
LOGGING = re.compile(r'\b(?:g_error|g_warning|g_message|qmp_log|qmp_log_limit_say)\(([^";]*?)'
                     r'((?:"(?:[^"\\]|\\.)*"\s*(?:' + FORMAT_MACRO + r'\s*)?)+)')
SOURCES = [path for folder in ("loop", "iothreads", "sockets", "qmp", "objects", "daemon")
           for path in sorted((ROOT / folder).rglob("*.c"))]


def table_words(title):
    """What stands in backquotes in the section @title."""
    [section] = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`]+)`", section)


def messages(path):
    """The format strings of what a source file logs for an operator, with the words of their kinds;
    None: it has no kind, or one that is found out later."""
    for before, literals in LOGGING.findall(path.read_text()):
        kind = re.search(r"\bQMP_LOG_(\w+)", before)
        yield kind and kind[1], "".join(
            re.findall(r'"((?:[^"\\]|\\.)*)"', re.sub(FORMAT_MACRO, '"d"', literals)))


def as_shown(text):
    """A pattern for the line of the page that stands for the format string @text."""
    parts = re.split(r"%[-+ #0-9.]*(?:hh?|ll?|z|j|t)?[a-zA-Z]", text)
    return ("(SOCKET: |stall watch: |relay 'ID': |descriptors: )?" +
            "( ?[A-Z]+|16|: |)".join(re.escape(part) for part in parts))


def log_rows():
    """The lines in the tables of the log, and the names beside them; None: it has none."""
    section = PAGE[PAGE.index("\n## The log"):PAGE.index("\n### What systemd says")]
    for line, name in re.findall(r"^\| `([^`]+)` \|.*\| (?:`([a-z-]+)` )?\|$", section,
                                 re.MULTILINE):
        yield line, name or None


def test_each_line_of_the_log_is_explained():
    shown = table_words("The log")
    texts = {text for path in SOURCES for _, text in messages(path)}
    # Those of qmp-log-limit.c, which are on behalf of others.
    texts -= {"%s: %s", "%s: %u further %s"}
    assert len(texts) > 15
    assert {"ending on signal %s", "turned a client away (%s), for there are %u already"} <= texts
    assert [text for text in texts
            if not any(re.fullmatch(as_shown(text), line) for line in shown)] == []


def test_each_line_has_the_name_of_its_kind():
    rows = list(log_rows())
    for word, text in [message for path in SOURCES for message in messages(path)]:
        names = {name for line, name in rows if re.fullmatch(as_shown(text), line)}
        if word:
            [kind] = [kind for kind in KINDS.values() if kind.word == word]
            assert kind.name in names, text
        else:
            assert all(name is None or KINDS[name] for name in names), text
    # What is logged otherwise is "what is wrong with an option, or with a line of a file".
    assert {name for _, name in rows} - {None} == set(KINDS) - {"start-failed"}


def test_each_name_has_its_id_and_level():
    section = PAGE[PAGE.index("\n## Finding lines"):PAGE.index("\n## The log")]
    rows = re.findall(r"^\| `([a-z-]+)` \| `([0-9a-f]{32})` \| (\w+) \|$", section, re.MULTILINE)
    assert rows == [(kind.name, kind.id, kind.level) for kind in KINDS.values()]
    assert f"MESSAGE_ID={KINDS['loop-stalled'].id}\n" in section


def test_each_field_is_explained():
    section = PAGE[PAGE.index("\n## Finding lines"):PAGE.index("\n## The log")]
    explained = set(re.findall(r"`(EVLOOPD_\w+)`", section))
    assert explained == FIELDS
    manual = (ROOT / "man" / "evloopd.8").read_text()
    assert set(re.findall(r"\bEVLOOPD_\w+", manual[manual.index("\n.Sh LOG"):].split("\n.Sh ")[1])
               ) == FIELDS


# ---- the catalog of "journalctl -x" ----


def catalog_entries():
    """Comment, id, header and text of each entry."""
    return re.findall(r"^# (.*)\n-- ([0-9a-f]{32})\n((?:[A-Z].*\n)+)\n((?:.*\n)+?)(?=\n*# |\n*\Z)",
                      CATALOG.read_text(), re.MULTILINE)


def test_each_kind_is_in_the_catalog():
    entries = catalog_entries()
    assert [(name, message_id) for name, message_id, _, _ in entries] == [
        (kind.name, kind.id) for kind in KINDS.values()]
    for name, _, header, text in entries:
        assert re.fullmatch(r"Subject: .+\nDefined-By: evloopd\nDocumentation: man:evloopd\(8\)\n",
                            header), name
        assert len(text.strip()) > 20, name
        fields = set(re.findall(r"\bEVLOOPD_\w+", header + text))
        assert fields <= FIELDS, name
        assert max(map(len, text.splitlines())) <= 80, name


def test_the_journal_reads_the_catalog(tmp_path):
    if not shutil.which("journalctl"):
        pytest.skip("no journalctl")
    folder = tmp_path / "usr" / "lib" / "systemd" / "catalog"
    folder.mkdir(parents=True)
    shutil.copy(CATALOG, folder)
    command = ["journalctl", f"--root={tmp_path}", "--no-pager"]
    options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True,
               "timeout": DEADLINE}
    result = subprocess.run([*command, "--update-catalog"], **options)
    assert (result.returncode, result.stderr) == (0, "")
    listed = subprocess.run([*command, "--list-catalog"], **options).stdout.splitlines()
    assert sorted(line.split()[0] for line in listed) == sorted(kind.id for kind in KINDS.values())
    assert all(" evloopd: " in line for line in listed)


# ---- events and limits ----


def test_each_event_is_explained(start_daemon):
    daemon = start_daemon()
    with daemon.connect() as session:
        schema = session.command("query-qmp-schema")
    events = {entry["name"] for entry in schema if entry["meta-type"] == "event"}
    assert "SHUTDOWN" in events
    assert events == {word for word in table_words("Events") if re.fullmatch("[A-Z_]+", word)}


def test_each_option_that_is_a_limit_is_explained(evloopd):
    shown = subprocess.run([evloopd, "--help"], stdout=subprocess.PIPE, text=True, check=True,
                           timeout=DEADLINE).stdout
    options = set(re.findall(r"--(?:max-[a-z-]+|[a-z-]+-timeout|[a-z-]+-threshold-ms)", shown))
    assert len(options) > 4
    assert options == {word for word in table_words("Limits") if word.startswith("--")} - {"--qmp"}


def test_the_limits_of_the_unit_are_those_of_the_page():
    unit = (ROOT / "daemon" / "systemd" / "evloopd.service.in").read_text()
    for name, shown in (("LimitNOFILE", "524288"), ("WatchdogSec", "30")):
        assert f"{name}={shown}\n" in unit
        [row] = re.findall(rf"^\| .*`{name}=`.*$", PAGE[PAGE.index("\n## Limits"):], re.MULTILINE)
        assert shown in row


def test_how_the_unit_is_started_again_is_as_the_page_says():
    unit = (ROOT / "daemon" / "systemd" / "evloopd.service.in").read_text()
    assert "\nRestartSec=1s\n" in unit and "\nStartLimitIntervalSec=0\n" in unit
    assert "and is started again a second later" in PAGE and "tries again every second" in PAGE
