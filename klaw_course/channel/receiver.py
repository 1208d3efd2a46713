"""The receiving end."""

from __future__ import annotations

import asyncio
import time
import weakref
from bisect import insort
from typing import TYPE_CHECKING

import ray

from klaw_course.channel.ends import End, Waiter, call_for, leave
from klaw_course.channel.errors import ChannelBroken, ChannelEnded, ChannelError, EndClosed, answer_of, ask
from klaw_course.channel.items import Stored, unpack
from klaw_course.channel.lease import Lease
from klaw_course.channel.loop import later, soon, start
from klaw_course.channel.state import LEFT, Loan

if TYPE_CHECKING:
    from klaw_course.channel import Channel

TELL_S = 0.005  # after which the channel is told, at the latest, what was taken
NOTHING = object()


class Receiver(End):
    """Receives items in this process; made by ``Channel.receiver``. Threads and coroutines may share it.

    Iterate over it (``for`` or ``async for``), or call ``recv``, or take items with ``lease``.
    """

    kind = "receiver"

    def __init__(self, channel: Channel, prefetch: int, redeliver: bool, manual: bool):
        self._prefetch, self._manual = prefetch, manual
        self._ready: list = []  # entries (position, bytes, payload) that were lent to this receiver
        self._taken: list[int] = []  # positions of which the channel is not yet told
        self._unsure: set[int] = set()  # those, and the ones of which it has not yet answered that it knows
        self._unacknowledged: list[int] = []
        self._opening = 0  # entries that somebody has got, and not yet opened
        self._pull_number, self._withdrawn, self._telling, self._began = None, False, False, False
        self._many = max(1, channel._settings["capacity"] // 4)  # not told, they may be what a sender waits for
        super().__init__(channel, {"redeliver": redeliver})

    # --- what a program calls -----------------------------------------------------------------------------------------

    def recv(self, timeout: float | None = None) -> object:
        """Wait for the next item, and return it.

        Raises:
            TimeoutError: there was none for ``timeout`` seconds.
            ChannelEnded, EndClosed, ChannelBroken: see there.
            TypeError: the item cannot be unpickled here. It counts as taken; the next call gives the next one.
            ray.exceptions.OwnerDiedError: so does a large item which its sender owned, and whose process is dead.
        """
        return self._took(*self._receive(timeout))

    async def recv_async(self, timeout: float | None = None) -> object:
        """Do what ``recv`` does, in a coroutine."""
        return self._took(*await self._receive_async(timeout))

    def try_recv(self, default: object = None) -> object:
        """Return an item if the channel has one now, else ``default``. Raises as ``recv``, but no TimeoutError."""
        got = self._receive(None, trial=True)
        return default if got is NOTHING else self._took(*got)

    def lease(self, timeout: float | None = None) -> Lease:
        """Receive in a ``with``, or ``async with``: its end acknowledges the item, an error in it gives it back."""
        return Lease(self, timeout)

    def ack(self) -> None:
        """Acknowledge all that this receiver, which is ``manual``, has received so far. Waits for nothing."""
        with self._lock:
            self._note(*self._unacknowledged)
            self._unacknowledged.clear()
            self._tell(at_once=True)

    def close(self) -> None:
        """End this receiver; what it had been handed and is not acknowledged goes to another. Waits for nothing."""
        with self._lock:
            if not self._left:
                self._left, self._why = True, EndClosed("This receiver is closed.")
                self._deny_all(self._why)
                self._ready.clear()  # the channel gives it to another
                soon(start, leave(self._actor, self._id, self._untold()))

    def __iter__(self) -> Receiver:
        return self

    def __next__(self) -> object:
        try:
            return self.recv()
        except ChannelEnded:
            raise StopIteration from None

    def __aiter__(self) -> Receiver:
        return self

    async def __anext__(self) -> object:
        try:
            return await self.recv_async()
        except ChannelEnded:
            raise StopAsyncIteration from None

    # --- entries ------------------------------------------------------------------------------------------------------

    def _receive(self, timeout: float | None, trial: bool = False) -> tuple:
        """Give position and item; or NOTHING."""
        deadline = None if timeout is None else time.monotonic() + timeout
        entry = self._claim(trial)
        if isinstance(entry, Waiter):
            entry = self._wait(entry, timeout)
        if entry is NOTHING:
            return NOTHING
        position, _, payload = entry
        try:
            if isinstance(payload, Stored):
                try:
                    payload.bundle.fetch(deadline and max(0, deadline - time.monotonic()))
                    payload = payload.parcel
                except ray.exceptions.ObjectLostError as error:
                    parcel = answer_of(lambda: self._actor.parcel.remote(self._id, position))
                    payload = self._found(parcel, error)
            return position, unpack(payload)
        except BaseException as error:
            raise self._unopened(entry, timeout, error) from error.__cause__

    async def _receive_async(self, timeout: float | None) -> tuple:
        deadline = None if timeout is None else time.monotonic() + timeout
        entry = self._claim(trial=False)
        if isinstance(entry, Waiter):
            entry = await self._wait_async(entry, timeout)
        position, _, payload = entry
        try:
            if isinstance(payload, Stored):
                try:
                    left = deadline and max(0, deadline - time.monotonic())
                    await asyncio.wait_for(payload.bundle.fetch_async(), left)
                    payload = payload.parcel
                except ray.exceptions.ObjectLostError as error:
                    parcel = await ask(lambda: self._actor.parcel.remote(self._id, position))
                    payload = self._found(parcel, error)
            return position, unpack(payload)
        except BaseException as error:
            raise self._unopened(entry, timeout, error) from error.__cause__

    def _claim(self, trial: bool) -> tuple | Waiter:
        """Give the next entry, or the waiter who will get it."""
        with self._lock:
            self._refuse_if_over()
            if self._ready and not self._waiters:
                self._opening += 1
                return self._ready.pop(0)
            waiter = Waiter(trial=trial)
            self._waiters.append(waiter)
            self._began = True
            self._changed()
            return waiter

    def _found(self, parcel, error: Exception):
        """Give what the channel has kept of an item whose owner has died."""
        if parcel is None:
            raise error
        return parcel

    def _unopened(self, entry: tuple, timeout: float | None, error: BaseException) -> BaseException:
        """Give back an entry which could not be opened now, or take it, if it never will be; the error to be raised."""
        late = isinstance(error, (ray.exceptions.GetTimeoutError, asyncio.TimeoutError))
        with self._lock:
            self._opened()
            if isinstance(error, (TypeError, ray.exceptions.ObjectLostError)):
                self._note(entry[0])
                self._tell()
            else:
                self._put_back(entry)
        return TimeoutError(self._late(timeout)) if late else error

    def _took(self, position: int, item: object) -> object:
        """Note that an item is taken, or waits for its ``ack``."""
        with self._lock:
            self._opened()
            if self._left:
                self._refuse_if_over()  # what it had goes to another
            if self._manual:
                self._unacknowledged.append(position)
            else:
                self._note(position)
                if not self._telling or len(self._taken) == self._many:
                    self._tell()
        return item

    def _note(self, *positions: int) -> None:
        """Note what the channel must be told. Called with the lock."""
        self._taken += positions
        self._unsure.update(positions)

    def _opened(self) -> None:
        """Note that an entry is open; now it can be told, by the call that asks for more. Called with the lock."""
        self._opening -= 1
        # If that call is on its way, nothing is to be done, and to wake the loop would cost more than the item.
        if not self._opening and self._pull_number is None:
            self._changed()

    def _put_back(self, entry: tuple) -> None:
        if not self._left:
            insort(self._ready, entry, key=lambda entry: entry[0])
            self._serve()
            self._changed()

    def _take_back(self, waiter: Waiter) -> None:
        entry = waiter.result()
        if entry is not NOTHING:
            self._opened()
            self._put_back(entry)

    def _late(self, timeout: float) -> str:
        return f"Nothing came for {timeout:g} s."

    def _serve(self) -> None:
        """Give entries to those who wait, in turn. Called with the lock."""
        while self._waiters and self._ready:
            self._opening += 1
            self._waiters.popleft().give(self._ready.pop(0))

    # --- in the loop --------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Ask for items if somebody waits for them, or for some ahead; stop asking if nobody wants them any more."""
        with self._lock:
            self._pump_due = False
            if not self._joined or self._why:
                return
            trial = any(waiter.trial for waiter in self._waiters)
            ahead = self._prefetch if self._began else 0
            if self._pull_number is None:
                if self._waiters or (len(self._ready) < ahead and not self._opening):
                    number = self._pull_number = self._number()
                    most = max(self._prefetch, len(self._waiters))
                    taken, self._taken = self._taken, []
                    start(_pull(weakref.ref(self), self._actor, self._id, number, most, not trial, taken))
            elif (trial or not (self._waiters or ahead)) and not self._withdrawn:
                self._withdrawn = True
                start(self._withdraw(self._pull_number))
            if not ahead and not self._waiters and self._ready:
                back, self._ready = [entry[0] for entry in self._ready], []
                start(self._settle([], back))

    def _pulled(self, loan: Loan, taken: list) -> None:
        with self._lock:
            self._unsure.difference_update(taken)
            self._pull_number, self._withdrawn = None, False
            if not self._left:
                self._ready += loan.entries
                self._serve()
                if loan.ended:
                    lost = ChannelBroken("The channel took this receiver for dead.")
                    self._why = (
                        lost if loan.ended == LEFT else ChannelEnded("The channel is closed, and all was received.")
                    )
                    self._deny_all(self._why)
                for waiter in [waiter for waiter in self._waiters if waiter.trial]:
                    self._waiters.remove(waiter)
                    waiter.tell(NOTHING)
        self._changed()

    def _tell(self, at_once: bool = False) -> None:
        """See to it that the channel is told soon what was taken. Called with the lock."""
        if at_once or len(self._taken) >= self._many:
            soon(self._tell_now)
        elif not self._telling:
            self._telling = True
            soon(later, TELL_S, self._tell_now)

    def _tell_now(self) -> None:
        with self._lock:
            self._telling = False
            taken, self._taken = self._taken, []
            if taken and not self._left:
                start(self._settle(taken, []))

    async def _settle(self, taken: list, back: list) -> None:
        await self._tell_channel(lambda: self._actor.settle.remote(self._id, taken, back))
        with self._lock:
            self._unsure.difference_update(taken)

    def _untold(self) -> list:
        return list(self._unsure)  # the call that leaves may overtake one that tells: Ray promises no order here


async def _pull(receiver: weakref.ref, actor, who: str, number: int, most: int, wait: bool, taken: list) -> None:
    """Ask for items. Does not keep the receiver alive while it waits for them."""

    try:
        loan = await call_for(receiver, lambda: actor.pull.remote(who, number, most, wait, taken))
        if living := receiver():
            living._pulled(loan, taken)
    except ChannelError as error:
        if living := receiver():
            living._break(error)
