"""What a notebook does to the machine: sockets beyond loopback while it runs; processes and files that it leaves.

A mark in the environment is inherited by the notebook's kernel and by every process that Ray starts for it. What has
another mark, or none, is somebody else's: the suite runs two things at a time.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import threading
import time
import uuid
from pathlib import Path

import psutil

MARK = "KLAW_TEST_NOTEBOOK"
GRACE_S = 10.0  # a process that has been told to end may take as long
EVERY_S = 0.5  # between two looks at the sockets, which take some milliseconds
PLACES = ("/dev/shm/*", "/tmp/klaw-*", "/tmp/ray*", "/tmp/pymp-*", "/tmp/torch*")
RAY = re.compile(r"gcs_server|raylet|ray::|ray/dashboard|ray/_private/")


class Watch:
    """Watch what carries the mark while a block runs.

    Attributes:
        open: a line for each socket that listened beyond loopback: process and address.
    """

    def __enter__(self) -> Watch:
        self.open: set[str] = set()
        self._mark = os.environ[MARK] = uuid.uuid4().hex
        self._processes, self._files = set(psutil.process_iter()), _files()
        self._seen: set[tuple[int, str]] = set()
        self._sessions: set[int] = set()  # of the kernels: a kernel begins one, and its Ray stays in it
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look_again_and_again, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._end.set()
        self._thread.join()
        os.environ.pop(MARK, None)

    def _look_again_and_again(self) -> None:
        try:
            while not self._end.wait(EVERY_S):
                self._look()
        except Exception as error:  # a watch that ended in silence would pass whatever happens
            self.open.add(f"the watch ended: {type(error).__name__}: {error}")

    def _look(self) -> None:
        for child in psutil.Process().children():
            with contextlib.suppress(OSError):
                self._sessions.update({child.pid} & {os.getsid(child.pid)})
        for socket in psutil.net_connections(kind="tcp"):
            if socket.status != psutil.CONN_LISTEN or not socket.pid or is_loopback(socket.laddr.ip):
                continue
            who = (socket.pid, f"{socket.laddr.ip} port {socket.laddr.port}")
            if who not in self._seen:
                self._seen.add(who)
                with contextlib.suppress(psutil.NoSuchProcess):
                    process = psutil.Process(socket.pid)
                    if self._is_ours(process):
                        self.open.add(f"{_title(process)} listens on {who[1]}")

    def left(self) -> list[str]:
        """Name processes and files that are there now and were not before the block; wait ``GRACE_S`` for their end."""
        deadline = time.monotonic() + GRACE_S
        while processes := self._left_processes():
            while still := [process for process in processes if _is_alive(process)]:
                if time.monotonic() > deadline:
                    return sorted([*map(_title, still), *self._left_files()])
                time.sleep(0.1)
        while (files := self._left_files()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return files

    def _left_processes(self) -> list[psutil.Process]:
        left = []
        for process in set(psutil.process_iter()) - self._processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.uids().real == os.getuid() and self._is_ours(process):
                    left.append(process)
        return left

    def _is_ours(self, process: psutil.Process) -> bool:
        """Whether it has the mark. A process of Ray that renames itself hides its environment: its parent decides.

        Where the parent has ended, too, its session tells whose it was.
        """
        if not _is_alive(process):
            return False
        for ancestor in (process, *process.parents()):
            with contextlib.suppress(psutil.AccessDenied):
                environment = ancestor.environ()
                if "PATH" in environment and ancestor.pid != 1:
                    return environment.get(MARK) == self._mark
        return bool(RAY.search(" ".join(process.cmdline()))) and os.getsid(process.pid) in self._sessions

    def _left_files(self) -> list[str]:
        left = []
        for path in _files() - self._files:
            with contextlib.suppress(FileNotFoundError):
                ours = path.stat().st_uid == os.getuid() and not _is_of_another(path)
                if ours and not maps_it(path, lambda process: not self._is_ours(process)):
                    left.append(f"file {path}")
        return sorted(left)


def is_loopback(address: str) -> bool:
    """Tell whether nobody outside this machine reaches a socket that listens on this address."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


def maps_it(path: Path, who) -> bool:
    """Tell whether a living process maps a file, as whoever uses shared memory does.

    Args:
        path: the file.
        who: is given a ``psutil.Process``, and says whether it counts.
    """
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if str(path) in Path(f"/proc/{process.pid}/maps").read_text() and who(process):
                return True
    return False


def _files() -> set[Path]:
    return {path for place in PLACES for path in Path(place).parent.glob(Path(place).name)}


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _title(process: psutil.Process) -> str:
    """Name a process, even one that ends at this moment."""
    with contextlib.suppress(psutil.Error):
        return f"process {process.pid}: {' '.join(process.cmdline())[:100]}"
    return f"process {process.pid}"


def _is_of_another(path: Path) -> bool:
    """Whether it is a folder of what runs at the same time: klaw-<pid of its kernel>-..."""
    owner = re.match(r"klaw-(\d+)-", path.name)
    return bool(owner) and psutil.pid_exists(int(owner[1]))
