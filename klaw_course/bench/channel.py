"""The benchmark ``python -m klaw_course.bench channel``: ways to pass messages from one actor to another."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from functools import lru_cache, partial
from statistics import median

import numpy as np
from matplotlib.figure import Figure
from tabulate import tabulate
from tqdm.auto import tqdm

from klaw_course.show import BLUE, CARD, GREY, INK, Picture, Text, style

# name: bytes of a message, messages of a run, messages that may wait, messages of a batch (for Queue)
SIZES = {
    "100 B": (100, 20_000, 10_000, 100),
    "10 KB": (10_000, 5_000, 1_000, 50),
    "1 MB": (10**6, 200, 64, 8),
    "10 MB": (10**7, 60, 8, 2),
}
SLOW = {"Queue, one at a time": 40, "ray.put, ray.get": 20}  # as many times fewer messages, but 20 at least


@lru_cache(1)  # made in the warm-up, not while the clock runs
def _payloads(size: int) -> list:
    """Different messages, to be sent by turns: pickle writes an object that is in a batch twice only once."""
    count = max(4, min(512, 32 * 10**6 // size))
    return [bytes([n % 256]) * size if size <= 100 else np.full(size, n % 256, np.uint8) for n in range(count)]


# --- what the two sides do, each in a process of its own --------------------------------------------------------------


def _queue_put(queue, size, n, batch):
    items = _payloads(size)
    for number in range(n):
        queue.put(items[number % len(items)])


def _queue_get(queue, size, n, batch):
    return sum(1 for _ in range(n) if queue.get() is not None)


def _queue_put_batches(queue, size, n, batch):
    import ray

    items = _payloads(size)
    for first in range(0, n, batch):
        while True:  # there is no batch call that waits
            try:
                queue.put_nowait_batch([items[(first + place) % len(items)] for place in range(batch)])
                break
            except ray.util.queue.Full:
                time.sleep(0.001)


def _queue_get_batches(queue, size, n, batch):
    import ray

    seen = 0
    while seen < n:
        try:
            seen += len(queue.get_nowait_batch(batch))
        except ray.util.queue.Empty:
            time.sleep(0.001)
    return seen


def _send(channel, size, n, batch):
    items = _payloads(size)
    with channel.sender() as sender:
        for number in range(n):
            sender.send(items[number % len(items)])
    channel.close()


def _receive(channel, size, n, batch):
    return sum(1 for _ in channel)


def _stream(size, n):
    items = _payloads(size)
    for number in range(n):
        yield items[number % len(items)]


def _read_stream(producer, size, n, batch):
    import ray

    stream = producer.stream.options(_generator_backpressure_num_objects=4 * batch).remote(_stream, size, n)
    return sum(1 for ref in stream if ray.get(ref) is not None)


def _put_refs(consumer, size, n, batch):
    import ray

    items, calls = _payloads(size), []
    for number in range(n):
        calls.append(consumer.get_ref.remote([ray.put(items[number % len(items)])]))
        if len(calls) > 4:
            ray.get(calls.pop(0))
    ray.get(calls)


def _make_shared(reader, node, size):
    import ray
    from ray.experimental.channel.shared_memory_channel import Channel

    return Channel(ray.get_runtime_context().current_actor, [(reader, node)], size + 1000)


def _write_shared(channel, size, n, batch):
    items = _payloads(size)
    channel.ensure_registered_as_writer()
    for number in range(n):
        channel.write(items[number % len(items)], timeout=30)


def _read_shared(channel, size, n, batch):
    channel.ensure_registered_as_reader()
    return sum(1 for _ in range(n) if channel.read(timeout=30) is not None)


def _pipe(queue, ready, size, n):
    items = _payloads(size)
    ready.wait()
    for number in range(n):
        queue.put(items[number % len(items)])


# --- the ways: each gives seconds for n messages ----------------------------------------------------------------------


def ways() -> dict[str, Callable]:
    """Name to ``run(size, n, room, batch)``, which gives the seconds for n messages of size bytes; needs a cluster."""
    import ray
    from ray.util.queue import Queue

    from klaw_course.channel import Channel

    @ray.remote(num_cpus=0)
    class Peer:
        def do(self, function, *args):
            return function(*args)

        def stream(self, function, *args):
            yield from function(*args)

        def get_ref(self, refs):
            ray.get(refs[0])

    node = ray.get_runtime_context().get_node_id()
    near = Peer.options(label_selector={"ray.io/node-id": node})  # on one node, whatever the cluster has
    producer, consumer = near.remote(), near.remote()
    ray.get([producer.__ray_ready__.remote(), consumer.__ray_ready__.remote()])

    def pair(make, put, get):
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
        process = context.Process(target=_pipe, args=(queue, ready, size, n), daemon=True)
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
        return ray.get(producer.do.remote(_make_shared, consumer, node, size))

    return {
        "Queue, one at a time": pair(queue, _queue_put, _queue_get),
        "Queue, batch calls": pair(queue, _queue_put_batches, _queue_get_batches),
        "Channel": pair(channel, _send, _receive),
        "Channel, owner='sender'": pair(partial(channel, owner="sender"), _send, _receive),
        "ray.put, ray.get": one_sided(producer, _put_refs, consumer),
        "streaming generator": one_sided(consumer, _read_stream, producer),
        "ray.experimental.channel": pair(shared, _write_shared, _read_shared),
        "multiprocessing.Queue": processes,
        "memory copy": copy,
    }


def channel(rounds: int = 3, sizes: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Measure all ways at all sizes, on a cluster that replaces the one that this process may have.

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
    from klaw_course import cluster
    from klaw_course.cluster import Node

    try:
        if cluster.start(Node("head", cpus=2, store_mb=512)).attached:
            raise RuntimeError("This would load your own cluster; unset KLAW_RAY_ADDRESS and RAY_HEAD_SERVICE_HOST.")
        return measure(ways(), rounds, sizes)
    finally:
        cluster.stop()


def measure(
    ways: dict[str, Callable], rounds: int = 1, sizes: list[str] | None = None, shorter: int = 1, warm: bool = True
) -> dict[str, dict[str, float]]:
    """Run each way at each size, in turns: a change of the machine's load meets every way.

    Args:
        ways: what ``ways()`` gives, or some of it.
        rounds, sizes: as of ``channel``.
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
                    n = max(20, n // SLOW.get(way, 1) // shorter)
                    n = max(batch, n // batch * batch)  # whole batches
                    n = n if turn else max(batch, n // 10 // batch * batch)
                    seconds = run(length, n, room, batch)
                    seen[way][size] += [n / seconds] if turn else []
                    bar.update()
    return {way: {size: median(rates) for size, rates in by_size.items()} for way, by_size in seen.items()}


def chart(rates: dict[str, dict[str, float]], title: str = "") -> Picture:
    """Draw MB per second, a panel for each size, on an axis in powers of ten; ``table`` gives the numbers."""
    sizes = list(next(iter(rates.values())))
    figure = Figure(figsize=(9, 1.1 + 0.3 * len(rates)), facecolor=CARD, layout="constrained")
    for axes, size in zip(figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0], sizes, strict=True):
        mb = [of[size] * SIZES[size][0] / 1e6 for of in rates.values()]
        axes.barh(list(rates), mb, height=0.6, color=[GREY if way == "memory copy" else BLUE for way in rates])
        for y, value in enumerate(mb):
            axes.text(value, y, f" {value:,.{0 if value >= 10 else 2}f}", va="center", color=INK, fontsize=8.5)
        axes.set_xscale("log")
        axes.set_xlim(min(mb) / 3, max(mb) * 12)
        axes.set_xlabel("MB per second (log scale)", color=INK, fontsize=9)
        style(axes, f"messages of {size}")
    axes.invert_yaxis()
    figure.suptitle(title, color=INK, fontsize=10)
    return Picture(figure, f"{title}. MB per second by way and size.\n{table(rates)}")


def table(rates: dict[str, dict[str, float]], machine: str = "") -> Text:
    """Messages per second as ratios to the first way, then its absolute numbers and everybody's MB per second."""
    first = next(iter(rates))
    sizes = list(rates[first])
    ratios = [[way, *(f"{of[size] / rates[first][size]:.1f}" for size in sizes)] for way, of in rates.items()]
    mb = [[way, *(f"{of[size] * SIZES[size][0] / 1e6:,.0f}" for size in sizes)] for way, of in rates.items()]
    look = dict(disable_numparse=True, colalign=["left"] + ["right"] * len(sizes))
    one = ", ".join(f"{rates[first][size]:,.0f} at {size}" for size in sizes)
    parts = [tabulate(ratios, [f"messages per second, {first} = 1", *sizes], **look), "", f"{first}: {one}", ""]
    return Text("\n".join([*parts, tabulate(mb, ["MB per second", *sizes], **look), "", machine]).rstrip())
