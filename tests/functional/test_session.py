"""A session from end to end: what the first visitor tries."""

from qmp_client import Qmp


def test_add_tune_watch_remove_and_quit(daemon):
    with Qmp(daemon.socket) as qmp:
        assert qmp.greeting["QMP"]["capabilities"] == ["oob"]
        qmp.command("object-add", qom_type="iothread", id="io0")
        qmp.command("qom-set", path="/objects/io0", property="poll-max-ns", value=4096)
        [info] = qmp.command("query-iothreads")
        assert (info["id"], info["poll-max-ns"]) == ("io0", 4096)
        assert daemon.tasks()[info["thread-id"]] == "io0"
        qmp.command("object-del", id="io0")
        assert qmp.command("query-iothreads") == []
        assert info["thread-id"] not in daemon.tasks()
        qmp.command("quit")
        assert qmp.wait_event("SHUTDOWN")["data"] == {"guest": False, "reason": "host-qmp-quit"}
        assert qmp.at_end()
    assert daemon.proc.wait(60) == 0
