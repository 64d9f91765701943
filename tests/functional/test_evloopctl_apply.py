"""evloopctl apply: going over to a configuration in files, and showing what that would do."""

import json
import subprocess

import pytest

from configuration import NOTHING, add, name, set_

DEADLINE = 60  # seconds; only a hang reaches it


@pytest.fixture
def apply(evloopctl, daemon):
    """Run evloopctl apply on the daemon's socket."""

    def run(*words, **options):
        return subprocess.run([evloopctl, "-s", daemon.socket, "apply", *map(str, words)],
                              capture_output=True, text=True, timeout=DEADLINE, **options)

    return run


@pytest.fixture
def write(tmp_path):
    def write_file(name, *lines):
        (tmp_path / name).write_text("".join(lines))
        return tmp_path / name

    return write_file


def printed(result):
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_it_prints_what_it_does(apply, write, qmp):
    first = write("a.json", add("iothread", "io0"), add("iothread", "io1"),
                  add("timer", "t0", deadline_ns=10**15))
    assert printed(apply(first)) == "+ iothread io0\n+ iothread io1\n+ timer t0\n"
    assert printed(apply(first)) == "nothing to change\n"
    qmp.command("object-add", qom_type="iothread", id="mine")
    second = write("b.json", add("iothread", "io1", fdmon="poll"), add("iothread", "mine"),
                   add("timer", "t0", deadline_ns=10**15, iothread="mine", catch_up="burst"),
                   add("event-notifier", "n0"))
    expected = ("- iothread io0\n"
                "= iothread mine (was there already)\n"
                '! iothread io1: fdmon: "auto" -> "poll" (deleted, and added anew)\n'
                '~ timer t0: iothread: null -> "mine"\n'
                '~ timer t0: catch-up: "skip" -> "burst"\n'
                "+ event-notifier n0\n")
    for option in ("--dry-run", "-n"):
        assert printed(apply(option, second)) == expected
    assert printed(apply(second)) == expected
    assert printed(apply(second, "--dry-run")) == "nothing to change\n"


def test_several_files_are_one_configuration(apply, write):
    files = [write("a.json", add("iothread", "io0", poll_max_ns=1)),
             write("b.json", set_("io0", "poll-max-ns", 2))]
    assert printed(apply(*files)) == "+ iothread io0\n"
    assert printed(apply(files[0])) == "~ iothread io0: poll-max-ns: 2 -> 1\n"


def test_json(apply, write):
    path = write("a.json", add("iothread", "io0"))
    added = {**NOTHING, "added": [name("iothread", "io0")]}
    assert json.loads(printed(apply("--json", "--dry-run", path))) == added
    assert json.loads(printed(apply("--json", path))) == added
    assert json.loads(printed(apply("--json", path))) == NOTHING


def test_standard_input(apply):
    assert printed(apply("-", input=add("iothread", "io0"))) == "+ iothread io0\n"
    assert printed(apply("-", input="")) == "- iothread io0\n"


def test_an_error_names_the_file_and_nothing_has_changed(apply, write, state):
    before = state()
    good = write("a.json", add("iothread", "io0"))
    bad = write("b.json", "\n", add("iothread", "io1", poll_max_ns=-1))
    for options in ([], ["--dry-run"], ["--json"]):
        result = apply(*options, good, bad)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith(
            f"evloopctl: config-apply: GenericError: {bad}: line 2: Parameter 'poll-max-ns' ")
    assert state() == before


@pytest.mark.parametrize("words, text", [
    ([], "expected: FILE..."),
    (["/none/x.json"], "/none/x.json"),
    (["--nonsense", "x"], "Unknown option --nonsense"),
])
def test_wrong_words(apply, words, text):
    result = apply(*words)
    assert (result.returncode, result.stdout) == (2, "")
    assert text in result.stderr


def test_a_file_that_is_no_text(apply, tmp_path):
    for content, text in ((b"\xff", "x.json: it is not UTF-8 text"),
                          (b"a\0b", "x.json: it is not UTF-8 text")):
        (tmp_path / "x.json").write_bytes(content)
        result = apply(tmp_path / "x.json")
        assert (result.returncode, result.stdout) == (2, "")
        assert text in result.stderr
