"""Watch how much memory processes have for themselves, and stop before it is too much.

    with memory.watch({"driver": os.getpid(), "actor": actor}) as seen:
        ...
        seen.mark("cleared")
    seen.plot()

A process's *own* memory is its heap and arrays. Its resident set size (RSS) is that and every page of files and of the
object store which it has touched: an object that three processes read is in three RSS, though it exists once. On Linux
own memory is RSS less these pages. The unique set size (USS), which is taken elsewhere, is nearly the same, but a page
of the object store is in it as long as no second process has touched it: what ``ray.put`` stores would seem to be the
driver's own. All sizes are in MiB, and all processes on this machine.
"""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import math
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from matplotlib.figure import Figure
from tabulate import tabulate

from klaw_course.show import BLUE, CARD, GREEN, GREY, INK, PURPLE, RULE, VERMILLION, Picture, Text, style

_COLOURS, _DASHES, _MARKERS = (BLUE, VERMILLION, GREEN, PURPLE, GREY), ("-", "--", "-.", ":"), "os^Dvx"


class Exceeded(RuntimeError):
    """What was watched grew by more than its budget."""


@dataclass(frozen=True)
class Sample:
    """The memory of one name at one moment, in seconds since the block began and MiB."""

    second: float
    name: str
    rss_mb: float
    own_mb: float


class Watch:
    """What ``watch()`` gives: ``rows`` has the samples so far, ``marks`` the (second, text) of each ``mark``."""

    def __init__(self, processes: dict[str, object], every_s: float, budget_mb: float | None):
        self.rows: list[Sample] = []
        self.marks: list[tuple[float, str]] = []
        self._processes, self._every_s, self._budget_mb = processes, every_s, budget_mb
        self._actor_pids: dict[str, int] = {}
        self._inside, self._over_mb, self._error, self._handler = False, None, None, None
        self._leave, self._thread = threading.Event(), threading.Thread(target=self._run, daemon=True)

    def mark(self, text: str) -> None:
        """Note what happens at this second; the plot has a dashed line for it."""
        self.marks.append((time.monotonic() - self._began, text))

    def own_mb(self, name: str) -> list[float]:
        """Own memory at each sample. This and the next two raise ``KeyError`` if the name has no samples."""
        if name not in self._processes or not self.rows:
            raise KeyError(f"There are no samples of {name!r}; the names watched are {', '.join(self._processes)}.")
        return [row.own_mb for row in self.rows if row.name == name]

    def growth_mb(self, name: str) -> float:
        """The last own memory less the first."""
        return self.own_mb(name)[-1] - self.own_mb(name)[0]

    def peak_mb(self, name: str) -> float:
        """The largest own memory that was seen."""
        return max(self.own_mb(name))

    def table(self) -> Text:
        """A line for each name: its own memory, by how much that grew, and its largest RSS."""
        lines = []
        for name in self._processes if self.rows else ():
            own, rss = self.own_mb(name), [row.rss_mb for row in self.rows if row.name == name]
            lines.append([name, own[0], max(own), own[-1], self.growth_mb(name), max(rss)])
        return Text(tabulate(lines, ["own MiB of", "first", "peak", "last", "growth", "peak RSS"], floatfmt=".0f"))

    def plot(self, title: str = "") -> Picture:
        """Own memory against seconds, a curve for each name. Raises ``ValueError`` if there are no samples."""
        rows = list(self.rows)  # inside the block there may be more at any time
        points = {name: [(r.second, r.own_mb) for r in rows if r.name == name] for name in self._processes if rows}
        figure = plot({name: tuple(zip(*of, strict=True)) for name, of in points.items()}, title).figure
        axes = figure.axes[0]
        if self.marks:  # their texts get room above the curves, in two rows by turns
            axes.set_ylim(top=axes.get_ylim()[1] * 1.15)
        for n, (second, text) in enumerate(self.marks):
            axes.axvline(second, color=INK, linestyle="--", linewidth=1)
            side = dict(ha="right") if second > 0.7 * rows[-1].second else dict(ha="left")
            place = dict(va="top", transform=axes.get_xaxis_transform(), **side)
            axes.text(second, 0.99 - n % 2 * 0.08, f" {text} ", color=INK, fontsize=8.5, **place)
        marks = "".join(f"\nat {second:.1f} s: {text}" for second, text in self.marks)
        return Picture(figure, f"{title}. Own memory over time.\n{self.table()}{marks}")

    def __enter__(self) -> Watch:
        self._began = time.monotonic()
        self._first_mb = self._sample(must_exist=True)
        before = signal.getsignal(signal.SIGINT)
        if self._budget_mb is not None and callable(before):  # else Ctrl-C is off, and ours: Exceeded comes at the end
            self._handler = before
            signal.signal(signal.SIGINT, self._interrupted)
        self._thread.start()
        self._inside = True
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._inside = False
        self._leave.set()
        try:
            self._thread.join()
        finally:
            if self._handler is not None:  # signal() first lets the handler that goes see what is on its way
                signal.signal(signal.SIGINT, self._handler)
        if self._over_mb is not None and kind in (None, KeyboardInterrupt):
            grown = f"{', '.join(self._processes)} grew by {math.ceil(self._over_mb)} MiB, more than the budget of"
            raise Exceeded(f"{grown} {self._budget_mb:g} MiB; run it with smaller sizes.") from None
        if self._error is not None and kind is None:
            raise self._error

    def _interrupted(self, signum, frame) -> None:
        """What SIGINT calls: ours stops only the block, so it must not strike in the code that leaves it."""
        if self._over_mb is None or (self._inside and frame.f_code is not Watch.__exit__.__code__):
            self._handler(signum, frame)

    def _run(self) -> None:
        leave = False
        try:
            while not leave:
                leave = self._leave.wait(self._every_s)
                grown = self._sample() - self._first_mb
                if self._budget_mb is not None and self._over_mb is None and grown > self._budget_mb:
                    self._over_mb = grown
                    if self._inside:
                        _thread.interrupt_main()
        except Exception as error:  # nobody would see it here; __exit__ raises it
            self._error = error

    def _sample(self, must_exist: bool = False) -> float:
        second = time.monotonic() - self._began
        seen = {name: _usage(what, self._actor_pids, must_exist) for name, what in self._processes.items()}
        self.rows += [Sample(second, name, rss, own) for name, (rss, own) in seen.items()]
        return sum(own for _, own in seen.values())


def watch(processes: dict[str, object], every_s: float = 0.1, budget_mb: float | None = None) -> Watch:
    """Sample the memory of processes while a block runs: at its beginning, then from a thread, and at its end.

    A sample takes 0.15 ms of CPU for each process, small or large (measured on Linux with psutil 7.2.2).

    Args:
        processes: name to process: a pid, an actor's handle, a list of these (summed), or a function that gives one of
            these and is called for each sample. What has ended counts as 0; an actor that restarts is found again.
        every_s: seconds between two samples.
        budget_mb: stop the block, nearly as Ctrl-C would, when all together have grown by more than this; but a call
            into C, such as ``time.sleep`` or one long NumPy operation, ends first.

    Returns:
        A context manager that gives a ``Watch``.

    Raises:
        ValueError: there is nothing to watch, ``every_s`` is not above 0, or a process does not exist at the beginning.
        TypeError: something is no process.
        RuntimeError: a budget in another thread than the main one, which alone can be stopped.
        Exceeded: the block passed its budget; raised where it ends.
    """
    if not processes:
        raise ValueError("There is nothing to watch: 0 processes; write watch({'driver': os.getpid()}).")
    if not every_s > 0:
        raise ValueError(f"every_s is {every_s!r}; give the seconds between two samples, more than 0.")
    if budget_mb is not None and threading.current_thread() is not threading.main_thread():
        raise RuntimeError(f"budget_mb={budget_mb:g} can stop only the main thread; watch there, or without a budget.")
    return Watch(dict(processes), every_s, budget_mb)


def own_mb(process: object) -> float:
    """The own memory in MiB, now, of what ``watch`` takes for a process. Raises ``ValueError`` if it does not exist."""
    return _usage(process, {}, must_exist=True)[1]


def plot(series: dict, title: str, xlabel: str = "seconds", ylabel: str = "MiB of its own") -> Picture:
    """Draw curves, each with its own colour, dash and marker.

    Args:
        series: name to (xs, ys), two sequences of one length.
        title: a line above the picture.
        xlabel: what the xs are, such as ``"calls"``.
        ylabel: what the ys are.

    Raises:
        ValueError: there are no series, or one has no points or not as many xs as ys.
    """
    if not series:
        raise ValueError("There is nothing to draw: 0 series; a watch has samples once its block was entered.")
    for name, (xs, ys) in series.items():
        if not 0 < len(xs) == len(ys):
            raise ValueError(f"The series {name!r} has {len(xs)} xs and {len(ys)} ys; give as many of both, 1 or more.")
    figure = Figure(figsize=(9, 3.6), facecolor=CARD, layout="constrained")
    axes = figure.subplots()
    for n, (name, (xs, ys)) in enumerate(series.items()):
        look = dict(color=_COLOURS[n % 5], linestyle=_DASHES[n % 4], marker=_MARKERS[n % 6], markersize=5)
        axes.plot(xs, ys, label=name, markevery=(0.03 * n, 0.12), **look)
    style(axes, title)
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_ylim(bottom=1.05 * min(0, *(min(ys) for _, ys in series.values())))  # from 0: a little growth looks little
    axes.set_xlabel(xlabel, color=INK, fontsize=9)
    axes.set_ylabel(ylabel, color=INK, fontsize=9)
    figure.legend(loc="outside lower left", ncols=4, fontsize=8.5, frameon=False, labelcolor=INK, handlelength=4)
    lines = [[name, xs[0], xs[-1], ys[0], max(ys), ys[-1]] for name, (xs, ys) in series.items()]
    headers = [ylabel, f"from ({xlabel})", "to", "first", "peak", "last"]
    return Picture(figure, f"{title}. {ylabel} over {xlabel}.\n{tabulate(lines, headers, floatfmt='.4g')}")


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """By how much y grows for each x, by least squares. Raises ``ValueError`` unless there are two different xs."""
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
    """The MiB that a demonstration may fill: what machine and container have left, less ``keep_mb``; 0 or more."""
    left = min([psutil.virtual_memory().available, *_left_in_containers(Path("/sys/fs/cgroup"))])
    return max(0.0, left / 2**20 - keep_mb)


def _left_in_containers(top: Path) -> Iterator[int]:
    """Bytes below the limit of a control group, version 2 and 1; cached files give way, so they do not count."""
    version_2 = (top, "memory.max", "memory.current", "inactive_file")
    version_1 = (top / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    for folder, limit, usage, cached in (version_2, version_1):
        with contextlib.suppress(OSError, ValueError):  # there is no such group, or its limit is "max"
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            yield int((folder / limit).read_text()) - int((folder / usage).read_text()) + int(stat.get(cached, 0))


def _usage(what: object, actor_pids: dict[str, int], must_exist: bool = False) -> tuple[float, float]:
    """RSS and own memory of one of the things that ``watch`` takes; ``actor_pids`` is kept from sample to sample."""
    what = what() if callable(what) else what
    if hasattr(what, "_actor_id"):
        name = what._actor_id.hex()
        if name not in actor_pids or _usage(actor_pids[name], {}) == (0, 0):
            actor_pids[name] = _pid_of_actor(name, must_exist)
        what = actor_pids[name]
    if isinstance(what, (list, tuple, set)):
        parts = [_usage(one, actor_pids, must_exist) for one in what]
        return sum(rss for rss, _ in parts), sum(own for _, own in parts)
    if not isinstance(what, int):
        raise TypeError(f"{what!r} is no process; give a pid, an actor's handle, a list of them or a function.")
    try:
        if what == 0:  # an actor without a process; macOS has a process 0
            raise psutil.NoSuchProcess(what)
        process = psutil.Process(what)
        memory = process.memory_info()
        own = memory.rss - memory.shared if psutil.LINUX else process.memory_full_info().uss
    except psutil.NoSuchProcess:
        if must_exist:
            hint = "it has ended, or (0) is an actor that has not begun"
            raise ValueError(f"No process on this machine has the pid {what}; {hint}.") from None
        return 0.0, 0.0
    return memory.rss / 2**20, own / 2**20


def _pid_of_actor(actor_id: str, must_exist: bool) -> int:
    from ray.util.state import get_actor
    from ray.util.state.exception import RayStateApiException

    try:
        return getattr(get_actor(actor_id, timeout=5), "pid", None) or 0
    except (ConnectionError, RayStateApiException):
        if must_exist:
            raise
        return 0  # asked again for the next sample
