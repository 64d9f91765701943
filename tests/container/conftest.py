"""Fixtures: a container, with the packages that "make packages" has built."""

import os
import tempfile
from pathlib import Path

import pytest

import container

PACKAGES = Path(os.environ.get("EVLOOPD_BUILD",
                               Path(__file__).parents[2] / "build")) / "packages"


@pytest.fixture(scope="module")
def machine():
    """A booted container, without evloopd."""
    why = container.missing()
    if why:
        pytest.skip(f"no container: {why}")
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
