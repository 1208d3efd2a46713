"""Watch how much memory processes have for themselves.

    with memory.watch({"driver": os.getpid(), "actor": actor}) as seen:
        ...
        seen.mark("cleared")
    seen.plot()

A process's *own* memory is its heap and arrays. Its resident set size (RSS) is that and every page of files and of the
object store which it has touched: an object that three processes read is in three RSS, though it exists once. On Linux
own memory is RSS less these pages. The unique set size (USS), which is taken elsewhere, is nearly the same, but a page
of the object store is in it as long as no second process has touched it: what ``ray.put`` stores would seem to be the
driver's own. All sizes are in MiB.

What is measured is measured where it is. A process is a pid of this machine; an actor's handle, wherever the actor is;
or a pair (node id, pid). On another node than this process's own a probe reads it: an actor without a CPU, which ends
with the block. The seconds of all samples are on the clock of this process; a probe reads some milliseconds later.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from tabulate import tabulate

from klaw_course.observe.processes import Reader
from klaw_course.show.base import Picture, Text


@dataclass(frozen=True)
class Sample:
    """The memory of one name at one moment.

    Attributes:
        second: since the block began.
        name: as it was given to ``watch``.
        rss_mb: resident set size in MiB.
        own_mb: own memory in MiB.
        probed: the ids of the nodes whose probes read a part of it; empty if this process read it all.
    """

    second: float
    name: str
    rss_mb: float
    own_mb: float
    probed: tuple[str, ...] = ()


class Watch:
    """What ``watch()`` gives: ``rows`` has the samples so far, ``marks`` the (second, text) of each ``mark``."""

    def __init__(self, processes: dict[str, object], every_s: float):
        self.rows: list[Sample] = []
        self.marks: list[tuple[float, str]] = []
        self._processes, self._every_s = processes, every_s
        self._reader, self._error = Reader(), None
        self._leave, self._thread = threading.Event(), threading.Thread(target=self._run, daemon=True)

    def mark(self, text: str) -> None:
        """Note what happens at this second; the plot has a dashed line for it."""
        self.marks.append((time.monotonic() - self._began, text))

    def own_mb(self, name: str) -> list[float]:
        """List the own memory at each sample, in MiB; inside the block, at each one so far.

        Raises:
            KeyError: the name has no samples. So do ``growth_mb`` and ``peak_mb``.
        """
        if name not in self._processes or not self.rows:
            raise KeyError(f"There are no samples of {name!r}; the names watched are {', '.join(self._processes)}.")
        return [row.own_mb for row in self.rows if row.name == name]

    def growth_mb(self, name: str) -> float:
        """Subtract the first own memory from the last; inside the block, from the last so far."""
        own = self.own_mb(name)
        return own[-1] - own[0]

    def peak_mb(self, name: str) -> float:
        """Give the largest own memory that was seen."""
        return max(self.own_mb(name))

    def table(self) -> Text:
        """Write a line for each name: its own memory, by how much that grew, and its largest RSS."""
        lines = []
        for name in self._processes if self.rows else ():
            own, rss = self.own_mb(name), [row.rss_mb for row in self.rows if row.name == name]
            lines.append([name, own[0], max(own), own[-1], self.growth_mb(name), max(rss)])
        return Text(tabulate(lines, ["own MiB of", "first", "peak", "last", "growth", "peak RSS"], floatfmt=".0f"))

    def plot(self, title: str = "") -> Picture:
        """Draw own memory against seconds, a curve for each name. Raises ``ValueError`` if there are no samples."""
        from klaw_course.show import charts

        points = defaultdict(lambda: ([], []))
        for row in list(self.rows):  # inside the block there may be more at any time
            seconds, own = points[row.name]
            seconds.append(row.second)
            own.append(row.own_mb)
        figure = charts.mark_seconds(charts.curves(dict(points), title), self.marks).figure
        marks = "".join(f"\nat {second:.1f} s: {text}" for second, text in self.marks)
        return Picture(figure, f"{title}. Own memory over time.\n{self.table()}{marks}")

    def __enter__(self) -> Watch:
        try:
            first = self._reader.read(self._processes, must_exist=True)  # a probe takes a second to start
            self._began = time.monotonic()
            self._keep(0.0, first)
            self._thread.start()
        except BaseException:
            self._reader.end()
            raise
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._leave.set()
        self._thread.join()  # it ends the probes, even if an interrupt ends this wait
        self._processes = dict.fromkeys(self._processes)  # the names; a handle that is kept would keep its actor alive
        if self._error is not None and kind is None:
            raise self._error

    def _run(self) -> None:
        leave = False
        try:
            while not leave:
                leave = self._leave.wait(self._every_s)
                second = time.monotonic() - self._began
                self._keep(second, self._reader.read(self._processes))
        except Exception as error:  # nobody would see it here; __exit__ raises it
            self._error = error
        finally:
            self._reader.end()

    def _keep(self, second: float, read: dict[str, tuple]) -> None:
        self.rows += [Sample(second, name, *usage) for name, usage in read.items()]


def watch(processes: dict[str, object], every_s: float = 0.1) -> Watch:
    """Sample the memory of processes while a block runs: at its beginning, then from a thread, and at its end.

    A sample takes 0.15 ms of CPU for each process of this machine (measured on Linux with psutil 7.2.2). To stop a
    block that takes too much, ask ``growth_mb(name)`` inside it.

    Args:
        processes: name to process: a pid of this machine, an actor's handle, a pair (node id, pid), a list of these
            (summed), or a function that gives one of these and is called for each sample. What has ended counts as 0;
            an actor that restarts is found again.
        every_s: seconds between two samples.

    Returns:
        A context manager that gives a ``Watch``.

    Raises:
        ValueError: there is nothing to watch, ``every_s`` is not above 0, or a process does not exist at the beginning.
        TypeError: something is no process.
        RuntimeError: a node cannot be asked; raised where the block begins or ends.
    """
    if not processes:
        raise ValueError("There is nothing to watch: 0 processes; write watch({'driver': os.getpid()}).")
    if not every_s > 0:
        raise ValueError(f"every_s is {every_s!r}; give the seconds between two samples, more than 0.")
    return Watch(dict(processes), every_s)


def own_mb(process: object) -> float:
    """Read the own memory, now, of what ``watch`` takes for a process.

    Returns:
        MiB.

    Raises:
        ValueError: it does not exist.
        TypeError: it is no process.
        RuntimeError: its node cannot be asked.
    """
    return Reader(keep_probes=False).read({"": process}, must_exist=True)[""][1]


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Fit a line by least squares, and tell by how much y grows for each x.

    Raises:
        ValueError: there are not two different xs, or not as many ys.
    """
    if len(set(xs)) < 2 or len(xs) != len(ys):
        raise ValueError(f"{len(xs)} xs and {len(ys)} ys make no line; give as many of both, with two different xs.")
    return float(np.polyfit(xs, ys, 1)[0])


def trim() -> bool:
    """Hand memory that this process freed, but its allocator keeps, back to the system: what it needs next grows it.

    Returns:
        Whether there was any. Only the C library of Linux (glibc) can do it; elsewhere it is always ``False``.
    """
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (OSError, TypeError, AttributeError):
        return False


def room_mb(keep_mb: float = 1024) -> float:
    """Tell the MiB that a demonstration may fill: what machine and container have left, less ``keep_mb``; 0 or more."""
    left = min([psutil.virtual_memory().available, *_left_in_containers(Path("/sys/fs/cgroup"))])
    return max(0.0, left / 2**20 - keep_mb)


def _left_in_containers(top: Path) -> Iterator[int]:
    """Give the bytes below the limit of a control group, version 2 and 1; cached files give way and do not count."""
    version_2 = (top, "memory.max", "memory.current", "inactive_file")
    version_1 = (top / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    for folder, limit, usage, cached in (version_2, version_1):
        with contextlib.suppress(OSError, ValueError):  # there is no such group, or its limit is "max"
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            yield int((folder / limit).read_text()) - int((folder / usage).read_text()) + int(stat.get(cached, 0))
