"""What a sampling profiler saw, as stacks of frames with a count each: functions of the stacks, no Ray, no drawing.

A sampling profiler looks at a process many times a second and notes which function is running, who called it, and so
on. Equal stacks are counted together. Profilers pass them on in the *collapsed* form, a line for each stack:
``play (cell.py:7);step (cell.py:5) 120``.
"""

from __future__ import annotations

import linecache
import re
from collections import Counter
from typing import NamedTuple

from tabulate import tabulate

from klaw_course.show.base import Text

_FRAME = re.compile(r"(?P<function>[^(]*) \((?P<file>.*?)(?::(?P<line>\d+))?\)")
_LIBRARIES = re.compile(r"site-packages|dist-packages|[/\\]lib[/\\]python3|^<frozen|\.pyx$|^$|^python[/\\]ray[/\\]")
# A thread whose innermost frame is here does nothing: Python's own modules (not yours, such as work_queue.py), and what
# ray.wait and ray.get call in Ray's.
_WAITS = re.compile(r"[/\\]python3[\d.]*[/\\](threading|selectors|queue)\.py$")
_WAITS_IN_RAY = ("wait", "get_objects")
_RAY_WAITS = re.compile(r"[/\\]ray[/\\]_private[/\\]worker\.py$")

_WIDTH = 38  # of a line of source in the table, which a page must hold


class Frame(NamedTuple):
    """One function in a stack; ``line`` is the line of its file that was running, 0 if that is not known."""

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.function}, line {self.line}"


Stacks = dict[tuple[Frame, ...], int]


def parse(text: str) -> Stacks:
    """Read collapsed stacks, as ``py-spy record --format raw`` writes them.

    Args:
        text: a line for each stack, outermost frame first, and its count. What is no frame, such as a thread's name, is
            left out.
    """
    stacks = Counter()
    for line in text.splitlines():
        names, _, count = line.rpartition(" ")
        if count.isdigit():
            found = [_FRAME.fullmatch(name) for name in names.split(";")]
            frames = [Frame(match["function"], match["file"], int(match["line"] or 0)) for match in found if match]
            stacks[tuple(frames)] += int(count)
    return dict(stacks)


def working(stacks: Stacks) -> Stacks:
    """Drop the stacks of threads that wait, in Python's locks and queues or in ``ray.get`` and ``ray.wait``.

    A profiler asks the system which threads run. A thread that waits wakes now and then to look; on a busy machine it
    then stands in line for a core, and all that time the system says that it runs.
    """
    return {frames: count for frames, count in stacks.items() if not (frames and _waits(frames[-1]))}


def _waits(innermost: Frame) -> bool:
    in_ray = _RAY_WAITS.search(innermost.file) and innermost.function.rpartition(".")[2] in _WAITS_IN_RAY
    return bool(in_ray or _WAITS.search(innermost.file))


def yours(stacks: Stacks) -> Stacks:
    """Keep the frames of your own functions.

    Frames of Ray, of Python and of installed packages go; so do those of comprehensions, which count as the line that
    they stand in. Stacks that have nothing else become the empty stack.
    """
    kept = Counter()
    for frames, count in stacks.items():
        mine = (frame for frame in frames if not _LIBRARIES.search(frame.file) and not _in_a_comprehension(frame))
        kept[tuple(mine)] += count
    return dict(kept)


def _in_a_comprehension(frame: Frame) -> bool:
    return frame.function.rpartition(".")[2].startswith("<")


def own(stacks: Stacks) -> dict[Frame, int]:
    """Count for each line of your functions the samples in which it was running itself, most first."""
    counts = Counter()
    for frames, count in yours(stacks).items():
        if frames:
            counts[frames[-1]] += count
    return dict(counts.most_common())


def _source(frame: Frame) -> str:
    source = linecache.getline(frame.file, frame.line).strip() or "-"
    return source if len(source) <= _WIDTH else source[: _WIDTH - 3] + "..."


def total(stacks: Stacks, function: str) -> int:
    """Count the samples in which a function was running, itself or through what it had called.

    Args:
        stacks: what was sampled.
        function: its name; of a method ``play`` or, from Python 3.11 on, ``Game.play``.
    """
    names = {frames: {frame.function for frame in frames} for frames in stacks}
    names = {frames: found | {name.rpartition(".")[2] for name in found} for frames, found in names.items()}
    return sum(count for frames, count in stacks.items() if function in names[frames])


def table(stacks: Stacks, most: int = 5) -> Text:
    """Write your busiest lines: the share of the samples in your functions in which each was running itself.

    Args:
        stacks: what was sampled.
        most: how many lines.
    """
    counts = own(stacks)
    body = [
        [f"{100 * count / sum(counts.values()):.0f} %", frame.function, frame.line, _source(frame)]
        for frame, count in list(counts.items())[:most]
    ]
    return Text(tabulate(body, ["own time", "function", "line", "source"], disable_numparse=True))
