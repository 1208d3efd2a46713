"""A bounded channel between the drivers, tasks and actors of a Ray cluster.

    channel = Channel(capacity=1000)         # pass it to whoever sends or receives

    with channel.sender() as sender:         # in one process
        sender.send(item)                    # blocks while the channel is full
    for item in channel.receiver(): ...      # in another; ends when the channel is closed and empty
    channel.close()

What it promises:

- **Capacity** bounds the items that are anywhere between ``send`` and ``recv``: in a sender, on the way, in the
  channel, in a receiver. A sender needs a *credit* for each item; there are as many credits as the capacity.
- **Order**: the items of a sender arrive in its order. Several receivers share them, each getting its part in order;
  only what is handed out a second time (see *once*) comes late.
- **Once**: an item goes to one receiver. If a receiver's process dies, what it was handed but had not reported as
  taken goes to another: *at least once*, the last may come twice. ``redeliver=False``: *at most once*, it is lost.
- **End**: after ``close()`` no new credit is given; what was sent is delivered, then receivers end. Nobody polls.
- If a sender's process dies, what it had not yet handed over is lost (a few milliseconds of items), and its credits
  come back. If the channel's actor dies, everybody gets ``ChannelBroken``.

Items travel in batches. An item waits 5 ms at most for others to join it. Large ones travel by reference.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

import ray

DELAY_S = 0.005  # for which an item waits for others
BATCH = 512  # items in a batch, at most
PUSH_BYTES, PULL_BYTES = 2**23, 2**24  # a batch that has as many bytes is sent on, or handed out
IN_FLIGHT = 4  # batches of a sender that are on their way


class ChannelClosed(Exception):
    """Nothing more can be sent, or all has been received."""


class ChannelBroken(Exception):
    """The channel's actor died, and with it what the channel held."""


@dataclass
class _Reference:
    """An item that is in the object store."""

    ref: ray.ObjectRef


@dataclass
class _Sending:
    """What the channel knows of a sender: credits it has, the next batch, and batches that overtook it."""

    granted: int = 0
    begun: int = -1  # the last call of ``acquire`` that is known
    acquired: tuple = (-1, 0)  # the last one that was served, and its credits
    next: int = 0
    early: dict = field(default_factory=dict)


@dataclass
class _Receiving:
    """What the channel knows of a receiver: items it was handed and did not report as taken, and how many it did."""

    redeliver: bool
    lent: deque = field(default_factory=deque)
    taken: int = 0


class _Buffer:
    """The channel's actor. Only ``acquire`` and ``pull`` wait, each in a group (threads) of its own: however many wait,
    ``push`` and ``took``, which end the waiting, get through.
    """

    def __init__(self, capacity: int, adopt: bool):
        self.capacity, self.free, self.adopt = capacity, capacity, adopt
        self.items: deque = deque()  # (bytes, item)
        self.senders: dict[str, _Sending] = {}
        self.receivers: dict[str, _Receiving] = {}
        self.want_credits, self.want_items = deque(), deque()  # (future, who, how many, number of the call)
        self.present: dict[str, Future] = {}
        self.gone: dict[str, None] = {}  # the last who left; a call of theirs may come late
        self.cancelled, self.watching = set(), set()
        self.closed, self.high_water, self.sent, self.taken = False, 0, 0, 0
        self.lock = threading.Lock()  # groups run in different threads

    async def push(self, who: str, number: int, items: list, want: int, back: int) -> int | None:
        """Take a batch, and ``back`` credits that were not needed; give new ones, or None if the channel is closed."""
        if self.adopt:
            for place, (size, item) in enumerate(items):
                if isinstance(item, _Reference):  # a copy that this process owns: it outlives its sender
                    items[place] = size, _Reference(ray.put(await item.ref))
        with self.lock:
            if who in self.gone:
                return None
            sender = self.senders.setdefault(who, _Sending())
            sender.early[number] = items, back
            while sender.next in sender.early:
                items, back = sender.early.pop(sender.next)
                sender.next += 1
                sender.granted -= len(items) + back
                self.free += back
                self.sent += len(items)
                self.items.extend(items)
            self._serve()
            return None if self.closed else 0 if self.want_credits else self._grant(who, want)

    @ray.method(concurrency_group="credits")
    async def acquire(self, who: str, want: int, call: int) -> int | None:
        """Wait until there are credits; None if the channel is closed."""
        with self.lock:
            if who not in self.gone:
                self.senders.setdefault(who, _Sending()).begun = call
        return await self._wait(self.want_credits, who, want, call)

    async def cancel(self, who: str, call: int) -> int:
        """End that call of ``acquire``, which may not have begun; the credits that it got nevertheless."""
        with self.lock:
            sender = self.senders.get(who)
            if sender is None or sender.begun < call:
                self.cancelled.add((who, call))
            for waiter in [one for one in self.want_credits if one[1] == who]:
                self.want_credits.remove(waiter)
                waiter[0].set_result(0)
            return sender.acquired[1] if sender and sender.acquired[0] == call else 0

    @ray.method(concurrency_group="items")
    async def pull(self, who: str, want: int, redeliver: bool) -> list | None:
        """Wait until there are items; None at the end of the stream."""
        with self.lock:
            if who not in self.gone:
                self.receivers.setdefault(who, _Receiving(redeliver))
        return await self._wait(self.want_items, who, want)

    async def took(self, who: str, total: int) -> None:
        with self.lock:
            self._took(who, total)
            self._serve()

    async def attach(self, who: str, presence: list) -> None:
        task = asyncio.ensure_future(self._watch(who, presence[0]))
        self.watching.add(task)
        task.add_done_callback(self.watching.discard)

    @ray.method(concurrency_group="presence")
    async def stay(self, who: str) -> None:
        """End when ``who`` leaves. The caller owns the result: if its process dies, Ray tells whoever awaits it."""
        with self.lock:
            self.present[who] = future = Future()
            if who in self.gone:
                future.set_result(None)
        await asyncio.wrap_future(future)

    async def _watch(self, who: str, presence: ray.ObjectRef) -> None:
        with contextlib.suppress(ray.exceptions.RayError):  # OwnerDiedError
            await presence
        await self.leave(who)

    async def leave(self, who: str, total: int = 0) -> None:
        """Forget a sender or receiver: its credits come back, and what it had been handed goes to others."""
        with self.lock:
            self._took(who, total)
            self.gone[who] = None
            if len(self.gone) > 10_000:
                del self.gone[next(iter(self.gone))]
            if sender := self.senders.pop(who, None):
                self.free += sender.granted
            if receiver := self.receivers.pop(who, None):
                if receiver.redeliver:
                    self.items.extendleft(reversed(receiver.lent))
                else:
                    self.free += len(receiver.lent)
            for waiters in (self.want_credits, self.want_items):
                for waiter in [one for one in waiters if one[1] == who]:
                    waiters.remove(waiter)
                    waiter[0].set_result(None)
            if (future := self.present.pop(who, None)) and not future.done():
                future.set_result(None)
            self._serve()

    async def close(self) -> None:
        with self.lock:
            self.closed = True
            self._serve()

    async def stats(self) -> dict:
        with self.lock:
            lent = sum(len(receiver.lent) for receiver in self.receivers.values())
            return {
                "capacity": self.capacity,
                "depth": len(self.items) + lent,
                "high_water": self.high_water,
                "sent": self.sent,
                "taken": self.taken,
                "waiting_senders": len(self.want_credits),
                "waiting_receivers": len(self.want_items),
                "closed": self.closed,
            }

    async def _wait(self, waiters: deque, who: str, want: int, call: int = -1):
        future = Future()
        with self.lock:
            if who in self.gone or (who, call) in self.cancelled:
                self.cancelled.discard((who, call))
                return None
            waiters.append((future, who, want, call))
            self._serve()
        return await asyncio.wrap_future(future)

    def _took(self, who: str, total: int) -> None:
        receiver = self.receivers.get(who)
        for _ in range(max(0, total - receiver.taken) if receiver else 0):
            receiver.lent.popleft()
            receiver.taken += 1
            self.taken += 1
            self.free += 1

    def _grant(self, who: str, want: int) -> int:
        sender = self.senders.setdefault(who, _Sending())
        credits = min(want, self.free, max(1, self.free // len(self.senders)))
        sender.granted += credits
        self.free -= credits
        return credits

    def _serve(self) -> None:
        """Give items, then credits, to those who wait for them; called with the lock after every change."""
        while self.items and self.want_items:
            future, who, want, _ = self.want_items.popleft()
            receiver, batch, size = self.receivers[who], [], 0
            for _ in range(min(want, max(1, len(self.items) // len(self.receivers)))):
                receiver.lent.append(self.items.popleft())
                batch.append(receiver.lent[-1][1])
                size += receiver.lent[-1][0]
                if size >= PULL_BYTES:
                    break
            future.set_result(batch)
        while self.free and self.want_credits and not self.closed:
            future, who, want, call = self.want_credits.popleft()
            credits = self._grant(who, want)
            self.senders[who].acquired = call, credits
            future.set_result(credits)
        if self.closed:
            while self.want_credits:
                self.want_credits.popleft()[0].set_result(None)
            if self.free == self.capacity:  # no item and no credit is anywhere
                while self.want_items:
                    self.want_items.popleft()[0].set_result(None)
        lent = sum(len(receiver.lent) for receiver in self.receivers.values())
        self.high_water = max(self.high_water, len(self.items) + lent)


class Channel:
    """A handle to a channel; it pickles, so that it can be passed to tasks and actors.

    Args:
        capacity: items between ``send`` and ``recv``, at most; 1 or more.
        by_reference_from: bytes of an item (``len`` or ``nbytes``) from which on it goes through the object store.
        owner: of such an object. ``"channel"`` copies it, so that it survives its sender's process; ``"sender"`` does
            not copy: if the sender's process dies, its receiver gets ``ray.exceptions.OwnerDiedError``.
        waiting: senders and receivers that may wait at once, each; more of them get their turn later.
        actor_options: for the channel's actor, such as ``name`` and ``lifetime``.

    Raises:
        ValueError: capacity or waiting is less than 1, or there is no such owner.
    """

    def __init__(
        self,
        capacity: int,
        *,
        by_reference_from: int = 2**22,
        owner: str = "channel",
        waiting: int = 1000,
        **actor_options,
    ):
        if not isinstance(capacity, int) or capacity < 1:
            raise ValueError(f"A channel of capacity {capacity!r} can hold nothing; give a whole number, 1 or more.")
        if owner not in ("channel", "sender"):
            raise ValueError(f"owner={owner!r} cannot own an item; give 'channel' or 'sender'.")
        if waiting < 1:
            raise ValueError(f"waiting={waiting!r} lets nobody wait; give 1 or more.")
        groups = {"credits": waiting, "items": waiting, "presence": 100_000}
        options = {"num_cpus": 0, "concurrency_groups": groups, **actor_options}
        self._actor = ray.remote(**options)(_Buffer).remote(capacity, owner == "channel")
        self._capacity, self._by_reference_from = capacity, by_reference_from

    def sender(self) -> Sender:
        """A sender for this process. Close it, or use ``with``: then all that was sent is handed over."""
        return Sender(self)

    def receiver(self, prefetch: int = 256, redeliver: bool = True) -> Receiver:
        """A receiver for this process.

        Args:
            prefetch: items it may be handed ahead of being asked, at a time; 0 for none, which is slow and fair.
            redeliver: what it was handed but did not take goes to another if this process dies; see the promises above.
        """
        return Receiver(self, prefetch, redeliver)

    def __iter__(self) -> Iterator:
        return iter(self.receiver())

    def close(self) -> None:
        """No more is sent; receivers get what was sent, then end. Closing twice does no harm."""
        _get(self._actor.close.remote())

    def stats(self) -> dict:
        """Items in the channel and handed to receivers (``depth``), the most so far, totals, who waits."""
        return _get(self._actor.stats.remote())


class _End:
    """What sender and receiver share: an id, a lock, and a presence that ends with this object or this process."""

    def __init__(self, channel: Channel):
        self._channel, self._actor, self._id = channel, channel._actor, uuid.uuid4().hex
        self._lock, self._left = threading.RLock(), False
        self._presence = self._actor.stay.remote(self._id)
        self._actor.attach.remote(self._id, [self._presence])

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __del__(self) -> None:
        if not sys.is_finalizing() and ray.is_initialized():
            with contextlib.suppress(Exception):
                self.close()

    def _leave(self, total: int = 0) -> None:
        if not self._left:
            self._left = True
            self._actor.leave.remote(self._id, total)


class Sender(_End):
    """Sends items from this process; made by ``Channel.sender``. Threads may share it."""

    def __init__(self, channel: Channel):
        super().__init__(channel)
        self._batch, self._bytes, self._credits = [], 0, 0
        self._number, self._number_of_acquire, self._calls = 0, 0, 0
        self._most = min(BATCH, channel._capacity)
        self._pending: deque = deque()
        self._closed, self._used, self._error = False, threading.Event(), None
        threading.Thread(target=_flush_when_idle, args=(weakref.ref(self), self._used), daemon=True).start()

    def send(self, item: object, timeout: float | None = None) -> None:
        """Send an item; wait while the channel is full.

        Raises:
            TimeoutError: it was full for ``timeout`` seconds; the item was not sent.
            ChannelClosed: the channel or this sender is closed; the item was not sent.
            TypeError: an *earlier* item does not pickle, and was not sent; nor was this one. ``flush`` and ``close``
                raise it for the last ones.
            ChannelBroken: the channel's actor died.
        """
        with self._lock:
            self._need_credit(timeout)
            self._put(item)

    def try_send(self, item: object) -> bool:
        """Send an item if the channel is not full now; whether it was sent. Raises as ``send``, but no TimeoutError."""
        with self._lock:
            try:
                self._need_credit(None, wait=False)
            except TimeoutError:
                return False
            self._put(item)
            return True

    async def send_async(self, item: object, timeout: float | None = None) -> None:
        """``send`` for a coroutine: waits in a thread."""
        await asyncio.to_thread(self.send, item, timeout)

    def flush(self) -> None:
        """Wait until the channel has all that was sent."""
        with self._lock:
            self._push()
            while self._pending:
                self._harvest()
            self._raise()

    def close(self) -> None:
        """Flush, and end this sender; the channel stays open for others."""
        with self._lock:
            if not self._left:
                try:
                    self.flush()
                finally:
                    self._leave()
                    self._used.set()

    def _put(self, item: object) -> None:
        size = len(item) if isinstance(item, (bytes, bytearray, str)) else getattr(item, "nbytes", 64)
        if size >= self._channel._by_reference_from:
            item, size = _Reference(ray.put(item)), PUSH_BYTES // 4  # short, but it has cost too much to wait for many
        self._batch.append((size, item))
        self._bytes += size
        self._credits -= 1
        self._calls += 1
        if not self._credits or len(self._batch) >= self._most or self._bytes >= PUSH_BYTES:
            self._push()
        self._used.set()

    def _need_credit(self, timeout: float | None, wait: bool = True) -> None:
        self._raise()
        if self._left or self._closed:
            raise ChannelClosed("This sender is closed." if self._left else "The channel is closed.")
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._credits:
            if self._pending:
                self._harvest()
            elif wait:
                self._acquire(deadline)
            else:
                self._push(always=True)
                self._harvest()
                if not self._credits and not self._closed:
                    raise TimeoutError("The channel is full.")
            if self._closed:
                raise ChannelClosed("The channel is closed.")

    def _acquire(self, deadline: float | None) -> None:
        self._number_of_acquire += 1
        call = self._actor.acquire.remote(self._id, self._most, self._number_of_acquire)
        left = None if deadline is None else max(0, deadline - time.monotonic())
        if not ray.wait([call], timeout=left)[0]:
            call = self._actor.cancel.remote(self._id, self._number_of_acquire)
        self._credits += self._answer(call)
        if not self._credits and not self._closed:
            raise TimeoutError(f"The channel was full; its capacity is {self._channel._capacity}.")

    def _push(self, back: int = 0, always: bool = False) -> None:
        """Hand over the batch, and ask for credits; or give ``back`` those that are not needed."""
        if self._batch or back or always:
            while len(self._pending) >= IN_FLIGHT:
                self._harvest()
            want = 0 if back else max(0, 2 * self._most - self._credits)
            self._credits -= back
            batch, self._batch, self._bytes = self._batch, [], 0
            try:
                self._hand_over(batch, want, back)
            except Exception:  # one of them does not pickle: the others go one by one
                for item in batch:
                    try:
                        self._hand_over([item], 0, 0)
                    except Exception as error:
                        self._credits, self._error = self._credits + 1, error

    def _hand_over(self, batch: list, want: int, back: int) -> None:
        self._pending.append(self._actor.push.remote(self._id, self._number, batch, want, back))
        self._number += 1

    def _raise(self) -> None:
        """Tell the next caller of a method that an earlier item was lost: it is a thread that hands them over."""
        error, self._error = self._error, None
        if error is not None:
            raise TypeError(f"An item sent before could not be handed over: {error.__cause__ or error}.") from error

    def _harvest(self) -> None:
        self._credits += self._answer(self._pending.popleft())

    def _answer(self, call: ray.ObjectRef) -> int:
        credits = _get(call)
        self._closed |= credits is None
        return credits or 0

    def _flush_now(self, calls: int) -> int:
        """Hand over what waits. If nothing was sent since there were ``calls`` calls of send, give all credits back."""
        with self._lock, contextlib.suppress(ChannelBroken):  # the next send says it
            if not self._left:
                self._push()
                if self._calls == calls:
                    while self._pending:
                        self._harvest()
                    if self._credits:
                        self._push(back=self._credits)
            return self._calls


def _flush_when_idle(sender: weakref.ref, used: threading.Event) -> None:
    """The thread of a sender. It does not keep the sender alive."""
    while used.wait():
        used.clear()
        calls = -1
        while (one := sender()) is not None and not one._left:
            before, calls = calls, one._flush_now(calls)
            del one
            if calls == before:
                break  # idle: wait for the next item
            time.sleep(DELAY_S)
        if sender() is None or sender()._left:
            return


class Receiver(_End):
    """Receives items in this process; made by ``Channel.receiver``. Iterate over it, or call ``recv``."""

    def __init__(self, channel: Channel, prefetch: int, redeliver: bool):
        if prefetch < 0:
            raise ValueError(f"Cannot prefetch {prefetch!r} items; give 0 or more.")
        super().__init__(channel)
        self._prefetch, self._redeliver = prefetch, redeliver
        self._ready, self._taken, self._told = deque(), 0, 0.0
        self._call, self._end = None, False

    def recv(self, timeout: float | None = None) -> object:
        """The next item; waits for it.

        Raises:
            TimeoutError: there was none for ``timeout`` seconds.
            ChannelClosed: the channel is closed, and all was received; or this receiver is closed.
            ChannelBroken: the channel's actor died.
        """
        with self._lock:
            if not self._ready:
                self._fetch(timeout)
            item = self._ready.popleft()
            self._taken += 1
            if not self._ready or time.monotonic() - self._told > DELAY_S:
                self._told = time.monotonic()
                self._actor.took.remote(self._id, self._taken)
        return ray.get(item.ref) if isinstance(item, _Reference) else item

    def try_recv(self, default: object = None) -> object:
        """The next item if one can be had now, else ``default``. Raises as ``recv``, but no TimeoutError."""
        try:
            return self.recv(timeout=0)
        except TimeoutError:
            return default

    async def recv_async(self, timeout: float | None = None) -> object:
        """``recv`` for a coroutine: waits in a thread."""
        return self.recv() if self._ready else await asyncio.to_thread(self.recv, timeout)

    def __iter__(self) -> Receiver:
        return self

    def __next__(self) -> object:
        try:
            return self.recv()
        except ChannelClosed:
            raise StopIteration from None

    def __aiter__(self) -> Receiver:
        return self

    async def __anext__(self) -> object:
        try:
            return await self.recv_async()
        except ChannelClosed:
            raise StopAsyncIteration from None

    def close(self) -> None:
        """End this receiver; what it had been handed and did not take goes to another."""
        with self._lock:
            self._ready.clear()  # so that it cannot be taken here as well
            self._leave(self._taken)

    def _ask(self) -> None:
        if self._call is None and not self._end:
            self._call = self._actor.pull.remote(self._id, max(1, self._prefetch), self._redeliver)

    def _fetch(self, timeout: float | None) -> None:
        if self._left:
            raise ChannelClosed("This receiver is closed.")
        self._ask()
        if not self._end:
            if not ray.wait([self._call], timeout=timeout)[0]:
                raise TimeoutError(f"Nothing came for {timeout:g} s.")
            call, self._call = self._call, None
            items = _get(call)
            if items:
                self._ready.extend(items)
                if self._prefetch:
                    self._ask()
                return
            self._end = True
        raise ChannelClosed("The channel is closed, and all was received.")


def _get(call: ray.ObjectRef):
    try:
        return ray.get(call)
    except ray.exceptions.RayActorError as error:
        raise ChannelBroken(f"The channel's actor died, with what it held: {type(error).__name__}.") from None


class Supervisor:
    """Owns channels and workers, and keeps the workers running. It lives in an actor of its own, ``supervise()``.

    A worker is an actor with a method ``run()``. If its process dies, another one is made with the same arguments, so
    that it gets its channels again; it ends well when ``run`` returns, and for good when ``run`` raises. When the
    supervisor ends, or dies, Ray ends what it created: channels and workers.
    """

    def __init__(self):
        self.channels: dict[str, Channel] = {}
        self.workers: dict[str, dict] = {}
        self.tasks: dict[str, asyncio.Task] = {}

    async def channel(self, name: str, capacity: int | None = None, **options) -> Channel:
        """The channel of that name; made if ``capacity`` is given (arguments of ``Channel``) and there is none yet.

        Raises:
            KeyError: there is none.
        """
        if name not in self.channels:
            if capacity is None:
                raise KeyError(f"No channel is called {name!r}; there are: {', '.join(self.channels) or 'none'}.")
            self.channels[name] = Channel(capacity, **options)
        return self.channels[name]

    async def work(self, name: str, actor_class, *args, restarts: int = 3) -> None:
        """Start a worker: ``actor_class.remote(*args).run.remote()``; again after a death, ``restarts`` times at most.

        Raises:
            ValueError: there is a worker of that name.
        """
        if name in self.workers:
            raise ValueError(f"There is a worker {name!r} already; give another name.")
        self.workers[name] = {"state": "running", "restarts": 0, "error": ""}
        self.tasks[name] = asyncio.ensure_future(self._keep(name, actor_class, args, restarts))

    async def _keep(self, name: str, actor_class, args: tuple, restarts: int) -> None:
        worker = self.workers[name]
        while worker["state"] == "running":
            try:
                actor = actor_class.remote(*args)
                await actor.run.remote()
                worker["state"] = "done"
            except ray.exceptions.RayActorError as error:
                if worker["restarts"] == restarts:
                    worker.update(state="failed", error=type(error).__name__)
                else:
                    worker["restarts"] += 1
            except Exception as error:  # of run(): doing it again would only raise again
                worker.update(state="failed", error=str(error).strip().splitlines()[-1])

    async def status(self) -> dict[str, dict]:
        """For each worker its ``state`` (running, done, failed), its ``restarts`` and its ``error``."""
        return self.workers

    async def wait(self) -> dict[str, dict]:
        """Wait until no worker runs; then the status."""
        await asyncio.gather(*self.tasks.values())
        return self.workers


def supervise(**actor_options) -> ray.actor.ActorHandle:
    """Start a ``Supervisor`` and return its handle; the options are those of an actor, such as ``name``."""
    return ray.remote(**{"num_cpus": 0, **actor_options})(Supervisor).remote()
