"""Fixtures: a container, with the packages that "make packages" has built."""

import os
import tempfile
from pathlib import Path

import pytest

import container
from service import DROP_INS, UNITS

PACKAGES = Path(os.environ.get("EVLOOPD_BUILD",
                               Path(__file__).parents[2] / "build")) / "packages"


@pytest.fixture(scope="module")
def machine():
    """A booted container, without evloopd."""
    why = container.missing()
    if why:
        pytest.skip(f"no container: {why}")
    assert PACKAGES.is_dir(), f"there is no {PACKAGES}: make packages"
    with tempfile.TemporaryDirectory(prefix="evc") as folder:
        booted = container.Container(folder, PACKAGES)
        yield booted
        booted.end()


@pytest.fixture(scope="module")
def install(machine):
    """Install packages: install("evloopd", ...)."""
    def run(*names):
        files = [path for name in names for path in PACKAGES.glob(f"{name}_*.deb")]
        assert len(files) == len(names), f"{names} are not all in {PACKAGES}: make packages"
        return machine.run("dpkg", "--install", *(f"/packages/{path.name}" for path in files))

    return run


@pytest.fixture(scope="module")
def installed(machine, install):
    """The container, with evloopd and users: a member, a reader and an outsider."""
    install("evloopd")
    machine.run("useradd", "--no-create-home", "--groups=evloopd", "member")
    machine.run("useradd", "--no-create-home", "--groups=evloopd-ro", "reader")
    machine.run("useradd", "--no-create-home", "outsider")
    return machine


@pytest.fixture
def service(installed):
    """The container with the sockets open and the service stopped, as after a boot."""
    installed.run("systemctl", "stop", *UNITS)
    installed.run("rm", "-rf", DROP_INS)
    installed.run("systemctl", "daemon-reload")
    installed.try_run("systemctl", "reset-failed", *UNITS)
    installed.run("systemctl", "start", *UNITS[:2])
    return installed
