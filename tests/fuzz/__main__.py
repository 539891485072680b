# SPDX-License-Identifier: Apache-2.0
"""Coverage-guided fuzzing with atheris: `python -m fuzz --seconds 7200` (see `make fuzz`), or one target alone.

What it finds lies in build/fuzz/finds; copy a find to tests/fuzz/regressions/TARGET--WHAT.bin, and fix it.
"""

import argparse
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["service", "pynetdicom.pdu", "pynetdicom.pdu_items"]):
    from fuzz.targets import TARGETS, Target

from fuzz.mutation import FOLDER

BUILD = Path("build") / "fuzz"


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the parsers of a peer's bytes.")
    parser.add_argument("--target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=7_200, help="time for all targets together")
    arguments = parser.parse_args()
    (BUILD / "finds").mkdir(parents=True, exist_ok=True)
    if arguments.target:
        fuzz(arguments.target, arguments.seconds)
    share = max(1, arguments.seconds // len(TARGETS))
    command = [sys.executable, "-m", "fuzz", "--seconds", str(share), "--target"]
    return max(subprocess.run([*command, target], check=False).returncode for target in TARGETS)


def fuzz(target: str, seconds: int) -> None:
    """Fuzz one target; libFuzzer ends the process."""
    corpus = BUILD / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    options = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        "-max_len=40000",
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        f"-artifact_prefix={BUILD}/finds/{target}--",
        str(corpus),
        str(FOLDER / "corpus" / target),
    ]
    atheris.Setup(options, kept(target))
    atheris.Fuzz()


def kept(target: str) -> Target:
    """Return the target; bytes at which it raises are kept as a file first."""

    def run(data: bytes) -> None:
        try:
            TARGETS[target](data)
        except Exception as error:
            name = f"{target}--{type(error).__name__}-{sha256(data).hexdigest()[:8]}.bin"
            (BUILD / "finds" / name).write_bytes(data)
            raise

    return run


if __name__ == "__main__":
    sys.exit(main())
