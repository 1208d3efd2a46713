"""Checkers of lesson 10, Direct transport. PyTorch is imported where it is used: not everybody has it."""

import contextlib
import threading
import time

import ray

from klaw_course.check import Wrong, need
from klaw_course.cluster._ray import is_actor_handle

_LATE_S = 30  # for what takes a few seconds: PyTorch is loaded
_END_S = 12  # for what takes less than two, if nobody waits in vain; where it is not known how busy the machine is
_PAUSE_S = 0.1  # of a slow fill, and of a slow use
_COUNT = 2**22  # numbers in a buffer of 10.3: 16 MiB, which take long enough to be overwritten on their way
_log: list = []  # in the process of a Producer: (number, begin, end, tensor) of each fill


def connected(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def connect(): ...")
    pair = answer()
    if not isinstance(pair, tuple) or len(pair) != 2:
        _end(pair if isinstance(pair, (tuple, list)) else [pair])
        need(False, f"connect returns two actors, (maker, taker); it gave {pair!r}.")
    need(
        all(is_actor_handle(actor) for actor in pair),
        "connect returns actors, not classes; call .remote().",
    )
    maker, taker = pair
    try:
        try:
            ref = maker.make.remote(2**20)
        except ValueError as error:
            need("does not have tensor transport" not in str(error), "the two are in no collective group.")
            raise
        _get(ref, "make does not come to its end.", fetch=False)
        need(
            _stored(ref) < 2**16, "the tensor is in the object store; the method that returns it has to say otherwise."
        )
        try:
            ray.get(ref, _use_object_store=True)  # now Ray surely knows that the tensor is there, and in which group
            began = time.monotonic()
            total = _get(taker.total.remote(ref), "total waits for a tensor that nobody sends.")
            patience_s = min(15, 3 + 10 * (time.monotonic() - began))
            maker.__ray_call__.remote(_nap)  # so that the next tensor is not there yet
            late = taker.total.remote(maker.make.remote(2**20))
        except ValueError as error:
            need("No communicators" not in str(error), "maker and taker are not in the same collective group.")
            raise
        need(total == 2**20, f"the sum of 2**20 ones is 1048576; total gave {total!r}.")
        hint = "total waits for a tensor that was not there when it was called: can taker receive while it waits?"
        _get(late, hint, patience_s=patience_s)
    finally:
        _end(pair)
    return "the numbers arrived, and the object store did not see them."


def trained(answer) -> str:
    trainer_class, train = _pair(answer, "(Trainer, train)")
    trainer, reader, patience_s = _grouped(trainer_class, (), ["step", "share"], _reader)
    rounds = 12
    wanted = [float(number + 1) for number in range(rounds)]
    try:
        # What waits long enough for a quick transfer, but not for the transfer, is found out by a slow one.
        reader.__ray_call__.options(concurrency_group="_ray_system").remote(_nap)
        means = _in_time(lambda: train(trainer, reader, rounds), (trainer, reader), patience_s)
        complete = isinstance(means, list) and len(means) == rounds
        need(complete, f"{rounds} means are wanted, in a list; it gave {means!r}.")
        need(means == wanted, f"the means of the first steps are 1.0, 2.0, 3.0; it gave {means[:3]} and more.")
        ref = trainer.share.remote()
        _get(ref, "share does not come to its end.", fetch=False)
        need(_stored(ref) < 2**16, "the numbers are right, but the weights go through the object store.")
    finally:
        _end((trainer, reader))
    return "every mean belongs to its step, and the weights travel directly."


def double_buffered(answer) -> str:
    producer_class, stream = _pair(answer, "(Producer, stream)")
    producer, consumer, patience_s = _grouped(producer_class, (_fill, _COUNT), ["produce"], _consumer)
    try:
        _right_numbers(producer, consumer, stream, 30, patience_s)
        ray.get([producer.__ray_call__.remote(_slow), consumer.slow.remote()], timeout=_LATE_S)
        _right_numbers(producer, consumer, stream, 10, patience_s)
        fills = ray.get(producer.__ray_call__.remote(_fills), timeout=_LATE_S)
        need([fill[0] for fill in fills] == list(range(10)), "fill is called once for each number, in their order.")
        uses = ray.get(consumer.uses.remote(), timeout=_LATE_S)
        overlaps = sum(fill[1] < use[1] for fill, use in zip(fills[1:], uses[:-1], strict=True))
        need(overlaps >= 7, f"the next number was begun before the use of the last one ended {overlaps} times of 9.")
        buffers = len({fill[3] for fill in fills})
        need(buffers == 2, f"fill got {buffers} different tensors; two are wanted.")
        ref = producer.produce.remote(0)
        _get(ref, "produce does not come to its end.", fetch=False)
        need(_stored(ref) < 2**16, "the tensor goes through the object store.")
        ray.get(producer.__ray_call__.remote(_overwrite), timeout=_LATE_S)
        used = _get(consumer.use.remote(ref), "use waits for a tensor that nobody sends.")
        need(used == 999, "the numbers are right, but produce returns a copy of the tensor that was filled.")
    finally:
        _end((producer, consumer))
    return "40 right numbers from two buffers, and one is filled while the other is used."


def _right_numbers(producer, consumer, stream, rounds: int, patience_s: float) -> None:
    ray.get([producer.__ray_call__.remote(_forget), consumer.forget.remote()], timeout=_LATE_S)
    got = _in_time(lambda: stream(producer, consumer, rounds), (producer, consumer), patience_s)
    need(isinstance(got, list) and len(got) == rounds, f"{rounds} numbers are wanted, in a list; it gave {got!r}.")
    wrong = [f"{value} for {number}" for number, value in enumerate(got) if value != number]
    need(not wrong, f"{len(wrong)} of {rounds} numbers are wrong, the first is {wrong[0] if wrong else ''}.")


def _fill(tensor, number) -> None:
    """What a learner's ``produce`` calls; it runs in the producer's process."""
    import torch

    right = isinstance(tensor, torch.Tensor) and tensor.numel() == _COUNT and tensor.dtype == torch.float32
    need(right, f"fill takes a tensor of {_COUNT} numbers, float32.")
    begin = time.time()
    tensor.fill_(number)
    time.sleep(_pause)
    _log.append((number, begin, time.time(), tensor))


def _nap(self) -> None:
    time.sleep(0.5)


_pause = 0.0


def _slow(self) -> None:
    global _pause
    _pause = _PAUSE_S


def _forget(self) -> None:
    _log.clear()


def _fills(self) -> list:
    return [(number, begin, end, tensor.data_ptr()) for number, begin, end, tensor in _log]


def _overwrite(self) -> None:
    _log[-1][3].fill_(999)


class _Reader:
    def ready(self):
        import torch

        torch.set_num_threads(1)

    def mean(self, tensor):
        return float(tensor.mean())


class _Consumer(_Reader):
    log, pause = [], 0.0

    def use(self, tensor):
        begin, first = time.time(), float(tensor[0])
        time.sleep(self.pause)
        self.log.append((begin, time.time()))
        return first if float(tensor.min()) == float(tensor.max()) else float(tensor.mean())

    def slow(self):
        self.pause = _PAUSE_S

    def forget(self):
        self.log.clear()

    def uses(self):
        return self.log


def _reader():
    return ray.remote(num_cpus=0, enable_tensor_transport=True)(_Reader).remote()


def _consumer():
    return ray.remote(num_cpus=0, enable_tensor_transport=True)(_Consumer).remote()


def _pair(answer, what: str) -> tuple:
    need(isinstance(answer, tuple) and len(answer) == 2, f"{what} is wanted, a tuple; this is {answer!r}.")
    kind, function = answer
    is_class = isinstance(kind, (type, ray.actor.ActorClass))
    need(is_class, f"the first of {what} is a class, and this is {kind!r}.")
    need(callable(function) and not isinstance(function, type), f"the second of {what} is a function.")
    return kind if isinstance(kind, ray.actor.ActorClass) else ray.remote(kind), function


def _grouped(kind, arguments: tuple, methods: list[str], make_other) -> tuple:
    """An actor of the answer's class and one of ours, in a group; and for how many seconds to wait for what they do.

    That depends on how long they took to be born: longer on a busy machine, and there all else takes longer, too.
    """
    from ray.experimental.collective import create_collective_group

    began = time.monotonic()
    other = make_other()
    pair = (other,)
    try:
        first = kind.options(num_cpus=0).remote(*arguments)
        pair = (first, other)
        missing = [name for name in methods if not hasattr(first, name)]
        need(not missing, f"the class has no method {', '.join(missing)}.")
        try:
            ray.get([first.__ray_ready__.remote(), other.ready.remote()], timeout=_LATE_S)
        except ray.exceptions.RayActorError as error:
            need(False, f"the actor cannot be made: {str(error).strip().splitlines()[-1]}")
        create_collective_group(pair, backend="gloo")
    except BaseException:
        _end(pair)
        raise
    return *pair, min(15, 3 + 3 * (time.monotonic() - began))


def _stored(ref) -> int:
    """Bytes of the object in the store."""
    return ray.experimental.get_object_locations([ref])[ref]["object_size"] or 0


def _get(call, hint: str, fetch: bool = True, patience_s: float = _END_S):
    done, _ = ray.wait([call], timeout=patience_s, fetch_local=False)
    need(bool(done), hint)
    try:
        return ray.get(call) if fetch else None
    except ray.exceptions.RayTaskError as error:
        raise getattr(error, "cause", None) or error from None


def _in_time(call, actors, patience_s: float):
    """What the call gives. If it is late, the actors are killed: then what waits for them ends."""
    result = []

    def run():
        try:
            result.append((call(), None))
        except BaseException as error:
            result.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(patience_s)
    if not result:
        _end(actors)
        thread.join(10)
        hint = "who waits for a tensor, and who holds a reference to it?"
        need(False, f"it has not come back after {patience_s:.0f} s: {hint}")
    value, error = result[0]
    if isinstance(error, ray.exceptions.RayTaskError) and error.cause is not None:
        error = error.cause
    if isinstance(error, Wrong):
        raise error
    if error is not None:
        need(False, f"it raised {type(error).__name__}: {str(error).strip().splitlines()[-1]}")
    return value


def _end(actors) -> None:
    for actor in actors:
        with contextlib.suppress(Exception):
            ray.kill(actor)


CHECKERS = {"10.1": connected, "10.2": trained, "10.3": double_buffered}
