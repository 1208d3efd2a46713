"""The benchmark ``python -m klaw_course.bench channel``: ways to pass messages from one actor to another."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from tabulate import tabulate
from tqdm.auto import tqdm

from klaw_course.bench import own_cluster, sides

if TYPE_CHECKING:
    from klaw_course.show import Picture, Text

# name: bytes of a message, messages of a run, messages that may wait, messages of a batch (for Queue)
SIZES = {
    "100 B": (100, 20_000, 10_000, 100),
    "10 KB": (10_000, 5_000, 1_000, 50),
    "1 MB": (10**6, 200, 64, 8),
    "10 MB": (10**7, 200, 8, 2),
}
SLOW = {"Queue, one at a time": 40, "ray.put, ray.get": 20}  # as many times fewer messages, but no less than 200


def ways() -> dict[str, Callable]:
    """Make the ways: name to ``run(size, n, room, batch)``, which gives the seconds for n messages of size bytes.

    Needs a cluster. Two actors are made, which take part in all of them; they end with the last way. If the cluster has
    another node, a way leads there, with a third actor.
    """
    import ray
    from ray.util.queue import Queue

    from klaw_course.channel import Channel

    @ray.remote(num_cpus=0)
    class Peer:
        def do(self, function, *args):
            return function(*args)

        def stream(self, function, *args):
            yield from function(*args)

        def take(self, item):
            return None

        def get_ref(self, refs):
            ray.get(refs[0])

    node = ray.get_runtime_context().get_node_id()
    others = [other["NodeID"] for other in ray.nodes() if other["Alive"] and other["NodeID"] != node]

    def peer(node):
        actor = Peer.options(label_selector={"ray.io/node-id": node}).remote()
        ray.get(actor.__ray_ready__.remote())
        return actor

    producer, consumer = peer(node), peer(node)  # on one node, whatever the cluster has

    def pair(make, put, get, consumer=consumer):
        def run(size, n, room, batch):
            passed = make(size, room)  # and wait until it is there, for a birth takes longer than a run
            began = time.perf_counter()
            got = consumer.do.remote(get, passed, size, n, batch)
            sent = producer.do.remote(put, passed, size, n, batch)
            assert ray.get([got, sent])[0] == n
            return time.perf_counter() - began

        return run

    def one_sided(actor, function, passed):
        def run(size, n, room, batch):
            began = time.perf_counter()
            ray.get(actor.do.remote(function, passed, size, n, batch))
            return time.perf_counter() - began

        return run

    def processes(size, n, room, batch):
        context = multiprocessing.get_context("fork")  # a spawned one would first import Ray
        queue, ready = context.Queue(room), context.Event()
        process = context.Process(target=sides.pipe, args=(queue, ready, size, n), daemon=True)
        process.start()
        ready.set()
        began = time.perf_counter()
        for _ in range(n):
            queue.get()
        seconds = time.perf_counter() - began
        process.join()
        return seconds

    def copy(size, n, room, batch):
        source = np.ones(size, np.uint8)
        targets = [np.zeros(size, np.uint8) for _ in range(max(2, 10**8 // size) if size > 10**5 else 2)]
        began = time.perf_counter()
        for i in range(n):
            np.copyto(targets[i % len(targets)], source)
        return time.perf_counter() - began

    def queue(size, room):
        queue = Queue(room)
        queue.size()
        return queue

    def channel(size, room, **options):
        channel = Channel(room, **options)
        channel.stats()
        return channel

    def shared(size, room):
        return ray.get(producer.do.remote(sides.make_shared, consumer, node, size))

    far = {"Channel, to another node": pair(channel, sides.send, sides.receive, peer(others[0]))} if others else {}
    return {
        "Queue, one at a time": pair(queue, sides.queue_put, sides.queue_get),
        "Queue, batch calls": pair(queue, sides.queue_put_batches, sides.queue_get_batches),
        "Channel": pair(channel, sides.send, sides.receive),
        "Channel, owner='sender'": pair(partial(channel, owner="sender"), sides.send, sides.receive),
        "Channel, acknowledged by hand": pair(channel, sides.send, sides.receive_and_acknowledge),
        "Channel, 4 senders": pair(channel, partial(sides.send_as, 4), sides.receive),
        "Channel, 16 senders": pair(channel, partial(sides.send_as, 16), sides.receive),
        **far,
        "actor calls, a window": one_sided(producer, sides.call_in_window, consumer),
        "ray.put, ray.get": one_sided(producer, sides.put_refs, consumer),
        "streaming generator": one_sided(consumer, sides.read_stream, producer),
        "ray.experimental.channel": pair(shared, sides.write_shared, sides.read_shared),
        "multiprocessing.Queue": processes,
        "memory copy": copy,
    }


def run(rounds: int = 3, sizes: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Measure all ways at all sizes, on a cluster of two nodes that replaces the one that this process may have.

    Args:
        rounds: measured runs of each, 1 or more; the median counts. A shorter run before warms up.
        sizes: of ``SIZES``; all if left out.

    Returns:
        Way to size to messages per second.

    Raises:
        ValueError: rounds is less than 1, or a size is not known.
        RuntimeError: the cluster did not start, or is one of yours.
    """
    if rounds < 1 or not set(sizes or SIZES) <= set(SIZES):
        raise ValueError(f"Cannot measure rounds={rounds!r} of {sizes!r}; give 1 or more, and of {', '.join(SIZES)}.")
    with own_cluster(nodes=2, store_mb=512):
        return measure(ways(), rounds, sizes)


def measure(
    ways: dict[str, Callable], rounds: int = 1, sizes: list[str] | None = None, shorter: int = 1, warm: bool = True
) -> dict[str, dict[str, float]]:
    """Run each way at each size, in turns: a change of the machine's load meets every way.

    Args:
        ways: what ``ways()`` gives, or some of it.
        rounds, sizes: as of ``run``.
        shorter: as many times fewer messages, for a first look.
        warm: whether there is a shorter run before, which does not count.
    """
    sizes = sizes or list(SIZES)
    seen: dict[str, dict[str, list]] = {way: {size: [] for size in sizes} for way in ways}
    with tqdm(total=len(ways) * len(sizes) * (rounds + warm), leave=False) as bar:
        for turn in range(0 if warm else 1, rounds + 1):
            for size in sizes:
                for way, run in ways.items():
                    bar.set_description(f"{way}, {size}")
                    length, n, room, batch = SIZES[size]
                    n = max(20, max(n // SLOW.get(way, 1), min(n, 200)) // shorter)
                    n = max(batch, n // batch * batch)  # whole batches
                    n = n if turn else max(batch, n // 10 // batch * batch)
                    seconds = run(length, n, room, batch)
                    seen[way][size] += [n / seconds] if turn else []
                    bar.update()
    return {way: {size: median(rates) for size, rates in by_size.items()} for way, by_size in seen.items()}


def chart(rates: dict[str, dict[str, float]], title: str = "") -> Picture:
    """Draw a panel for each size, on an axis in powers of ten: messages per second, or MB for those of 1 MB or more.

    A power of ten has the same width in all panels, so that they can be compared. ``table`` gives the numbers.
    """
    from matplotlib.figure import Figure

    from klaw_course.show import BLUE, CARD, GREY, INK, Picture, style

    sizes = list(next(iter(rates.values())))
    widest = max(max(column) / min(column) for column in ([way[size] for way in rates.values()] for size in sizes))
    figure = Figure(figsize=(9, 1.1 + 0.3 * len(rates)), facecolor=CARD, layout="constrained")
    for axes, size in zip(figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0], sizes, strict=True):
        large = SIZES[size][0] >= 10**6
        values = [by_size[size] * (SIZES[size][0] / 1e6 if large else 1) for by_size in rates.values()]
        axes.scatter(values, list(rates), color=[GREY if way == "memory copy" else BLUE for way in rates], zorder=3)
        for y, value in enumerate(values):
            axes.text(1.25 * value, y, f"{value:,.{0 if value >= 10 else 2}f}", va="center", color=INK, fontsize=8.5)
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 3, min(values) * widest * 15)
        axes.set_xlabel(f"{'MB' if large else 'messages'} per second (log scale)", color=INK, fontsize=9)
        style(axes, f"messages of {size}")
    axes.invert_yaxis()
    figure.suptitle(title, color=INK, fontsize=10)
    return Picture(figure, f"{title}. Messages or MB per second by way and size.\n{table(rates)}")


def table(rates: dict[str, dict[str, float]], machine: str = "") -> Text:
    """Write messages per second as ratios to the first way, then its absolute numbers and everybody's MB per second."""
    from klaw_course.show import Text

    first, first_rates = next(iter(rates.items()))
    ratios, mb = [], []
    for way, by_size in rates.items():
        ratios.append([way, *(f"{rate / first_rates[size]:.1f}" for size, rate in by_size.items())])
        mb.append([way, *(f"{rate * SIZES[size][0] / 1e6:,.0f}" for size, rate in by_size.items())])
    look = dict(disable_numparse=True, colalign=["left"] + ["right"] * len(first_rates))
    absolute = ", ".join(f"{rate:,.0f} at {size}" for size, rate in first_rates.items())
    parts = [tabulate(ratios, [f"messages per second, {first} = 1", *first_rates], **look), ""]
    parts += [f"{first}: {absolute}", "", tabulate(mb, ["MB per second", *first_rates], **look), "", machine]
    return Text("\n".join(parts).rstrip())
