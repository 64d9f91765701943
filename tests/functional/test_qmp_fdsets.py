"""add-fd, remove-fd and query-fdsets: sets of descriptors that the daemon keeps for everybody."""

import os

import pytest

from qmp_client import QmpError

KEPT = 1024  # in all sets together


@pytest.fixture
def pipe():
    """The reading end of a pipe, to be sent."""
    reader, writer = os.pipe()
    yield reader
    os.close(reader)
    os.close(writer)


@pytest.fixture
def count(daemon, qmp):
    """How many descriptors the daemon has; as many again when its sets are empty."""
    before = daemon.count_fds()
    yield before
    for fdset in qmp.command("query-fdsets"):
        qmp.command("remove-fd", fdset_id=fdset["fdset-id"])
    assert daemon.count_fds() == before


def add(session, fd, **arguments):
    arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
    session.send_with_fds({"execute": "add-fd", "arguments": arguments}, [fd])
    reply = session.receive_reply()
    if "error" in reply:
        raise QmpError(reply["error"])
    return reply["return"]


def test_add_fd_answers_the_set_and_the_number_that_the_daemon_has_it_by(daemon, qmp, pipe, count):
    added = add(qmp, pipe, fdset_id=7, opaque="a disk")
    assert set(added) == {"fdset-id", "fd"} and added["fdset-id"] == 7
    link = f"/proc/{daemon.proc.pid}/fd/{added['fd']}"
    assert os.stat(link).st_ino == os.fstat(pipe).st_ino
    assert qmp.command("query-fdsets") == [
        {"fdset-id": 7, "fds": [{"fd": added["fd"], "opaque": "a disk"}]}]
    assert daemon.count_fds() == count + 1


def test_without_a_number_it_becomes_a_new_set_of_the_lowest_number_that_is_free(qmp, pipe, count):
    assert [add(qmp, pipe)["fdset-id"] for _ in range(3)] == [0, 1, 2]
    add(qmp, pipe, fdset_id=4)
    qmp.command("remove-fd", fdset_id=1)
    assert [add(qmp, pipe)["fdset-id"] for _ in range(3)] == [1, 3, 5]


def test_a_set_has_several_descriptors_in_the_order_in_which_they_came(qmp, pipe, count):
    fds = [add(qmp, pipe, fdset_id=3, opaque=str(i))["fd"] for i in range(3)]
    assert len(set(fds)) == 3
    assert qmp.command("query-fdsets") == [
        {"fdset-id": 3, "fds": [{"fd": fd, "opaque": str(i)} for i, fd in enumerate(fds)]}]


def test_sets_are_listed_by_their_numbers(qmp, pipe, count):
    highest = 2**63 - 1
    for number in [5, highest, 0, 9, 5]:
        add(qmp, pipe, fdset_id=number)
    assert [(fdset["fdset-id"], len(fdset["fds"])) for fdset in qmp.command("query-fdsets")] == [
        (0, 1), (5, 2), (9, 1), (highest, 1)]


def test_opaque_is_left_out_where_none_was_given(qmp, pipe, count):
    fd = add(qmp, pipe)["fd"]
    empty = add(qmp, pipe, opaque="")["fd"]
    assert qmp.command("query-fdsets") == [{"fdset-id": 0, "fds": [{"fd": fd}]},
                                           {"fdset-id": 1, "fds": [{"fd": empty, "opaque": ""}]}]


def test_remove_fd_removes_one_descriptor(daemon, qmp, pipe, count):
    fds = [add(qmp, pipe, fdset_id=1)["fd"] for _ in range(3)]
    assert qmp.command("remove-fd", fdset_id=1, fd=fds[1]) == {}
    assert daemon.count_fds() == count + 2
    assert qmp.command("query-fdsets") == [
        {"fdset-id": 1, "fds": [{"fd": fds[0]}, {"fd": fds[2]}]}]


def test_remove_fd_without_a_descriptor_removes_all_of_the_set(daemon, qmp, pipe, count):
    for number in [1, 2, 2, 2, 3]:
        add(qmp, pipe, fdset_id=number)
    assert qmp.command("remove-fd", fdset_id=2) == {}
    assert daemon.count_fds() == count + 2
    assert [fdset["fdset-id"] for fdset in qmp.command("query-fdsets")] == [1, 3]


def test_a_set_without_descriptors_is_gone(qmp, pipe, count):
    fd = add(qmp, pipe, fdset_id=1)["fd"]
    qmp.command("remove-fd", fdset_id=1, fd=fd)
    assert qmp.command("query-fdsets") == []
    qmp.expect_error({"execute": "remove-fd", "arguments": {"fdset-id": 1, "fd": fd}},
                     "Parameter 'fdset-id': there is no descriptor set 1")


def test_sets_are_shared_by_all_sessions_and_outlive_them(daemon, qmp, pipe, count):
    with daemon.connect() as other:
        fd = add(other, pipe, opaque="kept")["fd"]
    daemon.wait_for_fds(count + 1)
    assert qmp.command("query-fdsets") == [
        {"fdset-id": 0, "fds": [{"fd": fd, "opaque": "kept"}]}]


def test_add_fd_takes_the_first_and_the_others_are_closed(daemon, qmp, pipe, count):
    qmp.send_with_fds({"execute": "add-fd"}, [pipe] * 3)
    assert qmp.receive()["return"]["fdset-id"] == 0
    assert daemon.count_fds() == count + 1


@pytest.mark.parametrize("arguments, desc", [
    ({"fdset-id": -1}, "Parameter 'fdset-id' expects an integer from 0 to 9223372036854775807"),
    ({"fdset-id": "0"}, "Parameter 'fdset-id' expects an integer from 0 to 9223372036854775807"),
    ({"fdset-id": 2**63}, "Parameter 'fdset-id' expects an integer from 0 to 9223372036854775807"),
    ({"opaque": 1}, "Parameter 'opaque' expects a string"),
    ({"fd": 1}, "Parameter 'fd' is unexpected"),
], ids=repr)
def test_add_fd_in_error_closes_its_descriptor(daemon, qmp, pipe, count, arguments, desc):
    qmp.send_with_fds({"execute": "add-fd", "arguments": arguments}, [pipe])
    assert qmp.receive() == {"error": {"class": "GenericError", "desc": desc}}
    assert daemon.count_fds() == count
    assert qmp.command("query-fdsets") == []


@pytest.mark.parametrize("number, desc", [
    (0, "No descriptor was sent along, by SCM_RIGHTS"),
    (17, "More than 16 descriptors were sent along"),
])
def test_add_fd_needs_a_descriptor_and_takes_sixteen_at_most(qmp, pipe, count, number, desc):
    qmp.send_with_fds({"execute": "add-fd"}, [pipe] * number)
    assert qmp.receive() == {"error": {"class": "GenericError", "desc": desc}}
    assert qmp.command("query-fdsets") == []


@pytest.mark.parametrize("arguments, desc", [
    ({}, "Parameter 'fdset-id' is missing"),
    ({"fdset-id": -1}, "Parameter 'fdset-id' expects an integer from 0 to 9223372036854775807"),
    ({"fdset-id": 3, "fd": -1},
     "Parameter 'fd' expects an integer from 0 to 9223372036854775807"),
    ({"fdset-id": 3, "fd": None},
     "Parameter 'fd' expects an integer from 0 to 9223372036854775807"),
    ({"fdset-id": 4}, "Parameter 'fdset-id': there is no descriptor set 4"),
    ({"fdset-id": 4, "fd": 0}, "Parameter 'fdset-id': there is no descriptor set 4"),
    ({"fdset-id": 3, "fd": 0}, "Parameter 'fd': there is no descriptor 0 in descriptor set 3"),
], ids=repr)
def test_remove_fd_in_error_removes_nothing(qmp, pipe, count, arguments, desc):
    add(qmp, pipe, fdset_id=3)
    before = qmp.command("query-fdsets")
    qmp.expect_error({"execute": "remove-fd", "arguments": arguments}, desc)
    assert qmp.command("query-fdsets") == before


def test_the_sets_hold_so_many_and_no_more(daemon, qmp, pipe, count):
    for i in range(KEPT):
        add(qmp, pipe, fdset_id=i % 3)
    before = qmp.command("query-fdsets")
    assert sum(len(fdset["fds"]) for fdset in before) == KEPT
    with daemon.connect() as other:
        fds = daemon.count_fds()
        for arguments in [{}, {"fdset_id": 1}, {"fdset_id": 9}]:
            with pytest.raises(QmpError) as error:
                add(other, pipe, **arguments)
            assert (error.value.error_class, error.value.desc) == (
                "GenericError",
                f"The descriptor sets hold {KEPT} descriptors already, and may hold no more")
            assert daemon.count_fds() == fds
    assert qmp.command("query-fdsets") == before
    qmp.command("remove-fd", fdset_id=0, fd=before[0]["fds"][0]["fd"])
    assert add(qmp, pipe)["fdset-id"] == 3


def test_a_text_is_bounded(qmp, pipe, count):
    with pytest.raises(QmpError, match="'opaque' expects a string of at most 1024 bytes"):
        add(qmp, pipe, opaque="x" * 1025)
    add(qmp, pipe, opaque="x" * 1024)
    [fdset] = qmp.command("query-fdsets")
    assert fdset["fds"][0]["opaque"] == "x" * 1024


def test_a_daemon_that_ends_closes_its_sets(daemon, qmp, pipe):
    add(qmp, pipe)
    qmp.command("quit")
    assert daemon.proc.wait(60) == 0
