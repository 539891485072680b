# SPDX-License-Identifier: Apache-2.0
"""Process-wide settings take hold."""

import platform
import subprocess
import sys

import pytest


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="NO GLIBC: malloc arenas are glibc's")
def test_malloc_makes_no_arena_for_every_thread() -> None:
    """Count the arenas that malloc_info(3) reports after many threads have allocated at once."""
    program = """
import ctypes, os, sys, threading
from service.bootstrap.process import bound_malloc_arenas
if sys.argv[1] == "bound":
    assert bound_malloc_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
barrier = threading.Barrier(16)
def work():
    barrier.wait()
    for _ in range(200):
        libc.malloc(4096)
    barrier.wait()
threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.fdopen.restype = ctypes.c_void_p
stream = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, stream)
libc.fflush(stream)
"""

    def arenas(mode: str) -> int:
        answer = subprocess.run([sys.executable, "-c", program, mode], capture_output=True, text=True, check=True)
        return answer.stdout.count("<heap nr=")

    assert arenas("bound") <= 2
    assert arenas("free") > 2


def test_no_core_is_dumped_whatever_the_limit_was() -> None:
    program = """
import resource
from service.bootstrap.process import forbid_core_dumps
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
forbid_core_dumps()
print(resource.getrlimit(resource.RLIMIT_CORE))
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "(0, 0)"
