"""What clusters on one machine share: the turn to start, and /tmp, where each has a folder. No Ray here.

Who holds the lock on a file is asked instead of process ids, which mean nothing from one container to the next.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import time
from importlib.util import find_spec
from pathlib import Path

import psutil

TMP = Path("/tmp")  # short on purpose: the path of a Unix socket may have 107 characters (103 on macOS)
_owned: dict[Path, int] = {}  # our folders -> the open file whose lock says that we live


@contextlib.contextmanager
def turn_to_start(file: Path | None = None, wait_s: float = 600.0):
    """Start one cluster at a time on this machine: where many start at once, Ray gives up after half a minute.

    Args:
        file: what is locked meanwhile; it may belong to another user. It is never deleted, for somebody may wait.
        wait_s: seconds after which it starts anyway.
    """
    lock = _open_for_all(file or TMP / ".klaw-start.lock")  # the dot keeps it out of what looks for our folders
    try:
        deadline = time.monotonic() + wait_s
        if not _lock(lock):
            print("Another cluster is starting on this machine; yours waits for its turn and starts by itself.")
            while not _lock(lock) and time.monotonic() < deadline:
                time.sleep(0.1)
        yield
    finally:
        os.close(lock)  # which gives the lock back


def new_folder() -> Path:
    """Make a private folder for a cluster, with a file in it that says whose it is."""
    folder = TMP / f"klaw-{os.getpid()}-{secrets.token_hex(2)}"
    folder.mkdir(mode=0o700)
    unready = folder / "owner.new"  # gets its name when it is locked, so that no other start takes it for a dead one's
    _owned[folder] = os.open(unready, os.O_RDWR | os.O_CREAT, 0o600)
    _lock(_owned[folder])
    lesson = os.environ.get("JPY_SESSION_NAME") or os.getcwd()  # Jupyter's servers set it to the notebook's path
    os.write(_owned[folder], json.dumps({"lesson": lesson, "pid": os.getpid()}).encode())
    unready.rename(folder / "owner")
    return folder


def delete_folder(folder: Path) -> None:
    """Delete a private folder. Safe to repeat."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder in _owned:
        os.close(_owned.pop(folder))


def delete_folders_of_the_dead() -> None:
    """Delete this user's folders whose kernel was killed before it could."""
    for folder, lives in _folders():
        if not lives:
            shutil.rmtree(folder, ignore_errors=True)


def others() -> list[str]:
    """Name this user's other clusters, a sentence each. That of a process that started this one is not another's."""
    parents = {process.pid for process in psutil.Process().parents()}
    sentences = []
    for folder, lives in _folders():
        with contextlib.suppress(OSError, ValueError):
            owner = json.loads((folder / "owner").read_text())
            if lives and folder not in _owned and owner["pid"] not in parents:
                sentences.append(
                    f"The cluster of {owner['lesson']} runs, too (kernel: process {owner['pid']}) and takes memory; "
                    "to stop it, run that lesson's last cell or shut down its kernel."
                )
    return sentences


def address_for_browser(url: str) -> str:
    """Where the learner's browser finds the dashboard: through the hub's proxy, where there is one.

    Args:
        url: ``http://host:port`` on this machine.
    """
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if url and prefix and find_spec("jupyter_server_proxy"):
        return f"{prefix}proxy/{url.rpartition(':')[2]}/"
    return url


def _folders():
    """This user's private folders, and whether the kernel of each lives."""
    for folder in TMP.glob("klaw-*-*"):
        with contextlib.suppress(OSError):  # it is going away, or is a file
            if folder.stat().st_uid == os.getuid():
                owner = os.open(folder / "owner", os.O_RDONLY)
                try:
                    yield folder, not _lock(owner)
                finally:
                    os.close(owner)


def _open_for_all(file: Path) -> int:
    """Open a file for locking. One of another user in /tmp can be opened, but not with O_CREAT."""
    for _ in range(100):
        with contextlib.suppress(FileNotFoundError, PermissionError):  # not there yet, or not yet for all to read
            return os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
        with contextlib.suppress(FileExistsError):
            lock = os.open(file, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o644)
            os.fchmod(lock, 0o644)  # whatever the umask says
            return lock
        time.sleep(0.01)
    raise RuntimeError(f"{file} cannot be opened for reading; delete it, or ask its owner to, and start again.")


def _lock(file: int) -> bool:
    """Whether nobody else holds a lock on an open file; then we hold it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
