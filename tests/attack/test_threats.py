# SPDX-License-Identifier: Apache-2.0
"""Every threat of THREATS.md names a test, and every test that it names is there (IEC 81001-5-1, 5.7.2)."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
THREATS = Path(__file__).with_name("THREATS.md")
ROWS = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in THREATS.read_text().splitlines()
    if re.match(r"\| [AG]\d", line)
]
KNOWN = {
    *(f"A{number:02d}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, *range(10, 19), 21, 22, 23, 25, 42, 43, 44, 46, 48)),
    *(f"G{number}" for number in (*range(27, 41), 45, 48)),
}
IDENTIFIER = re.compile(r"`([\w/]+\.py)::(\w+)`")


def defined(path: Path) -> set[str]:
    return set(re.findall(r"^def (test_\w+)", path.read_text(), flags=re.MULTILINE))


def test_no_threat_is_missing() -> None:
    assert {row[0] for row in ROWS} == KNOWN


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_threat_names_tests_that_exist(row: list[str]) -> None:
    named = IDENTIFIER.findall(row[2])
    assert named, f"{row[0]} has no test"
    for file, test in named:
        assert test in defined(TESTS / file), f"{row[0]}: {file} has no {test}"


def test_every_attack_defends_against_a_named_threat() -> None:
    named = {test for row in ROWS for _, test in IDENTIFIER.findall(row[2])}
    files = (
        "test_upper_layer.py",
        "test_data_sets.py",
        "test_pixels.py",
        "test_surroundings.py",
        "test_http.py",
        "test_long.py",
    )
    attacks = {test for file in files for test in defined(THREATS.with_name(file)) if re.match(r"test_[ag]\d", test)}
    assert attacks - named == set()
