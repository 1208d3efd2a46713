"""Who gets an item, how often, and when: acknowledgement, deaths, a network that fails, the end, names, metrics."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
import threading
import urllib.request

import pytest
import ray

from klaw_course import cluster
from klaw_course.channel import Channel, ChannelBroken, ChannelClosed, ChannelEnded, ChannelError, EndClosed, ends
from klaw_course.cluster import Node
from klaw_course.wait import wait_until


@pytest.fixture(scope="module", autouse=True)
def one_cluster():
    cluster.start(Node("head", cpus=2))


@pytest.fixture(scope="module", autouse=True)
def measured(one_cluster):
    """A channel with 3 items, of which one was taken, and a receiver that waits; the last test looks at its metrics."""
    channel = Channel(10, name="measured")
    with channel.sender() as sender:
        for number in range(3):
            sender.send(number)
    receiver = channel.receiver(prefetch=0)
    receiver.recv()
    yield channel


def channel_of(items, **options):
    channel = Channel(50, **options)
    with channel.sender() as sender:
        for item in items:
            sender.send(item)
    return channel


def rest_of(channel):
    channel.close()
    return list(channel)


@ray.remote(num_cpus=0)
class Peer:
    def receive(self, channel, count, acknowledge=0, **options):
        """Take items and acknowledge the first ones, if that is to be done here."""
        self.receiver, got = channel.receiver(**options), []
        for number in range(count):
            got.append(self.receiver.recv(timeout=20))
            if options.get("manual") and number < acknowledge:
                self.receiver.ack()
        return got

    def work(self, channel, die_on):
        for item in iter(lambda: self.lease(channel.receiver(prefetch=1), die_on), None):
            print(item)

    def lease(self, receiver, die_on):
        while True:
            with receiver.lease(timeout=20) as item:
                if item == die_on:
                    os._exit(1)

    def send(self, channel, items):
        self.sender = channel.sender()
        for item in items:
            self.sender.send(item)
        self.sender.flush()


# --- acknowledgement --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("manual", "again"), [(True, [2, 3, 4, 5]), (False, [4, 5])])
def test_what_is_not_acknowledged_comes_again_when_its_receiver_has_died(manual, again):
    channel, peer = channel_of(range(6)), Peer.remote()
    assert ray.get(peer.receive.remote(channel, 4, acknowledge=2, prefetch=1, manual=manual)) == [0, 1, 2, 3]
    wait_until(lambda: channel.stats()["taken"] == (2 if manual else 4), "the channel to know what is acknowledged")
    ray.kill(peer)
    assert sorted(rest_of(channel)) == again  # late, if the next receiver came before the death was known


def test_what_was_being_worked_on_in_a_lease_comes_again():
    channel, peer = channel_of(range(6)), Peer.remote()
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(peer.work.remote(channel, 3), timeout=30)
    got = sorted(rest_of(channel))
    assert got[-3:] == [3, 4, 5] and len(got) <= 4  # 2 may come twice


def test_an_error_in_a_lease_gives_the_item_back_and_its_end_acknowledges_it():
    channel = channel_of(range(3))
    receiver = channel.receiver(prefetch=0)
    with pytest.raises(ZeroDivisionError), receiver.lease(timeout=5) as item:
        1 / item

    def queued(buffer):
        return len(buffer.state.queue)

    wait_until(lambda: ray.get(channel._actor.__ray_call__.remote(queued)) == 3, "it to be back")
    with receiver.lease(timeout=5) as item:
        assert item == 0
    wait_until(lambda: channel.stats()["taken"] == 1, "it to be acknowledged")
    assert rest_of(channel) == [1, 2]


@pytest.mark.parametrize("options", [{}, {"redeliver": False}, {"manual": True}])
def test_a_receiver_that_closes_gives_back_what_it_did_not_take_in_every_mode(options):
    channel = channel_of(range(6))
    with channel.receiver(prefetch=4, **options) as receiver:
        assert [receiver.recv(timeout=5) for _ in range(2)] == [0, 1]
        if options.get("manual"):
            receiver.ack()
    assert rest_of(channel) == [2, 3, 4, 5]


@pytest.mark.parametrize("how", ["recv", "ack", "lease"])
def test_what_was_taken_does_not_come_again_although_the_news_of_it_arrives_after_the_close(how, monkeypatch):
    """An async actor promises no order to the calls of one caller, and a call that was lost is made again."""

    ask, begun = ends.ask, []

    async def ask_late(call):
        begun.append(call)
        await asyncio.sleep(0.5)
        return await ask(call)

    channel = channel_of(range(3))
    receiver = channel.receiver(prefetch=1, manual=how == "ack")
    assert receiver.recv(timeout=5) == 0
    if how == "ack":
        receiver.ack()
    wait_until(lambda: channel.stats()["taken"] == 1, "the channel to know it")
    monkeypatch.setattr(ends, "ask", ask_late)
    if how == "lease":
        with receiver.lease(timeout=5) as item:
            assert item == 1
    else:
        assert receiver.recv(timeout=5) == 1
    if how == "ack":
        receiver.ack()
    wait_until(lambda: begun and not receiver._taken, "the call to be on its way")
    monkeypatch.undo()
    receiver.close()
    assert rest_of(channel) == [2]


def test_what_two_receivers_give_back_comes_in_its_old_order():
    channel = channel_of(range(8))
    receivers = [channel.receiver(prefetch=3) for _ in range(2)]
    assert [receiver.recv(timeout=5) for receiver in receivers][0] == 0
    wait_until(lambda: channel.stats()["taken"] == 2, "both to be known")
    for receiver in receivers:
        receiver.close()
    got = rest_of(channel)
    assert got == sorted(got) and len(got) == 6


# --- a network that fails ---------------------------------------------------------------------------------------------

DRIVER = """
    import json, sys, ray
    from klaw_course.channel import Channel
    ray.init(address=sys.argv[1], namespace="elsewhere", log_to_driver=False)
    inbox, outbox = Channel.get("in", namespace="lab"), Channel.get("out", namespace="lab")
    with outbox.sender() as sender:
        for number in range(100):
            sender.send(number)
            if number % 10 == 0:
                sender.flush()
    print(json.dumps(list(inbox.receiver(prefetch=3))))
"""
FAILURES = {"CoreWorkerService.grpc_client.PushTask": dict(num_failures=4, req_failure_prob=25, resp_failure_prob=25)}


def test_a_second_driver_finds_a_detached_channel_and_unavailable_is_not_dead():
    options = dict(namespace="lab", lifetime="detached")
    outbox, inbox = Channel(20, name="out", **options), Channel(200, name="in", **options)
    try:
        with inbox.sender() as sender:
            for number in range(100):
                sender.send(number)
        inbox.close()
        environment = {**os.environ, "RAY_testing_rpc_failure": json.dumps(FAILURES)}
        command = [sys.executable, "-c", textwrap.dedent(DRIVER), ray.get_runtime_context().gcs_address]
        driver = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        receiver = outbox.receiver()
        assert [receiver.recv(timeout=30) for _ in range(100)] == list(range(100))
        printed = driver.communicate(timeout=60)[0]
        assert json.loads(printed.splitlines()[-1]) == list(range(100))
        outbox.close()
        with pytest.raises(ChannelEnded):
            receiver.recv(timeout=20)
        assert (outbox.stats()["sent"], inbox.stats()["taken"]) == (100, 100)
    finally:
        ray.kill(outbox._actor)
        ray.kill(inbox._actor)
    with pytest.raises(ValueError, match="nobody"):
        Channel.get("nobody")


OWNER = """
    import sys, ray
    from klaw_course.channel import Channel
    ray.init(address=sys.argv[1], namespace="lab", log_to_driver=False)
    outbox, anonymous = Channel.get("of two", namespace="lab"), Channel(5)
    with anonymous.sender() as sender:
        sender.send("an item")
    with outbox.sender() as sender:
        sender.send(anonymous)
        input()
"""


@ray.remote(num_cpus=0, max_retries=0)
def use(outbox, used):
    receiver = outbox.receiver().recv(timeout=60).receiver(prefetch=0)
    with used.sender() as sender:
        sender.send(receiver.recv(timeout=20))
    receiver.recv(timeout=30)


def test_an_anonymous_channel_ends_with_the_driver_that_made_it_whoever_else_has_its_handle():
    outbox, used = Channel(5, name="of two", namespace="lab"), Channel(1)
    command = [sys.executable, "-c", textwrap.dedent(OWNER), ray.get_runtime_context().gcs_address]
    driver = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    using = use.remote(outbox, used)
    assert used.receiver().recv(timeout=60) == "an item", "while its driver lives, it can be used from elsewhere"
    driver.communicate("\n", timeout=60)
    assert driver.returncode == 0
    with pytest.raises(ChannelBroken, match="actor died"):
        ray.get(using, timeout=60)


# --- the end ----------------------------------------------------------------------------------------------------------


def test_the_last_of_several_senders_closes_the_channel_if_asked_and_a_dead_one_counts():
    channel, peer = Channel(50, senders=3), Peer.remote()
    first, second = channel.sender(), channel.sender()
    first.send(0)
    first.close()
    ray.get(peer.send.remote(channel, [1, 2]))
    ray.kill(peer)
    wait_until(lambda: channel.stats()["senders"] == 1, "the death to be known")
    second.send(3)
    assert not channel.stats()["closed"]
    second.close()
    assert channel.stats()["closed"] and list(channel) == [0, 1, 2, 3]


def test_a_sender_that_needs_receivers_is_told_when_all_have_gone():
    channel = Channel(2)
    sender, patient = channel.sender(needs_receivers=True), channel.sender()
    for number in range(2):
        sender.send(number, timeout=30)  # before there is a receiver
    receiver = channel.receiver(prefetch=0)
    assert receiver.recv(timeout=5) == 0
    sender.send(2, timeout=5)
    seen = []

    def send():
        try:
            sender.send(3)
        except ChannelError as error:
            seen.append(error)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    wait_until(lambda: channel.stats()["waiting_senders"], "it to wait")
    receiver.close()
    thread.join(10)
    assert isinstance(seen[0], ChannelClosed) and "receivers have gone" in str(seen[0])
    with pytest.raises(TimeoutError):
        patient.send(3, timeout=0.1)
    again = channel.receiver()
    assert again.recv(timeout=5) == 1
    sender.send("there is one again", timeout=5)


def test_four_errors_are_apart_and_one_of_them_ends_an_iteration():
    channel = channel_of(range(2))
    sender, receiver, other = channel.sender(), channel.receiver(), channel.receiver()
    assert next(receiver) == 0 and next(receiver) == 1
    receiver.close()
    with pytest.raises(EndClosed):
        next(receiver)
    channel.close()
    with pytest.raises(ChannelClosed):
        sender.send(1)
    with pytest.raises(StopIteration):
        next(other)
    with pytest.raises(ChannelEnded):
        other.recv()
    channel, names = Channel(1), set()
    sender, receiver = channel.sender(), channel.receiver()
    sender.send(0)
    sender.flush()
    ray.kill(channel._actor)
    for attempt in (lambda: next(channel.receiver()), sender.flush, lambda: [sender.send(1) for _ in range(3)]):
        with pytest.raises(ChannelBroken, match="actor died"):
            wait_until(attempt, "the death to be known")
    with pytest.raises(ChannelBroken):
        next(receiver)
    names = {error.__base__ for error in (EndClosed, ChannelClosed, ChannelEnded, ChannelBroken)}
    assert names == {ChannelError}


# --- metrics ----------------------------------------------------------------------------------------------------------


def test_the_metrics_say_what_stats_says(measured):
    port = ray.nodes()[0]["MetricsExportPort"]

    def metrics():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
            lines = [line for line in page.read().decode().splitlines() if "klaw_channel_" in line]
        lines = [line for line in lines if 'channel="measured"' in line]
        found = {line.split("klaw_channel_")[1].split("{")[0]: float(line.rsplit(" ", 1)[1]) for line in lines}
        return found if len(found) == 5 and found["taken"] else None

    found = wait_until(metrics, "the metrics to be reported", timeout_s=40)
    stats = measured.stats()
    assert found == {name: stats[name] for name in found}
    assert (found["sent"], found["taken"], found["depth"]) == (3, 1, 2)
