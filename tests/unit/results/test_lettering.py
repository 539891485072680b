# SPDX-License-Identifier: Apache-2.0
"""Text on pictures breaks where a reader would break it."""

from service.results.lettering import font, wrap


def test_a_number_keeps_its_unit() -> None:
    text = "honeycombing 35 %, largest 12 mm"
    for width in range(60, 400, 7):
        lines = wrap(text, size=20, width=width)
        assert not any(line.startswith(("%", "mm")) for line in lines), lines


def test_lines_fit_the_width() -> None:
    lines = wrap("a radiologist reads this line in an old viewer " * 4, size=18, width=200)
    assert len(lines) > 4
    assert all(font(18).getlength(line) <= 200 for line in lines)
