"""A notebook must leave nothing behind and listen on loopback only, its answers are checked, and none is forgotten.

The suite runs in an environment of its own: what the user's variables say about Ray clusters does not reach it, and
what it writes does not reach the user's home.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path

import nbmake.nb_run
import pytest

ROOT = Path(__file__).parent
# With an address of the user's cluster every cell that needs a private one would be skipped, and the suite be green.
for name in [name for name in os.environ if name.startswith(("RAY_", "KLAW_"))]:
    del os.environ[name]
# A bare ray.init() looks for its token in the home folder otherwise, and writes one there.
_home = Path(tempfile.mkdtemp(prefix="course-tests-"))
atexit.register(shutil.rmtree, _home, ignore_errors=True)
(_home / "token").touch(mode=0o600)
(_home / "token").write_text(secrets.token_hex(32))
os.environ["RAY_AUTH_TOKEN_PATH"] = str(_home / "token")

import answers  # noqa: E402
import traces  # noqa: E402

nbmake.nb_run.NotebookClient = answers.Client
_ran: dict[Path, str] = {}  # notebook -> what the summary says about it
_faults: list[str] = []
_token_of_the_user = Path.home() / ".ray" / "auth_token"


def _state_of_the_users_token() -> tuple | None:
    return _token_of_the_user.exists() and (_token_of_the_user.stat().st_mtime_ns, _token_of_the_user.read_bytes())


_token_before = _state_of_the_users_token()


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


def pytest_sessionfinish(session, exitstatus):
    """After a full run the notebooks that ran must be those on disk: one that is not collected would go unnoticed."""
    option = session.config.option
    full = session.config.args_source == pytest.Config.ArgsSource.TESTPATHS
    chosen = option.keyword or option.markexpr or option.collectonly or option.deselect or option.ignore
    if full and not chosen and exitstatus == pytest.ExitCode.OK:
        there = {path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts}
        if forgotten := sorted(path.name for path in there ^ set(_ran)):
            _faults.append(f"{len(_ran)} notebooks ran, but not the same as in notebooks/: {', '.join(forgotten)}.")
    if _state_of_the_users_token() != _token_before:
        _faults.append(f"A test wrote {_token_of_the_user}, a file of whoever runs the suite.")
    if _faults:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    for path, said in _ran.items():
        terminalreporter.write_line(f"{path.name}: {said}")
    for fault in _faults:
        terminalreporter.write_line(fault, red=True)
