"""The sending end."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from klaw_course.channel.ends import End, Waiter, call_for, leave
from klaw_course.channel.errors import FAILURES, ChannelBroken, ChannelClosed, ChannelError, EndClosed, broken, copy_of
from klaw_course.channel.items import BATCH, PUSH_BYTES, Batch, Packed, bundled, bundles_of
from klaw_course.channel.loop import later, start
from klaw_course.channel.state import ABANDONED, CLOSED, LEFT, NO_WISH, NOTHING, Amount, Grant, Wish

if TYPE_CHECKING:
    from klaw_course.channel import Channel

IN_FLIGHT = 4  # batches that are on their way
IDLE_S = 0.02  # after which a sender that does nothing gives its credits back


class Sender(End):
    """Sends items from this process; made by ``Channel.sender``. Threads and coroutines may share it.

    An item goes at once if nothing is on its way; those that come meanwhile go together, when the answer is here.
    """

    kind = "sender"

    def __init__(self, channel: Channel, needs_receivers: bool):
        settings = channel._settings
        self._capacity, self._in_bytes = settings["capacity"], settings["capacity_bytes"]
        self._by_reference_from, self._in_channel = settings["by_reference_from"], settings["owner"] == "channel"
        self._most = 2 * min(BATCH, self._capacity)
        self._credits, self._credit_bytes = 0, 0
        self._batch, self._sent = Batch(), 0
        self._unanswered: dict[int, int] = {}  # number of a call to the number of its first item
        self._in_flight, self._waiting_call, self._withdrawn, self._idle_due = 0, None, False, False
        self._flushing: list[tuple[int, Waiter]] = []  # who waits until as many items are handed over
        self._closing = False
        super().__init__(channel, {"needs_receivers": needs_receivers})

    # --- what a program calls -----------------------------------------------------------------------------------------

    def send(self, item: object, timeout: float | None = None) -> None:
        """Send an item; wait while the channel is full.

        Raises:
            TimeoutError: it was full for ``timeout`` seconds.
            TypeError: the item does not pickle.
            ValueError: the item has more bytes than the channel may hold.
            ChannelClosed, EndClosed, ChannelBroken: see there. After any of these errors the item was not sent.
        """
        packed = self._pack(item)
        if waiter := self._claim(packed.size):
            self._wait(waiter, timeout)
        self._put(packed)

    async def send_async(self, item: object, timeout: float | None = None) -> None:
        """Do what ``send`` does, in a coroutine."""
        packed = self._pack(item)
        if waiter := self._claim(packed.size):
            await self._wait_async(waiter, timeout)
        self._put(packed)

    def try_send(self, item: object) -> bool:
        """Send an item if the channel has room now, and tell whether. Raises as ``send``, but no TimeoutError."""
        packed = self._pack(item)
        if (waiter := self._claim(packed.size, trial=True)) and not self._wait(waiter, None):
            return False
        self._put(packed)
        return True

    def flush(self, timeout: float | None = None) -> None:
        """Wait until the channel has all that was sent.

        Raises:
            TimeoutError: it did not take it for ``timeout`` seconds.
            ChannelBroken: the channel's actor died.
        """
        if waiter := self._handing_over():
            self._wait(waiter, timeout)

    async def flush_async(self, timeout: float | None = None) -> None:
        """Do what ``flush`` does, in a coroutine."""
        if waiter := self._handing_over():
            await self._wait_async(waiter, timeout)

    def close(self, timeout: float | None = None) -> None:
        """Flush, and end this sender; the channel stays open for others. Raises as ``flush``."""
        if waiter := self._handing_over(close=True):
            self._wait(waiter, timeout)

    async def close_async(self, timeout: float | None = None) -> None:
        """Do what ``close`` does, in a coroutine."""
        if waiter := self._handing_over(close=True):
            await self._wait_async(waiter, timeout)

    async def __aexit__(self, *_) -> None:
        await self.close_async()

    # --- credits ------------------------------------------------------------------------------------------------------

    def _pack(self, item: object) -> Packed:
        packed = Packed(item)
        if self._in_bytes is not None and packed.size > self._in_bytes:
            raise ValueError(f"This item has {packed.size} bytes, and the channel holds {self._in_bytes} at most.")
        return packed

    def _fits(self, size: int) -> bool:
        return self._credits > 0 and (self._in_bytes is None or self._credit_bytes >= size)

    def _use(self, size: int, sign: int = 1) -> None:
        self._credits -= sign
        self._credit_bytes -= sign * size if self._in_bytes is not None else 0

    def _claim(self, size: int, trial: bool = False) -> Waiter | None:
        """Use credits for an item; or give the waiter who will get them."""
        with self._lock:
            self._refuse_if_over()
            if not self._waiters and self._fits(size):
                self._use(size)
                return None
            waiter = Waiter(size, trial)
            self._waiters.append(waiter)
            self._changed()
            return waiter

    def _take_back(self, waiter: Waiter) -> None:
        if waiter.size >= 0:  # not one of flush
            self._use(waiter.size, -1)
            self._serve()

    def _late(self, timeout: float) -> str:
        return f"The channel was full for {timeout:g} s; its capacity is {self._capacity}."

    def _serve(self) -> None:
        """Give credits to those who wait, in turn. Called with the lock."""
        while self._waiters and self._fits(self._waiters[0].size):
            waiter = self._waiters.popleft()
            self._use(waiter.size)
            waiter.give(True)

    # --- items --------------------------------------------------------------------------------------------------------

    def _put(self, packed: Packed) -> None:
        """Add an item, for which credits were used, to the batch."""
        put = False
        try:
            payload = packed.payload(self._by_reference_from)
            with self._lock:
                if self._left or self._closing:
                    raise EndClosed("This sender was closed meanwhile.")
                self._batch.add(packed.size, payload)
                self._sent += 1
                put = True
                if self._may_push():
                    self._changed()
        finally:
            if not put:
                with self._lock:
                    self._use(packed.size, -1)
                    self._serve()
                self._changed()

    def _handed_over(self) -> int:
        """Count the items that the channel has, with all before them."""
        return min([*self._unanswered.values(), self._sent - len(self._batch)])

    def _handing_over(self, close: bool = False) -> Waiter | None:
        """Give a waiter for the time when the channel has all that was sent so far; with ``close``, for the end."""
        with self._lock:
            if isinstance(self._why, ChannelBroken) and (not self._left or not close):
                self._left |= close
                raise copy_of(self._why)
            if self._left or (not close and self._handed_over() == self._sent):
                return None
            if close and not self._closing:
                self._closing = True
                self._why = EndClosed("This sender is closed.")
                self._deny_all(self._why)
            waiter = Waiter(size=-1)
            self._flushing.append((self._sent + close, waiter))
            self._changed()
            return waiter

    # --- in the loop --------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Hand over what waits; ask for credits that somebody waits for; or give them back, if nobody does."""
        with self._lock:
            self._pump_due = False
            if not self._joined or self._left:
                return
            while len(self._batch) and self._may_push():
                self._in_flight += 1
                wanted = 0 if self._why else max(0, self._most - self._credits)
                self._call_push(self._batch.take(), wish=Wish(Amount(wanted, self._bytes_wanted())))
            if trials := [waiter for waiter in self._waiters if waiter.trial and waiter.asked is None]:
                self._ask_for_credits(trials, wait=False)
            elif self._waiters and self._waiting_call is None and not self._in_flight:
                self._waiting_call = self._ask_for_credits([], wait=True)
            elif not self._waiters and self._waiting_call is not None and not self._withdrawn:
                self._withdrawn = True
                start(self._withdraw(self._waiting_call))
            if len(self._batch) or self._in_flight or self._waiters:
                return
            if self._closing:
                self._left = True
                start(self._finish())
            elif self._credits and self._why:
                self._call_push([], back=self._all_credits())
            elif self._credits and not self._idle_due:
                self._idle_due = True
                later(IDLE_S, _idle, weakref.ref(self), self._sent)

    def _may_push(self) -> bool:
        return not self._in_flight or (self._batch.is_full() and self._in_flight < IN_FLIGHT)

    def _bytes_wanted(self) -> int:
        return 0 if self._in_bytes is None else max(0, min(PUSH_BYTES, self._in_bytes) - self._credit_bytes)

    def _all_credits(self) -> Amount:
        back = Amount(self._credits, self._credit_bytes)
        self._credits = self._credit_bytes = 0
        return back

    def _ask_for_credits(self, trials: list[Waiter], wait: bool) -> int:
        """Ask for what the first waiter needs, and give back what is too little: none holds some and waits for more."""
        need = self._waiters[0].size if self._in_bytes is not None else 0
        back, most = self._all_credits(), max(self._most, len(self._waiters))
        number = self._call_push([], back, Wish(Amount(most, max(need, self._bytes_wanted())), need, wait))
        for waiter in trials:
            waiter.asked = number  # the answer to this call decides
        return number

    def _call_push(self, items: list, back: Amount = NOTHING, wish: Wish = NO_WISH) -> int:
        number = self._number()
        self._unanswered[number] = self._sent - len(self._batch) - len(items)
        start(self._push(number, items, back, wish))
        return number

    async def _push(self, number: int, items: list, back: Amount, wish: Wish) -> None:
        def call():
            return self._actor.push.remote(self._id, number, min(self._unanswered), items, back, wish, *data)

        try:
            items = bundled(items, self._by_reference_from)
            data = [bundle.ref for bundle in bundles_of(items)] if self._in_channel else []
            grant = await call_for(weakref.ref(self), call)
        except FAILURES as error:
            self._break(broken(error))
            return
        with self._lock:
            del self._unanswered[number]
            self._in_flight -= bool(items)
            if number == self._waiting_call:
                self._waiting_call, self._withdrawn = None, False
            self._answered(number, grant)
        self._changed()

    def _answered(self, number: int, grant: Grant) -> None:
        self._credits += grant.amount.items
        self._credit_bytes += grant.amount.size
        if grant.refused == LEFT and not self._left:
            self._why = ChannelBroken("The channel took this sender for dead.")
        elif grant.refused == CLOSED:
            self._why = self._why or ChannelClosed("The channel is closed.")
        if self._why or grant.refused == ABANDONED:
            self._deny_all(self._why or ChannelClosed("All its receivers have gone."))
        self._serve()
        for waiter in [waiter for waiter in self._waiters if waiter.asked == number]:
            self._waiters.remove(waiter)
            waiter.tell(False)
        done = self._handed_over()
        for pair in [pair for pair in self._flushing if pair[0] <= done]:
            self._flushing.remove(pair)
            pair[1].tell(True)

    async def _finish(self) -> None:
        await leave(self._actor, self._id, [])
        with self._lock:
            while self._flushing:
                self._flushing.pop()[1].tell(True)

    def _break(self, error: ChannelError) -> None:
        super()._break(error)
        with self._lock:
            while self._flushing:
                self._flushing.pop()[1].deny(error)


def _idle(sender: weakref.ref, sent: int) -> None:
    """Give credits back if nothing was sent since then."""
    if living := sender():
        with living._lock:
            living._idle_due = False
            busy = len(living._batch) or living._in_flight or living._waiters or living._sent != sent or living._left
            if not busy and living._credits:
                living._call_push([], back=living._all_credits())
        if busy:
            living._changed()
