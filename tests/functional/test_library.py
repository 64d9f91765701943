"""The installed library: what it is made of, and what its headers ask of a compiler."""

import re
from pathlib import Path

import pytest

from conftest import BUILD
from installed_library import Installed, make, run, setting

ROOT = Path(__file__).parents[2]
PUBLIC = [
    "iothreads/iothread.h",
    "loop/aio-stats.h",
    "loop/aio-trace.h",
    "loop/aio.h",
    "loop/event-notifier.h",
    "loop/main-loop.h",
    "loop/thread-pool.h",
    "loop/timer.h",
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return Installed(tmp_path_factory.mktemp("installed"))


# ---- what is installed ----


def test_the_public_headers_are_installed_and_no_others(installed):
    headers = [str(path.relative_to(installed.include))
               for path in installed.include.rglob("*") if path.is_file()]
    assert sorted(headers) == PUBLIC


def test_what_installed_headers_declare_is_what_the_library_exports(installed):
    declared = installed.declared_functions()
    lines = run(["nm", "-D", "--defined-only", str(installed.lib / "libevloop.so")]).splitlines()
    exported = {line.split()[-1] for line in lines}
    assert {"aio_poll", "timer_mod", "iothread_create", "qemu_poll_ns"} <= declared
    assert exported - {"EVLOOP_0"} == {f"{name}@@EVLOOP_0" for name in declared}


def test_the_symbol_map_names_nothing_that_is_not_there(installed):
    text = (ROOT / "library/libevloop.map").read_text()
    listed = re.findall(r"^    (\w+);$", text, re.MULTILINE)
    lines = run(["nm", "-D", "--defined-only", str(installed.lib / "libevloop.so")]).splitlines()
    assert {f"{name}@@EVLOOP_0" for name in listed} <= {line.split()[-1] for line in lines}
    assert listed == sorted(listed)


def test_the_library_has_the_version_in_its_name(installed):
    shown = run(["readelf", "-d", str(installed.lib / "libevloop.so")])
    assert re.search(r"\(SONAME\).*\[(.*)\]", shown)[1] == "libevloop.so.0"
    assert (installed.lib / "libevloop.so.0").resolve() == (
        installed.lib / "libevloop.so").resolve()


def test_pkg_config_knows_the_version_of_the_package(installed):
    assert installed.pkg_config("--modversion") == setting("PACKAGE_VERSION")


def test_installing_leaves_the_build_folder_as_it_is(tmp_path):
    def state():
        files = [*BUILD.glob("*.la"), *BUILD.glob(".libs/*"), *BUILD.glob("library/*"),
                 *BUILD.glob("loop/*.lo"), BUILD / "evloopd", BUILD / "evloopctl"]
        return {path: path.stat().st_mtime_ns for path in files}

    before = state()
    make("install", tmp_path)
    assert state() == before


# ---- what can be built with it ----


@pytest.mark.parametrize("language", ["c", "c++"])
def test_each_installed_header_compiles_alone_and_twice(installed, language):
    for header in PUBLIC:
        installed.compile(f"#include <{header}>\n#include <{header}>\n", language)


def test_a_program_in_cpp_that_includes_all_headers_runs(installed, tmp_path):
    source = tmp_path / "all.cc"
    source.write_text("".join(f"#include <{header}>\n" for header in PUBLIC) + """
static void finish(void *opaque) { *static_cast<bool *>(opaque) = true; }
int main()
{
    bool finished = false;
    AioContext *ctx = aio_context_new(nullptr);
    aio_bh_schedule_oneshot(ctx, finish, &finished);
    while (!finished) {
        aio_poll(ctx, true);
    }
    aio_context_unref(ctx);
    return 0;
}
""")
    installed.build(source, tmp_path / "all", "c++")
    run([str(tmp_path / "all")], env=installed.environment())
