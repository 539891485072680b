# SPDX-License-Identifier: Apache-2.0
"""A flood of HTTP requests from a process of its own: `python -m harness.flood PORT SECONDS CONNECTIONS PATH...`."""

import asyncio
import socket
import struct
import sys
import threading
import time
from collections import Counter
from itertools import cycle

MOST_A_SECOND = 12_000
RESET_AT_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: nothing is left in the kernel of a connection that is closed."""
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


def shot(port: int, path: str) -> str:
    """Ask, and be gone before anybody can answer; a full backlog is not waited for."""
    with socket.socket() as connection:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        connection.connect_ex(("127.0.0.1", port))
        try:
            connection.send(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        except OSError:
            return CONNECT_PROBLEM
    return UNREAD


def shots(port: int, paths: "cycle[str]", ends: float, counts: Counter[str]) -> None:
    """Ask as often as one processor can, at most `MOST_A_SECOND` times."""
    begun, asked = time.monotonic(), 0
    while (now := time.monotonic()) < ends:
        if asked > (now - begun) * MOST_A_SECOND:
            time.sleep(0.001)
            continue
        counts[shot(port, next(paths))] += 1
        asked += 1


async def client(port: int, paths: "cycle[str]", ends: float, counts: Counter[str]) -> None:
    while time.monotonic() < ends:
        counts[await request(port, next(paths))] += 1


async def reading(port: int, paths: list[str], ends: float, counts: Counter[str], *, connections: int) -> None:
    turns = cycle(paths)
    await asyncio.gather(*(client(port, turns, ends, counts) for _ in range(connections)))


def flood(port: int, seconds: float, connections: int, paths: list[str]) -> Counter[str]:
    """Ask from so many connections at once and wait for the answers, and shoot beside; return how often each came."""
    read, shot_at, ends = Counter[str](), Counter[str](), time.monotonic() + seconds
    thread = threading.Thread(target=shots, args=(port, cycle(paths), ends, shot_at))
    thread.start()
    asyncio.run(reading(port, paths, ends, read, connections=connections))
    thread.join()
    return read + shot_at


def main() -> None:
    port, seconds, connections, *paths = sys.argv[1:]
    counts = flood(int(port), float(seconds), int(connections), paths)
    sys.stdout.write(" ".join(f"{status}={number}" for status, number in sorted(counts.items())) + "\n")


if __name__ == "__main__":
    main()
