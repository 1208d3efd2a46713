"""An actor that owns channels and workers, and starts a worker again when its process dies."""

from __future__ import annotations

import asyncio

import ray

from klaw_course.channel import Channel


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
        """Give the channel of that name. If there is none yet and ``capacity`` is given, make it with these arguments.

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
        """Give for each worker its ``state`` (running, done, failed), its ``restarts`` and its ``error``."""
        return self.workers

    async def wait(self) -> dict[str, dict]:
        """Wait until no worker runs; then give the status."""
        await asyncio.gather(*self.tasks.values())
        return self.workers


def supervise(**actor_options) -> ray.actor.ActorHandle:
    """Start a ``Supervisor`` and return its handle; the options are those of an actor, such as ``name``."""
    return ray.remote(**{"num_cpus": 0, **actor_options})(Supervisor).remote()
