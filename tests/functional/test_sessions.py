"""What types sessions of documents and compares them finds what is wrong with a document."""

import pytest

from sessions import (File, Shell, Step, check_step, console_blocks, is_shown, parse_session,
                      steps_and_files)


@pytest.mark.parametrize("shown, seen, varies, alike", [
    ("a  b\n", "a b\n", [], True), ("a b\n", "a      b   \r\n", [], True), ("a b\n", "ab\n", [], False),
    ("a\n", "a\nb\n", [], False), ("a\nb\n", "a\n", [], False), ("", "a\n", [], False),
    ("a.c\n", "abc\n", [], False), ("1 2\n", "1 3\n", [], False),
    ("1 2.5 a\n", "10 3 a\n", ["numbers"], True), ("1 a\n", "x a\n", ["numbers"], False),
    ("1 2\n", "1 3\n", ["2"], True), ("1 2\n", "4 3\n", ["2"], False),
    ("12 2\n", "12 2\n", ["2"], True), ("2.0s 2.0 2\n", "9 8 2\n", ["2.0", "2.0s"], True),
    ('{"a":"x"}\n', '{"a":"y"}\n', ["x"], True), ('{"a":"x"}\n', '{"a":"y","b":1}\n', ["x"], False),
    ("...\n", "", [], True), ("a\n...\nd\n", "a\nb\nc\nd\n", [], True),
    ("a\n...\nd\n", "a\nb\nc\n", [], False), ("a\n...\n", "b\na\n", [], False),
    ("", "[1]+  Done                    sleep 1\n", [], True),
    ("a\n", "[2]-  Exit 1                  false\na\n", [], True),
])
def test_comparing_can_fail(shown, seen, varies, alike):
    assert is_shown(shown, seen, varies) == alike


def test_a_step_that_prints_something_else_fails():
    with pytest.raises(AssertionError, match="is shown to print:\na\n\nand prints:\nb\n"):
        check_step(Step("echo b", "a\n"), "b\n")


def test_commands_and_outputs_are_told_apart():
    assert parse_session("$ a \\\n    b\nout\n# c\n$ d <<E\n> x\n> E\nlong \\\nline\n") == [
        Step("a \\\n    b", "out\n"), Step("c", "", by_root=True),
        Step("d <<E\nx\nE", "long line\n")]
    with pytest.raises(AssertionError):
        parse_session("out\n$ a\n")


PAGE = """
text

<!-- varies: 1 numbers -->
```console
$ a
```

into `/etc/file`:

```json
{}
```

<!-- only as installed -->
```console
# b
c
```
"""


def test_a_page_is_steps_and_files_in_order():
    first, last = Step("a", "", varies=("1", "numbers")), Step("b", "c\n", True, installed=True)
    assert console_blocks(PAGE) == [[first], [last]]
    assert steps_and_files(PAGE) == [first, File("/etc/file", "{}\n"), last]


def test_a_shell_is_on_a_terminal_and_keeps_its_state(tmp_path):
    with Shell(cwd=tmp_path) as shell:
        assert shell.type("test -t 1 && x=1") == ""
        assert shell.type("echo $x $PWD") == f"1 {tmp_path}\n"
        assert shell.type("false; echo $?; echo to stderr >&2") == "1\nto stderr\n"
        assert shell.type("sleep 1000 &").startswith("[1] ")
        assert "sleep" in shell.type("jobs")
