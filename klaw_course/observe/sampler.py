"""A sampling profiler that runs as a thread of the process that it profiles, where nothing may attach from outside.

It sees the stacks of Python only. A sample counts if the process has used its CPU since the one before, because from
inside one cannot see whether a thread runs or waits.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter

from klaw_course.observe.stacks import Frame, Stacks, working

_BUSY = 0.2  # of the time since the last sample: with others on its cores, a process that computes gets no more
_running: list[Sampler] = []  # at most one in a process


class Sampler(threading.Thread):
    """Take samples of all other threads until ``end()``.

    Args:
        rate: samples a second.
    """

    def __init__(self, rate: int):
        super().__init__(daemon=True, name="klaw-sampler")
        self._every = 1 / rate
        self._counts: Counter = Counter()
        self._over = threading.Event()

    def run(self) -> None:
        """Look, wait, look again."""
        clock, cpu = time.monotonic(), time.process_time() - time.thread_time()
        while not self._over.wait(self._every):
            now, used = time.monotonic(), time.process_time() - time.thread_time()
            if used - cpu > _BUSY * (now - clock):
                self._count(round((now - clock) / self._every) or 1)
            clock, cpu = now, used

    def _count(self, times: int) -> None:
        """Count what runs now; a sample that came late, because a thread held the interpreter, counts for those due."""
        for thread, frame in sys._current_frames().items():
            if thread != self.ident:
                stack = []
                while frame is not None:
                    code = frame.f_code
                    name = getattr(code, "co_qualname", code.co_name)  # from Python 3.11 on
                    stack.append(Frame(name, code.co_filename, frame.f_lineno or 0))
                    frame = frame.f_back
                self._counts[tuple(reversed(stack))] += times

    def end(self) -> Stacks:
        """Stop, and return what was seen."""
        self._over.set()
        self.join()
        return working(self._counts)


def start(rate: int) -> None:
    """Begin to sample this process; a sampler that still runs is ended first."""
    stop()
    _running.append(Sampler(rate))
    _running[-1].start()


def stop() -> Stacks:
    """End the sampler of this process, and return its stacks; none if there is no sampler."""
    return _running.pop().end() if _running else {}
