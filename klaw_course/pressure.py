"""Fill memory on purpose, inside a fence: for lessons in which Ray's memory monitor ends workers.

    limit = pressure.limit(700)                        # 700 MiB more than is in use now
    settings = {"memory_usage_threshold": limit.fraction}      # for one simulated node; the others keep Ray's 95 %
    kept = limit.fill(leave_mb=100)                    # until 100 MiB are left below the limit

The fence has three rails. ``limit`` refuses if the machine has less to spare than it would take. ``fill`` takes
``FENCE_MB`` at most, killed or not. And it stops, with an error, once the machine has less than ``RESERVE_MB`` left.

A kernel from 6.7 on keeps what a process gave back with the CPU for some seconds, hundreds of MiB, and counts it as in
use meanwhile. So does Ray's monitor: after one kill it may go on killing, until no worker is left on its node.
"""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from klaw_course import container

MIB = 2**20
FENCE_MB = 1000  # no process takes more than this
RESERVE_MB = 300  # what the machine, or the container, keeps
STAY_S = 2  # for which whoever is beyond the limit stays there: on a busy machine the monitor may look late
_STEP_MB = 16  # small, so that the monitor, which looks a few times a second, sees the limit passed by little


def used_and_total_mb(top: Path = container.TOP) -> tuple[float, float]:
    """Read MiB in use and in all as Ray 2.60's memory monitor does: of the machine, or of the container around it.

    It takes a container's limit from the top group that it sees, and counts no cached file as in use.

    Args:
        top: the folder where control groups are mounted.
    """
    machine = psutil.virtual_memory()
    used, total = machine.total - machine.available, machine.total
    for limit, usage, stat, cached in (
        ("memory.max", "memory.current", "memory.stat", ("inactive_file", "active_file")),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            ("total_inactive_file", "total_active_file"),
        ),
    ):
        with contextlib.suppress(OSError, ValueError):  # there is no such group, or its limit is "max"
            its_limit, its_usage = (int((top / name).read_text()) for name in (limit, usage))
            counts = dict(line.split() for line in (top / stat).read_text().splitlines())
            if its_limit < total:
                used, total = its_usage - sum(int(counts[name]) for name in cached), its_limit
    return used / MIB, total / MIB


def spare_mb() -> float:
    """Tell how many MiB may still be taken: of the machine, and of every control group around this process."""
    left = [left for _, left in container.memory_limits()]
    return min(psutil.virtual_memory().available, *left, 2**63) / MIB


@dataclass(frozen=True)
class Limit:
    """How much memory may be in use on a machine before Ray's memory monitor acts.

    Attributes:
        limit_mb: in MiB, everything that runs on the machine included.
        total_mb: what the machine, or its container, has.
    """

    limit_mb: float
    total_mb: float

    @property
    def fraction(self) -> float:
        """Give the limit as Ray wants it, as a part of all memory."""
        return round(self.limit_mb / self.total_mb, 5)

    def left_mb(self) -> float:
        """Tell how many MiB more may be in use; less than 0 beyond the limit."""
        return self.limit_mb - used_and_total_mb()[0]

    def fill(self, leave_mb: float, at_most_mb: float = FENCE_MB, pause_s: float = 0.05) -> list[bytes]:
        """Take memory, a little at a time, until so much is left below the limit.

        Args:
            leave_mb: MiB to leave; less than 0 goes beyond the limit, and stays there for ``STAY_S``.
            at_most_mb: MiB after which it stops in any case, ``FENCE_MB`` at most.
            pause_s: seconds between two steps.

        Returns:
            What it took; the memory is given back when the list is.

        Raises:
            ValueError: ``at_most_mb`` is beyond the fence; nothing was taken.
            MemoryError: the machine has less than ``RESERVE_MB`` left; what was taken has been given back.
        """
        if at_most_mb > FENCE_MB:
            raise ValueError(f"at_most_mb={at_most_mb!r} is beyond the fence; give {FENCE_MB} or less.")
        taken, there = [], None
        while True:
            if self.left_mb() > leave_mb and (len(taken) + 1) * _STEP_MB <= at_most_mb:
                if (spare := spare_mb()) < RESERVE_MB:
                    taken.clear()
                    raise MemoryError(f"Only {spare:.0f} MiB are left, and {RESERVE_MB} stay free: nothing is kept.")
                taken.append(b"x" * (_STEP_MB * MIB))
            else:
                there = there or time.monotonic()
                if leave_mb >= 0 or time.monotonic() - there > STAY_S:
                    return taken
            time.sleep(pause_s)


def limit(mb: float) -> Limit:
    """Choose a limit that lies above what is in use now.

    Args:
        mb: MiB by which it lies above, ``FENCE_MB`` at most.

    Raises:
        ValueError: it would be beyond the fence.
        RuntimeError: this machine has less to spare, or Ray has no memory monitor for it.
    """
    if not 0 < mb <= FENCE_MB:
        raise ValueError(f"A limit of {mb!r} MiB above what is in use is outside the fence; give 1 to {FENCE_MB}.")
    if sys.platform != "linux":
        raise RuntimeError("Ray has its memory monitor on Linux only; skip this episode.")
    used, total = used_and_total_mb()
    if (spare := spare_mb()) < mb + RESERVE_MB:
        raise RuntimeError(
            f"This fills {mb:.0f} MiB and leaves {RESERVE_MB} free, and {spare:.0f} MiB are free now: "
            "close something first, or skip this episode."
        )
    return Limit(used + mb, total)
