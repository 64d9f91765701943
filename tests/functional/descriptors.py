"""The descriptors of a process, for tests that count them."""

import os


def lasts(link):
    """Whether that descriptor is there for more than a moment: a loop that polls looks now and then
    how long its thread waited for a processor."""
    try:
        return not os.readlink(link).endswith("/schedstat")
    except FileNotFoundError:
        return False  # closed meanwhile


def count_fds(pid):
    folder = f"/proc/{pid}/fd"
    return sum(lasts(f"{folder}/{name}") for name in os.listdir(folder))
