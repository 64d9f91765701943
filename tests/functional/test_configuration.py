"""A configuration directory: what is read, the difference of each kind, and what is refused."""

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from configuration import NOTHING, ConfigDir, add, change, name, objects_of, set_
from objects import error_of, get, wait_for
from qmp_client import DEADLINE

CPUS = sorted(os.sched_getaffinity(0))
MISSING_CPU = 8000  # could be one, but is not
FAR = 10**18  # ns of a clock that may have begun with the machine: 31 years


@pytest.fixture
def files(tmp_path):
    return ConfigDir(tmp_path)


@pytest.fixture
def daemon(start_daemon, files):
    """A daemon whose configuration directory is empty at first."""
    return start_daemon("--debug-commands", "--config-dir", str(files.path))


def reload(qmp):
    return qmp.command("reload")


def timer(ident, **properties):
    return add("timer", ident, deadline_ns=FAR, clock="virtual", **properties)


# ---- the files ----


def test_files_are_read_in_the_order_of_the_bytes_of_their_names(start_daemon, files):
    files.write("2.json", add("iothread", "two"))
    files.write("10.json", add("iothread", "ten"))
    files.write("a.json", add("iothread", "small"))
    files.write("B.json", add("iothread", "big"))
    files.write("\u00e4.json", add("iothread", "last"))
    for other in (".hidden.json", "x.json~", "x.json.bak", "json", "README"):
        files.write(other, "this is no JSON")
    daemon = start_daemon("--config-dir", str(files.path), env={**os.environ, "LC_ALL": "C.UTF-8"})
    with daemon.connect() as qmp:
        assert list(objects_of(qmp)) == ["ten", "two", "big", "small", "last"]
        assert reload(qmp) == NOTHING


def test_an_empty_directory_is_a_configuration(qmp):
    assert objects_of(qmp) == {}
    assert reload(qmp) == NOTHING


def test_a_start_logs_what_it_did(start_daemon, files):
    files.write("a.json", add("iothread", "io0"), timer("t0"))
    daemon = start_daemon("--config-dir", str(files.path))
    assert daemon.stderr().splitlines() == [
        "evloopd: notice: configuration: iothread 'io0' added",
        "evloopd: notice: configuration: timer 't0' added",
        "evloopd: notice: configuration: applied: objects 2 added, 0 deleted, 0 replaced, "
        "0 adopted; 0 properties set"]


def test_an_object_may_refer_to_one_of_a_later_file(qmp, files):
    files.write("a.json", timer("t0", iothread="io0"), add("event-notifier", "n0", chain=["n1"]))
    files.write("b.json", add("event-notifier", "n1", iothread="io0"), add("iothread", "io0"))
    assert reload(qmp) == {**NOTHING, "added": [
        name("iothread", "io0"), name("timer", "t0"), name("event-notifier", "n1"),
        name("event-notifier", "n0")]}
    assert get(qmp, "t0", "iothread") == "io0" and get(qmp, "n0", "chain") == ["n1"]
    assert reload(qmp) == NOTHING


def test_a_qom_set_changes_what_is_asked_for(qmp, files):
    files.write("a.json", add("iothread", "io0", poll_max_ns=1))
    files.write("b.json", set_("/objects/io0", "poll-max-ns", 2), set_("io0", "poll-grow", 3))
    assert reload(qmp) == {**NOTHING, "added": [name("iothread", "io0")]}
    assert get(qmp, "io0", "poll-max-ns") == 2 and get(qmp, "io0", "poll-grow") == 3
    assert reload(qmp) == NOTHING


# ---- the difference ----


def test_properties_that_differ_are_set(qmp, files):
    files.write("a.json", add("iothread", "io0", poll_max_ns=1), timer("t0"))
    reload(qmp)
    thread = get(qmp, "io0", "thread-id")
    files.write("a.json", add("iothread", "io0", poll_grow=3), timer("t0", iothread="io0"))
    assert reload(qmp) == {**NOTHING, "changed": [
        change("iothread", "io0", "poll-max-ns", 1, 32768),
        change("iothread", "io0", "poll-grow", 0, 3),
        change("timer", "t0", "iothread", None, "io0")]}
    assert get(qmp, "io0", "poll-max-ns") == 32768 and get(qmp, "t0", "iothread") == "io0"
    assert get(qmp, "io0", "thread-id") == thread
    assert reload(qmp) == NOTHING


def test_what_a_client_has_set_is_set_back(qmp, files):
    files.write("a.json", add("iothread", "io0"))
    reload(qmp)
    qmp.command("qom-set", path="io0", property="poll-max-ns", value=5)
    assert reload(qmp)["changed"] == [change("iothread", "io0", "poll-max-ns", 5, 32768)]


def test_what_a_client_has_deleted_is_added(qmp, files):
    files.write("a.json", add("iothread", "io0"))
    reload(qmp)
    qmp.command("object-del", id="io0")
    assert reload(qmp) == {**NOTHING, "added": [name("iothread", "io0")]}


def test_what_is_not_asked_for_any_more_is_deleted_users_first(qmp, daemon, files):
    files.write("a.json", add("iothread", "io0"), timer("t0", iothread="io0"),
                add("event-notifier", "n1", iothread="io0"),
                add("event-notifier", "n0", chain=["n1"], iothread="io0"))
    reload(qmp)
    files.write("a.json")
    qmp.events.clear()
    result = reload(qmp)
    assert {key: value for key, value in result.items() if value} == {
        "removed": [name("iothread", "io0"), name("timer", "t0"), name("event-notifier", "n1"),
                    name("event-notifier", "n0")]}
    assert objects_of(qmp) == {}
    gone = [event["data"]["id"] for event in qmp.events if event["event"] == "OBJECT_DELETED"]
    assert gone[-1] == "io0" and gone.index("n0") < gone.index("n1")
    assert "io0" not in daemon.tasks().values()


def test_a_property_that_can_not_be_set_replaces_the_object(qmp, files):
    files.write("a.json", add("iothread", "io0"), timer("t0", iothread="io0"))
    reload(qmp)
    thread = get(qmp, "io0", "thread-id")
    files.write("a.json", add("iothread", "io0", fdmon="poll", poll_max_ns=9),
                timer("t0", iothread="io0"))
    qmp.events.clear()
    assert reload(qmp) == {**NOTHING, "replaced": [
        change("iothread", "io0", "fdmon", "auto", "poll")]}
    assert get(qmp, "io0", "fdmon-in-use") == "poll" and get(qmp, "io0", "poll-max-ns") == 9
    assert get(qmp, "io0", "thread-id") != thread
    # The one that works on it is no other, and has moved away and back.
    assert get(qmp, "t0", "iothread") == "io0"
    assert [(event["event"], event["data"]["id"]) for event in qmp.events
            if event["event"] in ("OBJECT_ADDED", "OBJECT_DELETED")] == [
                ("OBJECT_DELETED", "io0"), ("OBJECT_ADDED", "io0")]
    assert reload(qmp) == NOTHING


def test_another_type_replaces_the_object(qmp, files):
    files.write("a.json", add("iothread", "x"))
    reload(qmp)
    files.write("a.json", timer("x"))
    assert reload(qmp) == {**NOTHING, "replaced": [
        change("timer", "x", "qom-type", "iothread", "timer")]}
    assert objects_of(qmp) == {"x": "timer"}


def test_a_chain_to_what_is_replaced_is_restored(qmp, files):
    files.write("a.json", add("iothread", "io0"), add("iothread", "io1"),
                add("event-notifier", "n1"), add("event-notifier", "n0", chain=["x", "n1"]),
                add("event-notifier", "x"))
    reload(qmp)
    files.write("a.json", add("iothread", "io0"), add("iothread", "io1"), timer("x"),
                add("event-notifier", "n1"), add("event-notifier", "n0", chain=["n1"]))
    assert reload(qmp)["changed"] == [
        change("event-notifier", "n0", "chain", ["x", "n1"], ["n1"])]
    assert objects_of(qmp)["x"] == "timer"
    files.write("a.json", add("iothread", "io0"), add("iothread", "io1"),
                add("event-notifier", "n1"), add("event-notifier", "n0", chain=["n1", "x"]),
                add("event-notifier", "x"))
    assert reload(qmp)["replaced"] == [
        change("event-notifier", "x", "qom-type", "timer", "event-notifier")]
    assert get(qmp, "n0", "chain") == ["n1", "x"]


@pytest.mark.parametrize("first, second", [
    ({"thread_pool_min": 2, "thread_pool_max": 3}, {"thread_pool_min": 5, "thread_pool_max": 6}),
    ({"thread_pool_min": 5, "thread_pool_max": 6}, {"thread_pool_min": 2, "thread_pool_max": 3}),
])
def test_properties_are_set_in_an_order_that_works(qmp, files, first, second):
    files.write("a.json", add("iothread", "io0", **first))
    reload(qmp)
    files.write("a.json", add("iothread", "io0", **second))
    assert len(reload(qmp)["changed"]) == 2
    assert get(qmp, "io0", "thread-pool-min") == second["thread_pool_min"]
    assert get(qmp, "io0", "thread-pool-max") == second["thread_pool_max"]


def test_one_property_may_take_the_place_of_another(qmp, files):
    for properties in ({"period_ns": FAR}, {"deadline_ns": FAR}, {"period_ns": FAR}):
        files.write("a.json", add("timer", "t0", clock="virtual", **properties))
        reload(qmp)
        assert reload(qmp) == NOTHING


def test_a_relay_goes_from_one_iothread_to_several_and_back(qmp, files, sockets):
    for places in ({"iothread": "io0"}, {"iothreads": ["io0", "io1"]}, {"iothread": "io1"}, {}):
        files.write("a.json", add("iothread", "io0"), add("iothread", "io1"),
                    add("socket-relay", "r", listen=f"unix:{sockets}/in", target="unix:@none",
                        **places))
        reload(qmp)
        assert reload(qmp) == NOTHING


# ---- objects of others ----


def test_objects_of_clients_and_options_are_left_alone(start_daemon, files):
    files.write("a.json", timer("t0", iothread="io0"), timer("t1", iothread="io0"))
    daemon = start_daemon("--object", "iothread,id=io0", "--config-dir", str(files.path))
    with daemon.connect() as qmp:
        qmp.command("object-add", qom_type="iothread", id="mine")
        files.write("a.json", timer("t1", iothread="mine"))
        assert reload(qmp) == {
            **NOTHING, "removed": [name("timer", "t0")],
            "changed": [change("timer", "t1", "iothread", "io0", "mine")]}
        assert list(objects_of(qmp)) == ["io0", "t1", "mine"]


def test_an_object_of_a_client_is_adopted_when_it_is_asked_for(qmp, files):
    qmp.command("object-add", qom_type="iothread", id="io0", poll_max_ns=5)
    thread = get(qmp, "io0", "thread-id")
    files.write("a.json", add("iothread", "io0", poll_max_ns=6))
    assert reload(qmp) == {
        **NOTHING, "adopted": [name("iothread", "io0")],
        "changed": [change("iothread", "io0", "poll-max-ns", 5, 6)]}
    assert get(qmp, "io0", "thread-id") == thread
    files.write("a.json")
    assert reload(qmp) == {**NOTHING, "removed": [name("iothread", "io0")]}


def test_an_object_of_a_client_is_not_replaced(qmp, files, state):
    qmp.command("object-add", qom_type="iothread", id="io0", fdmon="poll")
    qmp.command("object-add", qom_type="iothread", id="io1")
    before = state()
    files.write("a.json", add("iothread", "io0"))
    assert error_of(reload, qmp) == (
        files.where("a.json", 1) + ": There is an object 'io0' that the configuration did not "
        "make; its fdmon differs, so it would have to be deleted first")
    files.write("a.json", add("iothread", "io2"), timer("io1"))
    assert error_of(reload, qmp) == (
        files.where("a.json", 2) + ": There is an object 'io1' that the configuration did not "
        "make; its type differs, so it would have to be deleted first")
    assert state() == before


@pytest.mark.parametrize("lines, where", [([], ""), ([add("iothread", "io0", fdmon="poll")], None)])
def test_an_iothread_that_an_object_of_a_client_is_on_stays(qmp, files, state, lines, where):
    files.write("a.json", add("iothread", "io0"), timer("t0", iothread="io0"))
    reload(qmp)
    qmp.command("object-add", qom_type="timer", id="mine", deadline_ns=FAR, clock="virtual",
                iothread="io0")
    before = state()
    files.write("a.json", *lines)
    where = files.where("a.json", 1) + ": " if where is None else where
    assert error_of(reload, qmp) == (
        f"{where}Object 'io0' can't be deleted: it is in use by 'mine', which the configuration "
        "did not make")
    assert state() == before


# ---- what is wrong with the files ----

GOOD = add("iothread", "io0")
WRONG = [
    ("{'execute':\n 'object-add', ]\n", 2, "JSON syntax error"),
    ("[]", 1, "A request must be a JSON object"),
    ("{}", 1, "A request needs the member 'execute'"),
    ('\n\n{"execute": "object-ad"}', 3, "The command object-ad has not been found"),
    ('{"execute": "clock-stop"}', 1, "The command clock-stop says nothing about what there should "
     "be, as object-add and qom-set do"),
    ('{"execute": "object-del", "arguments": {"id": "io0"}}', 1, "The command object-del says "
     "nothing about what there should be, as object-add and qom-set do"),
    ('{"exec-oob": "object-add"}', 1, "The command object-add does not support out-of-band "
     "execution"),
    (add("disk", "d"), 1, "Parameter 'qom-type' expects one of "),
    (add("iothread", "0"), 1, "Parameter 'id' expects a letter"),
    (add("iothread", "io1", poll_max_ns=-1), 1, "Parameter 'poll-max-ns' expects an integer"),
    (add("iothread", "io1", size=1), 1, "Parameter 'size' is unexpected"),
    (add("iothread", "io1", thread_id=1), 1, "Parameter 'thread-id' is read-only"),
    (add("iothread", "io0"), 1, "Object 'io0' is asked for already, by {path}/1.json: line 1"),
    (add("iothread", "io1") * 2, 2, "Object 'io1' is asked for already, by {path}/2.json: line 1"),
    (timer("t0", iothread="io1"), 1, "Parameter 'iothread': there is no iothread 'io1'"),
    (timer("t0", iothread="t0"), 1, "Parameter 'iothread': there is no iothread 't0'"),
    (timer("t0") + timer("t1", iothread="t0"), 2, "Parameter 'iothread': there is no iothread "
     "'t0'"),
    (timer("t0", iothread="going"), 1, "Parameter 'iothread': there is no iothread 'going' any "
     "more"),
    (add("socket-relay", "r", listen="unix:@x", target="unix:@y", iothreads=["io0", "io1"]), 1,
     "Parameter 'iothreads': there is no iothread 'io1'"),
    (add("event-notifier", "n", chain=["m"]), 1, "Parameter 'chain': there is no event-notifier "
     "'m'"),
    (add("event-notifier", "a", chain=["a"]), 1, "Parameter 'chain': 'a' refers to itself by way "
     "of 'a'"),
    (add("event-notifier", "a", chain=["b"]) + add("event-notifier", "b", chain=["a"]), 2,
     "Parameter 'chain': 'b' refers to itself by way of 'a'"),
    (add("timer", "t0"), 1, "Parameter 'period-ns': a timer needs 'period-ns' or 'deadline-ns'"),
    (add("socket-relay", "r", listen="unix:@x", target="unix:@y", iothread="io0",
         iothreads=["io0"]), 1, "Parameters 'iothread' and 'iothreads' can't both be set"),
    (add("socket-relay", "r", listen="nonsense", target="unix:@y"), 1, "listen: 'nonsense'"),
    (add("socket-relay", "r", listen="unix:@x", target=["unix:@y", "fd:x"]), 1, "target: 'fd:x'"),
    (add("socket-relay", "r", listen="unix:@x", target=[1]), 1, "Parameter 'target' expects an "
     "address, or a list of addresses"),
    (set_("io1", "poll-max-ns", 1), 1, "There is no object-add before this for path 'io1'"),
    (set_("/objects", "poll-max-ns", 1), 1, "There is no object-add before this for path "
     "'/objects'"),
    (set_("/io0", "poll-max-ns", 1), 1, "There is no object-add before this for path '/io0'"),
    (set_("io0", "size", 1), 1, "Object 'io0', of type 'iothread', has no property 'size'"),
    (set_("io0", "thread-id", 1), 1, "Property 'thread-id' is read-only"),
    (set_("io0", "fdmon", "poll"), 1, "Property 'fdmon' can only be set when the object is added"),
    (set_("io0", "poll-max-ns", "x"), 1, "Parameter 'poll-max-ns' expects an integer"),
]


@pytest.mark.parametrize("text, line, message", WRONG)
def test_what_is_wrong_in_the_second_of_three_files_is_named(qmp, daemon, files, state, text, line,
                                                             message):
    files.write("1.json", GOOD, add("iothread", "going"))
    reload(qmp)
    before = state()
    log = daemon.stderr()
    files.write("1.json", GOOD)
    files.write("2.json", text)
    files.write("3.json", add("iothread", "io9"))
    error = error_of(reload, qmp)
    assert error.startswith(files.where("2.json", line) + ": " + message.format(path=files.path))
    assert state() == before
    assert daemon.stderr() == log + f"evloopd: warning: configuration: not applied: {error}\n"


def test_a_file_that_can_not_be_read_is_named(qmp, files, state):
    files.write("1.json", GOOD)
    before = state()
    os.mkfifo(files.path / "2.json")
    assert error_of(reload, qmp) == f"{files.path}/2.json: it is no regular file"
    os.unlink(files.path / "2.json")
    os.symlink("none", files.path / "2.json")
    assert error_of(reload, qmp) == f"{files.path}/2.json: No such file or directory"
    assert state() == before


def test_a_directory_that_is_gone_changes_nothing(qmp, files):
    files.write("1.json", GOOD)
    reload(qmp)
    os.unlink(files.path / "1.json")
    os.rmdir(files.path)
    assert "No such file or directory" in error_of(reload, qmp)
    assert objects_of(qmp) == {"io0": "iothread"}
    files.path.mkdir()


def test_an_object_that_is_being_deleted_can_not_be_asked_for(daemon, qmp, files, sockets):
    with socket.socket(socket.AF_UNIX) as target, socket.socket(socket.AF_UNIX) as client:
        target.bind(str(sockets / "out"))
        target.listen()
        relay = add("socket-relay", "r", listen=f"unix:{sockets}/in",
                    target=f"unix:{sockets}/out", drain_timeout_ms=3600000)
        files.write("1.json", relay)
        reload(qmp)
        client.connect(str(sockets / "in"))
        target.accept()[0].close()
        with daemon.connect() as other:
            other.send({"execute": "object-del", "arguments": {"id": "r"}})
            wait_for(lambda: not (sockets / "in").exists())  # it drains
            assert error_of(reload, qmp) == (
                files.where("1.json", 1) + ": Object 'r' is being deleted")
            client.close()
            assert other.receive_reply() == {"return": {}}
            assert reload(qmp)["added"] == [name("socket-relay", "r")]


# ---- what is known beforehand ----


@pytest.mark.parametrize("properties, why", [
    ({"thread_pool_min": 65}, "thread-pool-min is 65, more than thread-pool-max, 64"),
    ({"thread_pool_min": 3, "thread_pool_max": 2},
     "thread-pool-min is 3, more than thread-pool-max, 2"),
    ({"cpu_affinity": "0-"}, "cpu-affinity is '0-', expected a list of CPUs such as '0-3,8'"),
    ({"cpu_affinity": "8192"}, "cpu-affinity is '8192', expected a list of CPUs such as '0-3,8'"),
])
def test_properties_of_an_iothread_that_can_t_be_are_found_before_anything_is_changed(
        qmp, daemon, files, state, properties, why):
    files.write("a.json", add("iothread", "io0"), add("iothread", "io1"), timer("t0"))
    reload(qmp)
    for lines in (  # one that is there, and one to be added: each after what could be done
            [timer("t0", iothread="io1"), add("iothread", "io1"),
             add("iothread", "io0", poll_max_ns=3, **properties)],
            [add("iothread", "io2"), add("iothread", "io1", poll_max_ns=3),
             add("iothread", "new", **properties)]):
        before, log = state(), daemon.stderr()
        files.write("a.json", *lines)
        error = error_of(reload, qmp)
        assert error == f"{files.where('a.json', 3)}: {why}"
        assert state() == before
        # No step was done, and none undone.
        assert daemon.stderr() == log + f"evloopd: warning: configuration: not applied: {error}\n"
        assert error_of(apply, qmp, "".join(lines), dry_run=True) == f"f0: line 3: {why}"


def test_properties_of_an_iothread_go_together_at_the_end_only(qmp, files):
    files.write("a.json", add("iothread", "io0", thread_pool_min=2, thread_pool_max=2))
    reload(qmp)
    files.write("a.json", add("iothread", "io0", cpu_affinity=str(CPUS[0]), thread_pool_min=70,
                              thread_pool_max=80))
    reload(qmp)
    assert [get(qmp, "io0", key) for key in ("thread-pool-min", "thread-pool-max")] == [70, 80]


# ---- when a step fails ----


def test_all_is_undone_when_the_third_step_fails(qmp, daemon, files, state):
    files.write("a.json", add("iothread", "io0"))
    reload(qmp)
    before = state()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp:127.0.0.1:{taken.getsockname()[1]}"
        files.write("a.json", add("iothread", "io0", poll_max_ns=3), add("iothread", "io1"),
                    timer("t0", iothread="io1"),
                    add("socket-relay", "r", listen=address, target="unix:@none"))
        error = error_of(reload, qmp)
    assert error.startswith(files.where("a.json", 4) + ": ")
    assert "Address already in use" in error
    assert state() == before
    assert daemon.stderr().splitlines()[-5:] == [
        "evloopd: notice: configuration: iothread 'io1' added",
        "evloopd: notice: configuration: timer 't0' added",
        "evloopd: notice: configuration: undone: timer 't0' deleted",
        "evloopd: notice: configuration: undone: iothread 'io1' deleted",
        f"evloopd: warning: configuration: not applied: {error}"]


def test_properties_are_set_back_when_one_is_refused(qmp, files, state):
    files.write("a.json", add("iothread", "io0"), timer("t0"))
    reload(qmp)
    before = state()
    files.write("a.json", timer("t0", iothread="io0"),
                add("iothread", "io0", poll_max_ns=3, cpu_affinity=str(MISSING_CPU)))
    assert error_of(reload, qmp).startswith(files.where("a.json", 2) + ": ")
    assert state() == before and get(qmp, "t0", "iothread") is None


def test_what_has_gone_comes_back_when_what_had_to_wait_for_it_fails(qmp, daemon, files, sockets):
    """A relay on an IOThread that is replaced can only be added late."""
    old = add("socket-relay", "old", listen=f"unix:{sockets}/in", target="unix:@a", iothread="io0",
              buffer_size=4096)
    files.write("a.json", add("iothread", "io0"), add("iothread", "io1"), old)
    reload(qmp)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp:127.0.0.1:{taken.getsockname()[1]}"
        files.write("a.json", add("iothread", "io0", fdmon="poll"), add("iothread", "io2"),
                    add("socket-relay", "new", listen=address, target="unix:@a", iothread="io0"))
        error = error_of(reload, qmp)
    assert error.startswith(files.where("a.json", 3) + ": ")
    assert "Address already in use" in error
    assert set(objects_of(qmp)) == {"io0", "io1", "old"}
    assert get(qmp, "io0", "fdmon") == "auto"
    assert get(qmp, "old", "buffer-size") == 4096 and get(qmp, "old", "iothread") == "io0"
    assert (sockets / "in").exists()
    log = [line.split("configuration: ")[1] for line in daemon.stderr().splitlines()[5:-1]]
    assert len(log) == 10
    for done, undone in zip(log[:5], reversed(log[5:])):
        what, _, verb = done.split(",")[0].rpartition(" ")
        assert undone == f"undone: {what} " + {"added": "deleted", "deleted": "added anew"}[verb]
    # It is still the configuration's.
    files.write("a.json")
    assert sorted(item["id"] for item in reload(qmp)["removed"]) == ["io0", "io1", "old"]


@pytest.mark.parametrize("spelling", ["tcp:127.0.0.1:{port}", "tcp:localhost:{port}"])
def test_an_address_goes_to_an_object_of_another_name(qmp, files, spelling):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    files.write("a.json", add("socket-relay", "old", listen=f"tcp:127.0.0.1:{port}",
                              target="unix:@a"))
    reload(qmp)
    files.write("a.json", add("socket-relay", "new", listen=spelling.format(port=port),
                              target="unix:@a"))
    assert reload(qmp) == {**NOTHING, "added": [name("socket-relay", "new")],
                           "removed": [name("socket-relay", "old")]}


# ---- clients meanwhile ----


def test_commands_that_change_objects_wait_until_it_is_over(qmp, daemon, files, sockets):
    with socket.socket(socket.AF_UNIX) as target, socket.socket(socket.AF_UNIX) as client:
        target.bind(str(sockets / "out"))
        target.listen()
        files.write("a.json", add("iothread", "io0"),
                    add("socket-relay", "r", listen=f"unix:{sockets}/in", iothread="io0",
                        target=f"unix:{sockets}/out", drain_timeout_ms=3600000))
        reload(qmp)
        client.connect(str(sockets / "in"))
        peer = target.accept()[0]
        files.write("a.json")
        qmp.send({"execute": "reload"})
        wait_for(lambda: not (sockets / "in").exists())  # it drains
        others = [daemon.connect() for _ in range(3)]
        others[0].send({"execute": "object-add", "arguments": {"qom-type": "timer", "id": "t",
                                                               "period-ns": FAR,
                                                               "iothread": "io0"}})
        others[1].send({"execute": "object-del", "arguments": {"id": "io0"}})
        others[2].send({"execute": "qom-set", "arguments": {"path": "io0", "value": 1,
                                                            "property": "poll-max-ns"}})
        with daemon.connect() as reader:
            assert get(reader, "io0", "poll-max-ns") == 32768
            assert objects_of(reader) == {"io0": "iothread", "r": "socket-relay"}
        assert not any(other.has_input() for other in others)
        client.close()
        peer.close()
        assert len(qmp.receive_reply()["return"]["removed"]) == 2
        answers = [other.receive_reply()["error"]["desc"] for other in others]
        assert "there is no IOThread 'io0'" in answers[0]
        assert answers[1] == "There is no object 'io0'"
        assert answers[2] == "There is no object at path 'io0'"
        for other in others:
            other.close()
    assert objects_of(qmp) == {}


def test_many_objects_at_once(qmp, files):
    lines = [add("iothread", "io0")]
    lines += [timer(f"t{i}", iothread="io0") for i in range(300)]
    files.write("a.json", *lines)
    assert len(reload(qmp)["added"]) == 301
    files.write("a.json", *(line.replace('"iothread": "io0"', '"iothread": null')
                            for line in lines[1:]))
    result = reload(qmp)
    assert len(result["changed"]) == 300 and result["removed"] == [name("iothread", "io0")]
    files.write("a.json")
    assert len(reload(qmp)["removed"]) == 300


# ---- config-apply ----


def apply(qmp, *texts, dry_run=False):
    files = [{"name": f"f{i}", "text": text} for i, text in enumerate(texts)]
    return qmp.command("config-apply", files=files, **({"dry_run": True} if dry_run else {}))


def test_a_dry_run_tells_and_changes_nothing(qmp, daemon, files, state):
    files.write("a.json", add("iothread", "io0"), timer("t0"))
    reload(qmp)
    before, log = state(), daemon.stderr()
    text = add("iothread", "io0", fdmon="poll") + add("iothread", "io1")
    expected = {**NOTHING, "added": [name("iothread", "io1")], "removed": [name("timer", "t0")],
                "replaced": [change("iothread", "io0", "fdmon", "auto", "poll")]}
    assert apply(qmp, text, dry_run=True) == expected
    assert state() == before and daemon.stderr() == log
    assert apply(qmp, text) == expected
    assert apply(qmp, text, dry_run=True) == NOTHING
    # What the directory asks for is there again after a reload.
    reload(qmp)
    assert objects_of(qmp) == {"io0": "iothread", "t0": "timer"}


def test_applied_files_are_one_configuration(qmp):
    assert [item["id"] for item in apply(qmp, timer("t0", iothread="io0"),
                                         add("iothread", "io0"))["added"]] == ["io0", "t0"]
    assert apply(qmp)["removed"] == [name("iothread", "io0"), name("timer", "t0")]


@pytest.mark.parametrize("dry_run", [False, True])
def test_an_error_names_the_file_as_the_client_does(qmp, state, dry_run):
    before = state()
    assert error_of(apply, qmp, GOOD, "\n" + GOOD, dry_run=dry_run) == (
        "f1: line 2: Object 'io0' is asked for already, by f0: line 1")
    assert state() == before


def test_applying_needs_no_directory(start_daemon):
    with start_daemon().connect() as qmp:
        assert apply(qmp, GOOD)["added"] == [name("iothread", "io0")]
        assert error_of(reload, qmp) == (
            "There is no configuration directory, for the daemon was started without --config-dir")


@pytest.mark.parametrize("arguments, text", [
    ({}, "Parameter 'files' is missing"),
    ({"files": "x"}, "Parameter 'files' expects an array"),
    ({"files": [{}]}, "Parameter 'files[0].name' is missing"),
    ({"files": [{"name": "x", "text": 1}]}, "Parameter 'files[0].text' expects a string"),
    ({"files": [], "dry-run": 1}, "Parameter 'dry-run' expects true or false"),
])
def test_wrong_arguments_are_named(qmp, arguments, text):
    qmp.expect_error({"execute": "config-apply", "arguments": arguments}, text)


def test_one_after_the_other(daemon, files):
    files.write("a.json", add("iothread", "io0"))
    sessions = [daemon.connect() for _ in range(8)]
    text = add("iothread", "io1")
    for i, session in enumerate(sessions):
        session.send({"execute": "reload"} if i % 2 else {
            "execute": "config-apply", "arguments": {"files": [{"name": "f", "text": text}]}})
    for session in sessions:
        assert "return" in session.receive_reply()
    with daemon.connect() as qmp:
        assert list(objects_of(qmp)) in (["io0"], ["io1"])
    for session in sessions:
        session.close()


# ---- the manual ----


def test_the_example_files_of_the_manual_page_are_a_configuration(qmp, files):
    page = (Path(__file__).parents[2] / "man" / "evloopd.conf.5").read_text()
    blocks = re.findall(r"^\.Pa (\S+\.json) :\n\.Bd -literal.*?\n(.*?)^\.Ed$", page,
                        re.MULTILINE | re.DOTALL)
    assert [name for name, _ in blocks] == sorted(name for name, _ in blocks)
    result = apply(qmp, *(text for _, text in blocks), dry_run=True)
    assert result == {**NOTHING, "added": [
        name("iothread", "io0"), name("iothread", "io1"), name("socket-relay", "web")]}


# ---- at the start ----


def test_a_daemon_does_not_start_with_a_wrong_configuration(evloopd, files, sockets):
    files.write("1.json", GOOD)
    files.write("2.json", "\n", timer("t0", iothread="none"))
    result = subprocess.run([evloopd, "--qmp", f"unix:{sockets}/x", "--config-dir",
                             str(files.path)], capture_output=True, text=True, timeout=DEADLINE)
    assert result.returncode == 1
    error = f"{files.where('2.json', 2)}: Parameter 'iothread': there is no iothread 'none'"
    assert result.stderr.splitlines()[-1] == f"evloopd: --config-dir: {error}"
    assert os.listdir(sockets) == []


def test_what_waits_when_the_daemon_ends_is_not_begun(daemon, qmp, files, sockets):
    with socket.socket(socket.AF_UNIX) as target, socket.socket(socket.AF_UNIX) as client:
        target.bind(str(sockets / "out"))
        target.listen()
        files.write("a.json", add("socket-relay", "r", listen=f"unix:{sockets}/in",
                                  target=f"unix:{sockets}/out", drain_timeout_ms=3600000))
        reload(qmp)
        client.connect(str(sockets / "in"))
        peer = target.accept()[0]
        files.write("a.json")
        qmp.send({"execute": "reload"})
        wait_for(lambda: not (sockets / "in").exists())  # it drains
        with daemon.connect() as waiting, daemon.connect() as other:
            files.write("a.json", add("iothread", "io0"))
            waiting.send({"execute": "reload"})
            daemon.sync_monitor()
            other.command("quit")
            other.wait_event("SHUTDOWN")
            client.close()
            peer.close()
            assert qmp.receive_reply()["return"]["removed"] == [name("socket-relay", "r")]
            error = waiting.receive_reply()["error"]["desc"]
            assert error == "The daemon is about to end"
    assert daemon.proc.wait(DEADLINE) == 0


def test_what_has_begun_is_finished_before_the_daemon_ends(daemon, qmp, files):
    files.write("a.json", *(timer(f"t{i}") for i in range(100)))
    with daemon.connect() as other:
        qmp.send({"execute": "reload"})
        qmp.wait_event("OBJECT_ADDED")
        other.command("quit")
    assert len(qmp.receive_reply()["return"]["added"]) == 100
    assert daemon.proc.wait(DEADLINE) == 0
