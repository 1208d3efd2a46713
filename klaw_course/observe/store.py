"""See what the object stores of the cluster hold, and what Ray moves into them, to disk and back.

    with store.watch() as seen:
        ref = ray.put(array)
        seen.step("ray.put")
        del ref
        seen.step("del ref")
    seen.plot()

The figures come from the raylets, and those of all nodes are added up; all sizes are in MiB. The command ``ray memory
--stats-only`` prints most of them. ``ray.available_resources()`` is no substitute: it tells what references ask the
store to keep, not what lies in it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import ray

from klaw_course.cluster._ray import store_stats
from klaw_course.show.base import Picture

_NAMES = {
    "used_mb": "in the object store",
    "spilled_mb": "written to disk, in total",
    "restored_mb": "read back from disk, in total",
    "fallback_mb": "in files, beside the object store",
}


@dataclass(frozen=True)
class Content:
    """What all object stores hold at one moment; sizes in MiB.

    Attributes:
        used_mb: all that is in them, every copy counted.
        primary_mb: the copies that Ray must not throw away, because a reference may ask for them, and which are on no
            disk yet.
        fallback_mb: the part of ``used_mb`` that found no room in shared memory and lies in files.
        written_mb: all that was ever written into them.
        spilled_mb: all that was ever spilled to disk.
        restored_mb: all that was ever read back from disk.
        objects: how many objects they hold.
    """

    used_mb: float
    primary_mb: float
    fallback_mb: float
    written_mb: float
    spilled_mb: float
    restored_mb: float
    objects: int


def holds(ref, patience_s: float = 0.3) -> bool:
    """Tell whether a result, once it is there, lies in an object store, and not in its owner's memory.

    Asks ``ray.experimental.get_object_locations``. An object store reports a new copy to the owner a moment later.

    Args:
        ref: a reference that this process owns.
        patience_s: seconds until an object of which no copy was reported is said to lie in no store.
    """
    ray.wait([ref])
    deadline = time.monotonic() + patience_s
    while True:
        if ray.experimental.get_object_locations([ref])[ref]["node_ids"]:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)


class Watch:
    """What ``watch()`` gives.

    Attributes:
        rows: (second since the block began, ``Content``) for each sample so far.
        steps: text of each ``step`` to the MiB in the object stores at its end.
    """

    def __init__(self):
        self.rows: list[tuple[float, Content]] = []
        self.steps: dict[str, float] = {}
        self._marks: list[tuple[float, str]] = []
        self._began = time.monotonic()
        self._last_mb = self._keep()

    def step(self, text: str, wait_s: float = 3.0) -> float:
        """Note what you have done, and wait until the stores hold something else than at the last step.

        Args:
            text: what you have done; the plot has a dashed line for it.
            wait_s: seconds to wait if nothing changes.

        Returns:
            The MiB in the object stores.
        """
        began = time.monotonic()
        self._marks.append((began - self._began, text))
        while abs(now().used_mb - self._last_mb) < 1 and time.monotonic() < began + wait_s:
            time.sleep(0.05)
        time.sleep(0.5)  # for the picture: a step has a width
        self.steps[text] = self._last_mb = now().used_mb
        return self._last_mb

    @property
    def written_mb(self) -> float:
        """The MiB that were written into the object stores, from the first sample to the last, to a tenth."""
        return round(self.rows[-1][1].written_mb - self.rows[0][1].written_mb, 1)

    def plot(self, title: str = "", *names: str) -> Picture:
        """Draw sizes against seconds, with a dashed line for each step.

        Args:
            title: a line above the picture.
            names: attributes of ``Content``; ``used_mb`` if none is given.
        """
        from klaw_course.show import charts

        seconds = [second for second, _ in self.rows]
        names = names or ("used_mb",)
        series = {_NAMES.get(name, name): (seconds, [getattr(row, name) for _, row in self.rows]) for name in names}
        return charts.mark_seconds(charts.curves(series, title, ylabel="MiB"), self._marks)

    def _keep(self) -> float:
        content = now()
        self.rows.append((time.monotonic() - self._began, content))
        return content.used_mb


@contextlib.contextmanager
def watch(every_s: float = 0.05) -> Iterator[Watch]:
    """Sample the object stores while a block runs: at its beginning, then from a thread, and at its end.

    Args:
        every_s: seconds between two samples. A sample takes about 3 ms.

    Returns:
        A context manager that gives a ``Watch``.

    Raises:
        RuntimeError: no cluster is running.
    """
    seen, leave = Watch(), threading.Event()

    def sample():
        while not leave.wait(every_s):
            seen._keep()

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        leave.set()
        thread.join()
    seen._keep()


def now() -> Content:
    """Ask the raylets what their object stores hold.

    Raises:
        RuntimeError: no cluster is running.
    """
    if not ray.is_initialized():
        raise RuntimeError("No cluster is running; run the lesson's setup cell, which calls cluster.start().")
    stats = store_stats(ray.get_runtime_context().gcs_address)
    return Content(
        used_mb=stats.object_store_bytes_used / 2**20,
        primary_mb=stats.object_store_bytes_primary_copy / 2**20,
        fallback_mb=stats.object_store_bytes_fallback / 2**20,
        written_mb=stats.cumulative_created_bytes / 2**20,
        spilled_mb=stats.spilled_bytes_total / 2**20,
        restored_mb=stats.restored_bytes_total / 2**20,
        objects=stats.num_local_objects,
    )


def settled(quiet_s: float = 1.5, timeout_s: float = 30.0) -> Content:
    """Wait until the stores hold the same for a while, so that what was let go before does not disturb.

    Args:
        quiet_s: for how many seconds nothing may change; Ray frees what is left over once a second.
        timeout_s: seconds after which to give up waiting.

    Returns:
        What they hold then.
    """
    content, since = now(), time.monotonic()
    deadline = since + timeout_s
    while time.monotonic() < min(since + quiet_s, deadline):
        time.sleep(0.05)
        latest = now()
        if latest != content:
            content, since = latest, time.monotonic()
    return content
