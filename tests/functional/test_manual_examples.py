"""The examples in evloopctl(1), evloopd(8) and evloopd.conf(5) work as they stand there.

Those of evloop(3) are in test_library_manual.py, those of evloopd-qmp(7) in test_qmp_manual.py. What
takes root, or systemd, is typed in the container: tests/container/test_documents.py.
"""

import grp
import json
import os
import pwd
import re
import shutil
import subprocess

import pytest

from conftest import BUILD, Daemon
from installed_library import run, setting
from manual import displays
from qmp_client import DEADLINE, Qmp
from sessions import Shell, check_step, is_shown

ME = pwd.getpwuid(os.getuid()).pw_name
MY_GROUP = grp.getgrgid(os.getgid()).gr_name


def environment(**more):
    """In which the programs of this build are found."""
    clean = {key: value for key, value in os.environ.items() if key != "EVLOOPD_SOCKET"}
    return {**clean, "PATH": f"{BUILD}:{clean['PATH']}", **more}


def of_kind(page, pattern):
    return [display for display in displays(page) if re.match(pattern, display.text)]


def logged(daemon, level):
    return [line for line in daemon.stderr().splitlines()
            if line.startswith(f"evloopd: {level}: ")]


# ---- evloopctl(1) ----


def sessions_of_evloopctl():
    """The sessions of the page; a line without a prompt is one too."""
    for display in displays("evloopctl.1"):
        if display.text.startswith("evloopctl "):
            display = display._replace(text=f"$ {display.text}")
        if display.is_session():
            yield display


def sessions_with(text):
    return [display for display in sessions_of_evloopctl() if text in display.text]


def test_the_examples_of_evloopctl_work_as_typed_one_after_another(start_daemon, tmp_path):
    daemon = start_daemon()
    (tmp_path / "FILE").write_text("query-version\n")
    with Shell(cwd=tmp_path, env=environment(EVLOOPD_SOCKET=daemon.socket)) as shell:
        for display in sessions_of_evloopctl():
            if display in [*sessions_with("evloopctl apply"), *sessions_with("evloopctl shell\n")]:
                continue  # below
            for step in display.steps():
                if "jq" in step.typed and not shutil.which("jq"):
                    continue
                seen = shell.type(step.typed)
                if display.text.count("\n") > 1:
                    check_step(step, seen)
                elif step.typed != "evloopctl call qom-list-properties typename=iothread":
                    assert shell.type("echo $?") == "0\n", f"{step.typed}: {seen}"
    assert json.loads((tmp_path / "trace.json").read_text())


def test_the_example_of_apply_works_as_typed(start_daemon, tmp_path):
    (tmp_path / "conf.d").mkdir()

    def write(name, *objects):
        (tmp_path / name).write_text("".join(json.dumps(
            {"execute": "object-add", "arguments": properties}) for properties in objects))

    write("conf.d/a.json", {"qom-type": "timer", "id": "t0", "period-ns": 10**12},
          {"qom-type": "iothread", "id": "io0", "poll-max-ns": 0})
    write("loops.json", {"qom-type": "iothread", "id": "io0"},
          {"qom-type": "iothread", "id": "io1"})
    daemon = start_daemon("--config-dir", str(tmp_path / "conf.d"))
    [display] = sessions_with("evloopctl apply")
    with Shell(cwd=tmp_path, env=environment(EVLOOPD_SOCKET=daemon.socket)) as shell:
        for step in display.steps():
            check_step(step, shell.type(step.typed))


@pytest.mark.parametrize("display", sessions_with("evloopctl shell\n"))
def test_the_example_of_its_shell_works_as_typed(start_daemon, tmp_path, display):
    daemon = start_daemon()
    with Shell(cwd=tmp_path, env=environment(EVLOOPD_SOCKET=daemon.socket)) as shell:
        for step in display.steps():
            check_step(step._replace(shown=step.shown.replace("/run/evloopd/qmp.sock",
                                                              daemon.socket)),
                       shell.type(step.typed))


def test_evloopctl_says_what_holds_the_main_loop_as_shown(evloopctl, daemon):
    [shown] = of_kind("evloopctl.1", "evloopctl: qom-list: ")
    with daemon.block_main_loop(3600000), daemon.connect(oob=True) as other:
        result = subprocess.run([evloopctl, "-s", daemon.socket, "--timeout=5.5", "object", "list"],
                                stderr=subprocess.PIPE, text=True, timeout=DEADLINE)
        other.oob("x-debug-unblock")
    assert is_shown(shown.text + "...\n", result.stderr, ["numbers"])


# ---- evloopd(8) ----


def in_folder(text, folder):
    """A command line of the page for this machine: its groups, users and folders."""
    text = re.sub(r"/(run/evloopd|tmp)/", f"{folder}/", text)
    text = re.sub(r"group=\w+", f"group={MY_GROUP}", text)
    return text.replace("root:operator", f"root:{ME}").replace("$ ", "")


def commands_of_evloopd():
    return [step for display in of_kind("evloopd.8", r"\$ ") for step in display.steps()
            if step.typed.startswith("evloopd ")]


def loops_json():
    [step] = [step for display in of_kind("evloopd.8", r"\$ ") for step in display.steps()
              if step.typed == "cat loops.json"]
    return step.shown


@pytest.mark.parametrize("step", commands_of_evloopd(), ids=range(len(commands_of_evloopd())))
def test_evloopd_starts_as_typed(sockets, tmp_path, step):
    (tmp_path / "loops.json").write_text(loops_json())
    command = in_folder(step.typed, sockets)
    paths = re.findall(r"--qmp unix:([^, ]+)", command)
    daemon = Daemon("sh", paths[0], ["-c", f"exec {command}"], cwd=tmp_path, env=environment())
    try:
        daemon.wait_until_up()
        for path in paths:
            with Qmp(path) as session:
                iothreads = session.command("query-iothreads")
                affinities = {item["id"]: item["cpu-affinity"] for item in iothreads}
                asks = "--object" in command or "--config" in command
                assert list(affinities) == (["io0", "io1"] if asks else [])
    finally:
        daemon.end()


def test_there_are_examples_of_evloopd():
    assert len(commands_of_evloopd()) == 4


def test_a_mistake_looks_as_shown(sockets, tmp_path):
    [shown] = of_kind("evloopd.8", "evloopd: --config")
    (tmp_path / "loops.json").write_text(loops_json().replace('"poll-max-ns": 0',
                                                              '"poll-max-ns": "soon"'))
    result = subprocess.run(["evloopd", "--qmp", f"unix:{sockets}/a", "--config", "loops.json"],
                            cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True,
                            timeout=DEADLINE)
    assert result.returncode == 1
    assert is_shown(shown.text.replace("\\\n", ""), result.stderr)


def test_commands_are_logged_as_shown(start_daemon):
    [shown] = of_kind("evloopd.8", "session ")
    daemon = start_daemon("--log-level=info")
    with daemon.connect() as session:
        session.command("object-add", qom_type="iothread", id="io0")
        session.command("object-del", id="io0")
    [line] = [line for line in logged(daemon, "info") if "object-del" in line]
    assert is_shown(f"evloopd: info: {shown.text}", f"{line}\n", ["numbers"])


def test_a_reload_is_logged_as_shown(start_daemon, sockets):
    done, refused = of_kind("evloopd.8", "configuration: ")
    path = sockets / "conf.d" / "10-web.json"
    path.parent.mkdir()

    def write(iothread, loop):
        path.write_text("".join(json.dumps(
            {"execute": "object-add", "arguments": properties}) + "\n" for properties in [
                {"qom-type": "iothread", "id": iothread},
                {"qom-type": "event-notifier", "id": "bell"},
                {"qom-type": "socket-relay", "id": "web", "iothread": loop,
                 "listen": f"unix:{sockets}/web", "target": f"unix:{sockets}/app"}]))

    write("io0", "io0")
    daemon = start_daemon("--config-dir", str(path.parent))
    before = len(logged(daemon, "notice"))
    with daemon.connect() as session:
        write("io1", "io1")
        session.command("reload")
        assert logged(daemon, "notice")[before:] == [
            f"evloopd: notice: {line}" for line in done.text.splitlines()]
        write("io1", "io2")
        session.execute("reload")
    shown = refused.text.replace("\\\n", "").replace("/etc/evloopd/evloopd.conf.d",
                                                     str(path.parent))
    assert logged(daemon, "warning") == [f"evloopd: warning: {shown.strip()}"]


DOORBELL = """
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static void ring(int memfd, int eventfd)
{
    EXAMPLE
}

int main(void)
{
    int memfd = memfd_create("doorbell", 0);
    int kicked = eventfd(0, 0);
    eventfd_t kicks = 0;
    uint64_t rings = 0;

    if (memfd < 0 || ftruncate(memfd, 16) < 0) {
        return 1;
    }
    ring(memfd, kicked);
    if (eventfd_read(kicked, &kicks) < 0 || pread(memfd, &rings, sizeof(rings), 0) < 0) {
        return 1;
    }
    printf("%d %d\\n", (int)rings, (int)kicks);
    return 0;
}
"""


def test_a_client_s_ring_at_a_doorbell_builds_and_rings(tmp_path):
    [example] = of_kind("evloopd.8", "_Atomic")
    (tmp_path / "ring.c").write_text(DOORBELL.replace("EXAMPLE", example.text))
    run([*setting("CC").split(), "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "ring.c", "-o",
         "ring"], cwd=tmp_path)
    assert run([str(tmp_path / "ring")]) == "1 1\n"


def test_every_example_of_evloopd_is_typed_here_or_is_root_s_or_a_unit():
    kinds = [r"\$ ", "# ", r"\[\w+\]\n", "evloopd: --config", "session ", "configuration: ",
             "_Atomic", "evloopctl call qom-list-properties typename=timer"]
    assert [display.text for display in displays("evloopd.8")
            if not any(re.match(kind, display.text) for kind in kinds)] == []


# ---- evloopd.conf(5) ----


def test_the_configuration_files_of_the_page_are_one_configuration(start_daemon, sockets):
    texts = [display.text for display in of_kind("evloopd.conf.5", r"\{")]
    names = ["10-loops.json", "20-web.json", "90-local.json"]
    folder = sockets / "conf.d"
    folder.mkdir()
    for name, text in zip(names, texts, strict=True):
        (folder / name).write_text(text.replace("/run/evloopd", str(sockets)))
    daemon = start_daemon("--config-dir", str(folder))
    with daemon.connect() as session:
        found = {item["id"]: item["cpu-affinity"] for item in session.command("query-iothreads")}
        assert found == {"io0": "0", "io1": found["io1"]}
        assert session.command("qom-get", path="/objects/web", property="iothread") == "io1"
    [display] = of_kind("evloopd.conf.5", r"\$ ")
    [step] = display.steps()
    typed = step.typed.replace("/etc/evloopd/evloopd.conf.d", str(folder))
    with Shell(env=environment(EVLOOPD_SOCKET=daemon.socket)) as shell:
        assert shell.type(typed) == "nothing to change\n"


def test_every_example_of_the_page_is_a_file_or_a_command():
    assert [display.text for display in displays("evloopd.conf.5")
            if not re.match(r"\{|\$ |# systemctl reload evloopd$", display.text)] == []
