"""What manual pages show: their displays, as a reader sees them."""

import re
from pathlib import Path
from typing import NamedTuple

from conftest import BUILD
from sessions import parse_session

ROOT = Path(__file__).parents[2]
# What mdoc needs around text.
ESCAPES = [(r"\&", ""), (r"\-", "-"), (r"\(aq", "'"), (r"\(ga", "`"), (r"\(ha", "^"),
           (r"\(ti", "~"), (r"\(dq", '"'), (r"\e", "\\")]
DISPLAY = re.compile(r'^(?:\.\\" varies: (?P<varies>[^\n]*)\n)?'
                     r"(?:\.Bd -literal[^\n]*\n(?P<block>.*?)^\.Ed$|\.Dl (?P<line>[^\n]*\n))",
                     re.MULTILINE | re.DOTALL)


def page_path(name):
    """Where a page is: the one that the build makes may be in the build folder."""
    made = BUILD / "man" / name
    return made if made.exists() else ROOT / "man" / name


def page_text(name):
    return page_path(name).read_text()


def plain(text):
    """The page's text without what mdoc needs around it."""
    for escape, character in ESCAPES:
        text = text.replace(escape, character)
    return text


class Display(NamedTuple):
    """Something that a page shows in lines of its own."""

    section: str
    text: str
    varies: tuple = ()

    def is_session(self):
        return self.text.startswith(("$ ", "# "))

    def steps(self):
        return parse_session(self.text, self.varies)


def displays(name):
    """All displays of a page, in order."""
    found = []
    for section in re.split(r"^\.Sh ", page_text(name), flags=re.MULTILINE)[1:]:
        title, body = section.split("\n", 1)
        found += [Display(title, plain(match["block"] or match["line"]),
                          tuple((match["varies"] or "").split()))
                  for match in DISPLAY.finditer(body)]
    return found
