"""Measure what ways of doing one thing cost: ``python -m klaw_course.bench submit``, or ``all``; see ``--help``.

A table holds ratios of one run, for they carry over to another machine better than seconds do. Ray is imported only
where a benchmark runs, on a private cluster that it starts and stops.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from statistics import median

from tabulate import tabulate
from tqdm.auto import tqdm

from klaw_course.observe import memory
from klaw_course.show import Text

CPUS = 2  # of the cluster
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


def in_flight(submit: Callable, items: Iterable, window: int = WINDOW, batch: int = BATCH) -> Iterator:
    """Submit a call for each item, ``window`` at a time at most, and yield the results as they complete.

    Args:
        submit: gives the object ref for an item, such as ``f.remote``.
        items: what to submit; may be endless, for an item is taken when there is room for it.
        window: calls in flight at most, 1 or more.
        batch: completed calls to wait for before more are submitted, 1 to ``window``. Each wait goes through the whole
            window, so that a small batch costs CPU; a large one lets workers run out of calls.

    Returns:
        A generator. Of the completed calls it takes a batch, the oldest first. A call's error is raised as by ray.get.

    Raises:
        ValueError: window or batch is out of range; nothing was submitted.
    """
    if window < 1:
        raise ValueError(f"window={window!r} lets no call be in flight; give 1 or more.")
    if not 1 <= batch <= window:
        raise ValueError(f"Cannot wait for batch={batch!r} of {window} calls in flight; give 1 to {window}.")

    def results():  # a function of its own, so that the checks above run now and not when the first result is asked for
        import ray

        pending = []
        for item in items:
            pending.append(submit(item))
            if len(pending) == window:
                done, pending = ray.wait(pending, num_returns=batch)
                yield from ray.get(done)
        while pending:
            done, pending = ray.wait(pending, num_returns=min(batch, len(pending)))
            yield from ray.get(done)

    return results()


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

    from klaw_course.wait import wait_until

    gc.collect()
    memory.trim()  # else freed memory stays with the process, and no run after the flood would grow
    time.sleep(0.3)  # what is free is reported every 0.1 s
    wait_until(lambda: ray.available_resources().get("CPU", 0) >= CPUS, "all CPUs to be free")


def _measure(way: Callable, noop, n: int) -> tuple[int, float, float, float]:
    """The results seen; for each of them seconds and CPU seconds of the driver; the driver's growth in MiB."""
    _settle()
    with memory.watch({"driver": os.getpid()}, every_s=0.2) as watch:
        cpu, start = time.process_time(), time.perf_counter()
        seen = way(noop, n)
        seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    return seen, seconds / seen, cpu_s / seen, watch.peak_mb("driver") - watch.own_mb("driver")[0]


def submit(tasks: int = 5000, rounds: int = 3) -> list[Row]:
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
    import ray

    from klaw_course import cluster

    try:
        if cluster.start(cluster.Node("head", cpus=CPUS)).attached:
            raise RuntimeError("This would load your own cluster; unset KLAW_RAY_ADDRESS and RAY_HEAD_SERVICE_HOST.")

        @ray.remote
        def noop(i):
            return i

        ways = _ways()
        runs = {name: [] for name in ways}
        with tqdm(total=len(ways) * (1 + rounds), leave=False) as bar:
            for turn in range(1 + rounds):  # the first one warms up and is not kept
                for name, way in ways.items():
                    bar.set_description(name)
                    run = _measure(way, noop, tasks if turn else max(1, tasks // 20))
                    runs[name] += [run] if turn else []
                    bar.update()
    finally:
        cluster.stop()
    columns = {name: list(zip(*measured, strict=True)) for name, measured in runs.items()}
    return [Row(name, seen[0], *measured) for name, (seen, *measured) in columns.items()]


def table(rows: list[Row], machine: str = "") -> Text:
    """The medians of the rounds as ratios to the first row, and its absolute numbers below, with ``machine``.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("There is nothing to compare: 0 rows.")
    one, seconds, cpu_s = rows[0], median(rows[0].seconds), median(rows[0].cpu_s)
    body = []
    for row in rows:
        cpu = f"{median(row.cpu_s) / cpu_s:.2f}" if cpu_s else "-"  # a few tasks, and a coarse clock
        body.append([row.way, f"{seconds / median(row.seconds):.2f}", cpu, f"{median(row.memory_mb):.1f}"])
    headers = ["way", "tasks/s\nhigher is better", "driver CPU/task\nlower is better", "driver memory\ngrowth, MiB"]
    lines = [tabulate(body, headers, disable_numparse=True, colalign=("left", "right", "right", "right")), ""]
    lines.append(f"{one.way} = 1: {1 / seconds:,.0f} tasks/s, {1000 * cpu_s:.3f} ms of driver CPU per task")
    lines.append(f"{one.results:,} tasks, rounds: {len(one.seconds)}{machine and ', '}{machine}")
    lines += [f"{row.way}: {row.results:,} tasks only" for row in rows if row.results < one.results]
    return Text("\n".join(lines))


def _submit(options: argparse.Namespace) -> Text:
    """ways to keep calls in flight"""
    return table(submit(options.tasks, options.rounds), _machine())


def _channel(options: argparse.Namespace) -> Text:
    """ways to pass messages from one actor to another"""
    from klaw_course.bench import channel as bench_channel

    return bench_channel.table(bench_channel.channel(options.rounds), _machine())


def _machine() -> str:
    return f"Ray {metadata.version('ray')}, cluster of {CPUS} CPUs on a machine with {os.cpu_count()}"


BENCHMARKS = {
    "submit": _submit,
    "channel": _channel,
}  # name to a function that gives a table; --help shows its docstring


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        self.exit(2, f"bench cannot run: {message}; --help lists what it takes.\n")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def main(argv: list[str] | None = None) -> int:
    """Run a benchmark, or all, and print each table; 0, or 2 for a wrong argument."""
    known = "".join(f"\n  {name:<8} {function.__doc__}" for name, function in BENCHMARKS.items())
    known += "\n  all      each of them"
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser("python -m klaw_course.bench", epilog=f"benchmarks:{known}", formatter_class=raw)
    parser.add_argument("benchmark", choices=[*BENCHMARKS, "all"])
    parser.add_argument("--tasks", type=_count, default=5000, help="of a run of submit (default: 5000)")
    parser.add_argument("--rounds", type=_count, default=3, help="measured runs of each way (default: 3)")
    try:
        options = parser.parse_args(argv)
    except SystemExit as end:  # the help, or the sentence of error(), is printed
        return end.code or 0
    for name in BENCHMARKS if options.benchmark == "all" else [options.benchmark]:
        print(BENCHMARKS[name](options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
