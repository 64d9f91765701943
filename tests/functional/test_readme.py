"""What the documents show is what happens: the sessions in README.md and docs/protocol.md, the manual
pages."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import BUILD, Daemon
from manual import page_path, page_text
from qmp_client import DEADLINE, Qmp
from sessions import Shell, check_step, console_blocks

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]


def typed_in(steps, folder, **variables):
    """Type @steps into one shell, in @folder; each with what it prints."""
    environment = {key: value for key, value in os.environ.items() if key != "EVLOOPD_SOCKET"}
    environment.update(variables, XDG_RUNTIME_DIR=str(folder))
    with Shell(cwd=folder, env=environment) as shell:
        return [(step, shell.type(step.typed)) for step in steps]


@pytest.fixture
def running(evloopd, sockets):
    """A daemon on the socket of "./bootstrap run", and a folder that has it in build/."""
    (sockets / "build").symlink_to(BUILD)
    path = sockets / "evloopd.sock"
    daemon = Daemon(evloopd, path, ["--qmp", f"unix:{path}"])
    daemon.wait_until_up()
    yield daemon
    daemon.end()


def test_the_session_in_readme_works_as_typed(running, sockets):
    [session] = console_blocks((ROOT / "README.md").read_text())
    assert len(session) >= 10
    for step, seen in typed_in(session, sockets):
        check_step(step, seen)
    assert running.proc.wait(DEADLINE) == 0


@pytest.mark.skipif(not shutil.which("socat"), reason="no socat")
def test_the_requests_that_the_protocol_document_types_work(running, sockets):
    [requests] = console_blocks((ROOT / "docs/protocol.md").read_text())
    for step, seen in typed_in(requests, sockets, EVLOOPD_SOCKET=running.socket):
        check_step(step, seen)


def test_bootstrap_and_readme_name_the_same_sockets():
    bootstrap = (ROOT / "bootstrap").read_text()
    readme = (ROOT / "README.md").read_text()
    assert 'echo "$XDG_RUNTIME_DIR/evloopd.sock"' in bootstrap
    assert 'echo "$build_dir/evloopd.sock"' in bootstrap
    assert "`$XDG_RUNTIME_DIR/evloopd.sock`" in readme and "`build/evloopd.sock`" in readme


def test_bootstrap_has_what_documents_ask_it_for():
    text = "".join(path.read_text() for path in DOCUMENTS)
    known = re.findall(r"^([a-z]+)\)", (ROOT / "bootstrap").read_text(), re.MULTILINE)
    asked = set(re.findall(r"\./bootstrap ([a-z]+)", text))
    assert {"run", "packages"} <= asked <= set(known)


def test_files_that_documents_point_to_exist():
    for page in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} points to {target}"


# ---- docs/protocol.md ----


def exchanges(text):
    """The ```qmp blocks, each a list of (what is sent, the lines that answer it)."""
    blocks = []
    for block in re.findall(r"^```qmp\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        parts = re.split(r"^-> (.*)\n", block, flags=re.MULTILINE)
        assert parts[0] == "", f"an answer before the first request: {parts[0]!r}"
        blocks.append([(sent, re.findall(r"^<- (.*)$", answer, re.MULTILINE))
                       for sent, answer in zip(parts[1::2], parts[2::2])])
    return blocks


@pytest.mark.parametrize("exchange", exchanges((ROOT / "docs/protocol.md").read_text()))
def test_an_exchange_in_the_protocol_document_happens(daemon, exchange):
    def without_time(line):
        return re.sub(r'"(seconds|microseconds)": \d+', r'"\1": N', line)

    with Qmp(daemon.socket, oob=True) as session:
        for sent, answers in exchange:
            # An escape in the document stands for the byte, as in a C string.
            session.send_raw(re.sub(r"\\x(..)", lambda match: chr(int(match[1], 16)),
                                    sent).encode() + b"\n")
            for answer in answers:
                line = session.receive_line()
                assert line.endswith(b"\r\n")
                assert without_time(line.decode().strip()) == without_time(answer)
        # Nothing came but what the document shows.
        assert session.command("x-debug-echo", value="end") == "end"
        assert session.events == []


# ---- manual pages ----


def test_evloopd_s_manual_page_has_the_options_of_its_help_and_no_others(evloopd):
    shown = subprocess.run([evloopd, "--help"], stdout=subprocess.PIPE, text=True, check=True,
                           timeout=DEADLINE).stdout
    in_help = set(re.findall(r"^  (?:-\w, )?--([a-z-]+)", shown, re.MULTILINE))
    described = re.findall(r"^\.It .*$", page_text("evloopd.8"), re.MULTILINE)
    in_page = set(re.findall(r"Fl -([a-z-]+)", "\n".join(described)))
    assert {"qmp", "help"} <= in_help
    assert in_page == in_help


def test_evloopd_s_synopsis_has_every_option_that_is_described():
    page = page_text("evloopd.8")
    synopsis = page.split(".Sh SYNOPSIS")[1].split(".Sh")[0]
    described = "\n".join(re.findall(r"^\.It .*$", page, re.MULTILINE))
    assert set(re.findall(r"Fl -([a-z-]+)", synopsis)) == set(
        re.findall(r"Fl -([a-z-]+)", described))


def test_the_limits_in_evloopd_s_manual_page_are_those_of_the_daemon(evloopd):
    described = re.findall(r"^\.It Fl -(max-[a-z-]+)(.*?)(?=^\.It)", page_text("evloopd.8"),
                           re.MULTILINE | re.DOTALL)
    limits = {option: re.search(r"(\d+)\s+at\s+most", text) for option, text in described}
    assert len(limits) == 5
    for option, limit in limits.items():
        if limit:
            number = int(limit[1])
            result = subprocess.run([evloopd, f"--{option}", str(number + 1)], text=True,
                                    stderr=subprocess.PIPE, timeout=DEADLINE)
            assert result.returncode == 1
            assert f"from 1 to {number}\n" in result.stderr


def test_evloopd_s_manual_page_describes_every_property_of_every_type(daemon, qmp):
    section = page_text("evloopd.8").split(".Sh OBJECT TYPES")[1].split("\n.Sh ")[0]
    described = dict(re.findall(r"^\.Ss (\S+)\n(.*?)(?=^\.Ss |\Z)", section,
                                re.MULTILINE | re.DOTALL))
    types = [item["name"] for item in qmp.command("qom-list-types", implements="user-creatable")]
    assert sorted(described) == sorted(types)
    for name, text in described.items():
        items = re.findall(r"^\.It Li (.*)$", text, re.MULTILINE)
        properties = {item["name"]
                      for item in qmp.command("qom-list-properties", typename=name)}
        if name != "iothread":
            properties.remove("iothread")  # which is described for all
        assert set(" , ".join(items).split(" , ")) == properties - {"type"}


@pytest.mark.parametrize("name", ["evloopd.8", "evloopctl.1", "evloopd.conf.5", "evloop.3",
                                  "evloopd-qmp.7"])
@pytest.mark.parametrize("tool", [
    ["mandoc", "-T", "lint", "-W", "warning"],
    ["groff", "-ww", "-mdoc", "-Tutf8", "-z"],
], ids=["mandoc", "groff"])
def test_a_manual_page_gives_no_warnings(name, tool):
    if not shutil.which(tool[0]):
        pytest.skip(f"no {tool[0]}")
    result = subprocess.run([*tool, str(page_path(name))], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=DEADLINE)
    assert (result.returncode, result.stdout) == (0, "")
