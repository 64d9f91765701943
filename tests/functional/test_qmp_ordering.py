"""In-band requests: their order, their queue, and the turns that sessions take."""

import json
import threading

import pytest

QUEUE_LENGTH = 8  # unanswered in-band requests of a session, beyond which reading pauses


def echo(value, key="execute"):
    return {key: "x-debug-echo", "arguments": {"value": value}, "id": value}


def send_all(session, requests):
    session.send_raw(b"".join(json.dumps(request).encode() for request in requests))


def test_requests_are_answered_in_their_order(qmp):
    send_all(qmp, [echo(i) for i in range(500)])
    assert [qmp.receive() for _ in range(500)] == [{"return": i, "id": i} for i in range(500)]


def test_a_request_sees_what_the_one_before_it_did(qmp):
    send_all(qmp, [request for i in range(20) for request in [
        {"execute": "object-add", "arguments": {"qom-type": "iothread", "id": f"io{i}"}},
        {"execute": "qom-set", "arguments": {"path": f"io{i}", "property": "poll-max-ns",
                                             "value": i}},
        {"execute": "qom-get", "arguments": {"path": f"io{i}", "property": "poll-max-ns"}},
        {"execute": "object-del", "arguments": {"id": f"io{i}"}}]])
    for i in range(20):
        assert [qmp.receive_reply() for _ in range(4)] == [
            {"return": {}}, {"return": {}}, {"return": i}, {"return": {}}]


def test_a_request_waits_for_the_one_before_it_that_answers_later(qmp):
    """object-del answers only when the thread is gone; nothing may overtake it."""
    qmp.command("object-add", qom_type="iothread", id="io0")
    send_all(qmp, [{"execute": "object-del", "arguments": {"id": "io0"}, "id": 1},
                   {"execute": "query-iothreads", "id": 2}])
    assert [qmp.receive_reply() for _ in range(2)] == [{"return": {}, "id": 1},
                                                       {"return": [], "id": 2}]


# What is wrong, and how its answer begins.
MALFORMED = [
    (b"[tru]\n", "JSON syntax error: unknown word"),
    (b"\xff\n", "JSON syntax error: byte 0xff"),
    (b"5\n", "A request must be a JSON object"),
    (b"{}", "A request needs the member 'execute'"),
    (b'{"execute": 1}', "Request member 'execute' expects a string"),
    (b'{"exec-oob": 1}', "Request member 'exec-oob' expects a string"),
    (b'{"exec-oob": "query-version", "execute": "query-version"}', "A request has either"),
    (b'{"exec-oob": "query-version", "what": 1}', "Request member 'what' is unexpected"),
    (b'{"execute": "no-such-command"}', "The command no-such-command has not been found"),
    (b'{"execute": "object-del"}', "Parameter 'id' is missing"),
    (b'{"execute": "qmp_capabilities"}', "Capabilities have been negotiated already"),
]


@pytest.mark.parametrize("bad, text", MALFORMED, ids=lambda value: "")
def test_a_malformed_request_is_answered_in_its_place(qmp, bad, text):
    qmp.send_raw(json.dumps(echo(1)).encode() + bad + json.dumps(echo(2)).encode())
    assert qmp.receive() == {"return": 1, "id": 1}
    assert qmp.receive()["error"]["desc"].startswith(text)
    assert qmp.receive() == {"return": 2, "id": 2}


def test_malformed_requests_wait_for_the_running_one(daemon):
    with daemon.block_main_loop() as session:
        # Not more than there is room for, so that the out-of-band one after them is read.
        malformed = MALFORMED[:QUEUE_LENGTH - 1]
        session.send_raw(b"".join(bad for bad, _ in malformed))
        assert session.execute("query-version", key="exec-oob", id="oob")["id"] == "oob"
        assert not session.has_input()
        assert session.receive() == {"return": {}}  # of the one that holds the main loop
        for _, text in malformed:
            assert session.receive()["error"]["desc"].startswith(text)


def test_without_the_capability_exec_oob_is_answered_in_its_place(daemon):
    with daemon.connect() as session:
        send_all(session, [echo(1), echo(2, "exec-oob"), echo(3)])
        assert session.receive() == {"return": 1, "id": 1}
        assert session.receive() == {"id": 2, "error": {
            "class": "GenericError",
            "desc": "exec-oob needs the capability 'oob' to be negotiated"}}
        assert session.receive() == {"return": 3, "id": 3}


# ---- the queue ----

def test_with_a_full_queue_out_of_band_requests_are_still_read(daemon):
    with daemon.block_main_loop() as session:
        send_all(session, [echo(i) for i in range(1, QUEUE_LENGTH)])
        assert session.execute("query-version", key="exec-oob", id="oob")["id"] == "oob"
        assert session.receive() == {"return": {}}
        for i in range(1, QUEUE_LENGTH):
            assert session.receive() == {"return": i, "id": i}


def test_beyond_a_full_queue_reading_pauses_until_one_is_answered(daemon):
    with daemon.block_main_loop() as session:
        send_all(session, [*[echo(i) for i in range(1, QUEUE_LENGTH + 1)],
                           echo("oob", "exec-oob")])
        daemon.sync_monitor()
        assert not session.has_input()
        assert session.receive() == {"return": {}}
        replies = [session.receive() for _ in range(QUEUE_LENGTH + 1)]
        assert {"return": "oob", "id": "oob"} in replies
        replies.remove({"return": "oob", "id": "oob"})
        assert replies == [{"return": i, "id": i} for i in range(1, QUEUE_LENGTH + 1)]


def test_a_pause_in_one_session_is_not_one_in_another(daemon):
    with daemon.block_main_loop() as session, daemon.connect(oob=True) as other:
        send_all(session, [echo(i) for i in range(100)])
        daemon.sync_monitor()
        other.oob("query-version")
        assert not session.has_input()


def test_far_more_than_the_queue_holds_is_answered_all_the_same(daemon):
    with daemon.block_main_loop() as session:
        requests = [echo(i, "exec-oob" if i % 10 == 0 else "execute") for i in range(1, 2000)]
        # From a thread: while reading pauses, sending would stop as well.
        sender = threading.Thread(target=send_all, args=(session, requests))
        sender.start()
        replies = [session.receive() for _ in range(2000)]
        sender.join()
        assert replies.pop(0) == {"return": {}}
    in_band = [reply["id"] for reply in replies if reply["id"] % 10 != 0]
    out_of_band = [reply["id"] for reply in replies if reply["id"] % 10 == 0]
    assert in_band == [i for i in range(1, 2000) if i % 10 != 0]
    assert out_of_band == list(range(10, 2000, 10))


# ---- turns ----

def test_sessions_take_turns(daemon):
    """None waits for all that another one has queued."""
    names = "abcd"
    sessions = [daemon.connect(oob=True) for _ in names]
    with daemon.connect() as watcher, daemon.block_main_loop() as blocker:
        for name, session in zip(names, sessions):
            send_all(session, [{"execute": "object-add", "arguments": {
                "qom-type": "iothread", "id": f"{name}{i}"}} for i in range(5)])
            session.oob("query-version")  # they are queued
        assert blocker.receive() == {"return": {}}
        order = [watcher.wait_event("OBJECT_ADDED")["data"]["id"] for _ in range(20)]
    assert order == [f"{name}{i}" for i in range(5) for name in names]
    for session in sessions:
        session.close()
