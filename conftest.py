"""A notebook must leave nothing behind and listen on loopback only, its answers are checked, and none is forgotten.

``make test`` runs two things at a time, each in a process of its own: lessons in one, and in the other what tests them;
deeper notebooks and tests on Ray in whichever is free. What measures times runs ``ALONE``, but not its answers, whose
checkers measure none. What each process has seen reaches the summary through the first one.

The suite runs in an environment of its own: what the user's variables say about Ray clusters does not reach it, and
what it writes does not reach the user's home.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path

import nbmake.nb_run
import pytest

ROOT = Path(__file__).parent
# Two cores must be theirs, for they compare times, or what one process and two get done. And 11 fills memory up to a
# limit of the machine: with what a neighbor gives back, everything fits.
ALONE = {
    "notebooks/00_start.ipynb",
    "notebooks/03_scheduling.ipynb",
    "notebooks/11_faults.ipynb",
    "notebooks/12_profiling.ipynb",
    "notebooks/deeper/12_profiling.ipynb",
}
# With an address of the user's cluster every cell that needs a private one would be skipped, and the suite be green.
for name in [name for name in os.environ if name.startswith(("RAY_", "KLAW_"))]:
    del os.environ[name]
# A bare ray.init() looks for its token in the home folder otherwise, and writes one there.
_home = Path(tempfile.mkdtemp(prefix="course-tests-"))
atexit.register(shutil.rmtree, _home, ignore_errors=True)
(_home / "token").touch(mode=0o600)
(_home / "token").write_text(secrets.token_hex(32))
os.environ["RAY_AUTH_TOKEN_PATH"] = str(_home / "token")
# Ray's workers let others go first (niceness 15). Of two clusters on two cores, the one's drivers would starve the
# other's workers for seconds; a learner has one.
os.environ.update(RAY_worker_niceness="0")

import answers  # noqa: E402
import traces  # noqa: E402

nbmake.nb_run.NotebookClient = answers.Client
_ran: dict[Path, str] = {}  # notebook -> what the summary says about it
_faults: list[str] = []
_token_of_the_user = Path.home() / ".ray" / "auth_token"


def _state_of_the_users_token() -> tuple | None:
    return _token_of_the_user.exists() and (_token_of_the_user.stat().st_mtime_ns, _token_of_the_user.read_bytes())


_token_before = _state_of_the_users_token()


@contextlib.contextmanager
def _locked(folder: Path, how: int):
    """Hold a lock that the suite's processes share, and give a way to change it; a process that dies gives it back."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, how)
        yield functools.partial(fcntl.flock, opened)
    finally:
        os.close(opened)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Wait until nothing else runs, or nothing that must be alone; while one waits for that, nothing else begins."""
    if ROOT not in item.path.parents:
        return (yield)
    with contextlib.ExitStack() as room:
        with _locked(ROOT / "tests", fcntl.LOCK_EX):
            alone = item.path.relative_to(ROOT).as_posix() in ALONE
            change = room.enter_context(_locked(ROOT / "notebooks", fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
        answers.before_the_first = functools.partial(change, fcntl.LOCK_SH)
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    if item.path.suffix != ".ipynb":
        return (yield)
    began = time.monotonic()
    _ran[item.path] = "failed"
    with traces.Watch() as watch:
        result = yield
    if left := watch.left():
        raise answers.failure(f"{item.path.name} left something; its last cell must call cluster.stop()", left)
    if watch.open:
        raise answers.failure(f"{item.path.name} listened beyond loopback", sorted(watch.open))
    _ran[item.path] = f"{time.monotonic() - began:.0f} s, {answers.report}"
    return result


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Lessons beside what tests them; then whoever is free takes a deeper notebook, or a module of tests on Ray."""
    from xdist.scheduler import LoadScopeScheduling

    class Kinds(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            if "/deeper/" in nodeid or nodeid.startswith("tests/ray/"):
                return nodeid.partition("::")[0]
            return "lessons" if ".ipynb::" in nodeid else "tests"

    return Kinds(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Take over what a process of the suite has seen."""
    seen = getattr(node, "workeroutput", {}).get("seen", {"ran": {}, "faults": []})
    _ran.update({Path(path): said for path, said in seen["ran"].items()})
    _faults.extend(fault for fault in seen["faults"] if fault not in _faults)


def pytest_sessionfinish(session, exitstatus):
    """After a full run the notebooks that ran must be those on disk: one that is not collected would go unnoticed."""
    if _state_of_the_users_token() != _token_before:
        _faults.append(f"A test wrote {_token_of_the_user}, a file of whoever runs the suite.")
    if hasattr(session.config, "workeroutput"):
        ran = {str(path): said for path, said in _ran.items()}
        session.config.workeroutput["seen"] = {"ran": ran, "faults": _faults}
        return
    option = session.config.option
    full = session.config.args_source == pytest.Config.ArgsSource.TESTPATHS
    chosen = option.keyword or option.markexpr or option.collectonly or option.deselect or option.ignore
    if full and not chosen and exitstatus == pytest.ExitCode.OK:
        there = {path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts}
        if forgotten := sorted(path.name for path in there ^ set(_ran)):
            _faults.append(f"{len(_ran)} notebooks ran, but not the same as in notebooks/: {', '.join(forgotten)}.")
    if _faults:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    for path, said in sorted(_ran.items()):
        terminalreporter.write_line(f"{path.name}: {said}")
    for fault in _faults:
        terminalreporter.write_line(fault, red=True)
