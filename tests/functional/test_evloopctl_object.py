"""evloopctl object against a real daemon: everything it knows of types, the daemon has told it."""

import json
import subprocess

import pytest

from qmp_client import DEADLINE

TYPES = ["event-notifier", "iothread", "socket-relay", "timer"]


@pytest.fixture
def ctl(evloopctl, daemon):
    """Run evloopctl object on the daemon's socket."""

    def run(*words, socket=daemon.socket):
        return subprocess.run([evloopctl, "-s", socket, "object", *words], capture_output=True,
                              text=True, timeout=DEADLINE)

    return run


@pytest.fixture
def done(ctl):
    """Run what must work and prints nothing."""

    def run(*words):
        result = ctl(*words)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

    return run


@pytest.fixture
def shown(ctl):
    """Run what must work and prints a table: a dictionary of its lines by their first cells."""

    def run(*words):
        result = ctl(*words)
        assert (result.returncode, result.stderr) == (0, "")
        titles, *rows = [line.split(None, 4) for line in result.stdout.splitlines()]
        return {row[0]: dict(zip(titles, row)) for row in rows}

    return run


def refused(result, *parts):
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("evloopctl: ") and result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


def properties(ctl, name):
    result = ctl("show", name, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


# ---- add, del ----


@pytest.mark.parametrize("words, expected", [
    (["timer", "x", "period-ns=1000", "one-shot=on", "catch-up=burst"],
     {"type": "timer", "period-ns": 1000, "one-shot": True, "catch-up": "burst",
      "iothread": None}),
    (["timer", "x", "iothread=io0", "period-ns=1000"], {"iothread": "io0"}),
    (["timer", "x", "iothread=null", "deadline-ns=1"], {"iothread": None}),
    (["iothread", "x", "poll-max-ns=5", "cpu-affinity="], {"poll-max-ns": 5, "cpu-affinity": ""}),
    (["event-notifier", "x", "chain=a,b"], {"chain": ["a", "b"]}),
    (["event-notifier", "x", 'chain=["b"]'], {"chain": ["b"]}),
    (["event-notifier", "x", "chain="], {"chain": []}),
    (["event-notifier", "x", "chain=a"], {"chain": ["a"]}),
    (["socket-relay", "x", "listen=tcp:127.0.0.1:0", "target=tcp:127.0.0.1:1", "iothreads=io0"],
     {"target": "tcp:127.0.0.1:1", "iothreads": ["io0"]}),
    (["socket-relay", "x", "listen=tcp:127.0.0.1:0",
      'target=["tcp:127.0.0.1:1", "tcp:127.0.0.1:2"]'],
     {"target": ["tcp:127.0.0.1:1", "tcp:127.0.0.1:2"]}),
])
def test_an_object_is_added_with_values_of_the_types_that_the_daemon_tells(ctl, done, words,
                                                                          expected):
    for name in ["a", "b"]:
        done("add", "event-notifier", name)
    done("add", "iothread", "io0")
    done("add", *words)
    found = properties(ctl, "x")
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("words, parts", [
    (["timer", "x", "period-ns=soon"], ["object-add: ", "'period-ns' expects an integer"]),
    (["timer", "x", "one-shot=maybe"], ["'one-shot' expects true or false"]),
    (["timer", "x", "catch-up=never"], ["'catch-up' expects"]),
    (["timer", "x", "colour=red"], ["'colour'"]),
    (["timer", "x", "iothread=io7"], ["there is no IOThread 'io7'"]),
    (["timer", "x", "expirations=1"], ["'expirations'"]),
    (["iothread", "x", "poll-max-ns=1", "thread-pool-max=0"], ["'thread-pool-max' expects"]),
    (["clock", "x"], ["object-add: ", "'qom-type' expects"]),
    (["timer", "9x"], ["'id'"]),
])
def test_a_wrong_value_is_refused_by_its_name(ctl, words, parts):
    refused(ctl("add", *words), *parts)
    assert json.loads(ctl("list", "--json").stdout) == []


def test_an_object_is_removed(ctl, done, shown):
    done("add", "timer", "t", "period-ns=1000")
    done("del", "t")
    assert shown("list") == {}
    refused(ctl("del", "t"), "object-del: ", "'t'")


# ---- set, move ----


def test_properties_are_set_while_the_object_works(ctl, done):
    done("add", "iothread", "io0")
    done("add", "timer", "t", "period-ns=1000000")
    done("set", "t", "period-ns=2000000", "one-shot=on", "iothread=io0")
    found = properties(ctl, "t")
    assert (found["period-ns"], found["one-shot"], found["iothread"]) == (2000000, True, "io0")
    done("set", "t", "iothread=null", "one-shot=no")
    found = properties(ctl, "t")
    assert (found["one-shot"], found["iothread"]) == (False, None)


@pytest.mark.parametrize("word, part", [
    ("period-ns=soon", "period-ns: qom-set: GenericError: Parameter 'period-ns' expects an int"),
    ("one-shot=2", "one-shot: qom-set: "), ("expirations=1", "'expirations' is read-only"),
    ("clock=host", "clock: qom-set: "), ("colour=red", "no property 'colour'"),
    ("type=timer", "'type' is read-only"),
])
def test_setting_stops_at_the_first_that_is_refused(ctl, done, word, part):
    done("add", "timer", "t", "period-ns=1000000000")
    refused(ctl("set", "t", "catch-up=delay", word, "deadline-ns=5"), part)
    found = properties(ctl, "t")
    assert (found["catch-up"], found["deadline-ns"]) == ("delay", 0)


def test_an_object_is_moved(ctl, done, shown):
    done("add", "iothread", "io0")
    done("add", "timer", "t", "period-ns=1000000")
    for place in ["io0", "main-loop", "io0"]:
        done("move", "t", place)
        assert shown("list")["t"]["LOOP"] == place
    refused(ctl("move", "t", "io7"), "iothread: qom-set: ", "there is no IOThread 'io7'")
    refused(ctl("move", "io0", "io0"), "no property 'iothread'")
    refused(ctl("move", "nobody", "io0"), "DeviceNotFound")


# ---- list, show, types ----


def test_the_list_has_every_object_with_its_loop(ctl, done, shown):
    done("add", "iothread", "io0")
    done("add", "iothread", "io1")
    done("add", "timer", "t", "iothread=io1", "period-ns=1000000")
    done("add", "event-notifier", "bell")
    done("add", "socket-relay", "r", "listen=tcp:127.0.0.1:0", "target=tcp:127.0.0.1:1",
         "iothreads=io0,io1")
    table = shown("list")
    assert [(row["ID"], row["TYPE"], row["LOOP"]) for row in table.values()] == [
        ("io0", "iothread", "-"), ("io1", "iothread", "-"), ("t", "timer", "io1"),
        ("bell", "event-notifier", "main-loop"), ("r", "socket-relay", "io0,io1")]
    assert json.loads(ctl("list", "--json").stdout)[2] == {"id": "t", "type": "timer",
                                                           "loop": "io1"}


def test_an_object_is_shown_with_all_its_properties(ctl, done, qmp):
    done("add", "timer", "t", "period-ns=1000000000")
    lines = ctl("show", "t").stdout.splitlines()
    table = dict(line.split(None, 1) for line in lines)
    assert table.pop("PROPERTY") == "VALUE"
    assert (table["type"], table["iothread"], table["period-ns"]) == ("timer", "null", "1000000000")
    assert table["one-shot"] == "false" and "lateness.mean-ns" in table
    names = {item["name"] for item in qmp.command("qom-list", path="/objects/t")}
    assert {name.split(".")[0] for name in table} == names
    assert set(properties(ctl, "t")) == names
    refused(ctl("show", "nobody"), "DeviceNotFound", "nobody")


def test_the_types_are_those_of_the_daemon(ctl, shown, qmp):
    told = [item["name"] for item in qmp.command("qom-list-types", implements="user-creatable")]
    assert list(shown("types")) == told and set(TYPES) <= set(told)


@pytest.mark.parametrize("name", TYPES)
def test_a_type_is_shown_with_type_default_and_help_of_each_property(ctl, qmp, name):
    rows = {row["property"]: row for row in json.loads(ctl("types", name, "--json").stdout)}
    told = {item["name"]: item for item in qmp.command("qom-list-properties", typename=name)}
    told.pop("type")
    assert rows.keys() == told.keys()
    for key, item in told.items():
        row = rows[key]
        assert row["help"] == item["description"]
        assert row["default"] == item.get("default-value")
        assert row["set"] == ("never" if item.get("read-only") else
                              "add" if item.get("create-only") else "always")
        assert row["type"] == item["type"] or "|" in row["type"]


def test_the_type_of_an_enumeration_is_its_words(shown):
    table = shown("types", "timer")
    assert (table["catch-up"]["TYPE"], table["catch-up"]["DEFAULT"]) == ("skip|burst|delay", "skip")
    assert (table["one-shot"]["TYPE"], table["period-ns"]["TYPE"]) == ("bool", "int")
    assert table["period-ns"]["HELP"].startswith("time between expirations")
    assert (table["clock"]["SET"], table["missed"]["SET"]) == ("add", "never")


def test_a_type_that_is_not_there_is_refused(ctl):
    refused(ctl("types", "clock"), "DeviceNotFound", "'clock'")


# ---- usage ----


@pytest.mark.parametrize("words, part", [
    ((), "expected: COMMAND"), (("fly",), "there is no command 'fly'"),
    (("add",), "expected: TYPE ID"), (("add", "timer"), "expected: TYPE ID"),
    (("add", "timer", "t", "period-ns"), "'period-ns' is not of the form key=value"),
    (("add", "timer", "t", "id=u"), "'id' is given twice"),
    (("add", "timer", "t", "one-shot=on", "one-shot=off"), "'one-shot' is given twice"),
    (("add", b"\xff", "t"), "the TYPE is not UTF-8"), (("add", "timer", b"\xff"), "the ID is not"),
    (("set", "t"), "expected: ID NAME=VALUE"), (("set", "t", "x"), "'x' is not of the form"),
    (("set", b"\xff", "a=b"), "the ID is not UTF-8"),
    (("move", "t"), "expected: ID LOOP"), (("move", "t", b"\xff"), "the LOOP is not UTF-8"),
    (("move", "t", "io0", "io1"), "unexpected: 'io1'"),
    (("del",), "expected: ID"), (("del", "t", "u"), "unexpected: 'u'"),
    (("list", "t"), "unexpected: 't'"), (("show",), "expected: ID"),
    (("show", "t", "u"), "unexpected: 'u'"), (("types", "t", "u"), "unexpected: 'u'"),
])
def test_wrong_words_are_told_before_any_connection(ctl, words, part):
    result = ctl(*words, socket="/nonexistent")
    assert (result.returncode, result.stdout) == (2, "")
    error, hint = result.stderr.splitlines()
    assert error.startswith("evloopctl: ") and part in error
    assert hint.startswith("Try 'evloopctl object")


# ---- names that are nearly right ----


@pytest.mark.parametrize("words", [
    ["object", "add", "timer", "t", "period-ms=1"],
    ["call", "object-add", "qom-type=timer", "id=t", "period-ms=1"],
    ["call", "object-add", '{"qom-type": "timer", "id": "t", "period-ms": 1}'],
])
def test_an_argument_that_is_nearly_one_names_what_is_near(evloopctl, daemon, words):
    result = subprocess.run([evloopctl, "-s", daemon.socket, *words], capture_output=True,
                            text=True, timeout=DEADLINE)
    refused(result, "Parameter 'period-ms' is unexpected; near 'period-ms' are: period-ns")


def test_a_property_that_is_nearly_one_names_what_is_near(ctl, done):
    done("add", "timer", "t", "period-ns=3600000000000")
    refused(ctl("set", "t", "period-ms=1"), "; near 'period-ms' are: period-ns")


def test_an_argument_that_is_like_no_other_names_none(ctl):
    result = ctl("add", "timer", "t", "colour=1")
    refused(result)
    assert result.stderr.endswith("Parameter 'colour' is unexpected\n")


def test_a_known_argument_that_is_refused_gets_no_names(ctl):
    result = ctl("add", "timer", "t", "period-ns=-1")
    refused(result)
    assert "near" not in result.stderr
