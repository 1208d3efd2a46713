"""The channel as a state machine: it knows no Ray, no asyncio, no thread and no clock.

It owns the laws and checks them after each step; a broken law is an ``AssertionError``:

- **Bound.** free + granted + queued + lent = capacity, in items, and in bytes if there is such a bound.
- **Order.** The queue is in the order of arrival, a sender's messages arrive in the order of their numbers, and what
  comes back takes its old place.
- **One holder.** An item is queued, or lent to one receiver, or taken.
- **End.** Receivers are told of it only when the channel is closed and everything is free.

A step is a method. A call that may wait has a number, which its caller counts up; its answer is put into ``answers``,
by this step or by a later one. If it comes again, with its old number, it changes nothing and gets the same answer
again: whoever does not know whether it arrived can repeat it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

LEND_BYTES = 2**24  # no more is lent in an answer when so many bytes are in it

CLOSED, ABANDONED, LEFT = "closed", "abandoned", "left"  # why a sender gets no credits
OVER = "over"  # why a receiver gets nothing more; or LEFT


class Amount(NamedTuple):
    """Items and bytes; without a bound in bytes these are 0."""

    items: int = 0
    size: int = 0

    def plus(self, other: Amount, sign: int = 1) -> Amount:
        return Amount(self.items + sign * other.items, self.size + sign * other.size)

    def minus(self, other: Amount) -> Amount:
        return self.plus(other, -1)


class Grant(NamedTuple):
    """The answer to a sender: credits for so much more, and why it gets none from now on, if so."""

    amount: Amount = Amount()
    refused: str = ""


class Loan(NamedTuple):
    """The answer to a receiver: entries (position, bytes, item), and why nothing more comes, if so."""

    entries: list = []
    ended: str = ""


class Wish(NamedTuple):
    """Credits that a sender would like to have."""

    most: Amount = Amount()
    need: int = 0  # bytes; with fewer it cannot send its next item
    wait: bool = False


NOTHING, NO_WISH = Amount(), Wish()


@dataclass
class SenderState:
    needs_receivers: bool = False
    granted: Amount = Amount()
    next: int = 0  # the number of its next message
    early: dict = field(default_factory=dict)  # messages that overtook it
    answered: dict = field(default_factory=dict)  # answers that it may not have got
    withdrawn: int = -1  # its calls up to this one no longer wait


@dataclass
class ReceiverState:
    redeliver: bool = True
    lent: dict = field(default_factory=dict)  # position to entry
    last: int = -1  # the number of its last call
    handed: list | None = None  # positions in the answer to that; None if there is no answer yet
    withdrawn: int = -1


class State:
    """Items, credits, senders, receivers, and the calls that wait.

    Args:
        capacity: items, 1 or more.
        capacity_bytes: of all items together; no bound if left out.
        senders: after so many have left, the channel is closed; never if left out.
    """

    def __init__(self, capacity: int, capacity_bytes: int | None = None, senders: int | None = None):
        self.capacity, self.in_bytes = Amount(capacity, capacity_bytes or 0), capacity_bytes is not None
        self.free, self.granted, self.queued, self.lent = self.capacity, Amount(), Amount(), Amount()
        self.queue: deque = deque()  # entries: (position, bytes, item)
        self.senders: dict[str, SenderState] = {}
        self.receivers: dict[str, ReceiverState] = {}
        self.want_credits: deque = deque()  # (sender, number of its call, wish)
        self.want_items: deque = deque()  # (receiver, number of its call, how many at most)
        self.answers: dict[tuple[str, int], Grant | Loan] = {}
        self.senders_to_come, self.had_receivers, self.closed = senders or 0, False, False
        self.sent, self.taken, self.high_water = 0, 0, 0

    def join_sender(self, who: str, needs_receivers: bool = False) -> None:
        self.senders.setdefault(who, SenderState(needs_receivers))

    def join_receiver(self, who: str, redeliver: bool = True) -> None:
        self.receivers.setdefault(who, ReceiverState(redeliver))
        self.had_receivers = True

    def push(self, who: str, number: int, known: int, items: list, back: Amount = NOTHING, wish: Wish = NO_WISH):
        """Take items of a sender and credits that it does not need, and grant it others. Answer: a ``Grant``.

        Args:
            known: it has got the answers to all its calls before this number.
            items: pairs (bytes, item).
        """
        sender = self.senders.get(who)
        if sender is None:
            self.answers[who, number] = Grant(refused=LEFT)
            return
        sender.answered = {old: grant for old, grant in sender.answered.items() if old >= known}
        if number in sender.answered:
            self.answers[who, number] = sender.answered[number]
        elif number >= sender.next:
            sender.early.setdefault(number, (items, back, wish))
        while sender.next in sender.early:
            number, (items, back, wish) = sender.next, sender.early.pop(sender.next)
            sender.next += 1
            self._accept(sender, items, back)
            self._ask(sender, who, number, wish)
        self._serve()

    def pull(self, who: str, number: int, most: int, wait: bool = True, taken: list = ()):
        """Note what a receiver has taken, and lend it ``most`` items at most. Answer: a ``Loan``."""
        receiver = self.receivers.get(who)
        if receiver is None:
            self.answers[who, number] = Loan(ended=LEFT)
            return
        self._take(receiver, taken)
        if number > receiver.last:
            receiver.last, receiver.handed = number, None
            self.want_items.append((who, number, most))
            self._serve()
            if not wait or number <= receiver.withdrawn:
                self._end_waiting(who, number)
        elif number == receiver.last and receiver.handed is not None:
            again = [receiver.lent[position] for position in receiver.handed if position in receiver.lent]
            self.answers[who, number] = Loan(again, OVER if not again and self._is_over() else "")
        self._serve()

    def settle(self, who: str, taken: list, back: list = ()) -> None:
        """Note what a receiver has taken, and what it gives back, as far as it is lent to it."""
        if receiver := self.receivers.get(who):
            self._take(receiver, taken)
            self._return(receiver, back)
            self._serve()

    def withdraw(self, who: str, number: int) -> None:
        """Let the calls of one, up to that number, wait no longer: those that do are answered with nothing."""
        if end := self.senders.get(who) or self.receivers.get(who):
            end.withdrawn = max(end.withdrawn, number)
            self._end_waiting(who, number)
            self._serve()

    def leave(self, who: str, died: bool = False) -> None:
        """Forget one. Its credits come back, and what it was lent, unless it died and does not redeliver."""
        if sender := self.senders.get(who):
            self._end_waiting(who, sender.next, LEFT)
            self.answers.update({(who, number): Grant(refused=LEFT) for number in sender.early})
            self.free, self.granted = self.free.plus(sender.granted), self.granted.minus(sender.granted)
            del self.senders[who]
            self.senders_to_come -= 1
            self.closed |= self.senders_to_come == 0
        if receiver := self.receivers.get(who):
            self._end_waiting(who, receiver.last, LEFT)
            if receiver.redeliver or not died:
                self._return(receiver, list(receiver.lent))
            self._release(receiver, list(receiver.lent))
            del self.receivers[who]
        self._refuse()
        self._serve()

    def close(self) -> None:
        """Grant no more credits; receivers end when everything was taken."""
        self.closed = True
        self._refuse()
        self._serve()

    def depth(self) -> int:
        """Count the items that were accepted and not yet taken."""
        return len(self.queue) + self.lent.items

    def _cost(self, entries) -> Amount:
        return Amount(len(entries), sum(entry[-2] for entry in entries) if self.in_bytes else 0)

    def _accept(self, sender: SenderState, items: list, back: Amount) -> None:
        cost = self._cost(items)
        used = cost.plus(back)
        sender.granted, self.granted = sender.granted.minus(used), self.granted.minus(used)
        assert min(sender.granted) >= 0, f"A sender used {used}, and was granted less by {sender.granted}."
        self.queue.extend((self.sent + place, *item) for place, item in enumerate(items))
        self.sent += len(items)
        self.queued, self.free = self.queued.plus(cost), self.free.plus(back)

    def _release(self, receiver: ReceiverState, positions: list) -> list:
        """Free what is lent; give the entries."""
        entries = [receiver.lent.pop(position) for position in positions if position in receiver.lent]
        cost = self._cost(entries)
        self.lent, self.free = self.lent.minus(cost), self.free.plus(cost)
        return entries

    def _take(self, receiver: ReceiverState, positions: list) -> None:
        self.taken += len(self._release(receiver, positions))

    def _return(self, receiver: ReceiverState, positions: list) -> None:
        if entries := self._release(receiver, positions):
            cost = self._cost(entries)
            self.free, self.queued = self.free.minus(cost), self.queued.plus(cost)
            self.queue = deque(sorted([*entries, *self.queue], key=lambda entry: entry[0]))

    def _ask(self, sender: SenderState, who: str, number: int, wish: Wish) -> None:
        refused = self._refusal(sender)
        if refused or not wish.most.items:
            self._answer_sender(who, number, Grant(refused=refused))
            return
        self.want_credits.append((who, number, wish))
        self._serve()
        if not wish.wait or number <= sender.withdrawn:
            self._end_waiting(who, number)

    def _end_waiting(self, who: str, number: int, ended: str = "") -> None:
        for call in [call for call in self.want_credits if call[0] == who and call[1] <= number]:
            self.want_credits.remove(call)
            self._answer_sender(*call[:2], Grant(refused=ended))
        for call in [call for call in self.want_items if call[0] == who and call[1] <= number]:
            self.want_items.remove(call)
            self._answer_receiver(*call[:2], Loan(ended=ended))

    def _is_over(self) -> bool:
        return self.closed and self.free == self.capacity

    def _refusal(self, sender: SenderState) -> str:
        if self.closed:
            return CLOSED
        return ABANDONED if sender.needs_receivers and self.had_receivers and not self.receivers else ""

    def _refuse(self) -> None:
        """Refuse those who wait for credits and will not get any, for the channel is closed, or receivers have left."""
        for who, number, _ in list(self.want_credits):
            if refused := self._refusal(self.senders[who]):
                self._end_waiting(who, number, refused)

    def _answer_sender(self, who: str, number: int, grant: Grant) -> None:
        self.answers[who, number] = self.senders[who].answered[number] = grant

    def _answer_receiver(self, who: str, number: int, loan: Loan) -> None:
        self.answers[who, number] = loan
        self.receivers[who].handed = [entry[0] for entry in loan.entries]

    def _serve(self) -> None:
        """Answer those who wait, in turn, as far as there is something for them; and check the laws."""
        while self.queue and self.want_items:
            self._lend(*self.want_items.popleft())
        while self.want_credits and self.free.items and self.free.size >= self.want_credits[0][2].need:
            self._grant(*self.want_credits.popleft())
        while self.want_items and self._is_over():
            self._answer_receiver(*self.want_items.popleft()[:2], Loan(ended=OVER))
        self.high_water = max(self.high_water, self.depth())
        self.check()

    def _lend(self, who: str, number: int, most: int) -> None:
        receiver, size, entries = self.receivers[who], 0, []
        for _ in range(min(most, max(1, len(self.queue) // len(self.receivers)))):
            entries.append(self.queue.popleft())
            size += entries[-1][1]
            if size >= LEND_BYTES:
                break
        receiver.lent.update((entry[0], entry) for entry in entries)
        cost = self._cost(entries)
        self.queued, self.lent = self.queued.minus(cost), self.lent.plus(cost)
        self._answer_receiver(who, number, Loan(entries))

    def _grant(self, who: str, number: int, wish: Wish) -> None:
        """Grant a share of what is free, as if all senders asked; but what it needs in any case."""
        sender, share = self.senders[who], max(1, self.free.items // len(self.senders))
        size = max(wish.need, min(wish.most.size, self.free.size // len(self.senders))) if self.in_bytes else 0
        grant = Amount(min(wish.most.items, share), size)
        sender.granted, self.granted = sender.granted.plus(grant), self.granted.plus(grant)
        self.free = self.free.minus(grant)
        self._answer_sender(who, number, Grant(grant))

    def check(self) -> None:
        parts = self.free, self.granted, self.queued, self.lent
        assert tuple(map(sum, zip(*parts, strict=True))) == self.capacity, f"{parts} are not {self.capacity}."
        assert min(map(min, parts)) >= 0, f"Less than nothing: {parts}."
        assert self.queued.items == len(self.queue), f"{len(self.queue)} are queued, and {self.queued} are counted."
        assert not (self.queue and self.want_items), "Items are here, and somebody waits for them."
