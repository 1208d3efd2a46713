"""Checkers of lesson 06, The memory leak, and the queue in front of it."""

import os
import shutil
import time

import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from klaw_course.check import need
from klaw_course.check.needs import first_result
from klaw_course.cluster._ray import is_actor_handle
from klaw_course.notebook import new_folder
from klaw_course.observe import memory

_BUDGET_MB = 28  # 8 MiB a call: over it with the fourth


def bounded_cache(answer) -> str:
    need(not isinstance(answer, ray.actor.ActorClass), "that is a class still: .remote(...) makes the actor.")
    need(is_actor_handle(answer), f"an actor is wanted, and this is {answer!r}.")
    own_mb = [first_result(answer.evaluate.remote(0))[1]]
    own_mb += [ray.get(answer.evaluate.remote(number), timeout=30)[1] for number in range(1, 24)]
    kept = ray.get(answer.__ray_call__.remote(_cached), timeout=30)
    need(kept is not None, "it keeps no array; the last four are wanted.")
    array_mb, count = kept
    grown = own_mb[-1] - own_mb[3]
    need(count <= 4 or count >= 24, f"it keeps {count} arrays; the last four are wanted.")
    need(count <= 4, f"after 24 calls it keeps {count} arrays, and grew by {grown:.0f} MiB since the fourth: it leaks.")
    need(count == 4, f"it keeps {count} arrays; the last four are wanted.")
    need(grown < 4 * array_mb, f"four arrays are in its cache, but it grew by {grown:.0f} MiB since the fourth call.")
    return f"four arrays, and {grown:+.0f} MiB from the 4th call to the 24th."


def _cached(self):
    return None if self.cache is None else (max([0, *(a.nbytes / 2**20 for a in self.cache)]), len(self.cache))


class _Counted:
    """Has ``remote`` as a remote function has, and notes how many of its calls were unfinished at once."""

    def __init__(self, function):
        self.function, self.refs, self.most = function, [], 0

    def remote(self, item):
        self.refs.append(self.function.remote(item))
        _, unfinished = ray.wait(self.refs, num_returns=len(self.refs), timeout=0, fetch_local=False)
        self.most = max(self.most, len(unfinished))
        return self.refs[-1]


@ray.remote(num_cpus=0, max_concurrency=2)
class _Functions:
    """What is called, two side by side, whatever CPUs are held by actors that a learner forgot."""

    def slow_first(self, number):
        time.sleep(0.4 if number == 0 else 0.02)
        return number * 10

    def fails_at_one(self, number):
        if number == 1:
            raise LookupError("item 1 has no result")
        return number


def nothing_lost(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def collect(...): ...")
    functions = _Functions.remote()
    ray.get(functions.slow_first.remote(1), timeout=30)  # so that no process has to be born meanwhile
    counted = _Counted(functions.slow_first)
    results = answer(counted, (number for number in range(40)), 8)
    need(results is not None, "it gives None; did you forget the return?")
    need(isinstance(results, list), f"a list is wanted, and this is {results!r}.")
    wanted = [10 * number for number in range(40)]
    need(not any(isinstance(part, ray.ObjectRef) for part in results), "these are references; ray.get gives results.")
    need(len(results) == 40, f"{len(results)} results of 40 items: what ray.wait said is done was thrown away.")
    need(sorted(results) == wanted, f"some results are wrong or twice: {results}.")
    need(counted.most > 1, "one call at a time: nothing runs side by side.")
    need(counted.most <= 8, f"{counted.most} calls were in flight at once; the window is 8.")
    need(results == wanted, f"all are there, but in the order in which they ended: {results[:4]}...; carry an index.")
    try:
        answer(functions.fails_at_one, range(8), 2)
    except LookupError:
        return "40 results of 40, in order, 8 in flight at most; and the error of a call is raised."
    need(False, "the call for item 1 of 8 failed, and nobody heard of it.")


@ray.remote(num_cpus=0)
class _Leaky:
    """Keeps 8 MiB for each call, and writes down what it answers, a file for each actor."""

    def __init__(self, folder):
        self.cache, self.path, self.first_mb = [], folder / str(os.getpid()), memory.own_mb(os.getpid())
        self.path.touch()

    def evaluate(self, number):
        self.cache.append(np.ones(2**20))
        grown = memory.own_mb(os.getpid()) - self.first_mb
        with self.path.open("a") as log:
            log.write(f"{time.time()} {grown}\n")
        time.sleep(0.02)
        return number, grown


def recycling_pool(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def run(...): ...")
    folder, made = new_folder(), []
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)  # where the folder is

    def make_actor():
        made.append(time.time())
        need(len(made) <= 10, "this is the 11th actor for 20 calls: one that is within the budget may go on.")
        return _Leaky.options(scheduling_strategy=here).remote(folder)

    try:
        answers = answer(make_actor, list(range(20)), _BUDGET_MB)
        return _judge(answers, made, [path.read_text().split("\n")[:-1] for path in folder.iterdir()])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _judge(answers, made: list[float], logs: list[list[str]]) -> str:
    need(answers is not None, "it gives None; did you forget the return?")
    calls = [[tuple(map(float, line.split())) for line in log] for log in logs]
    late = max((sum(grown > _BUDGET_MB for _, grown in log) - 1 for log in calls), default=0)
    most = max((grown for log in calls for _, grown in log), default=0)
    need(
        late < 1, f"an actor got {late} calls after it had said that it is over the budget; it grew by {most:.0f} MiB."
    )
    numbers = sorted(number for number, _ in answers)
    need(numbers == list(range(20)), f"{len(set(numbers))} of 20 numbers have an answer; none may be lost or twice.")
    first_end = min(end for log in calls for end, _ in log)
    need(len(made) > 1 and made[1] < first_end, "one call at a time: the two actors do not work side by side.")
    return f"20 answers from {len(calls)} actors; budget {_BUDGET_MB} MiB, the most was {most:.0f}: one call over it."


CHECKERS = {"06.1": bounded_cache, "06.2": nothing_lost, "06.3": recycling_pool}
