# SPDX-License-Identifier: Apache-2.0
"""Maps of slices kept compressed, so that a thousand of them stay small."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PackedMap:
    """A uint8 map (rows, columns) of few values, compressed."""

    packed: bytes
    shape: tuple[int, int]

    @classmethod
    def of(cls, values: NDArray[np.uint8]) -> "PackedMap":
        """Compress a map; level 1, because masks compress well at any."""
        rows, columns = values.shape
        return cls(zlib.compress(np.ascontiguousarray(values, dtype=np.uint8).tobytes(), 1), (rows, columns))

    def values(self) -> NDArray[np.uint8]:
        """Return the map, uint8 (rows, columns); it is read-only."""
        return np.frombuffer(zlib.decompress(self.packed), dtype=np.uint8).reshape(self.shape)
