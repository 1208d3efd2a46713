"""Items on their way: pickled once, by their sender, and unpickled once, by their receiver. Between them are bytes."""

from __future__ import annotations

import io
import pickle
import threading
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

import numpy as np
import ray
from ray.actor import ActorHandle

APART = 2**15  # bytes of a buffer (an array's data) from which on it is not copied into the rest
ALONE = 2**22  # bytes of an item from which on it goes into the store alone, straight from where it is
BATCH = 512  # items in a batch, at most
PUSH_BYTES = 2**23  # a batch that has as many bytes is sent on
PLAIN = (bytes, str, int, float, bool, type(None))  # what the quickest way is enough for


class Parcel(NamedTuple):
    """An item that is more than bytes: its pickle, data kept apart, and the references and actor handles in it.

    Those must stay visible to Ray, which counts them; in the pickle are only their places.
    """

    head: object
    buffers: list
    refs: list

    def open(self) -> object:
        """Unpickle the item."""
        before, _open.refs = getattr(_open, "refs", ()), self.refs
        try:
            return pickle.loads(self.head, buffers=self.buffers)
        finally:
            _open.refs = before

    def to_send(self) -> Parcel:
        """Give the same, so that it pickles, and without a copy: from the store come views of its memory."""
        small = isinstance(self.head, bytes) and len(self.head) < APART
        head = self.head if small else pickle.PickleBuffer(self.head)
        return Parcel(head, [pickle.PickleBuffer(buffer) for buffer in self.buffers], self.refs)


class Bundle:
    """Parcels that are one object in the store. Items that are pickled together share it afterwards, as before.

    Whoever has fetched them keeps their bytes in the store, without a copy, also when the process that has put them
    there has died: then ``ref`` is worth nothing, but ``parcels`` are.
    """

    def __init__(self, ref: ray.ObjectRef):
        self.ref, self.parcels = ref, None

    def __reduce__(self):
        return Bundle, (self.ref,)

    def fetch(self, timeout: float | None) -> None:
        if self.parcels is None:
            self.parcels = ray.get(self.ref, timeout=timeout)

    async def fetch_async(self) -> None:
        if self.parcels is None:
            self.parcels = await self.ref


class Stored(NamedTuple):
    """An item whose parcel is in the object store."""

    bundle: Bundle
    place: int

    @property
    def parcel(self) -> Parcel | None:
        return self.bundle.parcels[self.place] if self.bundle.parcels else None


class Packed:
    """An item as its sender has pickled it; its arrays are not yet copied.

    Attributes:
        size: bytes, of all of it.
    """

    __slots__ = ("size", "_head", "_buffers", "_refs")

    def __init__(self, item: object):
        self._buffers, self._refs = [], []
        try:
            if type(item) in PLAIN:
                self._head = pickle.dumps(item, 5)
            elif type(item) is np.ndarray and not item.dtype.hasobject:
                self._head = pickle.dumps(item, 5, buffer_callback=_to(self._buffers))
            else:
                file = io.BytesIO()
                _Pickler(file, self._buffers, self._refs).dump(item)
                self._head = file.getvalue()
        except Exception as error:
            raise TypeError(f"This item does not pickle, and was not sent: {error}.") from error
        self.size = len(self._head)
        if self._buffers:
            self.size += sum(buffer.raw().nbytes for buffer in self._buffers)

    def payload(self, by_reference_from: int) -> bytes | Parcel | Stored:
        """Copy the item to where it stays until it is received: what becomes of it here no longer matters."""
        if self.size >= max(by_reference_from, ALONE):
            return Stored(Bundle(ray.put([Parcel(self._head, self._buffers, self._refs).to_send()])), 0)
        if not self._buffers and not self._refs and self.size < by_reference_from:
            return self._head
        return Parcel(self._head, [bytes(buffer.raw()) for buffer in self._buffers], self._refs)


class Batch:
    """Items that wait to be sent on: pairs (bytes, payload)."""

    def __init__(self):
        self._pairs, self._bytes = [], 0

    def __len__(self) -> int:
        return len(self._pairs)

    def add(self, size: int, payload: object) -> None:
        self._pairs.append((size, payload))
        self._bytes += _on_its_way(size, payload)

    def is_full(self) -> bool:
        return len(self._pairs) >= BATCH or self._bytes >= PUSH_BYTES

    def take(self) -> list:
        """Give the first ones, as many as go in a call."""
        length = size = 0
        while length < min(BATCH, len(self._pairs)) and size < PUSH_BYTES:
            size += _on_its_way(*self._pairs[length])
            length += 1
        first, self._pairs = self._pairs[:length], self._pairs[length:]
        self._bytes -= size
        return first


def _on_its_way(size: int, payload: object) -> int:
    """Count the bytes that an item adds to its batch; of those that are in the store already, 16 go in a call."""
    return PUSH_BYTES // 16 if isinstance(payload, Stored) else size


def bundled(items: list, by_reference_from: int) -> list:
    """Put those items of a batch that are large into the store, together: an object costs more than a megabyte."""
    large = [size >= by_reference_from and isinstance(payload, Parcel) for size, payload in items]
    if not any(large):
        return items
    parcels = [payload.to_send() for (_, payload), is_large in zip(items, large, strict=True) if is_large]
    bundle, places = Bundle(ray.put(parcels)), count()
    return [
        (size, Stored(bundle, next(places)) if is_large else payload)
        for (size, payload), is_large in zip(items, large, strict=True)
    ]


def bundles_of(items: list) -> list[Bundle]:
    """Give the bundles that the items of a batch are in, each once, in order."""
    return list(dict.fromkeys(payload.bundle for _, payload in items if isinstance(payload, Stored)))


def unpack(payload: bytes | Parcel) -> object:
    """Give the item.

    Raises:
        TypeError: it cannot be unpickled here.
    """
    try:
        return pickle.loads(payload) if isinstance(payload, bytes) else payload.open()
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise TypeError(f"An item cannot be unpickled here, and is lost: {said}.") from error


def _to(buffers: list) -> Callable[[pickle.PickleBuffer], bool]:
    """Make what pickle asks for each buffer whether it goes into the pickle; the others go into the list.

    Not a method: in a circle with its pickler it would keep the item's arrays and references until Python's collector
    comes.
    """

    def goes_into_the_pickle(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes < APART:
            return True
        buffers.append(buffer)
        return False

    return goes_into_the_pickle


class _Pickler(ray.cloudpickle.CloudPickler):
    def __init__(self, file, buffers: list, refs: list):
        super().__init__(file, protocol=5, buffer_callback=_to(buffers))
        self._refs = refs

    def reducer_override(self, obj: object):
        if isinstance(obj, (ray.ObjectRef, ActorHandle)):
            self._refs.append(obj)
            return _ref, (len(self._refs) - 1,)
        return super().reducer_override(obj)


_open = threading.local()


def _ref(place: int) -> object:
    return _open.refs[place]
