"""A notebook must leave nothing behind, and none may be forgotten.

While a notebook runs, a mark in the environment is inherited by its kernel and by every process that Ray starts for
it. Afterwards no process with the mark may be alive, and nothing new may lie in the places where Ray keeps files.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import uuid
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parent
MARK = "KLAW_TEST_NOTEBOOK"
GRACE_S = 10.0  # a process that has been told to end may take as long
PLACES = ("/dev/shm/*", "/tmp/klaw-*", "/tmp/ray*", "/tmp/pymp-*")
RAY = re.compile(r"gcs_server|raylet|ray::|ray/dashboard|ray/_private/")
_ran: set[str] = set()
_missed = ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    if item.path.suffix != ".ipynb":
        return (yield)
    _ran.add(item.path.name)
    processes_before, files_before = set(psutil.process_iter()), _files()
    os.environ[MARK] = mark = uuid.uuid4().hex
    try:
        result = yield
    finally:
        del os.environ[MARK]
    deadline = time.monotonic() + GRACE_S
    while left := _left(mark, processes_before, files_before):
        if time.monotonic() > deadline:
            raise _failure(item.path.name, left)
        time.sleep(0.1)
    return result


def pytest_sessionfinish(session, exitstatus):
    """After a full run the notebooks that ran must be those on disk: one that is not collected would go unnoticed."""
    global _missed
    option = session.config.option
    full = session.config.args_source == pytest.Config.ArgsSource.TESTPATHS
    chosen = option.keyword or option.markexpr or option.collectonly or option.deselect or option.ignore
    if full and not chosen and exitstatus == pytest.ExitCode.OK:
        forgotten = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")} ^ _ran
        if forgotten:
            _missed = f"{len(_ran)} notebooks ran, but not the same as in notebooks/: {', '.join(sorted(forgotten))}."
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    if _missed:
        terminalreporter.write_line(_missed, red=True)


def _files() -> set[Path]:
    return {path for place in PLACES for path in Path(place).parent.glob(Path(place).name)}


def _left(mark: str, processes_before: set, files_before: set) -> list[str]:
    left = []
    for process in set(psutil.process_iter()) - processes_before:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.uids().real == os.getuid() and _is_of(process, mark):
                left.append(f"process {process.pid}: {' '.join(process.cmdline())[:100]}")
    for path in _files() - files_before:
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_uid == os.getuid() and not _is_of_another(path):
                left.append(f"file {path}")
    return sorted(left)


def _is_of(process: psutil.Process, mark: str) -> bool:
    """Whether the mark was inherited. A Ray worker renames itself, which hides its environment: its parent decides."""
    if process.status() == psutil.STATUS_ZOMBIE:
        return False
    for one in (process, *process.parents()):
        with contextlib.suppress(psutil.AccessDenied):
            environment = one.environ()
            if "PATH" in environment:
                return environment.get(MARK) == mark if one.pid != 1 else _is_ray(process)
    return _is_ray(process)


def _is_ray(process: psutil.Process) -> bool:
    return bool(RAY.search(" ".join(process.cmdline())))


def _is_of_another(path: Path) -> bool:
    """Whether it is the folder of a lesson that somebody runs at the same time: klaw-<pid of its kernel>-..."""
    owner = re.match(r"klaw-(\d+)-", path.name)
    return bool(owner) and psutil.pid_exists(int(owner[1]))


def _failure(name: str, left: list[str]) -> Exception:
    from nbmake.nb_result import NotebookError, NotebookResult
    from nbmake.pytest_items import NotebookFailedException

    summary = f"{name} left something behind; its last cell must call cluster.stop()"
    trace = "\n  ".join([f"{summary}:", *left])
    return NotebookFailedException(NotebookResult(nb=None, error=NotebookError(summary, trace, -1)))
