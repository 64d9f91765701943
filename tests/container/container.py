"""A machine of its own for a test: systemd as PID 1 in a container, over an overlay of this root
file system.

However a test ends, no process and no mount is left. The overlay is in memory, and mounted where
only the container sees it; and what runs the container is the first process of a namespace, so the
kernel kills all of it when that dies, which dies with the test.
"""

import os
import re
import select
import shutil
import socket
import subprocess
import time
from pathlib import Path

DEADLINE = 60  # seconds that only what hangs takes

# Mounts what the container runs on, and becomes systemd-nspawn. The services of this machine are
# none of the container's business, so it has none but those that come with packages; and whether
# packages may start theirs here is no matter there. The index of manual pages is left as it is,
# for that takes longer than all the rest.
SETUP = """
set -e
machine=$1 packages=$2
shift 2
for group; do echo 0 >"$group/cgroup.procs"; done
mount -t tmpfs -o mode=755 evloopd-container "$machine"
mkdir "$machine/upper" "$machine/work" "$machine/root"
mount -t overlay -o "lowerdir=/,upperdir=$machine/upper,workdir=$machine/work" overlay \
    "$machine/root"
rm -rf "$machine"/root/etc/systemd/system/* "$machine/root/usr/sbin/policy-rc.d" \\
    "$machine/root/var/lib/man-db/auto-update"
exec systemd-nspawn --quiet --directory="$machine/root" --bind-ro="$packages:/packages" \
    --machine=evloopd-test --register=no --keep-unit --private-network --console=pipe \
    --notify-ready=yes --boot -- systemd.unit=basic.target
"""


def missing():
    """Why there can be no container here, or None."""
    if os.geteuid() != 0:
        return "only root can have a container"
    for program in ("systemd-nspawn", "nsenter", "setpriv", "unshare"):
        if not shutil.which(program):
            return f"no {program}"
    probe = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return f"no mounts: {probe.stdout.strip()}" if probe.returncode != 0 else None


# ---- control groups ----


def own_groups():
    """The folders of this process's groups in the hierarchies that systemd uses."""
    of = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, after = line.split(" - ")
        kind, options = after.split()[0], after.split()[-1]
        name = {"cgroup2": "", "cgroup": "name=systemd"}.get(kind)
        if name in of and (kind == "cgroup2" or name in options.split(",")):
            yield Path(before.split()[4] + of[name])


def remove_group(group):
    """Remove @group and those in it; one with processes stays."""
    for path, _, _ in os.walk(group, topdown=False):
        try:
            os.rmdir(path)
        except OSError:
            pass


def make_groups():
    """Groups for a container, named after this process; those of tests that were killed go."""
    groups = []
    for parent in own_groups():
        for old in parent.glob("evloopd-test-*"):
            if not Path("/proc", old.name.rpartition("-")[2]).exists():
                remove_group(old)
        groups.append(parent / f"evloopd-test-{os.getpid()}")
        groups[-1].mkdir(exist_ok=True)
    return groups


# ---- the container ----


class Failed(AssertionError):
    """A command failed in the container."""


class Container:
    """A booted container."""

    def __init__(self, folder, packages):
        self.folder = Path(folder)
        self.leader = None  # a descriptor of its PID 1, and the number
        self.pid = 0
        self.groups = make_groups()
        self.log = open(self.folder / "console", "wb")
        (self.folder / "machine").mkdir()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            path = str(self.folder / "notify")
            notify.bind(path)
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL",
                 "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                 "sh", "-c", SETUP, "sh", str(self.folder / "machine"), str(packages),
                 *map(str, self.groups)],
                stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": path})
            try:
                self.wait_until_booted(notify)
                self.find_leader()
            except BaseException:
                self.end()
                raise

    def wait_until_booted(self, notify):
        """Until its systemd says that it has reached its target."""
        deadline = time.monotonic() + DEADLINE
        while True:
            if select.select([notify], [], [], 0.1)[0]:
                if "READY=1" in notify.recv(4096).decode().splitlines():
                    return
            elif self.process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"the container does not boot: {self.console()}")

    def find_leader(self):
        """Its PID 1, which is the one that is the first in a namespace in a namespace."""
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                found = re.search(r"^NSpid:\t(\d+)\t\d+\t1$", status.read_text(), re.MULTILINE)
                if found and self.is_below(int(found[1])):
                    self.pid = int(found[1])
                    self.leader = os.pidfd_open(self.pid)
            except (FileNotFoundError, ProcessLookupError):
                pass  # it has just ended
        if not self.leader:
            raise Failed("the container has no PID 1")

    def is_below(self, pid):
        """Whether a process descends from the one that was started here."""
        while pid not in (0, self.process.pid):
            stat = Path(f"/proc/{pid}/stat").read_text()
            pid = int(stat.rpartition(")")[2].split()[1])
        return pid != 0

    def console(self):
        return (self.folder / "console").read_text(errors="replace")

    def end(self):
        """Take it away: its processes, then what it leaves of control groups."""
        self.process.kill()
        self.process.wait()
        if self.leader:
            select.select([self.leader], [], [], DEADLINE)
            os.close(self.leader)
        for group in self.groups:
            remove_group(group)
        self.log.close()

    # ---- commands in it ----

    def command(self, words, user=None):
        """What runs @words in it, as @user or root."""
        command = ["nsenter", f"--target={self.pid}", "--mount", "--uts", "--ipc", "--net",
                   "--pid", "--root", "--wd", "env", "-i",
                   "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                   "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]
        if user:
            command += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return [*command, *words]

    def try_run(self, *words, user=None, **options):
        """Run @words: exit status, and what they printed."""
        result = subprocess.run(self.command(words, user), stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, timeout=DEADLINE,
                                **{"stdin": subprocess.DEVNULL, **options})
        return result.returncode, result.stdout

    def run(self, *words, user=None, **options):
        """Run @words, which must succeed: what they printed."""
        status, output = self.try_run(*words, user=user, **options)
        if status != 0:
            raise Failed(f"{' '.join(words)} ended with {status}: {output}")
        return output

    def wait_for(self, what, condition):
        """Until @condition holds; what it returned then."""
        deadline = time.monotonic() + DEADLINE
        while not (result := condition()):
            if time.monotonic() > deadline:
                raise Failed(f"{what} does not come; the journal: {self.run('journalctl', '-b')}")
            time.sleep(0.02)  # the condition is tried again
        return result

    def write(self, path, text):
        """Make the file @path in it, and its folder."""
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat >"$1"', "sh", path, input=text,
                 stdin=None)

    # ---- its systemd ----

    def show(self, unit, *properties):
        """Properties of a unit, as a tuple of strings."""
        output = self.run("systemctl", "show", unit, "--property", ",".join(properties))
        values = dict(line.split("=", 1) for line in output.splitlines())
        return tuple(values[name] for name in properties)

    # ---- what it has changed ----

    def changed(self):
        """The paths of this machine's file system that are others in the container."""
        upper = Path(f"/proc/{self.process.pid}/root{self.folder}/machine/upper")
        return {f"/{path.relative_to(upper)}" for path in upper.rglob("*")
                if not path.is_dir() or path.is_symlink()}
