"""Fill memory on purpose, inside a fence: for lessons in which Ray's memory monitor ends workers.

    limit = pressure.limit(800)                        # 800 MiB more than is in use now
    settings = {"memory_usage_threshold": limit.fraction}      # for one simulated node; the others keep Ray's 95 %
    kept = limit.fill(leave_mb=100)                    # in a task: until 100 MiB are left below the limit

The fence has three rails. ``limit`` refuses if the machine has less to spare than it would take. ``fill`` takes
``FENCE_MB`` at most, killed or not. And it stops, with an error, once the machine has less than ``RESERVE_MB`` left.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

from klaw_course import container

MIB = 2**20
FENCE_MB = 1000  # no process takes more than this
RESERVE_MB = 300  # what the machine, or the container, keeps
_STEP_MB = 16  # small, so that the monitor, which looks a few times a second, sees the limit passed by little


def used_and_total_mb() -> tuple[float, float]:
    """Read what Ray's memory monitor reads: MiB in use and in all, of the container if it has a limit of its own."""
    machine = psutil.virtual_memory()
    total, left = machine.total, machine.available
    for its_limit, its_left in container.memory_limits():
        if its_limit < total:
            total, left = its_limit, its_left
    return (total - left) / MIB, total / MIB


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

    def fill(self, leave_mb: float, at_most_mb: float = FENCE_MB, pause_s: float = 0.03) -> list[bytes]:
        """Take memory, a little at a time, until so much is left below the limit.

        Args:
            leave_mb: MiB to leave; less than 0 goes beyond the limit.
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
        taken = []
        while self.left_mb() > leave_mb and (len(taken) + 1) * _STEP_MB <= at_most_mb:
            used, total = used_and_total_mb()
            if total - used < RESERVE_MB:
                taken.clear()
                raise MemoryError(f"Only {total - used:.0f} MiB are left, and {RESERVE_MB} stay free: nothing is kept.")
            taken.append(b"x" * (_STEP_MB * MIB))
            time.sleep(pause_s)
        return taken


def limit(mb: float) -> Limit:
    """Choose a limit that lies above what is in use now.

    Args:
        mb: MiB by which it lies above, ``FENCE_MB`` at most.

    Raises:
        ValueError: it would be beyond the fence.
        RuntimeError: this machine has less to spare.
    """
    if not 0 < mb <= FENCE_MB:
        raise ValueError(f"A limit of {mb!r} MiB above what is in use is outside the fence; give 1 to {FENCE_MB}.")
    used, total = used_and_total_mb()
    wanted = mb + RESERVE_MB
    if total - used < wanted:
        raise RuntimeError(
            f"This fills {mb:.0f} MiB and leaves {RESERVE_MB} free, and {total - used:.0f} MiB are free now: "
            "close something first, or skip this episode."
        )
    return Limit(used + mb, total)
