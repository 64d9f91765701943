"""Options with characters beyond ASCII, in a locale that has none: as services are started."""

import os


def test_file_names_are_bytes_in_the_c_locale(start_daemon, sockets):
    config = sockets / "café.json"
    config.write_text('{"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "a"}}')
    daemon = start_daemon("--qmp", f"unix:{sockets}/café.sock", "--config", str(config),
                          env={**os.environ, "LC_ALL": "C"})
    daemon.socket = str(sockets / "café.sock")
    with daemon.connect() as qmp:
        assert [info["id"] for info in qmp.command("query-iothreads")] == ["a"]
