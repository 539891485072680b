# SPDX-License-Identifier: Apache-2.0
"""A flood of HTTP requests from a process of its own: `python -m harness.flood PORT SECONDS CONNECTIONS PATH...`."""

import asyncio
import sys
import time
from collections import Counter
from itertools import cycle

CONNECT_PROBLEM, NO_ANSWER, UNREAD = "refused", "closed", "unread"


async def request(port: int, path: str) -> str:
    """Ask once on a connection of its own; return the status, or what came instead."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 2)
    except (OSError, TimeoutError):
        return CONNECT_PROBLEM
    try:
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 5)
        return answer[9:12].decode() or NO_ANSWER
    except (OSError, TimeoutError):
        return NO_ANSWER
    finally:
        writer.transport.abort()


async def shot(port: int, path: str) -> str:
    """Ask, and be gone before anybody can answer; a full backlog is not waited for."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 0.2)
    except (OSError, TimeoutError):
        return CONNECT_PROBLEM
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    await asyncio.sleep(0)
    writer.transport.abort()
    return UNREAD


async def client(port: int, paths: "cycle[str]", ends: float, counts: Counter[str], *, reads: bool) -> None:
    while time.monotonic() < ends:
        counts[await (request if reads else shot)(port, next(paths))] += 1


async def flood(port: int, seconds: float, connections: int, paths: list[str]) -> Counter[str]:
    """Ask from many connections at once; one in sixteen waits for its answers. Return how often each came."""
    counts: Counter[str] = Counter()
    turns, ends = cycle(paths), time.monotonic() + seconds
    await asyncio.gather(*(client(port, turns, ends, counts, reads=number % 16 == 0) for number in range(connections)))
    return counts


def main() -> None:
    port, seconds, connections, *paths = sys.argv[1:]
    counts = asyncio.run(flood(int(port), float(seconds), int(connections), paths))
    sys.stdout.write(" ".join(f"{status}={number}" for status, number in sorted(counts.items())) + "\n")


if __name__ == "__main__":
    main()
