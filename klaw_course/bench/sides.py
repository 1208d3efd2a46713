"""What the two sides do in each way to pass messages, each side in a process of its own.

The functions take what is passed through, the bytes of a message, how many there are, and how many make a batch.
This module is loaded in every process that takes part: it draws nothing.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np


@lru_cache(1)  # made in the warm-up, not while the clock runs
def payloads(size: int) -> list:
    """Make different messages, to be sent by turns: pickle writes an object that is in a batch twice only once."""
    count = max(4, min(512, 32 * 10**6 // size))
    return [bytes([n % 256]) * size if size <= 100 else np.full(size, n % 256, np.uint8) for n in range(count)]


def queue_put(queue, size, n, batch):
    items = payloads(size)
    for number in range(n):
        queue.put(items[number % len(items)])


def queue_get(queue, size, n, batch):
    return sum(1 for _ in range(n) if queue.get() is not None)


def queue_put_batches(queue, size, n, batch):
    import ray

    items = payloads(size)
    for first in range(0, n, batch):
        while True:  # there is no batch call that waits
            try:
                queue.put_nowait_batch([items[(first + place) % len(items)] for place in range(batch)])
                break
            except ray.util.queue.Full:
                time.sleep(0.001)


def queue_get_batches(queue, size, n, batch):
    import ray

    seen = 0
    while seen < n:
        try:
            seen += len(queue.get_nowait_batch(batch))
        except ray.util.queue.Empty:
            time.sleep(0.001)
    return seen


def send(channel, size, n, batch):
    _send(channel, size, range(n))
    channel.close()


def receive(channel, size, n, batch):
    return sum(1 for _ in channel)


def send_as(count, channel, size, n, batch):
    """Send from so many threads, each with a sender of its own."""
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda part: _send(channel, size, range(part, n, count)), range(count)))
    channel.close()


def _send(channel, size, numbers):
    items = payloads(size)
    with channel.sender() as sender:
        for number in numbers:
            sender.send(items[number % len(items)])


def receive_and_acknowledge(channel, size, n, batch):
    receiver, seen = channel.receiver(manual=True), 0
    for _ in receiver:
        seen += 1
        receiver.ack()
    return seen


def call_in_window(consumer, size, n, batch):
    import ray

    items, calls = payloads(size), []
    for number in range(n):
        calls.append(consumer.take.remote(items[number % len(items)]))
        if len(calls) >= 4 * batch:
            calls = ray.wait(calls, num_returns=len(calls) // 2)[1]
    ray.get(calls)


def stream(size, n):
    items = payloads(size)
    for number in range(n):
        yield items[number % len(items)]


def read_stream(producer, size, n, batch):
    import ray

    refs = producer.stream.options(_generator_backpressure_num_objects=4 * batch).remote(stream, size, n)
    return sum(1 for ref in refs if ray.get(ref) is not None)


def put_refs(consumer, size, n, batch):
    import ray

    items, calls = payloads(size), []
    for number in range(n):
        calls.append(consumer.get_ref.remote([ray.put(items[number % len(items)])]))
        if len(calls) > 4:
            ray.get(calls.pop(0))
    ray.get(calls)


def make_shared(reader, node, size):
    import ray
    from ray.experimental.channel.shared_memory_channel import Channel

    return Channel(ray.get_runtime_context().current_actor, [(reader, node)], size + 1000)


def write_shared(channel, size, n, batch):
    items = payloads(size)
    channel.ensure_registered_as_writer()
    for number in range(n):
        channel.write(items[number % len(items)], timeout=30)


def read_shared(channel, size, n, batch):
    channel.ensure_registered_as_reader()
    return sum(1 for _ in range(n) if channel.read(timeout=30) is not None)


def pipe(queue, ready, size, n):
    items = payloads(size)
    ready.wait()
    for number in range(n):
        queue.put(items[number % len(items)])
