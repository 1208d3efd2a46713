"""The channel's actor: it holds the items, counts the credits, and knows who sends and who receives."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

import ray

PULL_BYTES = 2**24  # a batch that has as many bytes is handed out
REMEMBERED = 10_000  # senders and receivers that left, for a call of theirs may come late


@dataclass
class Reference:
    """An item that is in the object store."""

    ref: ray.ObjectRef


@dataclass
class SenderState:
    """What the channel knows of a sender: credits it has, the next batch, and batches that overtook it."""

    granted: int = 0
    begun: int = -1  # the last call of ``acquire`` that is known
    acquired: tuple = (-1, 0)  # the last one that was served, and its credits
    next_batch: int = 0
    early: dict = field(default_factory=dict)


@dataclass
class ReceiverState:
    """What the channel knows of a receiver: items it was handed and did not report as taken, and how many it did."""

    redeliver: bool
    lent: deque = field(default_factory=deque)
    taken: int = 0


class Buffer:
    """The channel's actor. Only ``acquire`` and ``pull`` wait, each in a group (threads) of its own: however many wait,
    ``push`` and ``took``, which end the waiting, get through.

    Senders and receivers are known by the ids that they gave themselves.
    """

    def __init__(self, capacity: int, adopt: bool):
        self.capacity, self.free, self.adopt = capacity, capacity, adopt
        self.items: deque = deque()  # (bytes, item)
        self.senders: dict[str, SenderState] = {}
        self.receivers: dict[str, ReceiverState] = {}
        self.want_credits, self.want_items = deque(), deque()  # (future, id, how many at most, number of the call)
        self.present: dict[str, Future] = {}
        self.gone: dict[str, None] = {}
        self.cancelled, self.watching = set(), set()
        self.closed, self.high_water, self.sent, self.taken = False, 0, 0, 0
        self.lock = threading.Lock()  # groups run in different threads

    async def push(self, sender_id: str, number: int, items: list, most: int, back: int) -> int | None:
        """Take a batch, and ``back`` credits that were not needed; give up to ``most`` new ones, or None if closed."""
        if self.adopt:
            for place, (size, item) in enumerate(items):
                if isinstance(item, Reference):  # a copy that this process owns: it outlives its sender
                    items[place] = size, Reference(ray.put(await item.ref))
        with self.lock:
            if sender_id in self.gone:
                return None
            sender = self.senders.setdefault(sender_id, SenderState())
            sender.early[number] = items, back
            while sender.next_batch in sender.early:
                items, back = sender.early.pop(sender.next_batch)
                sender.next_batch += 1
                sender.granted -= len(items) + back
                self.free += back
                self.sent += len(items)
                self.items.extend(items)
            self._serve()
            return None if self.closed else 0 if self.want_credits else self._grant(sender_id, most)

    @ray.method(concurrency_group="credits")
    async def acquire(self, sender_id: str, most: int, call: int) -> int | None:
        """Wait until there are credits; None if the channel is closed."""
        with self.lock:
            if sender_id not in self.gone:
                self.senders.setdefault(sender_id, SenderState()).begun = call
        return await self._wait(self.want_credits, sender_id, most, call)

    async def cancel(self, sender_id: str, call: int) -> int:
        """End that call of ``acquire``, which may not have begun; the credits that it got nevertheless."""
        with self.lock:
            sender = self.senders.get(sender_id)
            if sender is None or sender.begun < call:
                self.cancelled.add((sender_id, call))
            for future in _take_out(self.want_credits, sender_id):
                future.set_result(0)
            return sender.acquired[1] if sender and sender.acquired[0] == call else 0

    @ray.method(concurrency_group="items")
    async def pull(self, receiver_id: str, most: int, redeliver: bool) -> list | None:
        """Wait until there are items; None at the end of the stream."""
        with self.lock:
            if receiver_id not in self.gone:
                self.receivers.setdefault(receiver_id, ReceiverState(redeliver))
        return await self._wait(self.want_items, receiver_id, most)

    async def took(self, receiver_id: str, total: int) -> None:
        """Note that a receiver has taken ``total`` items since it began."""
        with self.lock:
            self._took(receiver_id, total)
            self._serve()

    async def attach(self, end_id: str, presence: list) -> None:
        """Watch a sender or receiver from now on; ``presence`` holds the reference that its ``stay`` gave it."""
        task = asyncio.ensure_future(self._watch(end_id, presence[0]))
        self.watching.add(task)
        task.add_done_callback(self.watching.discard)

    @ray.method(concurrency_group="presence")
    async def stay(self, end_id: str) -> None:
        """End when that one leaves. The caller owns the result: if its process dies, Ray tells whoever awaits it."""
        with self.lock:
            self.present[end_id] = future = Future()
            if end_id in self.gone:
                future.set_result(None)
        await asyncio.wrap_future(future)

    async def _watch(self, end_id: str, presence: ray.ObjectRef) -> None:
        with contextlib.suppress(ray.exceptions.RayError):  # OwnerDiedError
            await presence
        await self.leave(end_id)

    async def leave(self, end_id: str, total: int = 0) -> None:
        """Forget a sender or receiver: its credits come back, and what it had been handed goes to others."""
        with self.lock:
            self._took(end_id, total)
            self.gone[end_id] = None
            if len(self.gone) > REMEMBERED:
                del self.gone[next(iter(self.gone))]
            if sender := self.senders.pop(end_id, None):
                self.free += sender.granted
            if receiver := self.receivers.pop(end_id, None):
                if receiver.redeliver:
                    self.items.extendleft(reversed(receiver.lent))
                else:
                    self.free += len(receiver.lent)
            for future in _take_out(self.want_credits, end_id) + _take_out(self.want_items, end_id):
                future.set_result(None)
            if (future := self.present.pop(end_id, None)) and not future.done():
                future.set_result(None)
            self._serve()

    async def close(self) -> None:
        """Give no more credits; receivers end when everything was taken."""
        with self.lock:
            self.closed = True
            self._serve()

    async def stats(self) -> dict:
        """Give what ``Channel.stats`` returns."""
        with self.lock:
            return {
                "capacity": self.capacity,
                "depth": self._depth(),
                "high_water": self.high_water,
                "sent": self.sent,
                "taken": self.taken,
                "waiting_senders": len(self.want_credits),
                "waiting_receivers": len(self.want_items),
                "closed": self.closed,
            }

    async def _wait(self, waiters: deque, end_id: str, most: int, call: int = -1):
        future = Future()
        with self.lock:
            if end_id in self.gone or (end_id, call) in self.cancelled:
                self.cancelled.discard((end_id, call))
                return None
            waiters.append((future, end_id, most, call))
            self._serve()
        return await asyncio.wrap_future(future)

    def _took(self, receiver_id: str, total: int) -> None:
        receiver = self.receivers.get(receiver_id)
        for _ in range(max(0, total - receiver.taken) if receiver else 0):
            receiver.lent.popleft()
            receiver.taken += 1
            self.taken += 1
            self.free += 1

    def _grant(self, sender_id: str, most: int) -> int:
        sender = self.senders.setdefault(sender_id, SenderState())
        granted = min(most, self.free, max(1, self.free // len(self.senders)))
        sender.granted += granted
        self.free -= granted
        return granted

    def _serve(self) -> None:
        """Give items, then credits, to those who wait for them; called with the lock after every change."""
        while self.items and self.want_items:
            future, receiver_id, most, _ = self.want_items.popleft()
            receiver, batch, size = self.receivers[receiver_id], [], 0
            for _ in range(min(most, max(1, len(self.items) // len(self.receivers)))):
                receiver.lent.append(self.items.popleft())
                batch.append(receiver.lent[-1][1])
                size += receiver.lent[-1][0]
                if size >= PULL_BYTES:
                    break
            future.set_result(batch)
        while self.free and self.want_credits and not self.closed:
            future, sender_id, most, call = self.want_credits.popleft()
            granted = self._grant(sender_id, most)
            self.senders[sender_id].acquired = call, granted
            future.set_result(granted)
        if self.closed:
            while self.want_credits:
                self.want_credits.popleft()[0].set_result(None)
            if self.free == self.capacity:  # no item and no credit is anywhere
                while self.want_items:
                    self.want_items.popleft()[0].set_result(None)
        self.high_water = max(self.high_water, self._depth())

    def _depth(self) -> int:
        """Items that are here or were handed out and not yet taken."""
        return len(self.items) + sum(len(receiver.lent) for receiver in self.receivers.values())


def _take_out(waiters: deque, end_id: str) -> list[Future]:
    """Remove the waiters with that id, and return their futures."""
    mine = [waiter for waiter in waiters if waiter[1] == end_id]
    for waiter in mine:
        waiters.remove(waiter)
    return [waiter[0] for waiter in mine]
