"""docs/tutorial.md, typed by a reader who takes the time that things need."""

import re
from pathlib import Path

from sessions import File, check_step, steps_and_files

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"

# What a reader who types the next command has let come, after what is started in the background.
COME_FIRST = [
    (r"evloopd --qmp unix:([^ ,]+).* &$",
     "until evloopctl -s {0} call query-version; do sleep 0.05; done >/dev/null 2>&1"),
    (r"evloopctl -s \S+/(\w+)\.sock events .* &$",
     'until [ "$(evloopctl call qom-get path={0} property=connections)" = 1 ]; do '
     "sleep 0.05; done"),
]


def do_tutorial(shell_for, write, adapt=lambda step: step):
    """Do all that the page says.

    @shell_for gives the shell for a step, @write makes a file, and @adapt changes a step, or leaves
    it out by None.
    """
    parts = steps_and_files(PAGE.read_text())
    assert len(parts) > 30
    for part in parts:
        if isinstance(part, File):
            write(part)
        elif step := adapt(part):
            shell = shell_for(step)
            check_step(step, shell.type(step.typed))
            for pattern, command in COME_FIRST:
                if match := re.search(pattern, step.typed):
                    shell.type(command.format(*match.groups()))
