"""The processes of a private cluster: what each is, and its share of the machine's memory."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from klaw_course.wait import wait_until

_ROLES = {  # part of the command line -> role; the first that fits
    "gcs_server": "GCS",
    "raylet/raylet": "raylet",
    "ray::DashboardAgent": "agent (dashboard)",
    "dashboard/agent.py": "agent (dashboard)",
    "ray::RuntimeEnvAgent": "agent (runtime environments)",
    "runtime_env/agent": "agent (runtime environments)",
    "ray::": "worker",
    "default_worker.py": "worker",
    "dashboard/dashboard.py": "dashboard",
    "ray-dashboard": "dashboard (a part of it)",
    "multiprocessing": "dashboard (a part of it)",
    "log_monitor.py": "log monitor",
    "monitor.py": "autoscaler",
}


@dataclass(frozen=True)
class Process:
    """One process of a cluster: what it is, its id, and its share of the machine's memory in MiB."""

    role: str
    pid: int
    memory_mb: float


def list_processes(folder: Path) -> list[Process]:
    """List this process, the driver, and those of the private cluster in a folder, largest first."""
    found = [Process("driver (this notebook)", os.getpid(), _memory_mb(psutil.Process()))]
    for process in started_in(folder):
        with contextlib.suppress(psutil.Error):
            found.append(Process(_role(process), process.pid, _memory_mb(process)))
    return sorted(found, key=lambda process: -process.memory_mb)


def started_in(folder: Path) -> list[psutil.Process]:
    """Find the children of this process with a folder on their command line, and all that they started."""
    found = []
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if str(folder) in " ".join(process.cmdline()):
                found += [process, *process.children(recursive=True)]
    return found


def with_role(role: str, processes: list[psutil.Process]) -> list[psutil.Process]:
    """Choose the processes that have a role."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if _role(process) == role:
                found.append(process)
    return found


def end(processes: list[psutil.Process]) -> None:
    """Kill processes and wait until they are gone; what they would tidy up when asked is deleted with their folder."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: not any(runs(process.pid) for process in processes), "their end", timeout_s=5, every_s=0.02)


def runs(pid: int) -> bool:
    """Tell whether a process runs. One that ended keeps its id for up to seconds, until its parent takes notice."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _role(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    return next((role for part, role in _ROLES.items() if part in command), process.name())


def _memory_mb(process: psutil.Process) -> float:
    memory = process.memory_full_info()
    return getattr(memory, "pss", memory.uss) / 2**20
