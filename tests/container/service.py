"""Short forms for tests of the installed service."""

import json
import re

SOCKETS = ["/run/evloopd/qmp.sock", "/run/evloopd/qmp-ro.sock"]
UNITS = ["evloopd.socket", "evloopd-ro.socket", "evloopd.service"]
DROP_INS = "/run/systemd/system/evloopd.service.d"
EXAMPLES = "/usr/share/doc/evloopd/examples/evloopd.service.d"


def configure(machine, *lines):
    """Give the service a drop-in file."""
    machine.write(f"{DROP_INS}/test.conf", "\n".join(["[Service]", *lines, ""]))
    machine.run("systemctl", "daemon-reload")


def use_example(machine, name):
    machine.run("mkdir", "-p", DROP_INS)
    machine.run("cp", f"{EXAMPLES}/{name}", DROP_INS)
    machine.run("systemctl", "daemon-reload")


def ctl(machine, *words, user="member"):
    return machine.run("evloopctl", *words, user=user)


def call(machine, command, user="member", **arguments):
    """Run a command of the daemon; its result, or the text of the error."""
    status, output = machine.try_run("evloopctl", "call", command, "-", user=user, stdin=None,
                                     input=json.dumps(arguments))
    return json.loads(output) if status == 0 else output


def main_pid(machine):
    """The process of the service, once there is one that is ready."""
    def running():
        state, pid = machine.show("evloopd.service", "ActiveState", "MainPID")
        return int(pid) if state == "active" else None

    return machine.wait_for("a running daemon", running)


def journal(machine, pattern, **fields):
    """Entries of the service whose message matches @pattern, once there are some."""
    def matching():
        output = machine.run("journalctl", "--unit=evloopd.service", "--output=json")
        entries = [json.loads(line) for line in output.splitlines()]
        return [entry for entry in entries if re.search(pattern, str(entry["MESSAGE"])) and
                all(entry.get(name) == value for name, value in fields.items())]

    return machine.wait_for(f"{pattern!r} in the journal", matching)
