"""The units and what else is installed: systemd is content with them, and nothing is left behind."""

import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from conftest import BUILD
from installed_library import make, setting
from manual import displays
from qmp_client import DEADLINE, Qmp

UNITS = Path(__file__).parents[2] / "daemon" / "systemd"
SOCKET_UNITS = ["evloopd.socket", "evloopd-ro.socket"]
MOST_EXPOSED = 1.5  # of 10, by "systemd-analyze security"

needs_systemd_analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"),
                                           reason="no systemd-analyze")


def unit_settings(path):
    text = path.read_text().replace("\\\n", "")
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


@pytest.fixture
def units(evloopd, evloopctl, sockets):
    """A folder with the units of a service that is this build's daemon."""
    service = (BUILD / "daemon" / "systemd" / "evloopd.service").read_text()
    service = service.replace(f"{folder_of('sbindir')}/evloopd", f'"{evloopd}"')
    service = service.replace(f"{folder_of('bindir')}/evloopctl", f'"{evloopctl}"')
    (sockets / "evloopd.service").write_text(service)
    for name in SOCKET_UNITS:
        shutil.copy(UNITS / name, sockets)
    return sockets


def analyze(*words):
    result = subprocess.run(["systemd-analyze", *map(str, words)], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=DEADLINE)
    return result.returncode, result.stdout


# ---- the units ----


def test_the_units_and_evloopctl_name_the_same_socket(evloopctl):
    listen = unit_settings(UNITS / "evloopd.socket")["ListenStream"]
    start = unit_settings(UNITS / "evloopd.service.in")["ExecStart"]
    assert f"--qmp unix:{listen} " in start
    shown = subprocess.run([evloopctl, "--help"], stdout=subprocess.PIPE, text=True, check=True,
                           timeout=DEADLINE).stdout
    assert f"else {listen}." in shown


def test_the_service_reads_only_on_the_read_only_socket():
    unit = unit_settings(UNITS / "evloopd-ro.socket")
    start = unit_settings(UNITS / "evloopd.service.in")["ExecStart"]
    assert f"unix:{unit['ListenStream']},access=read-only,group={unit['SocketGroup']} " in start


@needs_systemd_analyze
def test_systemd_finds_nothing_wrong_with_the_units(units):
    files = [units / name for name in ["evloopd.service", *SOCKET_UNITS]]
    assert analyze("verify", "--man=no", "--recursive-errors=no", *files) == (0, "")


@needs_systemd_analyze
def test_systemd_finds_nothing_wrong_with_the_drop_in_files(units):
    shutil.copytree(UNITS / "examples", units / "evloopd.service.d")
    assert analyze("verify", "--man=no", "--recursive-errors=no",
                   units / "evloopd.service") == (0, "")


@needs_systemd_analyze
def test_systemd_finds_nothing_wrong_with_the_units_in_the_manual_page(units):
    web, options = [display.text for display in displays("evloopd.8")
                    if display.text.startswith("[")]
    (units / "evloopd-web.socket").write_text(web)
    (units / "evloopd.service.d").mkdir()
    (units / "evloopd.service.d" / "override.conf").write_text(options)
    assert analyze("verify", "--man=no", "--recursive-errors=no", units / "evloopd.service",
                   units / "evloopd-web.socket") == (0, "")


@needs_systemd_analyze
def test_the_service_is_exposed_to_little():
    service = BUILD / "daemon" / "systemd" / "evloopd.service"
    status, output = analyze("security", "--offline=true", "--no-pager",
                             f"--threshold={MOST_EXPOSED * 10:.0f}", service)
    assert status == 0, output
    found = re.search(r"Overall exposure level for evloopd.service: ([\d.]+)", output)
    assert float(found[1]) <= MOST_EXPOSED


def test_a_qmp_option_at_the_path_of_a_passed_socket_is_that_socket(evloopd, sockets):
    path = sockets / "qmp.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        # The descriptor is to be number 3, and LISTEN_PID the daemon's: sh becomes the daemon.
        process = subprocess.Popen(
            ["sh", "-c", 'exec env LISTEN_PID=$$ LISTEN_FDS=1 "$@" 3<&0 </dev/null', "sh",
             evloopd, "--qmp", f"unix:{path}"], stdin=listener)
        try:
            with Qmp(str(path)) as session:
                assert session.command("query-iothreads") == []
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE) == 0
        assert path.exists(), "it belongs to who passed it"


# ---- what is installed ----


def folder_of(variable):
    """A folder that make knows, with no variable left in it."""
    return re.sub(r"\$[({](\w+)[)}]", lambda name: folder_of(name[1]), setting(variable))


def test_what_the_service_needs_is_installed_below_destdir(tmp_path):
    make("install", tmp_path)
    folders = {"sbindir": ["evloopd"], "bindir": ["evloopctl"],
               "systemdsystemunitdir": ["evloopd.service", *SOCKET_UNITS],
               "sysusersdir": ["evloopd.conf"], "tmpfilesdir": ["evloopd.conf"],
               "journalcatalogdir": ["evloopd.catalog"],
               "examplesdir": [path.name for path in (UNITS / "examples").iterdir()]}
    for variable, names in folders.items():
        folder = Path(f"{tmp_path}{folder_of(variable)}")
        assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    program = f"{folder_of('sbindir')}/evloopd"
    service = Path(f"{tmp_path}{folder_of('systemdsystemunitdir')}/evloopd.service")
    assert unit_settings(service)["ExecStart"].startswith(f"{program} ")


def test_uninstalling_leaves_nothing_of_it_behind(tmp_path):
    make("install", tmp_path)
    assert list(tmp_path.rglob("evloopd.service")) and list(tmp_path.rglob("libevloop.so"))
    make("uninstall", tmp_path)
    own = ("evloop", "evloopd", "evloopd.service.d")
    assert [path for path in tmp_path.rglob("*") if path.name in own or not path.is_dir()] == []
