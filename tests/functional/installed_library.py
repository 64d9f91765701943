"""A copy of the library that is installed for a test, and what is built with it."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import BUILD
from qmp_client import DEADLINE

WARNINGS = ["-Wall", "-Wextra", "-Wundef", "-Wno-unused-parameter", "-Werror"]


def setting(name):
    """A variable of the build folder's Makefile, as configure has set it."""
    return re.search(rf"^{name} = ?(.*)$", (BUILD / "Makefile").read_text(), re.MULTILINE)[1]


def run(command, **options):
    """Run @command, which must succeed; what it prints."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            timeout=DEADLINE, **options)
    assert result.returncode == 0, f"{command}: {result.stdout}"
    return result.stdout


def make(target, dest):
    """Run make in the build folder, on its own whatever make runs this test."""
    environment = {key: value for key, value in os.environ.items()
                   if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    run(["make", "-s", "-C", str(BUILD), target, f"DESTDIR={dest}"], env=environment)


def declared_functions(text):
    """The names of the functions that a header declares and does not define."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
    text = re.sub(r"^\s*#(?:.*\\\n)*.*$", "", text, flags=re.MULTILINE)
    nested = None
    while nested != text:
        nested, text = text, re.sub(r"\{[^{}]*\}", "", text)
    statements = [re.sub(r"\bG_\w+(\([^()]*\))?", "", statement) for statement in text.split(";")]
    names = [re.search(r"(\w+)\s*\(", statement) for statement in statements
             if not statement.split()[:1] == ["typedef"]]
    return {name[1] for name in names if name}


class Installed:
    """A copy that was installed below another folder than it was configured for."""

    def __init__(self, dest):
        make("install", dest)
        [self.pc] = dest.rglob("evloop.pc")
        # There, and only here, the folders are others than configure was told.
        self.pc.write_text(re.sub(r"^(\w+)=/", rf"\1={dest}/", self.pc.read_text(), flags=re.M))
        self.include = Path(self.pkg_config("--variable=includedir")) / "evloop"
        self.lib = Path(self.pkg_config("--variable=libdir"))
        sanitizers = setting("SANITIZERS")
        self.sanitize = [] if sanitizers == "no" else [f"-fsanitize={sanitizers}"]

    def pkg_config(self, *options):
        path = f"{self.pc.parent}:{os.environ.get('PKG_CONFIG_PATH', '')}"
        return run([setting("PKG_CONFIG"), *options, "evloop"],
                   env={**os.environ, "PKG_CONFIG_PATH": path}).strip()

    def compiler(self, language="c"):
        """The words of the compiler that the library was built with."""
        words = shlex.split(setting("CC"))
        if language == "c++":
            words = [re.sub(r"\b(gcc|cc|clang)\b", lambda name: {
                "gcc": "g++", "cc": "c++", "clang": "clang++"}[name[1]], words[0])]
            if not shutil.which(words[0]):
                pytest.skip(f"no {words[0]}")
        return [*words, *WARNINGS, *self.sanitize]

    def compile(self, source, language="c", options=()):
        """Compile @source, and no more."""
        run([*self.compiler(language), "-x", language, "-fsyntax-only", *options,
             *shlex.split(self.pkg_config("--cflags")), "-"], input=source)

    def build(self, source, program, language="c"):
        """Build @program of the file @source, in the way its users do."""
        run([*self.compiler(language), str(source), "-o", str(program),
             *shlex.split(self.pkg_config("--cflags", "--libs"))])

    def environment(self):
        """In which what was built finds the library."""
        return {**os.environ, "LD_LIBRARY_PATH": str(self.lib)}

    def declared_functions(self):
        """The names of all functions of the public headers."""
        return set().union(*(declared_functions(path.read_text())
                             for path in self.include.rglob("*.h")))
