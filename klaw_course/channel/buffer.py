"""The channel's actor: around its state, what waits, who is there, and the data of large items."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import ray
from ray.util.metrics import Gauge

from klaw_course.channel.items import Parcel, bundles_of
from klaw_course.channel.state import Amount, Grant, Loan, State, Wish

REPORT_S = 2  # between two times that the metrics are set: Ray reports them every 10 s, and then forgets their values
METRICS = {
    "klaw_channel_depth": "items that were accepted and not yet taken",
    "klaw_channel_sent": "items that were accepted so far",
    "klaw_channel_taken": "items that were taken so far",
    "klaw_channel_waiting_senders": "senders that wait for room",
    "klaw_channel_waiting_receivers": "receivers that wait for items",
}


class Buffer:
    """An async actor with one event loop: between two ``await`` nothing else happens, so there are no locks.

    Args:
        settings: what handles need to know, such as ``capacity``; see ``Channel``.
        name: of the channel in Ray's metrics; its actor's id if left out.
    """

    def __init__(self, settings: dict, name: str | None):
        self.settings = settings
        self.state = State(settings["capacity"], settings["capacity_bytes"], settings["senders"])
        self.waiting: dict[tuple[str, int], asyncio.Future] = {}  # calls that were not answered yet
        self.present: dict[str, asyncio.Future] = {}  # senders and receivers; done when one has left
        self.watching: set[asyncio.Task] = set()
        tags = {"channel": name or ray.get_runtime_context().get_actor_id()}
        self.gauges = {name: Gauge(name, text, ("channel",)).set_default_tags(tags) for name, text in METRICS.items()}
        self.reporting = False

    async def push(self, who: str, number: int, known: int, items: list, back: Amount, wish: Wish, *data) -> Grant:
        """``State.push``. Large items come with their data, which stay here: they outlive the sender then."""
        for bundle, parcels in zip(bundles_of(items), data, strict=False):  # no data if the sender is to own them
            bundle.parcels = parcels
        return await self._answer(who, number, lambda: self.state.push(who, number, known, items, back, wish))

    async def pull(self, who: str, number: int, most: int, wait: bool, taken: list) -> Loan:
        """``State.pull``."""
        return await self._answer(who, number, lambda: self.state.pull(who, number, most, wait, taken))

    async def settle(self, who: str, taken: list, back: list) -> None:
        """``State.settle``."""
        self._step(lambda: self.state.settle(who, taken, back))

    async def withdraw(self, who: str, number: int) -> None:
        """``State.withdraw``."""
        self._step(lambda: self.state.withdraw(who, number))

    async def parcel(self, who: str, position: int) -> Parcel | None:
        """Give the data of a large item that was lent, for its owner has died; None if they are lost."""
        receiver = self.state.receivers.get(who)
        entry = receiver.lent.get(position) if receiver else None
        return entry[2].parcel.to_send() if entry and entry[2].parcel else None

    async def stay(self, who: str) -> None:
        """End when that one leaves. Its process owns the result: if it dies, Ray tells whoever awaits the result."""
        begun, left = self.present.setdefault(who, (asyncio.Event(), asyncio.Event()))
        begun.set()
        await left.wait()

    async def join(self, who: str, kind: str, options: dict, stay: list) -> bool:
        """Let a sender or receiver in, and watch it; ``stay`` holds the reference that its ``stay`` gave it."""
        begun, _ = self.present.setdefault(who, (asyncio.Event(), asyncio.Event()))
        watch = self._keep(self._watch(who, stay[0]))
        await asyncio.wait([self._keep(begun.wait()), watch], return_when=asyncio.FIRST_COMPLETED)
        if watch.done():
            return False  # the call of ``stay`` was lost on the way, or its caller died
        join = {"sender": self.state.join_sender, "receiver": self.state.join_receiver}[kind]
        self._step(lambda: join(who, **options))
        return True

    async def _watch(self, who: str, stay: ray.ObjectRef) -> None:
        try:
            await stay
        except (ray.exceptions.ActorUnavailableError, ray.exceptions.TaskCancelledError):
            return  # the call was lost, not its caller, who makes it again
        except ray.exceptions.RayError:  # OwnerDiedError
            await self.leave(who, True, [])

    async def leave(self, who: str, died: bool, taken: list) -> None:
        """Forget a sender or receiver; ``taken`` is what it has taken and not told."""
        self._step(lambda: self.state.settle(who, taken))
        self._step(lambda: self.state.leave(who, died))
        if found := self.present.pop(who, None):
            for event in found:
                event.set()

    async def close(self) -> None:
        """``State.close``."""
        self._step(self.state.close)

    async def stats(self) -> dict:
        """Give what ``Channel.stats`` returns."""
        state = self.state
        return {
            "capacity": state.capacity.items,
            "depth": state.depth(),
            "high_water": state.high_water,
            "sent": state.sent,
            "taken": state.taken,
            "senders": len(state.senders),
            "receivers": len(state.receivers),
            "waiting_senders": len(state.want_credits),
            "waiting_receivers": len(state.want_items),
            "closed": state.closed,
        }

    async def get_settings(self) -> dict:
        """Give the settings, to somebody who has found this actor by its name."""
        return self.settings

    async def _answer(self, who: str, number: int, step: Callable) -> Grant | Loan:
        """Do a step, and wait for the answer to this call, which may come from a later one."""
        future = self.waiting.setdefault((who, number), asyncio.get_running_loop().create_future())
        self._step(step)
        if future.done():
            await asyncio.sleep(0)  # whoever has waited for this step is answered first
            return future.result()
        return await asyncio.shield(future)

    def _step(self, step: Callable) -> None:
        """Do a step, and give their answers to the calls that have got one by it."""
        step()
        answers, self.state.answers = self.state.answers, {}
        for call, answer in answers.items():
            if (future := self.waiting.pop(call, None)) and not future.done():
                future.set_result(answer)
        if not self.reporting:
            self.reporting = True
            self._report()

    def _keep(self, coroutine) -> asyncio.Task:
        task = asyncio.ensure_future(coroutine)
        self.watching.add(task)
        task.add_done_callback(self.watching.discard)
        return task

    def _report(self) -> None:
        """Set the metrics, now and from now on."""
        asyncio.get_running_loop().call_later(REPORT_S, self._report)
        state = self.state
        values = state.depth(), state.sent, state.taken, len(state.want_credits), len(state.want_items)
        for gauge, value in zip(self.gauges.values(), values, strict=True):
            gauge.set(value)
