"""IOThreads from the outside: properties, their threads in the kernel, life and events."""

import json
import os
import resource
from pathlib import Path

import pytest

from held_thread import held
from qmp_client import Qmp, QmpError

INT64_MAX = 2**63 - 1
INT_MAX = 2**31 - 1
DEFAULTS = {
    "poll-max-ns": 32768, "poll-grow": 0, "poll-shrink": 0, "aio-max-batch": 0,
    "thread-pool-min": 0, "thread-pool-max": 64, "cpu-affinity": "", "sched-policy": "other",
    "sched-priority": 1, "fdmon": "auto",
}
RANGES = {
    "poll-max-ns": (0, INT64_MAX), "poll-grow": (0, INT64_MAX), "poll-shrink": (0, INT64_MAX),
    "aio-max-batch": (0, INT64_MAX), "thread-pool-min": (0, INT_MAX),
    "thread-pool-max": (1, INT_MAX), "sched-priority": (1, 99),
}
POLICIES = {"other": os.SCHED_OTHER, "batch": os.SCHED_BATCH, "idle": os.SCHED_IDLE,
            "fifo": os.SCHED_FIFO, "rr": os.SCHED_RR}
CPUS = sorted(os.sched_getaffinity(0))
MISSING_CPU = 8000


def add(qmp, name, **properties):
    qmp.command("object-add", qom_type="iothread", id=name, **properties)
    return info(qmp, name)


def info(qmp, name):
    return next(i for i in qmp.command("query-iothreads") if i["id"] == name)


def get(qmp, name, key):
    return qmp.command("qom-get", path=f"/objects/{name}", property=key)


def set_(qmp, name, key, value):
    return qmp.command("qom-set", path=f"/objects/{name}", property=key, value=value)


def error_of(function, *args, **kwargs):
    with pytest.raises(QmpError) as caught:
        function(*args, **kwargs)
    return caught.value.desc


def ids(qmp):
    return [i["id"] for i in qmp.command("query-iothreads")]


def other_than(key):
    """A value of a property that is not its default."""
    return {"cpu-affinity": str(CPUS[0]), "sched-policy": "batch", "fdmon": "poll"}.get(key, 7)


def may_be_realtime(thread_id):
    """Whether the system lets us use real-time policies."""
    saved = os.sched_getscheduler(thread_id)
    try:
        os.sched_setscheduler(thread_id, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return False
    os.sched_setscheduler(thread_id, saved, os.sched_param(0))
    return True


# ---- properties ----


def test_defaults(qmp):
    added = add(qmp, "io0")
    assert {key: added[key] for key in DEFAULTS} == DEFAULTS
    assert added["fdmon-in-use"] in ("io_uring", "epoll", "poll")
    assert set(added) == {*DEFAULTS, "id", "thread-id", "fdmon-in-use"}


@pytest.mark.parametrize("key", DEFAULTS)
def test_a_property_given_at_creation(qmp, key):
    value = other_than(key)
    added = add(qmp, "io0", **{key: value})
    assert {k: added[k] for k in DEFAULTS} == {**DEFAULTS, key: value}
    assert get(qmp, "io0", key) == value


@pytest.mark.parametrize("key", [key for key in DEFAULTS if key != "fdmon"])
def test_a_property_set_while_the_thread_runs(qmp, key):
    before = add(qmp, "io0")
    assert set_(qmp, "io0", key, other_than(key)) == {}
    assert get(qmp, "io0", key) == other_than(key)
    assert info(qmp, "io0") == {**before, key: other_than(key)}


@pytest.mark.parametrize("form", ["keys", "json"])
def test_all_properties_given_by_option(start_daemon, form):
    values = {key: other_than(key) for key in DEFAULTS}
    text = json.dumps({"qom-type": "iothread", "id": "io0", **values})
    if form == "keys":
        text = "iothread,id=io0," + ",".join(f"{key}={value}" for key, value in values.items())
    with start_daemon("--object", text).connect() as qmp:
        added = info(qmp, "io0")
        assert {key: added[key] for key in DEFAULTS} == values


@pytest.mark.parametrize("key", RANGES)
def test_both_ends_of_a_range(qmp, key):
    add(qmp, "io0", thread_pool_max=INT_MAX)
    for value in RANGES[key]:
        set_(qmp, "io0", key, value)
        assert get(qmp, "io0", key) == value
        if key.startswith("thread-pool"):
            set_(qmp, "io0", "thread-pool-min", 0)
            set_(qmp, "io0", "thread-pool-max", INT_MAX)


@pytest.mark.parametrize("key", RANGES)
def test_a_number_out_of_range_or_of_another_type_changes_nothing(qmp, key):
    low, high = RANGES[key]
    before = add(qmp, "io0")
    expected = f"Parameter '{key}' expects an integer from {low} to {high}"
    for bad in (low - 1, high + 1, -2**63, 2**64, 1.5, 1e30, "1", "", True, None, [], {}, [1]):
        assert error_of(set_, qmp, "io0", key, bad) == expected
        assert error_of(add, qmp, "io1", **{key: bad}) == expected
    assert qmp.command("query-iothreads") == [before]


@pytest.mark.parametrize("key", ["sched-policy", "fdmon"])
def test_an_unknown_word_names_the_words_that_there_are(qmp, key):
    words = {"sched-policy": "'other', 'batch', 'idle', 'fifo', 'rr'",
             "fdmon": "'auto', 'io_uring', 'epoll', 'poll'"}[key]
    for bad in ("", "Other", "auto ", 1, None, True, ["poll"], "poll\0"):
        text = error_of(add, qmp, "io0", **{key: bad})
        assert text == f"Parameter '{key}' expects one of {words}"
    assert ids(qmp) == []


@pytest.mark.parametrize("key", ["thread-id", "fdmon-in-use"])
def test_a_read_only_property_can_not_be_set(qmp, key):
    before = add(qmp, "io0")
    assert error_of(set_, qmp, "io0", key, before[key]) == f"Property '{key}' is read-only"
    assert error_of(add, qmp, "io1", **{key: 1}) == f"Parameter '{key}' is read-only"
    assert qmp.command("query-iothreads") == [before]


def test_fdmon_can_be_set_at_creation_only(qmp):
    before = add(qmp, "io0", fdmon="poll")
    assert before["fdmon-in-use"] == "poll"
    assert error_of(set_, qmp, "io0", "fdmon", "epoll") == (
        "Property 'fdmon' can only be set when the object is added")
    assert qmp.command("query-iothreads") == [before]


def test_a_property_that_is_not_there(qmp):
    add(qmp, "io0")
    expected = "Object 'io0', of type 'iothread', has no property 'colour'"
    assert error_of(set_, qmp, "io0", "colour", 1) == expected
    assert error_of(get, qmp, "io0", "colour") == expected
    assert error_of(add, qmp, "io1", colour=1) == "Parameter 'colour' is unexpected"
    assert error_of(set_, qmp, "io0", "type", "x") == "Property 'type' is read-only"
    assert ids(qmp) == ["io0"]


def test_a_pool_with_a_minimum_above_its_maximum_changes_nothing(qmp):
    before = add(qmp, "io0")
    text = error_of(set_, qmp, "io0", "thread-pool-min", 65)
    assert text == "thread-pool-min is 65, more than thread-pool-max, 64"
    assert error_of(add, qmp, "io1", thread_pool_min=3, thread_pool_max=2) == (
        "thread-pool-min is 3, more than thread-pool-max, 2")
    assert qmp.command("query-iothreads") == [before]
    assert "io1" not in [loop["id"] for loop in qmp.command("query-loops")]


# ---- the thread ----


def test_the_thread_has_the_objects_name(daemon, qmp):
    for name in ("io0", "fifteen-letters", "a-name-too-long-for-a-thread"):
        thread_id = add(qmp, name)["thread-id"]
        assert daemon.tasks()[thread_id] == name[:15]


def test_affinity_is_in_force(qmp):
    thread = add(qmp, "io0", cpu_affinity=str(CPUS[-1]))["thread-id"]
    assert os.sched_getaffinity(thread) == {CPUS[-1]}
    lists = {str(CPUS[0]): {CPUS[0]}, f"{CPUS[0]}-{CPUS[0]}": {CPUS[0]}}
    if CPUS[:2] == [0, 1]:
        lists |= {"0-1": {0, 1}, "0,1": {0, 1}, "1,0": {0, 1}, "1,1": {1}, "0-1,1": {0, 1}}
    for text, cpus in lists.items():
        set_(qmp, "io0", "cpu-affinity", text)
        assert (get(qmp, "io0", "cpu-affinity"), os.sched_getaffinity(thread)) == (text, cpus)
    set_(qmp, "io0", "cpu-affinity", "")
    assert os.sched_getaffinity(thread) == set(CPUS)


def test_without_affinity_a_new_thread_has_the_main_threads(daemon, qmp):
    os.sched_setaffinity(daemon.proc.pid, {CPUS[-1]})
    thread = add(qmp, "io0")["thread-id"]
    assert (get(qmp, "io0", "cpu-affinity"), os.sched_getaffinity(thread)) == ("", {CPUS[-1]})
    os.sched_setaffinity(daemon.proc.pid, CPUS)
    set_(qmp, "io0", "cpu-affinity", "")
    assert os.sched_getaffinity(thread) == set(CPUS)


def test_cpus_that_are_not_there_are_left_out_as_long_as_one_is(qmp):
    thread = add(qmp, "io0", cpu_affinity=f"{CPUS[0]},{MISSING_CPU}")["thread-id"]
    assert os.sched_getaffinity(thread) == {CPUS[0]}


@pytest.mark.parametrize("text", [
    "x", "-", ",", "-1", "1-", "0,", ",0", "0,,1", "1-0", "0--1", "0-1-2", " 0", "0 ", "+0", "0x0",
    "8192", "0-8192", "99999999999999999999", "0;1", "all"])
def test_a_bad_list_of_cpus_changes_nothing(qmp, text):
    before = add(qmp, "io0")
    cpus = os.sched_getaffinity(before["thread-id"])
    expected = f"cpu-affinity is '{text}', expected a list of CPUs such as '0-3,8'"
    assert error_of(set_, qmp, "io0", "cpu-affinity", text) == expected
    assert error_of(add, qmp, "io1", cpu_affinity=text) == expected
    assert os.sched_getaffinity(before["thread-id"]) == cpus
    assert qmp.command("query-iothreads") == [before]


def test_affinity_to_nothing_but_missing_cpus_changes_nothing(daemon, qmp):
    before = add(qmp, "io0")
    expected = f"cpu-affinity is '{MISSING_CPU}', which names no CPU that this process may use"
    assert error_of(set_, qmp, "io0", "cpu-affinity", str(MISSING_CPU)) == expected
    tasks = daemon.tasks()
    assert error_of(add, qmp, "io1", cpu_affinity=str(MISSING_CPU)) == expected
    assert daemon.tasks() == tasks
    assert qmp.command("query-iothreads") == [before]
    for bad in (0, None, [0]):
        assert error_of(set_, qmp, "io0", "cpu-affinity", bad) == (
            "Parameter 'cpu-affinity' expects a string")


@pytest.mark.parametrize("policy", POLICIES)
def test_policy_and_priority_are_in_force(qmp, policy):
    thread = add(qmp, "io0")["thread-id"]
    realtime = policy in ("fifo", "rr")
    if realtime and not may_be_realtime(thread):
        pytest.skip("no right to real-time policies")
    set_(qmp, "io0", "sched-priority", 3)
    assert os.sched_getparam(thread).sched_priority == 0
    set_(qmp, "io0", "sched-policy", policy)
    assert os.sched_getscheduler(thread) == POLICIES[policy]
    assert os.sched_getparam(thread).sched_priority == (3 if realtime else 0)
    set_(qmp, "io0", "sched-priority", 4)
    assert os.sched_getparam(thread).sched_priority == (4 if realtime else 0)
    created = add(qmp, "io1", sched_policy=policy, sched_priority=5)["thread-id"]
    assert os.sched_getscheduler(created) == POLICIES[policy]
    assert os.sched_getparam(created).sched_priority == (5 if realtime else 0)


def test_a_policy_without_the_right_to_it_changes_nothing(start_daemon):
    def drop_right():
        import ctypes  # pylint: disable=import-outside-toplevel
        ctypes.CDLL(None).prctl(24, 23, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_SYS_NICE
        resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))

    daemon = start_daemon(preexec_fn=drop_right)
    with daemon.connect() as qmp:
        before = add(qmp, "io0")
        tasks = daemon.tasks()
        expected = ("sched-policy 'fifo' with sched-priority 1: Operation not permitted "
                    "(real-time policies need CAP_SYS_NICE or RLIMIT_RTPRIO)")
        assert error_of(set_, qmp, "io0", "sched-policy", "fifo") == expected
        assert error_of(add, qmp, "io1", sched_policy="fifo") == expected
        assert os.sched_getscheduler(before["thread-id"]) == os.SCHED_OTHER
        assert (daemon.tasks(), qmp.command("query-iothreads")) == (tasks, [before])


# ---- life ----


@pytest.mark.parametrize("name", ["", "0", "1io", "-a", ".a", "_a", "a b", "a/b", "ä", "a\n",
                                  "a,b"])
def test_a_bad_id(qmp, name):
    assert error_of(add, qmp, name) == (
        f"Parameter 'id' expects a letter, then letters, digits, '-', '.', '_', not '{name}'")
    assert ids(qmp) == []


def test_an_id_is_bounded(qmp):
    add(qmp, "a" * 255)
    assert error_of(add, qmp, "a" * 256) == (
        "Parameter 'id' expects a string of at most 255 bytes")
    assert ids(qmp) == ["a" * 255]


def test_a_list_of_cpus_is_bounded(qmp):
    cpu = f"{CPUS[0]},"
    longest = cpu * (32768 // len(cpu) - 1) + f"{CPUS[0]}"
    add(qmp, "io0", cpu_affinity=longest)
    assert error_of(set_, qmp, "io0", "cpu-affinity", cpu * (32769 // len(cpu) + 1)) == (
        "Parameter 'cpu-affinity' expects a string of at most 32768 bytes")
    assert get(qmp, "io0", "cpu-affinity") == longest


def test_good_ids(qmp):
    names = ["a", "Z", "a0-._", "x" * 200]
    for name in names:
        add(qmp, name)
    assert ids(qmp) == names


def test_an_id_that_is_taken(qmp):
    before = add(qmp, "io0")
    assert error_of(add, qmp, "io0", poll_max_ns=1) == "There is an object 'io0' already"
    for name in ("main-loop", "mon_iothread"):
        assert error_of(add, qmp, name) == f"there is a loop '{name}' already"
    assert qmp.command("query-iothreads") == [before]


def test_arguments_that_are_missing_or_wrong(qmp):
    assert error_of(qmp.command, "object-add", id="a") == "Parameter 'qom-type' is missing"
    assert error_of(qmp.command, "object-add", qom_type="iothread") == "Parameter 'id' is missing"
    assert error_of(qmp.command, "object-add", qom_type="x", id="a") == (
        "Parameter 'qom-type' expects one of 'event-notifier', 'iothread', 'socket-relay', 'timer'")
    assert error_of(add, qmp, 7) == "Parameter 'id' expects a string"
    assert error_of(qmp.command, "object-del") == "Parameter 'id' is missing"
    assert error_of(qmp.command, "object-del", id="a") == "There is no object 'a'"
    assert ids(qmp) == []


def wait_until_deleting(qmp):
    """Until io0, whose deletion another session has asked for, is being deleted."""
    while True:
        try:
            set_(qmp, "io0", "poll-grow", 1)
        except QmpError as error:
            assert error.desc == "Object 'io0' is being deleted"
            return


def test_deletion_is_answered_when_the_thread_is_gone_and_others_are_served_meanwhile(daemon, qmp):
    thread_id = add(qmp, "io0")["thread-id"]
    with held(thread_id) as thread, Qmp(daemon.socket) as other:
        qmp.send({"execute": "object-del", "arguments": {"id": "io0"}, "id": 1})
        qmp.send({"execute": "x-debug-echo", "arguments": {"value": 2}, "id": 2})
        wait_until_deleting(other)
        assert error_of(other.command, "object-del", id="io0") == (
            "Object 'io0' is being deleted already")
        assert error_of(set_, other, "io0", "poll-grow", 1) == "Object 'io0' is being deleted"
        assert error_of(add, other, "io0") == "There is an object 'io0' already"
        assert info(other, "io0")["thread-id"] == thread_id
        add(other, "io1")
        other.command("object-del", id="io1")
        # The first session's turn comes in order; out-of-band it is served now.
        qmp.send({"exec-oob": "x-debug-echo", "arguments": {"value": 3}, "id": 3})
        assert qmp.receive_reply() == {"return": 3, "id": 3}
        assert thread_id in daemon.tasks()
        thread.release()
        assert qmp.receive_reply() == {"return": {}, "id": 1}
        assert thread_id not in daemon.tasks()
        assert qmp.receive_reply() == {"return": 2, "id": 2}
        assert ids(other) == []


def test_an_id_is_free_again_after_deletion(qmp):
    first = add(qmp, "io0")["thread-id"]
    qmp.command("object-del", id="io0")
    assert error_of(qmp.command, "object-del", id="io0") == "There is no object 'io0'"
    assert add(qmp, "io0")["thread-id"] != first


def test_a_client_that_leaves_does_not_stop_a_deletion(daemon, qmp):
    thread_id = add(qmp, "io0")["thread-id"]
    with held(thread_id) as thread:
        with Qmp(daemon.socket) as other:
            other.send({"execute": "object-del", "arguments": {"id": "io0"}})
            wait_until_deleting(qmp)
        thread.release()
        qmp.wait_event("OBJECT_DELETED")
    assert ids(qmp) == []


def test_each_watches_how_long_it_waits_for_a_processor(daemon, qmp):
    """By a descriptor of its own thread's, from its start to its end."""
    def watched():
        return {link for link in daemon.links() if link.endswith("/schedstat")}

    def file_of(thread):
        return f"/proc/{daemon.proc.pid}/task/{thread}/schedstat"

    [monitor] = [number for number, name in daemon.tasks().items() if name == "mon_iothread"]
    if not os.path.exists(file_of(monitor)):
        pytest.skip("the system does not tell")
    assert watched() == {file_of(monitor)}
    add(qmp, "io0")
    add(qmp, "io1")
    threads = [iothread["thread-id"] for iothread in qmp.command("query-iothreads")]
    assert watched() == {file_of(thread) for thread in (monitor, *threads)}
    for name in ids(qmp):
        qmp.command("object-del", id=name)
        qmp.wait_event("OBJECT_DELETED")
    assert watched() == {file_of(monitor)}


def test_out_of_descriptors_leaves_nothing(start_daemon):
    daemon = start_daemon()
    with daemon.connect() as qmp:
        add(qmp, "io0")
        state = (daemon.count_fds(), daemon.tasks(), qmp.command("query-iothreads"))
        soft, hard = resource.prlimit(daemon.proc.pid, resource.RLIMIT_NOFILE)
        for spare in (0, 1):
            resource.prlimit(daemon.proc.pid, resource.RLIMIT_NOFILE, (state[0] + spare, hard))
            assert "Too many open files" in error_of(add, qmp, "io1")
            assert (daemon.count_fds(), daemon.tasks(),
                    qmp.command("query-iothreads")) == state
        resource.prlimit(daemon.proc.pid, resource.RLIMIT_NOFILE, (soft, hard))
        add(qmp, "io1")


def test_out_of_memory_for_threads_leaves_nothing(start_daemon):
    daemon = start_daemon()
    maps = Path(f"/proc/{daemon.proc.pid}/maps").read_text()
    if "libasan" in maps or "libtsan" in maps:
        pytest.skip("a sanitizer can't live within a limit of address space")
    with daemon.connect() as qmp:
        add(qmp, "io0")
        fds, tasks = daemon.count_fds(), daemon.tasks()
        size = int(Path(f"/proc/{daemon.proc.pid}/statm").read_text().split()[0])
        limit = size * os.sysconf("SC_PAGESIZE") + (1 << 20)  # less than a stack
        _, hard = resource.prlimit(daemon.proc.pid, resource.RLIMIT_AS)
        resource.prlimit(daemon.proc.pid, resource.RLIMIT_AS, (limit, hard))
        assert error_of(add, qmp, "io1") == (
            "IOThread 'io1': can't create a thread: Resource temporarily unavailable")
        assert (daemon.count_fds(), daemon.tasks(), ids(qmp)) == (fds, tasks, ["io0"])
        resource.prlimit(daemon.proc.pid, resource.RLIMIT_AS, (hard, hard))
        add(qmp, "io1")


def test_ten_thousand_rounds_leave_no_descriptor_thread_or_memory(daemon, qmp):
    count = int(10000 * float(os.environ.get("EVLOOP_STRESS", 1)))

    def rounds(n):
        for _ in range(n):
            qmp.command("object-add", qom_type="iothread", id="io0")
            qmp.command("object-del", id="io0")
            qmp.events.clear()

    rounds(200)
    fds, tasks, memory = daemon.count_fds(), daemon.tasks(), daemon.resident_kb()
    rounds(count)
    assert (daemon.count_fds(), daemon.tasks()) == (fds, tasks)
    if not daemon.is_sanitized():  # a sanitizer keeps what has been freed
        assert daemon.resident_kb() - memory < 1024


# ---- the tree, and events ----


def test_the_tree(qmp):
    add(qmp, "io0")
    thing = [{"name": "type", "type": "string"}]
    assert qmp.command("qom-list", path="/") == [
        *thing, {"name": "objects", "type": "child<container>"}]
    children = [*thing, {"name": "io0", "type": "child<iothread>"}]
    for path in ("/objects", "objects", "/objects/", "//objects"):
        assert qmp.command("qom-list", path=path) == children
    for path in ("/objects/io0", "io0", "objects/io0"):
        listed = {p["name"]: p["type"] for p in qmp.command("qom-list", path=path)}
        assert set(listed) == {"type", "thread-id", "fdmon-in-use", *DEFAULTS}
        assert (listed["poll-max-ns"], listed["cpu-affinity"]) == ("int", "string")
        assert listed["sched-policy"] == "SchedPolicy"
        assert qmp.command("qom-get", path=path, property="type") == "iothread"
    assert qmp.command("qom-get", path="/", property="objects") == "/objects"
    assert qmp.command("qom-get", path="/objects", property="io0") == "/objects/io0"
    assert qmp.command("qom-get", path="/objects", property="type") == "container"


@pytest.mark.parametrize("path", ["", "x", "/io0", "/objects/x", "/objects/io0/x", "/machine",
                                  "io0/x", "objects/objects"])
def test_a_path_that_leads_nowhere(qmp, path):
    add(qmp, "io0")
    for run in (lambda: qmp.command("qom-list", path=path),
                lambda: qmp.command("qom-get", path=path, property="type"),
                lambda: qmp.command("qom-set", path=path, property="poll-grow", value=1)):
        with pytest.raises(QmpError) as caught:
            run()
        assert (caught.value.error_class, caught.value.desc) == (
            "DeviceNotFound", f"There is no object at path '{path}'")


def test_types(qmp):
    assert {"name": "iothread", "parent": "object"} in qmp.command("qom-list-types")
    assert [t["name"] for t in qmp.command("qom-list-types", implements="user-creatable")] == [
        "event-notifier", "iothread", "socket-relay", "timer"]
    assert {"name": "object", "abstract": True} in qmp.command("qom-list-types", abstract=True)
    assert qmp.command("qom-list-types", implements="nothing") == []
    listed = {p["name"]: p for p in qmp.command("qom-list-properties", typename="iothread")}
    for key, value in DEFAULTS.items():
        assert listed[key]["default-value"] == value and listed[key]["description"]
    assert listed["thread-id"]["read-only"] and listed["fdmon"]["create-only"]
    assert "read-only" not in listed["poll-grow"] and "create-only" not in listed["poll-grow"]
    assert error_of(qmp.command, "qom-list-properties", typename="x") == (
        "There is no object type 'x'")


def test_events(daemon, qmp):
    with Qmp(daemon.socket) as other:
        add(other, "io0")
        error_of(add, other, "io0")
        set_(other, "io0", "poll-max-ns", 5)
        error_of(set_, other, "io0", "poll-max-ns", -1)
        other.command("object-del", id="io0")
    where = {"id": "io0", "qom-type": "iothread", "path": "/objects/io0"}
    expected = [("OBJECT_ADDED", where),
                ("OBJECT_PROPERTY_CHANGED", {**where, "property": "poll-max-ns", "value": 5}),
                ("OBJECT_DELETED", where)]
    for name, data in expected:
        event = qmp.wait_event()
        assert (event["event"], event["data"]) == (name, data)
    assert qmp.command("query-iothreads") == []
    assert qmp.events == []
