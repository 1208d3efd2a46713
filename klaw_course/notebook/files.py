"""A folder for the files that a lesson writes, gone when its cluster is stopped."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_folders: list[Path] = []


def new_folder() -> Path:
    """Make an empty folder on this machine. ``cluster.stop()`` deletes it, and so does the end of the kernel.

    Actors and tasks see it only if they run on this machine.

    Returns:
        Its path: in the private cluster's own folder, else where the system keeps temporary files.
    """
    private = os.environ.get("RAY_TMPDIR")
    folder = Path(tempfile.mkdtemp(prefix="lesson-", dir=private if private and Path(private).is_dir() else None))
    _folders.append(folder)
    return folder


@atexit.register
def delete_folders() -> None:
    """Delete every folder that ``new_folder`` made. Safe to repeat."""
    while _folders:
        shutil.rmtree(_folders.pop(), ignore_errors=True)
