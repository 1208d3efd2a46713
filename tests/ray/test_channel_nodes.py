"""A channel whose sender, actor and receiver are on three nodes."""

from __future__ import annotations

import numpy as np
import pytest
import ray

from klaw_course.bench import channel as channel_bench
from klaw_course.channel import Channel


@ray.remote(num_cpus=0)
def send(channel, count, size):
    with channel.sender() as sender:
        for number in range(count):
            sender.send((number, np.full(size, number, np.uint8)))
    channel.close()


@ray.remote(num_cpus=0)
class Receiver:
    def receive(self, channel):
        got = [(number, len(array), int(array[-1])) for number, array in channel.receiver(prefetch=1)]
        return got, ray.get_runtime_context().get_node_id()


@pytest.mark.parametrize("owner", ["channel", "sender"])
@pytest.mark.parametrize("size", [100, 3_000_000])
def test_sender_channel_and_receiver_each_on_another_node(three_nodes, owner, size):
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    places = [{"label_selector": {"ray.io/node-id": node}} for node in nodes]
    channel = Channel(4, owner=owner, **places[0])
    receiver = Receiver.options(**places[2]).remote()
    got = receiver.receive.remote(channel)
    ray.get(send.options(**places[1]).remote(channel, 8, size), timeout=60)
    items, where = ray.get(got, timeout=60)
    assert items == [(number, size, number) for number in range(8)]
    assert where == nodes[2]


def test_the_benchmark_has_a_way_to_another_node_where_there_is_one(three_nodes):
    ways = channel_bench.ways()
    rates = channel_bench.measure({"far": ways["Channel, to another node"]}, sizes=["1 MB"], shorter=10, warm=False)
    assert rates["far"]["1 MB"] > 0
