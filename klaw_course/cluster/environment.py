"""This process's environment variables: set for a cluster, and put back when it ends."""

from __future__ import annotations

import contextlib
import os

from klaw_course.cluster import _ray

_before: dict[str, str | None] = {}  # variable -> its value before the first change; None: it was not set


def set_variables(values: dict[str, str | None]) -> None:
    """Set variables, or with ``None`` take them out, and let Ray read them; ``put_back`` undoes it."""
    _before.setdefault("PYTHONBREAKPOINT", os.environ.get("PYTHONBREAKPOINT"))  # Ray sets it when it connects
    for name, value in values.items():
        _before.setdefault(name, os.environ.get(name))
        _put(name, value)
    _ray.read_environment_again()


def keep_to_loopback() -> None:
    """Make the Ray that this process starts or joins next use 127.0.0.1 and nothing else; ``put_back`` undoes it."""
    set_variables({_ray.loopback_variable(): "0"})
    _ray.keep_to_loopback(True)


def put_back() -> None:
    """Give every variable the value that it had before, and Ray its own rules. Safe to repeat."""
    while _before:
        _put(*_before.popitem())
    _ray.keep_to_loopback(False)
    _ray.show_lines_as_ray_does()
    _ray.read_environment_again()


@contextlib.contextmanager
def scratch_files_in(folder):
    """Let processes that start meanwhile keep their scratch files in a folder; this one's TMPDIR is only borrowed."""
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        _put("TMPDIR", before)


@contextlib.contextmanager
def without_c_messages():
    """Ray's C++ part says on standard error which log level it uses; errors come as exceptions, which still get out."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _put(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
