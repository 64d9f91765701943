"""query-clients: who is connected, what each may do, and what each leaves unread."""

import os

from qmp_client import Qmp


def find(clients, number):
    [client] = [client for client in clients if client["id"] == number]
    return client


def own(session):
    """The entry of @session, which must be the newest."""
    return session.oob("query-clients")[-1]


def test_a_client_sees_itself_with_the_process_it_is(qmp, daemon):
    client = own(qmp)
    number = client.pop("id")
    assert client == {
        "socket": f"unix:{daemon.socket}", "peer": "unix", "pid": os.getpid(),
        "uid": os.geteuid(), "gid": os.getegid(), "access": "full", "mode": "command",
        "oob": True, "unanswered": 0, "paused": False, "unsent-bytes": 0, "events-left-out": 0}
    assert number > 0


def test_clients_are_listed_in_the_order_in_which_they_came_until_they_leave(daemon, qmp):
    first = own(qmp)["id"]
    with daemon.connect() as second, daemon.connect() as third:
        second.sync()
        third.sync()
        assert [client["id"] for client in qmp.oob("query-clients")] == \
            [first, first + 1, first + 2]
    with daemon.connect(oob=True) as last:  # whose turn is after both have been noticed
        assert last.oob("query-version")
        count = 3
        while count > 2:
            count = len(qmp.oob("query-clients"))
        assert [client["id"] for client in qmp.oob("query-clients")] == [first, first + 3]


def test_a_client_that_has_not_negotiated_is_in_that_mode(daemon, qmp):
    with daemon.connect(negotiate=False) as silent:
        assert "QMP" in silent.receive()
        client = own(qmp)
        assert (client["mode"], client["oob"]) == ("negotiation", False)
        silent.command("qmp_capabilities")
        client = own(qmp)
        assert (client["mode"], client["oob"]) == ("command", False)


def test_a_client_of_a_read_only_socket_is_told_apart_and_may_ask(start_daemon, sockets):
    path = f"{sockets}/readers"
    daemon = start_daemon("--qmp", f"unix:{path},access=read-only")
    with daemon.connect() as full, Qmp(path) as reader:
        full.sync()
        clients = reader.command("query-clients")
        assert [(client["socket"], client["access"]) for client in clients[-2:]] == \
            [(f"unix:{daemon.socket}", "full"), (f"unix:{path}", "read-only")]


def test_it_is_answered_while_the_main_loop_is_stuck_and_shows_who_waits(daemon):
    with daemon.connect(oob=True) as watcher:
        watching = own(watcher)["id"]
        with daemon.block_main_loop(600000) as session:
            holder = next(client for client in watcher.oob("query-clients")
                          if client["unanswered"] > 0)
            assert holder["id"] != watching
            assert (holder["unanswered"], holder["paused"]) == (1, False)
            for number in range(8):
                session.send({"execute": "x-debug-echo", "arguments": {"value": number}})
            session.send({"execute": "query-version"})
            while not (holder := find(watcher.oob("query-clients"), holder["id"]))["paused"]:
                pass
            assert holder["unanswered"] == 9
            watcher.oob("x-debug-unblock")
            for _ in range(10):
                session.receive_reply()
            session.sync()
            assert find(watcher.oob("query-clients"), holder["id"])["paused"] is False


def test_what_a_client_leaves_unread_and_the_events_left_out_for_it_are_counted(start_daemon):
    daemon = start_daemon("--debug-commands", "--max-output", "20000")
    with daemon.connect() as slow, daemon.connect(oob=True) as other:
        number = own(other)["id"] - 1
        while (client := find(other.oob("query-clients"), number))["events-left-out"] == 0:
            other.command("object-add", qom_type="iothread", id="io")
            other.command("object-del", id="io")
            other.events.clear()
        assert 0 < client["unsent-bytes"] <= 20000
        lost = client["events-left-out"]
        while (message := slow.receive()).get("event") != "EVENTS_LOST":
            pass
        # The sum stays when the gap has been told.
        client = find(other.oob("query-clients"), number)
        assert client["events-left-out"] >= lost
        assert message["data"]["count"] == client["events-left-out"]
        assert client["unsent-bytes"] == 0
