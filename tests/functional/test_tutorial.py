"""docs/tutorial.md is what happens, on a daemon of the test's own.

What takes root, or the installed service, is left out here; tests/container/test_documents.py types
all of it.
"""

import os
import re

import pytest

from conftest import BUILD
from sessions import Shell
from tutorial import PAGE, do_tutorial

CONF_D = "/etc/evloopd/evloopd.conf.d"
# In the place of what root types.
STAND_INS = {"systemctl reload evloopd": "evloopctl call reload >/dev/null"}


@pytest.mark.skipif(0 not in os.sched_getaffinity(0), reason="no CPU 0")
def test_the_tutorial_works_as_typed(start_daemon, sockets, tmp_path):
    conf_d = sockets / "conf.d"
    conf_d.mkdir()
    start_daemon("--config-dir", str(conf_d), "--qmp", f"unix:{sockets}/qmp.sock",
                 "--qmp", f"unix:{sockets}/qmp-ro.sock,access=read-only")

    def here(text):
        text = text.replace(CONF_D, str(conf_d)).replace("/run/evloopd", str(sockets))
        return text.replace("/usr/sbin/evloopd", f"{BUILD}/evloopd")

    def adapt(step):
        if step.installed:
            return None
        if step.by_root and not step.typed.startswith("rm "):
            if step.typed not in STAND_INS:
                return None
            step = step._replace(typed=STAND_INS[step.typed])
        return step._replace(typed=here(step.typed), shown=here(step.shown))

    def write(file):
        with open(here(file.path), "w", encoding="utf-8") as stream:
            stream.write(here(file.text))

    environment = {**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}", "HOME": str(tmp_path),
                   "EVLOOPD_SOCKET": f"{sockets}/qmp.sock"}
    with Shell(cwd=tmp_path, env=environment) as shell:
        do_tutorial(lambda step: shell, write, adapt)
    assert list(conf_d.iterdir()) == list(tmp_path.iterdir()) == []


def test_all_that_root_types_is_done_here_or_needs_the_service():
    typed = re.findall(r"^# (\w+) ", PAGE.read_text(), re.MULTILINE)
    assert set(typed) <= {"apt", "journalctl", "rm", "systemctl", "usermod"}
