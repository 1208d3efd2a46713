"""A channel whose sender, actor and receiver are on three nodes."""

from __future__ import annotations

import numpy as np
import pytest
import ray

from klaw_course.bench import channel as channel_bench
from klaw_course.channel import Channel
from klaw_course.observe import store
from klaw_course.wait import wait_until


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


@pytest.mark.parametrize(("owner", "copies"), [("channel", 3), ("sender", 2)])
def test_a_large_item_passes_through_the_channels_node_only_if_that_is_to_own_it(three_nodes, owner, copies):
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    places = [{"label_selector": {"ray.io/node-id": node}} for node in nodes]
    channel, receiver = Channel(8, owner=owner, **places[0]), Receiver.options(**places[2]).remote()
    got = receiver.receive.remote(channel)
    wait_until(lambda: channel.stats()["waiting_receivers"] == 1, "the receiver to wait")
    with store.watch() as seen:
        ray.get(send.options(**places[1]).remote(channel, 4, 5 * 2**20), timeout=60)
        assert len(ray.get(got, timeout=60)[0]) == 4
    assert seen.written_mb == pytest.approx(copies * 4 * 5, abs=1)


def test_the_benchmark_has_a_way_to_another_node_where_there_is_one(three_nodes):
    ways = channel_bench.ways()
    rates = channel_bench.measure({"far": ways["Channel, to another node"]}, sizes=["1 MB"], shorter=10, warm=False)
    assert rates["far"]["1 MB"] > 0
