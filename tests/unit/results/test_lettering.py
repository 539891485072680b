# SPDX-License-Identifier: Apache-2.0
"""Text on pictures breaks where a reader would break it."""

from typing import Any

from PIL import Image, ImageDraw

from service.results.picture.lettering import MORE, Column, drawable, font, wrap


def test_a_number_keeps_its_unit() -> None:
    text = "honeycombing 35 %, largest 12 mm"
    for width in range(60, 400, 7):
        lines = wrap(text, size=20, width=width)
        assert not any(line.startswith(("%", "mm")) for line in lines), lines


def test_lines_fit_the_width() -> None:
    lines = wrap("a radiologist reads this line in an old viewer " * 4, size=18, width=200)
    assert len(lines) > 4
    assert all(font(18).getlength(line) <= 200 for line in lines)


def test_a_full_column_says_once_that_words_are_missing() -> None:
    image = Image.new("RGB", (300, 200))
    written: list[str] = []

    class Recorder:
        def text(self, place: tuple[int, int], words: str, **options: Any) -> None:
            written.append(words)
            ImageDraw.Draw(image).text(place, words, **options)

    column = Column(Recorder(), 10, 10, 280, 100)
    assert column.write("one", size=20)
    assert not all([column.write("many words " * 20, size=20), column.write("late", size=10)])
    assert not column.write("later", size=8)
    assert written.count(MORE) == 1
    assert written[-1] == MORE


def test_japanese_wraps_between_characters_and_never_begins_a_line_with_a_full_stop() -> None:
    text = "この検査は解析されていません。これは「所見なし」という結果ではありません。密度 12 % です。"
    lines = wrap(text, size=20, width=200)
    assert len(lines) > 3
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert not any(line.startswith(("。", "」", "ー", "%")) for line in lines)
    assert all(font(20, text).getlength(line) <= 200 for line in lines)


def test_what_the_typeface_does_not_have_is_said_in_ascii() -> None:
    assert drawable("所見 µ") == "?? u"
    assert drawable("所見") == "所見"
