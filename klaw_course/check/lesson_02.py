"""Checkers of lesson 02, Objects and ownership."""

import os

import numpy as np
import ray
from ray.util.state import list_objects

from klaw_course.check import need
from klaw_course.check.needs import need_free_cpus
from klaw_course.observe import store
from klaw_course.wait import wait_until

MIB = 2**20


def for_each(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def for_each(function, value, items).")
    need_free_cpus()
    value, items = Counted(np.ones(MIB // 4, dtype=np.uint8)), [3, 1, 4, 1, 5]
    Counted.serialised = 0
    got = answer(ray.remote(_tell), value, items)
    need(got is not None, "it returned None; did you forget the return?")
    is_refs = isinstance(got, list) and any(isinstance(part, ray.ObjectRef) for part in got)
    need(not is_refs, "it returned references; the results are wanted, so a ray.get is missing.")
    need(isinstance(got, list), f"it returned a {type(got).__name__}; a list of results is wanted.")
    need(len(got) == len(items), f"it returned {len(got)} results for {len(items)} items; one for each is wanted.")
    shape = all(isinstance(part, tuple) and len(part) == 3 for part in got)
    need(shape, f"the list begins with {got[0]!r}, which function did not return; return its results as they are.")
    kind, _, pid = got[0]
    inside = "in a list, where Ray does not look for references; pass the reference as an argument of its own"
    need(kind != "list", f"the tasks received the value {inside}.")
    need(kind == "Counted", f"the tasks received a {kind}; they must receive the value itself.")
    need(os.getpid() != pid, "no task ran: the function was called in the notebook itself.")
    need([item for _, item, _ in got] == items, "the results are not in the order of the items.")
    times = Counted.serialised
    hint = "is the array itself passed, or ray.put called, inside the loop?"
    need(times == 1, f"the value was serialised {times} times for {len(items)} items: {hint}")
    return f"{len(items)} tasks, and the value was serialised and stored once."


class Counted:
    """A value that counts how often this process serialises it."""

    serialised = 0

    def __init__(self, data):
        self.data = data

    def __reduce__(self):
        Counted.serialised += 1
        return Counted, (self.data,)


def _tell(value, item):
    return type(value).__name__, item, os.getpid()


def load(answer) -> str:
    need(callable(answer), f"a function is wanted, and this is {answer!r}; write def load(names): ...")
    need_free_cpus()
    names = ["north", "east", "southwest"]
    refs = answer(names)
    need(refs is not None, "it returned None; did you forget the return?")
    need(not isinstance(refs, ray.ObjectRef), "it returned one reference; a list with one for each name is wanted.")
    need(isinstance(refs, list), f"it returned a {type(refs).__name__}; a list of references is wanted.")
    others = [type(ref).__name__ for ref in refs if not isinstance(ref, ray.ObjectRef)]
    need(
        not others,
        f"the list holds {', '.join(others[:1])}, a value; references are wanted, so that nothing is fetched yet.",
    )
    need(len(refs) == len(names), f"it returned {len(refs)} references for {len(names)} names.")
    blocks = ray.get(refs, timeout=30)
    is_block = all(isinstance(block, np.ndarray) and block.size == MIB for block in blocks)
    need(is_block, f"a reference leads to {type(blocks[0]).__name__}, not to a block; what does read_block return?")
    need([int(block[0]) for block in blocks] == [5, 4, 9], "the blocks are not in the order of the names.")
    owned = sum(_is_owned_here(ref) for ref in refs)
    lost = "a worker submitted the tasks that read them, and its death takes them away"
    need(owned == len(refs), f"{len(refs) - owned} of {len(refs)} blocks are owned by another process: {lost}.")
    return "this process owns all blocks; the death of a worker takes none of them away."


def _is_owned_here(ref) -> bool:
    """Only the owner's row tells the state of the task that made an object; a borrower's says NIL."""
    rows = list_objects(filters=[("object_id", "=", ref.hex())], detail=True, raise_on_missing_output=False)
    return any(row.type == "DRIVER" and row.task_status not in (None, "NIL") for row in rows)


def shelf(answer) -> str:
    need(isinstance(answer, type), f"a class is wanted, and this is {answer!r}; write class Shelf: ...")
    mine = answer()
    missing = [name for name in ("add", "read", "peek", "drop") if not callable(getattr(mine, name, None))]
    need(not missing, f"a Shelf has no {' and no '.join(missing)}; it has the methods add, read, peek and drop.")
    size = 16 * MIB
    before = store.settled().used_mb
    mine.add("ones", np.ones(size, dtype=np.uint8))
    mine.add("twos", np.full(size, 2, dtype=np.uint8))
    stored = store.now().used_mb - before
    need(stored > 31, "after add the arrays are not in the object store: what puts a value there?")
    need(stored < 33, f"two arrays of 16 MiB take {stored:.0f} MiB in the object store; each should be there once.")
    need(isinstance(mine.read("ones"), np.ndarray), f"read returned {mine.read('ones')!r:.60}, not the array.")
    need(int(mine.read("twos")[-1]) == 2 and int(mine.read("ones")[-1]) == 1, "read returned the wrong array.")
    first, second = mine.read("ones"), mine.read("ones")
    is_copy = first.ctypes.data != second.ctypes.data or first.flags.writeable
    need(not is_copy, "read copied the array; what ray.get gives is enough.")
    del first, second
    stored = store.settled().used_mb - before
    need(stored < 33, f"after read the two arrays take {stored:.0f} MiB; reading should store nothing.")
    head = mine.peek("ones", 3)
    is_head = head is not None and list(head) == [1, 1, 1]
    need(is_head, f"peek('ones', 3) returned {head!r:.60}, not the first three numbers.")
    mine.drop("ones")
    if not _falls_to(before + 17):
        del head
        is_view = _falls_to(before + 17)
        need(not is_view, "what peek returned kept the array: a slice looks at the bytes of all of it.")
        pins = {row.reference_type for row in list_objects(detail=True) if row.object_size > size}
        need(False, f"after drop something still pins the array, and Ray names it: {' and '.join(sorted(pins))}.")
    need(int(mine.read("twos")[0]) == 2, "after drop('ones') the other array is gone, too.")
    mine.drop("twos")
    need(_falls_to(before + 1), "after both were dropped, something still pins an array.")
    return "stored once, read without a copy, and the object store is empty after drop."


def _falls_to(mb: float) -> bool:
    try:
        return wait_until(lambda: store.now().used_mb < mb, "the object store to be free of it", timeout_s=5)
    except TimeoutError:
        return False


CHECKERS = {"02.1": for_each, "02.2": load, "02.3": shelf}
