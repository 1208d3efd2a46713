"""The benchmark ``python -m klaw_course.bench submit``: ways to keep calls in flight."""

from __future__ import annotations

import gc
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from tabulate import tabulate
from tqdm.auto import tqdm

from klaw_course.bench import CPUS, own_cluster
from klaw_course.submit import in_flight

if TYPE_CHECKING:
    from klaw_course.show import Text

WINDOW, BATCH = 1000, 100  # calls in flight, and how many of them to wait for at once


@dataclass(frozen=True)
class Row:
    """A way to keep calls in flight: how many results each run gave, and for each round seconds, CPU seconds of the
    driver (both for one result) and the driver's growth in MiB.
    """

    way: str
    results: int
    seconds: tuple[float, ...]
    cpu_s: tuple[float, ...]
    memory_mb: tuple[float, ...]


def _ways() -> dict[str, Callable]:
    """Name to ``way(noop, n)``, which submits n tasks, gets all results and returns how many it saw; the flood first.

    What a program makes once, the actors and the task for chunks, is made here and so not measured.
    """
    import ray
    from ray.util import ActorPool, map_unordered

    def same(i):
        return i

    @ray.remote
    class Actor:
        def noop(self, i):
            return i

    chunk = ray.remote(lambda items: [same(i) for i in items])
    actors = [Actor.remote() for _ in range(2)]

    def flood(noop, n):
        refs = [noop.remote(i) for i in range(n)]
        results = ray.get(refs)
        return len(results)

    def wait_for(batch, noop, n):
        return sum(1 for _ in in_flight(noop.remote, range(n), WINDOW, batch))

    def oldest_first(noop, n):
        pending, seen = deque(), 0
        for i in range(n):
            pending.append(noop.remote(i))
            if len(pending) == WINDOW:
                seen += len(ray.get([pending.popleft() for _ in range(BATCH)]))
        while pending:
            seen += len(ray.get([pending.popleft() for _ in range(min(BATCH, len(pending)))]))
        return seen

    def ray_util(noop, n):  # chunk_size, how many it waits for, stays at Ray's 10: what one gets who does not set it
        return sum(1 for _ in map_unordered(noop, range(n), backpressure_size=WINDOW))

    def actor_pool(noop, n):  # n // 5: it gives each actor one call at a time, and waits for it
        return sum(1 for _ in ActorPool(actors).map_unordered(lambda a, i: a.noop.remote(i), range(max(1, n // 5))))

    def chunks(noop, n):
        refs = [chunk.remote(range(first, min(first + 100, n))) for first in range(0, n, 100)]
        return sum(len(results) for results in ray.get(refs))

    return {
        "flood": flood,
        "wait for 1 of 1000": partial(wait_for, 1),
        "wait for 100 of 1000": partial(wait_for, BATCH),
        "oldest 100 first": oldest_first,
        "ray.util.map_unordered": ray_util,
        "ActorPool of 2": actor_pool,
        "chunks of 100": chunks,
    }


def _settle() -> None:
    """Leave nothing of the last run to the next; its refs went when its function returned."""
    import ray

    from klaw_course.observe import memory
    from klaw_course.wait import wait_until

    gc.collect()
    memory.trim()  # else freed memory stays with the process, and no run after the flood would grow
    time.sleep(0.3)  # what is free is reported every 0.1 s
    wait_until(lambda: ray.available_resources().get("CPU", 0) >= CPUS, "all CPUs to be free")


def _run_once(way: Callable, noop, n: int) -> tuple[int, float, float, float]:
    """The results seen; for each of them seconds and CPU seconds of the driver; the driver's growth in MiB."""
    from klaw_course.observe import memory

    _settle()
    with memory.watch({"driver": os.getpid()}, every_s=0.2) as watch:
        cpu, start = time.process_time(), time.perf_counter()
        seen = way(noop, n)
        seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    return seen, seconds / seen, cpu_s / seen, watch.peak_mb("driver") - watch.own_mb("driver")[0]


def run(tasks: int = 5000, rounds: int = 3) -> list[Row]:
    """Compare ways to keep calls in flight, on a cluster that replaces the one that this process may have.

    Args:
        tasks: tasks of a run, 1 or more.
        rounds: measured runs of each way, 1 or more, in turns: a change of the machine's load meets every way.

    Returns:
        A row for each way, the flood first.

    Raises:
        ValueError: tasks or rounds is less than 1.
        RuntimeError: the cluster did not start, or is one of yours.
    """
    if tasks < 1 or rounds < 1:
        raise ValueError(f"Nothing to measure: tasks={tasks!r}, rounds={rounds!r}; give 1 or more of each.")
    with own_cluster():
        return measure(tasks, rounds)


def measure(tasks: int, rounds: int) -> list[Row]:
    """Do what ``run`` does, on the cluster that there is: one node with ``CPUS`` CPUs."""
    import ray

    @ray.remote
    def noop(i):
        return i

    ways = _ways()
    runs = {name: [] for name in ways}
    with tqdm(total=len(ways) * (1 + rounds), leave=False) as bar:
        for turn in range(1 + rounds):  # the first one warms up and is not kept
            for name, way in ways.items():
                bar.set_description(name)
                measured = _run_once(way, noop, tasks if turn else max(1, tasks // 20))
                runs[name] += [measured] if turn else []
                bar.update()
    columns = {name: zip(*measured, strict=True) for name, measured in runs.items()}
    return [Row(name, results[0], *costs) for name, (results, *costs) in columns.items()]


def table(rows: list[Row], machine: str = "") -> Text:
    """Write the medians of the rounds as ratios to the first row, and its absolute numbers below, with ``machine``.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("There is nothing to compare: 0 rows.")
    from klaw_course.show import Text

    first, seconds, cpu_s = rows[0], median(rows[0].seconds), median(rows[0].cpu_s)
    body = []
    for row in rows:
        cpu = f"{median(row.cpu_s) / cpu_s:.2f}" if cpu_s else "-"  # a few tasks, and a coarse clock
        body.append([row.way, f"{seconds / median(row.seconds):.2f}", cpu, f"{median(row.memory_mb):.1f}"])
    headers = ["way", "tasks/s\nhigher is better", "driver CPU/task\nlower is better", "driver memory\ngrowth, MiB"]
    lines = [tabulate(body, headers, disable_numparse=True, colalign=("left", "right", "right", "right")), ""]
    lines.append(f"{first.way} = 1: {1 / seconds:,.0f} tasks/s, {1000 * cpu_s:.3f} ms of driver CPU per task")
    lines.append(f"{first.results:,} tasks, rounds: {len(first.seconds)}{machine and ', '}{machine}")
    lines += [f"{row.way}: {row.results:,} tasks only" for row in rows if row.results < first.results]
    return Text("\n".join(lines))
