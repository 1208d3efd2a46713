"""Checkers of lesson 09, Choosing a channel."""

import contextlib
import random
import threading
import time
from functools import partial

import ray

from klaw_course.channel import Channel, ChannelEnded, ChannelError
from klaw_course.check import need

_WAIT_S = 3  # for what must come, and comes in milliseconds
_QUIET_S = 0.4  # in which what must not come does not
_VAIN_S = 2.5  # for which a worker waits for more, after everything was taken, before it is said to wait for ever
_GATHER_S = 8  # in which the workers are born, and wait for numbers
_SHIP_S = 10  # for a worker to come to an order, or to the end


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


class _Worker:
    """Runs the answer in a process that can be killed. It begins to ship order 2, and never comes to the end of it."""

    def __init__(self):
        self.begun = []

    def work(self, answer, orders: Channel) -> None:
        def ship(order):
            self.begun.append(order)
            if order == 2:
                threading.Event().wait()  # until this process is killed

        answer(orders, ship)

    def has_begun(self) -> list:
        return self.begun


def ship_all(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def ship_all(orders, ship): ...")
    orders = Channel(capacity=10)
    worker = ray.remote(num_cpus=0, max_concurrency=2)(_Worker).remote()
    try:
        with orders.sender() as sender:
            for order in range(6):
                sender.send(order)
        orders.close()
        _let_one_die(answer, orders, worker)
        shipped, error = _let_another_work(answer, orders)
    finally:
        ray.kill(worker)
        ray.kill(orders._actor)  # what still waits for it ends
    again = sorted({0, 1} & set(shipped)) + sorted({order for order in shipped if shipped.count(order) > 1})
    hint = "order 2 was being shipped when its worker died, and it is lost: it had been acknowledged already."
    need(shipped != [3, 4, 5], hint)
    need(not again, f"ship had returned for these, and they came again: {again}. Acknowledge each one after its ship.")
    lost = sorted({2, 3, 4, 5} - set(shipped))
    need(not lost, f"of the orders 2 to 5 these were never shipped: {lost}.")
    need(error != "late", "all orders were shipped, but it does not come back: acknowledge the last ones, too.")
    need(not error, f"the next worker raised {error}")
    return "order 2 came again after the death of its worker, and each was shipped once."


def _let_one_die(answer, orders: Channel, worker) -> None:
    """Kill the worker while it ships order 2, when the channel has heard of what was acknowledged by then."""
    call = worker.work.remote(answer, orders)
    deadline = time.monotonic() + 20
    while 2 not in ray.get(worker.has_begun.remote(), timeout=20):
        if ray.wait([call], timeout=0.02)[0]:
            try:
                ray.get(call)
            except ray.exceptions.RayTaskError as error:
                need(False, f"a worker raised {_last_line(error)}")
            need(False, "it returned before all orders were shipped: call ship(order) for each of them.")
        need(time.monotonic() < deadline, "in 20 s it has not come to order 2: call ship(order) for each of them.")
    time.sleep(_QUIET_S)
    ray.kill(worker)


def _let_another_work(answer, orders: Channel) -> tuple[list, str]:
    """(what it shipped, the error); it is late when nothing new has come for a while after all was shipped."""
    shipped, errors = [], []

    def run():
        try:
            answer(orders, shipped.append)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    deadline = time.monotonic() + _SHIP_S
    while thread.is_alive() and time.monotonic() < deadline:
        thread.join(0.05)
        if set(shipped) >= {2, 3, 4, 5}:
            deadline = min(deadline, time.monotonic() + _WAIT_S)
        if {0, 1} & set(shipped):
            deadline = min(deadline, time.monotonic() + _QUIET_S)  # for the other of them
    return list(shipped), "late" if thread.is_alive() else "".join(errors)


def fan_in(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def fan_in(sources): ...")
    began, out = time.monotonic(), []
    sources = [Channel(capacity=4) for _ in range(2)]
    for source in sources:
        source.stats()  # its process has been born
    patience_s = min(10, 3 + 2 * (time.monotonic() - began))  # for what the answer starts; more if the machine is busy
    try:
        in_time, merged = _in_time(lambda: answer(list(sources)), sources, 2)
        need(in_time, "it has not come back after 2 s, and the sources have not ended: the work belongs into tasks.")
        need(isinstance(merged, Channel), f"a Channel is wanted, and this is {merged!r}.")
        out.append(merged)
        need(merged not in sources, "this is one of the sources; a new channel is wanted.")
        return _listen(sources, merged, patience_s)
    finally:
        for channel in [*sources, *out]:
            channel.close()  # what waits for it ends


def _listen(sources: list, merged: Channel, patience_s: float) -> str:
    """Source 0 says nothing until all of source 1 is there; then it is closed last."""
    receiver, got = merged.receiver(prefetch=0), []
    sending = _start_to_send(sources[1], 1)
    with contextlib.suppress(TimeoutError, ChannelEnded):
        while len(got) < 20:
            got.append(receiver.recv(timeout=patience_s))
    need(len(set(got)) == len(got), f"{len(got)} items came, {len(set(got))} different ones.")
    need(len(got) == 20, f"while source 0 is silent, {len(got)} of the 20 items of source 1 came.")
    sending.join(_WAIT_S)  # source 1 is closed
    with contextlib.suppress(TimeoutError):
        try:
            got.append(receiver.recv(timeout=2 * _QUIET_S))
            need(False, f"{got[-1]!r} came a second time.")
        except ChannelEnded:
            need(False, "it ended when one of two sources had ended.")
    _start_to_send(sources[0], 0)
    try:
        while len(got) <= 40:
            got.append(receiver.recv(timeout=patience_s if len(got) < 40 else patience_s / 2))
    except TimeoutError:
        need(len(got) < 40, "all items came, but it does not end.")
        need(False, f"{len(got)} of 40 items came, and then no more.")
    except ChannelEnded:
        pass
    need(len(set(got)) == len(got) == 40, f"{len(got)} items came, {len(set(got))} different ones, of 40.")
    for n in range(2):
        numbers = [item[1] for item in got if item[0] == n]
        need(numbers == sorted(numbers), f"of source {n} came {numbers[:8]}...: not in its order.")
    return "40 items, each source's in its order, and the end after the last source's end."


def _start_to_send(source: Channel, number: int) -> threading.Thread:
    """Send 20 items and close the source, in a thread, for the answer's channel may have room for less."""

    def run():
        pause = random.Random(number)
        with contextlib.suppress(ChannelError), source.sender() as sender:  # closed, once the check has ended
            for place in range(20):
                time.sleep(pause.choice([0, 0, 0.02]))
                sender.send((number, place))
        with contextlib.suppress(ChannelError):
            source.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


CHECKERS = {"09.1": total, "09.2": ship_all, "09.3": fan_in}
