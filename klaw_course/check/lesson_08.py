"""Checkers of lesson 08, Channels, and a Channel worth keeping."""

import contextlib
import random
import threading
import time
from functools import partial

import ray

from klaw_course.channel import Channel, ChannelClosed, ChannelEnded, ChannelError
from klaw_course.check import need
from klaw_course.cluster._ray import is_actor_handle

_WAIT_S = 3  # for what must come, and comes in milliseconds: twice half a second if the actor answers meanwhile
_QUIET_S = 0.4  # in which what must not come does not
_VAIN_S = 2.5  # for which a worker waits for more, after everything was taken, before it is said to wait for ever
_GATHER_S = 8  # in which the workers are born, and wait for numbers


def bounded_shelf(answer) -> str:
    need(not is_actor_handle(answer), "that is an actor already; give the class.")
    is_actor = isinstance(answer, ray.actor.ActorClass)
    need(is_actor or isinstance(answer, type), f"a class is wanted, and this is {answer!r}.")
    make = (answer if is_actor else ray.remote(answer)).options(num_cpus=0)
    try:
        shelf = make.remote(2)
    except TypeError as error:
        need(False, f"BoundedShelf(2) cannot be made: {error}.")
    try:
        return _fill_and_empty(shelf)
    finally:
        ray.kill(shelf)


def _fill_and_empty(shelf) -> str:
    try:
        ray.get(shelf.__ray_ready__.remote(), timeout=20)
    except ray.exceptions.RayActorError as error:
        need(False, f"BoundedShelf(2) cannot be made: {_last_line(error)}")
    early = shelf.get.remote()
    need(not _done_within(early, _QUIET_S), "get of an empty shelf came back at once; it waits for an item.")
    puts = [shelf.put.remote(0)]
    need(_done_soon([early], shelf), "a get that waited was not woken by a put.")
    need(ray.get(early) == 0, f"0 was put, and get gave {ray.get(early)!r}.")
    for number in (1, 2):
        puts.append(shelf.put.remote(number))
        need(_done_soon(puts[-1:], shelf), f"the capacity is 2, but put number {number} waits.")
    puts += [shelf.put.remote(number) for number in (3, 4)]
    too_many = _done_within(puts[-1], _QUIET_S) or _done_within(puts[-2], 0)
    need(not too_many, "the capacity is 2, and it took more than two items.")
    last = []
    for number in range(4):
        last.append(shelf.get.remote())
        need(_done_soon(last[-1:], shelf), "a get of a full shelf does not come back: who waits holds it up.")
        if number < 2:
            need(_done_soon(puts[-2:], shelf, number + 1), "a put that waited was not woken by a get.")
    got = ray.get([*last, *puts])[:4]
    need(got[:2] == [1, 2] and sorted(got[2:]) == [3, 4], f"1 and 2 were put first, and get gave {got}.")
    waiting = [shelf.get.remote() for _ in range(400)]  # a polling one used 0.17 s, a right one 0.01
    busy = _cpu_s(shelf)
    ray.get([shelf.put.remote(0) for _ in waiting] + waiting, timeout=20)
    need(busy < 0.05, f"while 400 get wait, it uses {busy:.2f} s of CPU time a second: it looks again and again.")
    return "two items at most, in their order, and nobody polls."


def _cpu_s(actor) -> float:
    """CPU seconds of the actor's process in a second."""

    def used(self):
        return time.process_time()

    before = ray.get(actor.__ray_call__.remote(used), timeout=20)
    time.sleep(1)
    return ray.get(actor.__ray_call__.remote(used), timeout=20) - before


def _done_soon(calls: list, actor, count: int = 1) -> bool:
    """Whether so many of the calls are done in half a second, or in another after the actor, however busy, worked."""
    done, _ = ray.wait(calls, num_returns=count, timeout=0.5)
    if len(done) < count:
        ray.wait([actor.__ray_call__.remote(_nothing)], timeout=_WAIT_S)
        done, _ = ray.wait(calls, num_returns=count, timeout=0.5)
    return all(_done_within(call, 0) for call in done) and len(done) == count


def _nothing(self) -> None:
    return None


def _done_within(call, timeout_s: float) -> bool:
    done, _ = ray.wait([call], timeout=timeout_s)
    if done:
        try:
            ray.get(call)
        except ray.exceptions.RayTaskError as error:
            need(False, f"put or get raised {_last_line(error)}")
        except ray.exceptions.RayActorError as error:
            need(False, f"the actor died: {_last_line(error)}")
    return bool(done)


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]


def total(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def total(channel, ...): ...")
    for numbers, workers in (([1, 2, 3, 4, 5], 1), ([*range(1, 21), None, *range(1, 21)], 2)):
        wanted = sum(number or 0 for number in numbers)
        channel = Channel(capacity=4)
        run = partial(answer, channel, _Numbers(numbers, channel, workers), workers)
        in_vain = partial(_waits_for_more, channel, len(numbers))
        try:
            done, value = _in_time(run, [channel], 10 + _GATHER_S, in_vain)
        finally:
            channel.close()  # workers that still wait end
        need(done, f"with {workers} worker(s) it has not come back: somebody waits for more numbers.")
        need(not isinstance(value, ray.ObjectRef), "this is a reference; the sum is wanted.")
        need(value is not None, "it gives None; did you forget the return?")
        need(
            value == wanted,
            f"the sum of {len(numbers)} numbers is {wanted}; with {workers} worker(s) it gave {value!r}.",
        )
    return "the workers end because the channel is closed, and the sums are right."


class _Numbers(list):
    """A list whose iteration begins when all workers wait, so that each gets one of the first numbers.

    Else one could take all of them before another is born, and its sum would be the whole.
    """

    def __init__(self, numbers: list, channel: Channel, workers: int):
        super().__init__(numbers)
        self._channel, self._workers = channel, workers

    def __reduce__(self):
        return _Numbers, (list(super().__iter__()), self._channel, self._workers)

    def __iter__(self):
        self._gather()
        return super().__iter__()

    def __getitem__(self, place):
        self._gather()
        return super().__getitem__(place)

    def _gather(self) -> None:
        deadline = time.monotonic() + _GATHER_S
        while self._workers and time.monotonic() < deadline:
            stats = self._channel.stats()
            if stats["waiting_receivers"] >= self._workers or stats["closed"]:
                break
            time.sleep(0.02)
        self._workers = 0  # they are waited for once


def _waits_for_more(channel: Channel, count: int) -> bool:
    """Whether ``count`` items were taken from a channel that is open, and a receiver waits for another."""
    stats = channel.stats()
    return bool(stats["taken"] >= count and stats["waiting_receivers"] and not stats["closed"])


def _in_time(call, channels: list, seconds: float, in_vain=lambda: False):
    """(whether it ended, what it gave). If it is late, the channels are closed: then what waits for them ends.

    Late is after ``seconds``, or when ``in_vain()`` has been true for ``_VAIN_S``.
    """
    result = []

    def run():
        try:
            result.append((call(), None))
        except Exception as error:
            result.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    began = hopeful = time.monotonic()
    while thread.is_alive() and time.monotonic() < min(began + seconds, hopeful + _VAIN_S):
        thread.join(0.1)
        if not in_vain():
            hopeful = time.monotonic()
    ended = list(result)
    if not ended:
        for channel in channels:
            channel.close()
        thread.join(10)
    if not ended:
        return False, None
    value, error = ended[0]
    if isinstance(error, ray.exceptions.RayTaskError):
        need(False, f"a worker raised {_last_line(error)}")
    if isinstance(error, ChannelError):
        need(False, f"{type(error).__name__}: {error}")
    if error is not None:
        raise error
    return True, value


def fan_in(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def fan_in(sources): ...")
    began, out = time.monotonic(), []
    sources = [Channel(capacity=4) for _ in range(3)]
    for source in sources:
        source.stats()  # its process has been born
    patience_s = min(10, 1 + 3 * (time.monotonic() - began))  # for what the answer starts; more if the machine is busy
    try:
        in_time, merged = _in_time(lambda: answer(list(sources)), sources, 5)
        need(in_time, "it has not come back after 5 s, and the sources have not ended: the work belongs into tasks.")
        need(isinstance(merged, Channel), f"a Channel is wanted, and this is {merged!r}.")
        out.append(merged)
        need(merged not in sources, "this is one of the sources; a new channel is wanted.")
        return _listen(sources, merged, patience_s)
    finally:
        for channel in [*sources, *out]:
            channel.close()  # what waits for it ends


def _listen(sources: list, merged: Channel, patience_s: float) -> str:
    """Source 0 says nothing until all of 1 and 2 is there; then it is closed last."""
    receiver, got = merged.receiver(prefetch=0), []
    senders = [source.sender() for source in sources]
    threads = [threading.Thread(target=_send, args=(senders[n], n), daemon=True) for n in (1, 2)]
    for thread in threads:
        thread.start()
    with contextlib.suppress(TimeoutError, ChannelEnded):
        while len(got) < 40:
            got.append(receiver.recv(timeout=patience_s))
    count = [sum(item[0] == n for item in got) for n in (1, 2)]
    need(len(set(got)) == len(got), f"{len(got)} items came, {len(set(got))} different ones.")
    need(len(got) == 40, f"while source 0 is silent, {len(got)} of the 40 items of 1 and 2 came: {count}.")
    for thread in threads:
        thread.join(_WAIT_S)
    for n in (1, 2):
        senders[n].close()
        sources[n].close()
    with contextlib.suppress(TimeoutError):
        try:
            got.append(receiver.recv(timeout=2 * _QUIET_S))
            need(False, f"{got[-1]!r} came a second time.")
        except ChannelEnded:
            need(False, "it ended when two of three sources had ended.")
    _send(senders[0], 0)
    senders[0].close()
    sources[0].close()
    try:
        while len(got) <= 60:
            got.append(receiver.recv(timeout=patience_s))
    except TimeoutError:
        need(len(got) < 60, "all items came, but it does not end.")
        need(False, f"{len(got)} of 60 items came, and then no more.")
    except ChannelEnded:
        pass
    need(len(set(got)) == len(got) == 60, f"{len(got)} items came, {len(set(got))} different ones, of 60.")
    for n in range(3):
        numbers = [item[1] for item in got if item[0] == n]
        need(numbers == sorted(numbers), f"of source {n} came {numbers[:8]}...: not in its order.")
    return "60 items, each source's in its order, and the end after the last source's end."


def _send(sender, source: int) -> None:
    pause = random.Random(source)
    with contextlib.suppress(ChannelClosed):  # the check has ended
        for number in range(20):
            time.sleep(pause.choice([0, 0, 0.02]))
            sender.send((source, number))
        sender.flush()


CHECKERS = {"08.1": bounded_shelf, "08.2": total, "08.3": fan_in}
