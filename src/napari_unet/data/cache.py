"""A cache of array blocks, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEFAULT_BYTES = 512 * 2**20


class BlockCache:
    """Keep the blocks that were used last, up to a number of bytes. Thread safe.

    Parameters
    ----------
    capacity : int
        Bytes held at most; a block larger than that is not kept.
    """

    def __init__(self, capacity: int = DEFAULT_BYTES) -> None:
        self.capacity = capacity
        self._blocks: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._nbytes = 0
        self._lock = Lock()

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        return self._nbytes

    def get(self, key: Hashable) -> NDArray[Any] | None:
        """Return the block of that key, or None where it is not (or no longer) kept."""
        with self._lock:
            block = self._blocks.get(key)
            if block is not None:
                self._blocks.move_to_end(key)
            return block

    def put(self, key: Hashable, block: NDArray[Any]) -> None:
        """Keep a block, and drop those that were not used for longest to make room."""
        with self._lock:
            self._drop(key)
            if block.nbytes > self.capacity:
                return
            self._blocks[key] = np.asarray(block)
            self._nbytes += block.nbytes
            while self._nbytes > self.capacity:
                self._drop(next(iter(self._blocks)))

    def _drop(self, key: Hashable) -> None:
        block = self._blocks.pop(key, None)
        if block is not None:
            self._nbytes -= block.nbytes
