"""A bounded channel between the drivers, tasks and actors of a Ray cluster.

    channel = Channel(capacity=1000)         # pass it to whoever sends or receives

    with channel.sender() as sender:         # in one process
        sender.send(item)                    # waits while the channel is full
    for item in channel.receiver(): ...      # in another; ends when the channel is closed and empty
    channel.close()

What it promises:

- **Capacity** bounds the items that are anywhere between ``send`` and ``recv``: in a sender, on the way, in the
  channel, in a receiver; and their bytes, if ``capacity_bytes`` is given. A sender needs a *credit* for each item.
- **As sent**: an item is pickled in ``send``. What becomes of it afterwards does not matter, and its size is the bytes
  of its pickle. If it does not pickle, ``send`` raises; if its receiver cannot unpickle it, ``recv`` does, once; all
  others arrive. Large items travel by reference, and their arrays arrive read-only.
- **Order**: the items of a sender arrive in its order. Several receivers share them, each getting its part in order;
  only what is delivered again (see *delivery*) comes late.
- **Delivery**: an item goes to one receiver, and *unacknowledged* items are redelivered. ``recv`` acknowledges when it
  returns: what its process was doing with the item when it died does not come again. But the channel is told up to 5 ms
  later, so that the items of a process's last milliseconds may come twice: *at least once*. With ``manual=True`` items
  are acknowledged by ``ack()``, and in every mode by the end of a ``with receiver.lease()``: what was being worked on
  comes again. With ``redeliver=False`` what a dead receiver was handed is lost: *at most once*. A receiver that is
  closed, or whose last reference goes, gives back what it did not take, in every mode.
- **End**: after ``close()`` no credit is given; what credits are there for is delivered, then receivers end. With
  ``senders=n`` the channel closes when n senders have closed or died.
- **Waiting** costs no thread and no CPU time; nobody polls. A timeout, Ctrl-C, ``ray.cancel`` or a cancelled coroutine
  ends a wait, and loses and takes nothing.
- **Deaths** are told by Ray: the channel awaits a result that the process of each end owns, and is told that its owner
  died. If a sender's process dies, what it had not handed over is lost (``flush`` and ``close`` hand over), and its
  credits come back. If the channel's actor dies, everybody gets ``ChannelBroken``. While it cannot be reached,
  calls are repeated, and change nothing twice. It is never restarted, for it would come back empty.
- **Life**: a channel ends with the process that made it, and when its last handle goes. One with a ``name`` and
  ``lifetime="detached"`` stays until ``ray.kill``; any driver finds it with ``Channel.get``.

``ChannelError`` is the base of four errors: ``EndClosed`` (this end was closed, here), ``ChannelClosed`` (sending is
refused), ``ChannelEnded`` (nothing more comes; the only one that ends an iteration), ``ChannelBroken``.
"""

from __future__ import annotations

from collections.abc import Iterator

import ray

from klaw_course.channel.buffer import Buffer
from klaw_course.channel.errors import (
    ChannelBroken,
    ChannelClosed,
    ChannelEnded,
    ChannelError,
    EndClosed,
    answer_of,
)
from klaw_course.channel.receiver import Receiver
from klaw_course.channel.sender import Sender

__all__ = [
    "Channel",
    "ChannelBroken",
    "ChannelClosed",
    "ChannelEnded",
    "ChannelError",
    "EndClosed",
    "Receiver",
    "Sender",
]


class Channel:
    """A handle to a channel; it pickles, so that it can be passed to tasks and actors, and through channels.

    Args:
        capacity: items between ``send`` and ``recv``, at most; 1 or more.
        capacity_bytes: bytes of these items, at most. A larger item is refused by ``send``.
        senders: after so many have closed or died, the channel is closed; only ``close`` does it if left out.
        by_reference_from: bytes of an item from which on it goes through the object store. Items of less than 4 MB that
            are sent on together share an object there: an array that is kept from one keeps them all, 8 MB or so.
        owner: of such an object. With ``"channel"`` it outlives its sender's process: the channel keeps its data on the
            node where the channel is. With ``"sender"`` the data go to the receiver only, and if the sender's process
            dies, the receiver gets ``ray.exceptions.OwnerDiedError``.
        actor_options: for the channel's actor, such as ``name``, ``namespace`` and ``lifetime``.

    Raises:
        ValueError: one of these makes no sense.
    """

    def __init__(
        self,
        capacity: int,
        *,
        capacity_bytes: int | None = None,
        senders: int | None = None,
        by_reference_from: int = 2**19,
        owner: str = "channel",
        **actor_options,
    ):
        _check("capacity", capacity, "hold nothing")
        if capacity_bytes is not None:
            _check("capacity_bytes", capacity_bytes, "hold nothing")
        if senders is not None:
            _check("senders", senders, "be closed by nobody")
        if owner not in ("channel", "sender"):
            raise ValueError(f"owner={owner!r} cannot own an item; give 'channel' or 'sender'.")
        if refused := {"max_restarts", "max_task_retries", "max_concurrency"} & set(actor_options):
            raise ValueError(f"A channel takes no {min(refused)}: one that is restarted would come back empty.")
        self._settings = {
            "capacity": capacity,
            "capacity_bytes": capacity_bytes,
            "senders": senders,
            "by_reference_from": by_reference_from,
            "owner": owner,
        }
        options = {"num_cpus": 0, **actor_options, "max_concurrency": 1_000_000, "max_restarts": 0}
        self._actor = ray.remote(**options)(Buffer).remote(self._settings, actor_options.get("name"))

    @classmethod
    def get(cls, name: str, namespace: str | None = None) -> Channel:
        """Find a channel that was made with a ``name``.

        Raises:
            ValueError: there is none of that name in that namespace (that of this driver, if left out).
        """
        channel = object.__new__(cls)
        channel._actor = ray.get_actor(name, namespace)
        channel._settings = answer_of(channel._actor.get_settings.remote)
        return channel

    def sender(self, needs_receivers: bool = False) -> Sender:
        """Make a sender for this process. Close it, or use ``with``: then all that was sent is handed over.

        Args:
            needs_receivers: raise ``ChannelClosed`` instead of waiting while there were receivers and all have gone.
        """
        return Sender(self, needs_receivers)

    def receiver(self, prefetch: int = 256, redeliver: bool = True, manual: bool = False) -> Receiver:
        """Make a receiver for this process.

        Args:
            prefetch: items it may be handed ahead of being asked, at a time; 0 for none, which is slow and fair.
            redeliver: whether what it was handed and did not take goes to another if this process dies.
            manual: whether items are acknowledged by ``ack()``, and not by ``recv``. See *delivery* above.

        Raises:
            ValueError: prefetch is less than 0, or ``manual`` comes without ``redeliver``.
        """
        if not isinstance(prefetch, int) or prefetch < 0:
            raise ValueError(f"Cannot prefetch {prefetch!r} items; give 0 or more.")
        if manual and not redeliver:
            raise ValueError(
                "manual=True with redeliver=False acknowledges what is never redelivered; give one of them."
            )
        return Receiver(self, prefetch, redeliver, manual)

    def __iter__(self) -> Iterator:
        return iter(self.receiver())

    def close(self, timeout: float | None = None) -> None:
        """End the stream: no more is sent; receivers get what was sent, then end. Closing twice does no harm.

        Raises:
            TimeoutError: the channel did not answer for ``timeout`` seconds.
            ChannelBroken: its actor died.
        """
        answer_of(self._actor.close.remote, timeout)

    def stats(self, timeout: float | None = None) -> dict:
        """Count items in the channel and handed to receivers (``depth``), the most so far, totals, and who waits.

        Ray's metrics have the same, as ``klaw_channel_depth`` and so on. Raises as ``close``.
        """
        return answer_of(self._actor.stats.remote, timeout)


def _check(name: str, value: object, consequence: str) -> None:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"A channel of {name} {value!r} can {consequence}; give a whole number, 1 or more.")
