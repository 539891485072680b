# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.storage.space import space_problem

SMALL_DISK = """
import sys
from pathlib import Path
from service.storage.space import space_problem
folder = Path(sys.argv[1])
print(space_problem(folder, 0) or "room")
for number in range(97):
    (folder / str(number)).touch()
print(space_problem(folder, 0) or "room")
for number in range(20):
    (folder / str(number)).unlink()
print(space_problem(folder, 0) or "room")
(folder / "big").write_bytes(bytes(700_000))
print(space_problem(folder, 500_000) or "room")
"""
MOUNT_AND_RUN = 'mount -t tmpfs -o size=1m,nr_inodes=100 none "$1" && exec "$2" -c "$3" "$1"'


def test_bytes_and_inodes_are_counted_anew_each_time(tmp_path: Path) -> None:
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", MOUNT_AND_RUN, "sh", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [*command, sys.executable, SMALL_DISK], check=False, capture_output=True, text=True, env=environment
    )
    if "unshare" in result.stderr or "mount" in result.stderr:
        pytest.skip(f"NO USER NAMESPACES: {result.stderr.strip()}")
    before, full, after, no_bytes = result.stdout.splitlines()
    assert before == "room"
    assert "2 of 100 inodes are free" in full
    assert after == "room"
    assert "below storage.reserve_bytes (500000)" in no_bytes


def test_a_folder_that_is_gone_is_no_room(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        space_problem(tmp_path / "gone", 0)
