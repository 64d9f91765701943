"""The documents, followed by a new user of the installed service: the tutorial, root's commands."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "functional"))
# pylint: disable=wrong-import-position
from manual import displays
from sessions import Shell
from tutorial import do_tutorial

USER = "ada"  # who the tutorial is for
HOME = f"/home/{USER}"


@pytest.fixture
def user(machine):
    """A user who has been told of evloopd, and has built its packages; nothing is installed."""
    machine.run("useradd", "--create-home", "--shell=/bin/bash", USER)
    machine.run("mkdir", "-p", f"{HOME}/evloopd/build")
    machine.run("ln", "-s", "/packages", f"{HOME}/evloopd/build/packages")
    machine.run("chown", "--recursive", f"{USER}:", HOME)
    yield USER
    machine.run("dpkg", "--purge", "evloopd")
    machine.run("userdel", "--remove", USER)


class Terminals:
    """Terminals in the container: one for the user, one for root, both in the user's folder."""

    def __init__(self, machine):
        self.machine = machine
        self.shells = {}

    def get(self, user=None):
        if user not in self.shells:
            self.shells[user] = Shell(prefix=self.machine.command([], user))
            self.shells[user].type(f"cd {HOME}/evloopd")
            if user:
                self.shells[user].type(f"export HOME={HOME} PATH=/usr/local/bin:/usr/bin:/bin")
        return self.shells[user]

    def log_out(self, user):
        self.shells.pop(user).close()

    def close(self):
        for shell in self.shells.values():
            shell.close()


@pytest.fixture
def terminals(machine):
    opened = Terminals(machine)
    yield opened
    opened.close()


def test_the_tutorial_works_as_typed_from_installing_to_removing(machine, user, terminals):
    def shell_for(step):
        if step.typed.startswith("evloopctl") and terminals.logs_in_anew:
            terminals.log_out(user)
            terminals.logs_in_anew = False
        terminals.logs_in_anew |= step.typed.startswith("usermod ")
        return terminals.get(None if step.by_root else user)

    terminals.logs_in_anew = False
    before = machine.changed()
    do_tutorial(shell_for, lambda file: machine.write(file.path, file.text))
    left = {path for path in machine.changed() - before if path.startswith(("/etc/evloopd", HOME))}
    assert left == set()


@pytest.mark.parametrize("page", ["evloopd.8", "evloopd.conf.5"])
def test_what_root_is_shown_to_type_works(machine, install, user, page):
    install("evloopd")
    machine.run("evloopctl", "status")
    typed = [step.typed for display in displays(page) if display.is_session()
             for step in display.steps() if step.by_root or step.typed.startswith("journalctl ")]
    assert "systemctl reload evloopd" in typed
    for command in typed:
        machine.run("sh", "-c", command.replace("USER", user))
    assert machine.show("evloopd.service", "ActiveState", "Result") == ("active", "success")
