"""What a channel makes of items: as they were when sent, their size, errors of pickling, references, large ones."""

from __future__ import annotations

import gc
import sys
import threading
import time
import types
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import ray

from klaw_course import cluster
from klaw_course.channel import Channel, ChannelEnded
from klaw_course.cluster import Node
from klaw_course.observe import store
from klaw_course.wait import wait_until


@pytest.fixture(scope="module", autouse=True)
def one_cluster():
    cluster.start(Node("head", cpus=2))


@ray.remote(num_cpus=0)
class Peer:
    def receive(self, channel):
        """All that comes until the end; of errors their names."""
        receiver, got = channel.receiver(), []
        while True:
            try:
                got.append(receiver.recv(timeout=20))
            except ChannelEnded:
                return got
            except Exception as error:
                got.append(type(error).__name__)

    def send(self, channel, sizes):
        self.sender = channel.sender()
        for size in sizes:
            self.sender.send(np.full(size, len(sizes), np.uint8))
        self.sender.flush()


@pytest.fixture(scope="module")
def peer(one_cluster):
    return Peer.remote()


@pytest.mark.parametrize("size", [10, 100_000, 3_000_000, 6_000_000])
def test_an_item_changed_after_send_arrives_as_it_was_when_sent(size):
    channel, array, names = Channel(10), np.zeros(size, np.uint8), []
    with channel.sender() as sender:
        for number in range(3):
            array.fill(number)
            names.append(number)
            sender.send((array, names))
        array.fill(9)
    channel.close()
    got = list(channel)
    assert [(int(array[0]), int(array[-1])) for array, _ in got] == [(0, 0), (1, 1), (2, 2)]
    assert [names for _, names in got] == [[0], [0, 1], [0, 1, 2]]


def test_an_item_that_does_not_pickle_is_an_error_of_its_send_and_all_others_arrive():
    channel = Channel(10)
    with channel.sender() as sender:
        sender.send(0)
        with pytest.raises(TypeError, match="does not pickle, and was not sent: cannot pickle '_thread.lock' object"):
            sender.send(threading.Lock())
        assert sender.try_send(2)
        with pytest.raises(TypeError, match="does not pickle"):
            sender.try_send([threading.Lock()])
        sender.send(3)
    channel.close()
    assert list(channel) == [0, 2, 3]
    assert channel.stats()["depth"] == 0


class Broken:
    def __reduce__(self):
        return int, ("not a number",)


def test_an_item_that_nobody_can_unpickle_is_one_error_of_its_receiver_and_all_others_arrive(peer):
    channel = Channel(10)
    with channel.sender() as sender:
        for item in (0, Broken(), 2, [np.zeros(10**6), Broken()], 4):
            sender.send(item)
    channel.close()
    assert ray.get(peer.receive.remote(channel), timeout=30) == [0, "TypeError", 2, "TypeError", 4]
    assert channel.stats()["depth"] == 0


def test_an_item_that_only_its_receiver_cannot_unpickle_is_one_error_there(peer, monkeypatch):
    module = types.ModuleType("only_here")
    exec("class Thing:\n    pass", module.__dict__)
    module.Thing.__module__ = "only_here"
    monkeypatch.setitem(sys.modules, "only_here", module)
    channel = Channel(10)
    with channel.sender() as sender:
        for item in (0, module.Thing(), 2):
            sender.send(item)
    channel.close()
    assert ray.get(peer.receive.remote(channel), timeout=30) == [0, "TypeError", 2]
    with channel.sender() as sender, pytest.raises(Exception, match="closed"):
        sender.send(module.Thing())


def test_size_is_bytes_whatever_the_item_is():
    channel = Channel(10)
    with channel.sender() as sender:
        for item in ({"a": np.zeros(10**6)}, b"small", ["x" * 8_000_000], {"a": np.zeros(10)}):
            sender.send(item)

    def kinds(buffer):
        return [type(entry[2]).__name__ for entry in buffer.state.queue]

    assert ray.get(channel._actor.__ray_call__.remote(kinds)) == ["Stored", "bytes", "Stored", "bytes"]
    channel.close()
    assert [len(item) for item in channel] == [1, 5, 1, 1]


def test_a_bound_in_bytes_holds_beside_the_one_in_items():
    channel = Channel(100, capacity_bytes=1_000_000)
    sender, receiver = channel.sender(), channel.receiver(prefetch=0)
    item = {"a": np.zeros(50_000)}  # 400 KB
    with pytest.raises(ValueError, match=r"This item has 2\d* bytes, and the channel holds 1000000 at most"):
        sender.send(b"x" * 2_000_000)
    sender.send(item, timeout=30)
    sender.send(item, timeout=10)
    with pytest.raises(TimeoutError, match="full"):
        sender.send(item, timeout=0.2)
    assert not sender.try_send(item)
    sender.send(b"little", timeout=10)
    assert len(receiver.recv(timeout=10)) == 1
    sender.send(item, timeout=10)
    others = [channel.sender() for _ in range(3)]  # none of them holds bytes and waits for more
    threads = [threading.Thread(target=other.send, args=(item, 20), daemon=True) for other in others]
    for thread in threads:
        thread.start()
    assert [len(receiver.recv(timeout=10)) for _ in range(6)] == [1, 6, 1, 1, 1, 1]
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    wait_until(lambda: channel.stats()["depth"] == 0, "the last one to be told as taken")


def test_references_and_channels_travel_in_items(peer):
    @ray.remote(num_cpus=0)
    def answer(channel):
        item = channel.receiver().recv(timeout=20)
        with item["back"].sender() as sender:
            sender.send(ray.get(item["refs"][0]) + 1)

    channel, back = Channel(2), Channel(2)
    done = answer.remote(channel)
    with channel.sender() as sender:
        sender.send({"refs": [ray.put(41)], "back": back})
    assert back.receiver().recv(timeout=20) == 42
    ray.get(done)


@ray.remote(num_cpus=0)
class Thrifty:
    """A process in which Python's collector does not tidy up what others leave."""

    def __init__(self):
        gc.disable()

    def send(self, channel, count):
        with channel.sender() as sender:
            for number in range(count):
                sender.send({"ref": ray.put(np.full(10**6, number))})
                sender.send({"ref": ray.put(np.full(10**6, number)), "array": np.full(10**6, number)})
        channel.close()

    def receive(self, channel):
        return [int(ray.get(item["ref"])[0]) for item in channel.receiver()]


@ray.remote(num_cpus=0)
class AsyncThrifty:
    def __init__(self):
        gc.disable()

    async def receive(self, channel):
        return [int((await item["ref"])[0]) async for item in channel.receiver()]


@pytest.mark.parametrize("kind", [Thrifty, AsyncThrifty], ids=["thread", "coroutine"])
def test_when_an_item_was_taken_and_dropped_what_it_refers_to_is_freed(kind):
    channel, before = Channel(4), store.settled().used_mb
    sender, receiver = Thrifty.remote(), kind.remote()
    ray.get(channel._actor.__ray_call__.remote(lambda self: gc.disable()))
    got = receiver.receive.remote(channel)
    ray.get(sender.send.remote(channel, 4), timeout=30)
    assert ray.get(got, timeout=30) == [0, 0, 1, 1, 2, 2, 3, 3]
    wait_until(lambda: store.now().used_mb < before + 1, "the objects to be freed", timeout_s=10)


def test_neither_an_item_nor_an_end_is_kept_until_the_collector_comes():
    gc.disable()
    try:
        channel = Channel(4)
        array, sender, receiver = np.zeros(10**5), channel.sender(), channel.receiver()
        kept = [weakref.ref(thing) for thing in (array, sender, receiver)]
        sender.send(array)
        sender.close()
        channel.close()
        assert [len(item) for item in receiver] == [10**5]
        del array, sender, receiver
        wait_until(lambda: all(ref() is None for ref in kept), "them to go", timeout_s=5)
    finally:
        gc.enable()


def test_large_items_that_wait_together_are_one_object_in_the_store(peer):
    channel = Channel(20)
    asleep = channel._actor.__ray_call__.remote(lambda self: time.sleep(1))  # so that answers to the sender are late
    with channel.sender() as sender:
        for number in range(12):
            sender.send(np.full(10**6, number, np.uint8))
    ray.get(asleep)

    def objects(buffer):
        return len({entry[2].bundle for entry in buffer.state.queue})

    assert ray.get(channel._actor.__ray_call__.remote(objects)) <= 6, (
        "the first, nine that fill a call, two; or more, late"
    )
    channel.close()
    assert [int(array[-1]) for array in ray.get(peer.receive.remote(channel), timeout=30)] == list(range(12))


def test_that_a_lone_item_was_taken_is_told_by_the_call_that_asks_for_the_next():
    channel = Channel(4)
    sender, receiver = channel.sender(), channel.receiver()

    def count_settled(buffer):
        buffer.settled, settle = [], buffer.state.settle
        buffer.state.settle = lambda *args: (buffer.settled.append(args), settle(*args))

    ray.get(channel._actor.__ray_call__.remote(count_settled))
    with ThreadPoolExecutor(1) as pool:
        for number in range(20):
            got = pool.submit(receiver.recv, timeout=20)
            wait_until(lambda: receiver._waiters, "it to wait")  # on a busy machine, too, it is there before the item
            sender.send(number)
            assert got.result() == number
            time.sleep(0.02)  # longer than the channel waits for it at most
    wait_until(lambda: channel.stats()["taken"] == 20, "the last one to be told")
    assert len(ray.get(channel._actor.__ray_call__.remote(lambda buffer: buffer.settled))) < 5


@pytest.mark.parametrize("size", [2_000_000, 5_000_000])  # in an object with others, and alone
def test_a_large_item_outlives_its_sender_unless_the_sender_owns_it(size):
    peer, before = Peer.remote(), store.settled().used_mb
    channels = {owner: Channel(4, owner=owner) for owner in ("channel", "sender")}
    for channel in channels.values():
        ray.get(peer.send.remote(channel, [size, 10, size]))
    ray.kill(peer)
    wait_until(
        lambda: store.now().used_mb < before + 2.1 * size / 1e6, "those that the sender owns to be freed, 2 of 4"
    )
    receivers = {owner: channel.receiver(prefetch=0) for owner, channel in channels.items()}
    got = [receivers["channel"].recv(timeout=20) for _ in range(3)]
    assert [(len(array), int(array[-1])) for array in got] == [(size, 3), (10, 3), (size, 3)]

    def outcome():
        try:
            return len(receivers["sender"].recv(timeout=20))
        except ray.exceptions.OwnerDiedError:
            return "OwnerDiedError"

    assert [outcome() for _ in range(3)] == ["OwnerDiedError", 10, "OwnerDiedError"]
    channels["sender"].close()
    with pytest.raises(ChannelEnded):
        receivers["sender"].recv(timeout=20)


def test_the_channel_can_hand_out_the_data_that_it_keeps_of_a_large_item():
    """What a receiver asks for when it hears that the owner has died; here without a death."""
    channel = Channel(4)
    with channel.sender() as sender:
        sender.send(np.ones(10**6))
    receiver = channel.receiver(manual=True)
    assert len(receiver.recv(timeout=20)) == 10**6
    parcel = ray.get(channel._actor.parcel.remote(receiver._id, 0), timeout=20)
    assert parcel.open().sum() == 10**6
