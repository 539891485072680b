# SPDX-License-Identifier: Apache-2.0
"""Seeds of every target, and ways to spoil them that parsers trip over."""

import random
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
INTERESTING = (0, 1, 2, 4, 8, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
LONGEST = 40_000


def seeds(target: str) -> list[bytes]:
    """Return the committed corpus of a target."""
    return [path.read_bytes() for path in sorted((FOLDER / "corpus" / target).glob("*.bin"))]


def regressions() -> list[Path]:
    """Return the files of bugs that were found; a name is target, two hyphens, what it was."""
    return sorted((FOLDER / "regressions").glob("*--*.bin"))


def spoil(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """Return a variant of some bytes with one to five changes."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 5)):
        _change(changed, others, chance)
    return bytes(changed[:LONGEST])


def _change(data: bytearray, others: list[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    length = min(chance.choice((1, 2, 4, 8, 40, 200)), max(1, len(data)))
    match chance.randrange(8):
        case 0:
            data[at : at + 1] = bytes([chance.randrange(256)])
        case 1:
            width = chance.choice((1, 2, 4))
            value = chance.choice(INTERESTING) % (1 << 8 * width)
            data[at : at + width] = value.to_bytes(width, chance.choice(("little", "big")))
        case 2:
            del data[at : at + length]
        case 3:
            data[at:at] = data[at : at + length] * chance.randint(1, 20)
        case 4:
            data[at:at] = chance.randbytes(length)
        case 5:
            other = chance.choice(others)
            begin = chance.randrange(len(other) + 1)
            data[at:at] = other[begin : begin + length]
        case 6:
            del data[at:]
        case _:
            other_place = chance.randrange(len(data) + 1)
            data[at : at + length] = data[other_place : other_place + length]
