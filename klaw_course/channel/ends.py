"""The two ends of a channel, each in the process that uses it: ``Sender`` and ``Receiver``."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
import uuid
import weakref
from collections import deque
from typing import TYPE_CHECKING

import ray

from klaw_course.channel.buffer import Reference
from klaw_course.channel.errors import ChannelBroken, ChannelClosed, answer_of

if TYPE_CHECKING:
    from klaw_course.channel import Channel

DELAY_S = 0.005  # for which an item waits for others
BATCH = 512  # items in a batch, at most
PUSH_BYTES = 2**23  # a batch that has as many bytes is sent on
IN_FLIGHT = 4  # batches of a sender that are on their way


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
        self._next_batch, self._acquires, self._sent = 0, 0, 0
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
        """Send an item if the channel is not full now, and tell whether. Raises as ``send``, but no TimeoutError."""
        with self._lock:
            try:
                self._need_credit(None, wait=False)
            except TimeoutError:
                return False
            self._put(item)
            return True

    async def send_async(self, item: object, timeout: float | None = None) -> None:
        """Do what ``send`` does, for a coroutine: it waits in a thread."""
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
            item, size = Reference(ray.put(item)), PUSH_BYTES // 4  # short, but it has cost too much to wait for many
        self._batch.append((size, item))
        self._bytes += size
        self._credits -= 1
        self._sent += 1
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
        self._acquires += 1
        call = self._actor.acquire.remote(self._id, self._most, self._acquires)
        left = None if deadline is None else max(0, deadline - time.monotonic())
        if not ray.wait([call], timeout=left)[0]:
            call = self._actor.cancel.remote(self._id, self._acquires)
        self._credits += self._answer(call)
        if not self._credits and not self._closed:
            raise TimeoutError(f"The channel was full; its capacity is {self._channel._capacity}.")

    def _push(self, back: int = 0, always: bool = False) -> None:
        """Hand over the batch, and ask for credits; or give ``back`` those that are not needed."""
        if self._batch or back or always:
            while len(self._pending) >= IN_FLIGHT:
                self._harvest()
            most = 0 if back else max(0, 2 * self._most - self._credits)
            self._credits -= back
            batch, self._batch, self._bytes = self._batch, [], 0
            try:
                self._hand_over(batch, most, back)
            except Exception:  # one of them does not pickle: the others go one by one
                for item in batch:
                    try:
                        self._hand_over([item], 0, 0)
                    except Exception as error:
                        self._credits, self._error = self._credits + 1, error

    def _hand_over(self, batch: list, most: int, back: int) -> None:
        self._pending.append(self._actor.push.remote(self._id, self._next_batch, batch, most, back))
        self._next_batch += 1

    def _raise(self) -> None:
        """Tell the next caller of a method that an earlier item was lost: it is a thread that hands them over."""
        error, self._error = self._error, None
        if error is not None:
            raise TypeError(f"An item sent before could not be handed over: {error.__cause__ or error}.") from error

    def _harvest(self) -> None:
        self._credits += self._answer(self._pending.popleft())

    def _answer(self, call: ray.ObjectRef) -> int:
        granted = answer_of(call)
        self._closed |= granted is None
        return granted or 0

    def _flush_now(self, sent: int) -> int:
        """Hand over what waits. If no item was sent since there were ``sent``, it is idle: give all credits back."""
        with self._lock, contextlib.suppress(ChannelBroken):  # the next send says it
            if not self._left:
                self._push()
                if self._sent == sent:
                    while self._pending:
                        self._harvest()
                    if self._credits:
                        self._push(back=self._credits)
            return self._sent


def _flush_when_idle(sender: weakref.ref, used: threading.Event) -> None:
    """The thread of a sender. It does not keep the sender alive."""
    while used.wait():
        used.clear()
        sent = -1
        while (living := sender()) is not None and not living._left:
            before, sent = sent, living._flush_now(sent)
            del living
            if sent == before:
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
        """Wait for the next item, and return it.

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
        return ray.get(item.ref) if isinstance(item, Reference) else item

    def try_recv(self, default: object = None) -> object:
        """Return the next item if one can be had now, else ``default``. Raises as ``recv``, but no TimeoutError."""
        try:
            return self.recv(timeout=0)
        except TimeoutError:
            return default

    async def recv_async(self, timeout: float | None = None) -> object:
        """Do what ``recv`` does, for a coroutine: it waits in a thread."""
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
            items = answer_of(call)
            if items:
                self._ready.extend(items)
                if self._prefetch:
                    self._ask()
                return
            self._end = True
        raise ChannelClosed("The channel is closed, and all was received.")
