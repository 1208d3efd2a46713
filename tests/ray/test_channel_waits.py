"""Waiting for a channel: threads that share an end, timeouts, interruptions, coroutines, and what waiting costs."""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import gc
import os
import signal
import threading
import time

import pytest
import ray

from klaw_course import cluster
from klaw_course.channel import Channel, EndClosed
from klaw_course.cluster import Node
from klaw_course.wait import wait_until


@pytest.fixture(scope="module", autouse=True)
def one_cluster():
    cluster.start(Node("head", cpus=2))


def waits(channel, who, count=1):
    wait_until(lambda: channel.stats()[f"waiting_{who}"] >= count, f"{who} to wait")


def works(channel, capacity):
    """All credits are there, and items pass in order."""
    with channel.sender() as sender:
        for number in range(capacity):
            sender.send(number, timeout=10)
    receiver = channel.receiver()
    assert [receiver.recv(timeout=10) for _ in range(capacity)] == list(range(capacity))
    receiver.close()
    wait_until(lambda: channel.stats()["depth"] == 0, "all to be taken")


@contextlib.contextmanager
def stopped(channel):
    """The channel's actor does not answer."""
    pid = ray.get(channel._actor.__ray_call__.remote(lambda self: os.getpid()))
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def in_thread(function, *args):
    """Run in a thread; the list gets what it gave or raised."""
    seen = []

    def run():
        try:
            seen.append(function(*args))
        except Exception as error:
            seen.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, seen


# --- threads, timeouts ------------------------------------------------------------------------------------------------


def test_a_shared_sender_answers_while_another_thread_waits():
    channel = Channel(1)
    sender = channel.sender()
    sender.send("fills it")
    thread, seen = in_thread(sender.send, "waits")
    waits(channel, "senders")
    assert not sender.try_send("now")
    with pytest.raises(TimeoutError):
        sender.send("soon", timeout=0.1)
    sender.flush(timeout=5)
    sender.close(timeout=5)
    thread.join(5)
    assert [type(error) for error in seen] == [EndClosed]
    assert channel.receiver().recv(timeout=5) == "fills it"


def test_a_shared_receiver_answers_while_another_thread_waits():
    channel = Channel(1)
    receiver = channel.receiver()
    thread, seen = in_thread(receiver.recv)
    waits(channel, "receivers")
    assert receiver.try_recv("nothing") == "nothing"
    with pytest.raises(TimeoutError):
        receiver.recv(timeout=0.1)
    receiver.close()
    thread.join(5)
    assert [type(error) for error in seen] == [EndClosed]
    works(channel, 1)


@pytest.mark.parametrize("prefetch", [0, 256])
def test_try_recv_gives_an_item_that_is_there(prefetch):
    channel = Channel(10)
    sender, receiver = channel.sender(), channel.receiver(prefetch)
    assert receiver.try_recv("nothing") == "nothing"
    for number in range(20):
        sender.send(number)
        sender.flush()
        assert receiver.try_recv("nothing") == number
    with pytest.raises(TimeoutError):
        receiver.recv(timeout=0.05)
    sender.send("late")
    sender.flush()
    assert receiver.try_recv("nothing") == "late"


def test_try_send_finds_room_while_another_thread_is_asking():
    channel = Channel(10)
    sender = channel.sender()
    thread, _ = in_thread(sender.send, 0)
    assert sender.try_send(1)
    thread.join(5)
    sender.close()
    assert channel.stats()["sent"] == 2


def test_timeouts_hold_when_the_channel_does_not_answer_at_all():
    channel = Channel(2)
    sender, receiver, late = channel.sender(), channel.receiver(), channel.sender()
    sender.send(0)
    assert receiver.recv(timeout=5) == 0
    with stopped(channel):
        began = time.monotonic()
        for wait in (receiver.recv, lambda timeout: late.send(1, timeout), channel.close, channel.stats):
            with pytest.raises(TimeoutError):
                wait(timeout=0.2)
        thread, seen = in_thread(receiver.recv)
        receiver.close()
        thread.join(5)
        assert isinstance(seen[0], EndClosed)
        assert time.monotonic() - began < 10
    wait_until(lambda: channel.stats()["closed"], "the close that timed out")
    late.close(timeout=5)


# --- interruptions ----------------------------------------------------------------------------------------------------


def interrupt_signal():
    signal.setitimer(signal.ITIMER_REAL, 0.3)


def interrupt_main():
    threading.Timer(0.3, _thread.interrupt_main).start()


@pytest.mark.parametrize("interrupt", [interrupt_signal, interrupt_main])
@pytest.mark.parametrize("where", ["send", "recv", "flush"])
def test_an_interrupted_wait_leaves_a_channel_that_works(interrupt, where, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    # Whoever starts the suite in the background has SIGINT ignored, and then nothing interrupts the main thread.
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    channel = Channel(3)
    channel.stats()  # its process has been born
    sender, receiver = channel.sender(), channel.receiver()
    try:
        with contextlib.ExitStack() as stack:
            if where == "flush":
                sender.send(0)
                sender.flush()
                stack.enter_context(stopped(channel))
                sender.send(1)
            elif where == "send":
                for number in range(3):
                    sender.send(number)
            began = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                interrupt()
                wait = {"send": lambda timeout: sender.send("x", timeout), "recv": receiver.recv, "flush": sender.flush}
                wait[where](timeout=20)
            assert time.monotonic() - began < 10
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.signal(signal.SIGINT, ignored)
    expected = {"send": [0, 1, 2], "recv": [], "flush": [0, 1]}[where]
    sender.send("y", timeout=5) if where != "send" else None
    assert [receiver.recv(timeout=5) for _ in expected] == expected
    assert where == "send" or receiver.recv(timeout=5) == "y"
    receiver.close()
    if where == "send":
        works(channel, 3)  # its sender lives on, and the room that it waited for is nobody's
    sender.close()
    works(channel, 3)


@ray.remote(num_cpus=0)
def wait_in_recv(channel):
    return channel.receiver(prefetch=1).recv()


@ray.remote(num_cpus=0)
def wait_in_send(channel):
    sender = channel.sender()
    for number in range(10):
        sender.send(number)


@ray.remote(num_cpus=0)
def wait_for_one_that_waits(channel):
    return ray.get(wait_in_recv.remote(channel))


@pytest.mark.parametrize("wait", [wait_in_recv, wait_in_send, wait_for_one_that_waits])
def test_a_cancelled_task_leaves_a_channel_that_works(wait):
    channel = Channel(2)
    who = "senders" if wait is wait_in_send else "receivers"
    task = wait.remote(channel)
    waits(channel, who)
    ray.cancel(task)
    with pytest.raises((ray.exceptions.TaskCancelledError, ray.exceptions.RayTaskError)):
        ray.get(task, timeout=20)
    wait_until(lambda: not channel.stats()[who], "it to leave")
    receiver = channel.receiver()
    if who == "senders":
        assert [receiver.recv(timeout=5) for _ in range(2)] == [0, 1]
    receiver.close()
    works(channel, 2)


def test_tasks_that_wait_give_their_cpu_back():
    @ray.remote(num_cpus=1)
    def receive(channel):
        return channel.receiver(prefetch=1).recv(timeout=60)

    channel = Channel(10)
    tasks = [receive.remote(channel) for _ in range(3)]
    waits(channel, "receivers", 3)
    with channel.sender() as sender:
        for number in range(3):
            sender.send(number)
    assert sorted(ray.get(tasks, timeout=30)) == [0, 1, 2]


# --- coroutines -------------------------------------------------------------------------------------------------------


def test_coroutines_that_wait_cost_no_thread_and_do_not_hold_one_another_up():
    async def run():
        inbox, full = Channel(100), Channel(1)
        receivers = [inbox.receiver(prefetch=1) for _ in range(60)]
        sender, other = inbox.sender(), full.sender()
        await other.send_async("fills it")
        threads = threading.active_count()
        tasks = [asyncio.create_task(receiver.recv_async()) for receiver in receivers]
        waiting = [asyncio.create_task(other.send_async(number)) for number in range(60)]
        await asyncio.sleep(0.3)
        assert threading.active_count() <= threads
        for number in range(60):
            await sender.send_async(number, timeout=10)
        await sender.close_async(timeout=10)
        assert sorted(await asyncio.gather(*tasks)) == list(range(60))
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert [await full.receiver().recv_async(timeout=5)] == ["fills it"]
        await other.send_async("again", timeout=5)

    asyncio.run(run())


def test_a_cancelled_recv_async_loses_nothing_and_takes_nothing():
    async def run():
        channel = Channel(300)
        sender, receiver, got = channel.sender(), channel.receiver(prefetch=4), []

        async def send():
            for number in range(200):
                await sender.send_async(number)
                await asyncio.sleep(0.001 * (number % 3))

        sending = asyncio.create_task(send())
        while len(got) < 200:
            with contextlib.suppress(asyncio.TimeoutError):
                got.append(await asyncio.wait_for(receiver.recv_async(), 0.001))
        await sending
        assert got == list(range(200))
        idle, other = channel.receiver(prefetch=0), channel.receiver(prefetch=0)
        receiver.close()
        task = asyncio.create_task(idle.recv_async())
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await sender.send_async("for the other")
        assert await other.recv_async(timeout=5) == "for the other"

    asyncio.run(run())


def test_a_coroutine_that_is_cancelled_when_it_has_just_got_something_gives_it_back():
    async def run():
        channel = Channel(1)
        sender, receiver, other = channel.sender(), channel.receiver(prefetch=1), channel.receiver(prefetch=0)

        async def cancelled(waiting, *get_something):
            task = asyncio.create_task(waiting)
            await asyncio.sleep(0.2)
            for call in get_something:  # this loop does nothing meanwhile, so that the coroutine does not know it yet
                call()
            time.sleep(0.2)
            task.cancel()
            assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)

        await cancelled(receiver.recv_async(), lambda: sender.send("item"), sender.flush)
        assert await receiver.recv_async(timeout=5) == "item"
        receiver.close()
        await sender.send_async("fills it", timeout=5)
        await cancelled(sender.send_async("never sent"), lambda: other.recv(timeout=5))
        other.close()
        works(channel, 1)  # with another sender, for the credit is nobody's
        await sender.close_async(timeout=5)

    asyncio.run(run())


def test_the_event_loop_never_blocks_although_the_channel_does_not_answer():
    async def run():
        channel, late = Channel(1), []
        sender, receiver = channel.sender(), channel.receiver()
        await sender.send_async("fills it", timeout=30)
        assert await receiver.recv_async(timeout=10) == "fills it"

        async def beat():
            last = time.monotonic()
            while True:
                await asyncio.sleep(0.02)
                now = time.monotonic()
                late.append(now - last)
                last = now

        heart = asyncio.create_task(beat())
        with stopped(channel):
            calls = [receiver.recv_async(2), *(sender.send_async(n, 2) for n in range(3)), sender.flush_async(2)]
            waiting = [asyncio.create_task(call) for call in calls]
            await asyncio.sleep(1)
            receiver.close()  # another coroutine closes what one waits for
            await asyncio.gather(sender.close_async(timeout=1), return_exceptions=True)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        heart.cancel()
        assert len(late) > 20 and max(late) < 0.8, "one that waits in the loop's thread stops it for a second or more"

    asyncio.run(run())


def test_an_async_actor_answers_while_it_waits():
    @ray.remote(num_cpus=0)
    class Echo:
        async def run(self, inbox, outbox):
            async with outbox.sender() as sender, inbox.receiver() as receiver:
                async for item in receiver:
                    await sender.send_async(2 * item)
            outbox.close()

        async def ping(self):
            return "here"

    inbox, outbox, echo = Channel(2), Channel(2), Echo.remote()
    running = [echo.run.remote(inbox, outbox) for _ in range(1)]
    waits(inbox, "receivers")
    assert ray.get(echo.ping.remote(), timeout=10) == "here"
    thread, seen = in_thread(list, outbox)
    with inbox.sender() as sender:
        for number in range(50):
            sender.send(number)
    inbox.close()
    ray.get(running, timeout=30)
    thread.join(10)
    assert seen == [[2 * number for number in range(50)]]


# --- what it costs ----------------------------------------------------------------------------------------------------


def test_nobody_polls_and_nothing_is_kept_of_those_who_left():
    channel = Channel(5)
    receivers = [channel.receiver() for _ in range(20)]
    threads = [in_thread(receiver.recv)[0] for receiver in receivers]
    waits(channel, "receivers", 20)

    def used(buffer):
        return time.process_time()

    here, there = time.process_time(), ray.get(channel._actor.__ray_call__.remote(used))
    time.sleep(1)
    assert ray.get(channel._actor.__ray_call__.remote(used)) - there < 0.1
    assert time.process_time() - here < 0.2
    for receiver in receivers:
        receiver.close()
    for thread in threads:
        thread.join(5)
    for number in range(10):
        channel.sender().try_send(number)
        channel.receiver().try_recv()
    del receivers, receiver
    gc.collect()

    def kept(buffer):
        state, tasks = buffer.state, len(buffer.watching)
        return len(state.senders), len(state.receivers), len(buffer.waiting), len(buffer.present), tasks

    wait_until(lambda: not any(ray.get(channel._actor.__ray_call__.remote(kept))), "all to be forgotten")


def test_the_last_reference_to_an_end_may_go_while_the_channel_does_not_answer():
    channel = Channel(5)
    sender, receiver = channel.sender(), channel.receiver()
    sender.send(0)
    sender.flush()
    assert receiver.recv(timeout=5) == 0
    with stopped(channel):
        began = time.monotonic()
        del sender, receiver
        gc.collect()
        assert time.monotonic() - began < 1
    wait_until(lambda: channel.stats()["receivers"] == channel.stats()["senders"] == 0, "both to leave")
    works(channel, 5)
