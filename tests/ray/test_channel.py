"""The channel, with senders and receivers in real processes: its promises in turn, and with processes that die."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from itertools import chain

import numpy as np
import pytest
import ray
from hypothesis import given, settings, strategies
from ray.util.state import get_actor

from klaw_course import cluster
from klaw_course.channel import Channel, ChannelBroken, ChannelClosed, ChannelEnded, EndClosed
from klaw_course.cluster import Node
from klaw_course.supervisor import supervise
from klaw_course.wait import wait_until


@pytest.fixture(scope="module", autouse=True)
def one_cluster():
    cluster.start(Node("head", cpus=2))  # the same as the other modules' one_node, so that it need not start again


@ray.remote(num_cpus=0)
def produce(channel, name, count, pause=0.0):
    with channel.sender() as sender:
        for number in range(count):
            sender.send((name, number))
            if pause:
                time.sleep(pause)


@ray.remote(num_cpus=0)
def consume(channel, prefetch=256, pause=0.0):
    got = []
    with channel.receiver(prefetch) as receiver:
        for item in receiver:
            got.append(item)
            if pause:
                time.sleep(pause)
    return got


@ray.remote(num_cpus=0)
class Peer:
    """A process that does one thing after another, and dies when it is told to."""

    def send(self, channel, items):
        self.sender = channel.sender()
        for item in items:
            self.sender.send(item)
        self.sender.flush()

    def fill(self, channel):
        self.sender, sent = channel.sender(), 0
        while sent < 1000 and self.sender.try_send(sent):
            sent += 1
        return sent

    def receive(self, channel, count, prefetch=256, redeliver=True):
        self.receiver = channel.receiver(prefetch, redeliver)
        return [self.receiver.recv(timeout=20) for _ in range(count)]

    def produce(self, channel, name, count, pause):
        with channel.sender() as sender:
            for number in range(count):
                sender.send((name, number))
                time.sleep(pause)

    def consume(self, channel, prefetch, pause):
        got = []
        with channel.receiver(prefetch) as receiver:
            for item in receiver:
                got.append(item)
                time.sleep(pause)
        return got

    def pid(self):
        return os.getpid()


@pytest.fixture(scope="module")
def crew(one_cluster):
    """Six processes that send and receive in one example after the other: each birth takes longer than an example."""
    return [Peer.remote() for _ in range(6)]


def check_part(got, senders):
    """Each sender's items are in its order."""
    for sender in range(senders):
        numbers = [number for name, number in got if name == sender]
        assert numbers == sorted(numbers)


# --- once, in order, bounded, to the end ------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    senders=strategies.integers(1, 3),
    receivers=strategies.integers(1, 3),
    capacity=strategies.sampled_from([1, 2, 3, 7, 50, 1000]),
    count=strategies.sampled_from([0, 1, 5, 60]),
    prefetch=strategies.sampled_from([0, 1, 4, 256]),
    pauses=strategies.tuples(strategies.sampled_from([0, 0.001]), strategies.sampled_from([0, 0.001])),
)
def test_each_item_once_in_its_senders_order_within_the_bound(
    crew, senders, receivers, capacity, count, prefetch, pauses
):
    channel = Channel(capacity)
    got = [peer.consume.remote(channel, prefetch, pauses[1]) for peer in crew[:receivers]]
    sent = [crew[3 + name].produce.remote(channel, name, count, pauses[0]) for name in range(senders)]
    ray.get(sent, timeout=60)
    channel.close()
    parts = ray.get(got, timeout=60)
    assert sorted(chain(*parts)) == [(name, number) for name in range(senders) for number in range(count)]
    for part in parts:
        check_part(part, senders)
    stats = channel.stats()
    assert stats["sent"] == stats["taken"] == senders * count and stats["depth"] == 0
    assert stats["high_water"] <= capacity


def test_a_hundred_thousand():
    channel = Channel(5000)
    got, sent = consume.remote(channel), produce.remote(channel, 0, 100_000)
    ray.get(sent, timeout=60)
    channel.close()
    assert ray.get(got, timeout=60) == [(0, number) for number in range(100_000)]


def test_the_bound_holds_wherever_items_are_and_credits_that_are_not_used_come_back():
    channel, peers = Channel(7), [Peer.remote() for _ in range(2)]
    holder = Peer.remote()
    assert ray.get(peers[0].fill.remote(channel)) == 7
    assert ray.get(holder.receive.remote(channel, 1)) == [0]  # it is handed the others, and takes one
    wait_until(lambda: channel.sender().try_send("now there is room"), "the credit to come back")
    assert ray.get(peers[1].fill.remote(channel)) == 0
    stats = channel.stats()
    assert (stats["depth"], stats["high_water"]) == (7, 7)


def test_an_idle_sender_keeps_no_credit():
    channel = Channel(100)
    idle, other = channel.sender(), channel.sender()
    idle.send("one")
    for number in range(99):
        other.send(number, timeout=5)
    with pytest.raises(TimeoutError):
        other.send("too much", timeout=0.1)


# --- waiting, and the end ---------------------------------------------------------------------------------------------


def test_a_receiver_may_wait_before_there_is_a_sender():
    channel = Channel(1)
    got = consume.remote(channel)
    wait_until(lambda: channel.stats()["waiting_receivers"] == 1, "the receiver to wait")
    ray.get(produce.remote(channel, 0, 3), timeout=20)
    channel.close()
    assert ray.get(got, timeout=20) == [(0, 0), (0, 1), (0, 2)]


def test_timeouts_say_what_is_full_or_empty_and_lose_nothing():
    channel = Channel(2)
    sender, receiver = channel.sender(), channel.receiver()
    with pytest.raises(TimeoutError, match=r"Nothing came for 0\.1 s"):
        receiver.recv(timeout=0.1)
    assert receiver.try_recv("nothing") == "nothing"
    assert sender.try_send(1) and sender.try_send(2) and not sender.try_send(3)
    with pytest.raises(TimeoutError, match="capacity is 2"):
        sender.send(3, timeout=0.1)
    assert [receiver.recv(timeout=5) for _ in range(2)] == [1, 2]
    sender.send(4, timeout=5)
    assert receiver.recv(timeout=5) == 4


def test_after_the_end_senders_get_one_clear_error_and_receivers_what_was_sent():
    channel = Channel(10)
    sender = channel.sender()
    for number in range(3):
        sender.send(number)
    channel.close()
    with pytest.raises(ChannelClosed, match="The channel is closed"):
        for _ in range(20):  # those that it has a credit for are still taken
            sender.send(3)
            time.sleep(0.02)
    got = list(channel.receiver())
    assert got[:3] == [0, 1, 2] and set(got[3:]) <= {3}
    with pytest.raises(ChannelEnded, match="all was received"):
        channel.receiver().recv(timeout=5)
    with pytest.raises(ChannelClosed):
        channel.sender().send(5)
    channel.close()
    assert channel.stats()["closed"]


def test_a_closed_sender_or_receiver_says_so_and_what_it_was_handed_goes_to_another():
    channel = Channel(10)
    with channel.sender() as sender:
        for number in range(5):
            sender.send(number)
    with pytest.raises(EndClosed, match="This sender is closed"):
        sender.send(5)
    with channel.receiver() as receiver:
        assert receiver.recv() == 0
    with pytest.raises(EndClosed, match="This receiver is closed"):
        receiver.recv(timeout=5)  # nor what it had been handed: that is another's now
    channel.close()
    assert list(channel) == [1, 2, 3, 4]


def test_coroutines():
    async def both():
        channel = Channel(2)
        sender, receiver = channel.sender(), channel.receiver()

        async def send():
            for number in range(10):
                await sender.send_async(number)
            sender.close()
            channel.close()

        task = asyncio.create_task(send())
        got = [item async for item in receiver]
        await task
        return got

    assert asyncio.run(both()) == list(range(10))


# --- processes that die -----------------------------------------------------------------------------------------------


def test_a_sender_that_dies_leaves_what_it_handed_over_and_gives_its_credits_back():
    channel, peer = Channel(5), Peer.remote()
    ray.get(peer.send.remote(channel, [0, 1, 2]))
    ray.kill(peer)
    sender = channel.sender()
    sender.send(3, timeout=20)
    sender.send(4, timeout=20)
    sender.close()
    channel.close()
    assert list(channel) == [0, 1, 2, 3, 4]


def test_what_a_dead_receiver_did_not_take_goes_to_another():
    channel, peer = Channel(50), Peer.remote()
    with channel.sender() as sender:
        for number in range(20):
            sender.send(number)
    took = ray.get(peer.receive.remote(channel, 4))
    ray.kill(peer)
    channel.close()
    rest = ray.get(consume.remote(channel), timeout=30)
    assert took == [0, 1, 2, 3]
    assert rest == sorted(rest) and set(range(4, 20)) <= set(rest)  # at least once


def test_at_most_once_loses_what_a_dead_receiver_was_handed():
    channel, peer = Channel(50), Peer.remote()
    with channel.sender() as sender:
        for number in range(20):
            sender.send(number)
    took = ray.get(peer.receive.remote(channel, 4, prefetch=8, redeliver=False))
    ray.kill(peer)
    channel.close()
    rest = ray.get(consume.remote(channel), timeout=30)
    assert not set(took) & set(rest) and set(rest) < set(range(4, 20))


@pytest.mark.parametrize("seed", range(2))
def test_senders_and_receivers_killed_at_random(seed):
    chance = np.random.default_rng(seed)
    channel = Channel(int(chance.integers(1, 20)))
    peers = [Peer.remote() for _ in range(4)]
    pids = ray.get([peer.pid.remote() for peer in peers])
    for name, peer in enumerate(peers[:2]):
        peer.send.remote(channel, [(name, number) for number in range(5000)])
    for peer in peers[2:]:
        peer.receive.remote(channel, 100_000)
    for place in chance.permutation(4)[:3]:
        time.sleep(chance.uniform(0, 0.3))
        os.kill(pids[place], 9)
    survivor = consume.remote(channel)
    for peer in peers:
        ray.kill(peer)
    ray.get(produce.remote(channel, 9, 50), timeout=60)
    channel.close()
    got = ray.get(survivor, timeout=60)
    assert {number for name, number in got if name == 9} == set(range(50))  # some may have gone to a dead one first
    stats = channel.stats()
    assert stats["depth"] == 0 and stats["high_water"] <= stats["capacity"]


def test_if_the_channel_dies_nobody_hangs():
    channel = Channel(1)
    sender, waiting = channel.sender(), consume.remote(channel)
    wait_until(lambda: channel.stats()["waiting_receivers"] == 1, "the receiver to wait")
    ray.kill(channel._actor)
    with pytest.raises(ChannelBroken):
        wait_until(lambda: not channel.stats(), "the death to be known")
    for call in (lambda: sender.send(1), channel.stats, channel.close, channel.receiver().recv):
        with pytest.raises(ChannelBroken, match="actor died"):
            call()
    with pytest.raises(ChannelBroken):
        ray.get(waiting, timeout=20)


# --- the supervisor ---------------------------------------------------------------------------------------------------


@ray.remote(num_cpus=0)
class Numbers:
    """Sends 0 to 9; the first of its processes dies in the middle."""

    def __init__(self, channel, mark):
        self.channel, self.mark = channel, mark

    def run(self):
        with self.channel.sender() as sender:
            for number in range(10):
                sender.send(number)
                if number == 4 and not os.path.exists(self.mark):
                    sender.flush()
                    open(self.mark, "w").close()
                    os._exit(1)
        self.channel.close()


@ray.remote(num_cpus=0)
class Faulty:
    def run(self):
        raise LookupError("no such table")


def test_a_supervisor_restarts_its_workers_with_their_channels_and_takes_all_with_it(tmp_path):
    boss = supervise()
    channel = ray.get(boss.channel.remote("numbers", 100))
    ray.get(boss.work.remote("source", Numbers, channel, str(tmp_path / "mark")))
    ray.get(boss.work.remote("faulty", Faulty))
    assert list(ray.get(boss.channel.remote("numbers"))) == [0, 1, 2, 3, 4, *range(10)]
    ends = ray.get(boss.wait.remote(), timeout=30)
    assert ends["source"] == {"state": "done", "restarts": 1, "error": ""}
    assert ends["faulty"] == {"state": "failed", "restarts": 0, "error": "LookupError: no such table"}
    with pytest.raises(KeyError, match="there are: numbers"):
        ray.get(boss.channel.remote("letters"))
    with pytest.raises(ValueError, match="already"):
        ray.get(boss.work.remote("faulty", Faulty))
    ray.kill(boss)

    def broken():
        try:
            return not channel.stats()
        except ChannelBroken:
            return True

    wait_until(broken, "the channel to end with its supervisor")


def test_a_worker_that_dies_too_often_has_failed():
    @ray.remote(num_cpus=0)
    class Mortal:
        def run(self):
            os._exit(1)

    boss = supervise()
    ray.get(boss.work.remote("mortal", Mortal, restarts=1))
    ends = ray.get(boss.wait.remote(), timeout=30)
    assert ends["mortal"] == {"state": "failed", "restarts": 1, "error": "ActorDiedError"}


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Channel(0), "capacity 0 can hold nothing"),
        (lambda: Channel(1.5), "capacity 1.5 can hold nothing"),
        (lambda: Channel("x"), "capacity 'x' can hold nothing"),
        (lambda: Channel(1, owner="me"), "owner='me' cannot own"),
        (lambda: Channel(1, capacity_bytes=0), "capacity_bytes 0 can hold nothing"),
        (lambda: Channel(1, senders=0), "senders 0 can be closed by nobody"),
        (lambda: Channel(1, max_restarts=-1), "takes no max_restarts"),
        (lambda: Channel(1).receiver(redeliver=False, manual=True), "manual=True with redeliver=False"),
        (lambda: Channel(1).receiver(prefetch=-1), "Cannot prefetch -1"),
    ],
)
def test_bad_input_is_named(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_a_channel_ends_when_its_last_handle_goes_and_not_before():
    channel = Channel(1)
    actor, receiver = channel._actor._actor_id.hex(), channel.receiver()
    assert channel.stats()["capacity"] == 1, "the actor has started"
    del channel
    gc.collect()
    time.sleep(0.5)
    assert get_actor(actor).state != "DEAD", "a receiver is a handle, too"
    receiver.close()
    del receiver
    gc.collect()
    wait_until(lambda: get_actor(actor).state == "DEAD", "the channel's actor to end", timeout_s=30)
