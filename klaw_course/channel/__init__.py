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

from collections.abc import Iterator

import ray

from klaw_course.channel.buffer import Buffer
from klaw_course.channel.ends import Receiver, Sender
from klaw_course.channel.errors import ChannelBroken, ChannelClosed, answer_of

__all__ = ["Channel", "ChannelBroken", "ChannelClosed", "Receiver", "Sender"]


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
        self._actor = ray.remote(**options)(Buffer).remote(capacity, owner == "channel")
        self._capacity, self._by_reference_from = capacity, by_reference_from

    def sender(self) -> Sender:
        """Make a sender for this process. Close it, or use ``with``: then all that was sent is handed over."""
        return Sender(self)

    def receiver(self, prefetch: int = 256, redeliver: bool = True) -> Receiver:
        """Make a receiver for this process.

        Args:
            prefetch: items it may be handed ahead of being asked, at a time; 0 for none, which is slow and fair.
            redeliver: what it was handed but did not take goes to another if this process dies; see the promises above.
        """
        return Receiver(self, prefetch, redeliver)

    def __iter__(self) -> Iterator:
        return iter(self.receiver())

    def close(self) -> None:
        """End the stream: no more is sent; receivers get what was sent, then end. Closing twice does no harm."""
        answer_of(self._actor.close.remote())

    def stats(self) -> dict:
        """Count items in the channel and handed to receivers (``depth``), the most so far, totals, and who waits."""
        return answer_of(self._actor.stats.remote())
