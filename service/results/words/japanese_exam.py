# SPDX-License-Identifier: Apache-2.0
"""What the mammography pipeline says to people, in Japanese; see `japanese` for the rules."""

import re
from collections.abc import Callable

Say = Callable[[re.Match[str]], str]

_SIDES = {"right": "右", "left": "左"}
_KINDS = {"mass": "腫瘤", "architectural distortion": "構築の乱れ", "calcification cluster": "石灰化集簇"}
_ANSWERS = {
    "no lesion": "病変なし",
    "lesion": "病変あり",
    "no lesion or lesion": "病変なし又は病変あり",
    "neither answer": "いずれでもない",
}
_SECTORS = {
    "outer": "外側",
    "inner": "内側",
    "upper": "上部",
    "lower": "下部",
    "front": "乳頭側",
    "back": "胸壁側",
    "first half": "前半",
    "second half": "後半",
}


def _sides(text: str) -> str:
    return text.replace("left", "左").replace("right", "右").replace(" to ", "から")


def _marks(match: re.Match[str]) -> str:
    count, side, view, score, rest = match.groups()
    found = "印なし" if count == "no" else f"印{count}個"
    where = f"({_SIDES[side]}{'乳房' if view == 'breast' else f' {view}'})" if side else ""
    return f"マンモグラフィ:{found}{where}、検査スコア{score}{'、全方向ではありません' if rest else ''}"


def _pair(match: re.Match[str]) -> str:
    side, cc, mlo, vertical, across = match.groups()
    place = f"、{_SECTORS[across]}{_SECTORS[vertical]}" if vertical else ""
    return f"同一とみなす:{_SIDES[side]} CCとMLOの印、乳頭から奥へ{cc} mmと{mlo} mm{place}"


def _shares(match: re.Match[str]) -> str:
    shares = match[1]
    for english, japanese in _SECTORS.items():
        shares = shares.replace(english, japanese)
    return f"撮影方向のスコアへの寄与(Shapley値):{shares};細部を除くと{match[2]}"


EXAM_FORMS: tuple[tuple[str, Say], ...] = (
    (
        r"Mammography: (no|\d+) marks?(?: \((left|right) (\S+)\))?, exam score ([\d.]+)(, not all views)?",
        _marks,
    ),
    (
        r"Exam, (\S+) % set: (no lesion or lesion|no lesion|lesion|neither answer)",
        lambda m: f"検査の{m[1]} %集合:{_ANSWERS[m[2]]}",
    ),
    (r"View scores: (.+)", lambda m: f"撮影方向ごとのスコア:{m[1]}"),
    (r"Breast scores: (.+)", lambda m: f"乳房ごとのスコア:{_sides(m[1])}"),
    (r"Exam score (\S+); operating point (\S+) at (\S+)", lambda m: f"検査スコア{m[1]};動作点 {m[2]} は{m[3]}"),
    (
        r"Exam score in decile (\d+) of (\d+) exams at this site: a rank, no probability",
        lambda m: f"検査スコアは当施設の{m[2]}検査中、下から第{m[1]}十分位(順位であり、確率ではありません)",
    ),
    (r"Standard views not read: (.+)", lambda m: f"読まれていない標準撮影:{m[1]}"),
    (
        (
            r"Taken for one: (right|left) CC and MLO marks, (\d+) and (\d+) mm behind the nipple"
            r"(?:, (upper|lower) (outer|inner) quadrant)?"
        ),
        _pair,
    ),
    (r"Dense area, measured: (.+)", lambda m: f"高濃度域の割合(計測値):{_sides(m[1])}"),
    (
        r"Asymmetry of dense area, (CC|MLO): (\d+) percentage points more on the (right|left)",
        lambda m: f"高濃度域の左右差、{m[1]}:{_SIDES[m[3]]}が{m[2]}ポイント多い",
    ),
    (r"Shares of the view score \(exact Shapley\): (.+); without detail (\S+)", _shares),
    (r"Share of the map within the marks: (\d+ %)", lambda m: f"印の中にあるマップの割合:{m[1]}"),
    (
        r"Since (\S+): exam score (\S+) to (\S+); breasts: (.+)",
        lambda m: f"{m[1]}からの変化:検査スコア{m[2]}から{m[3]};乳房:{_sides(m[4])}",
    ),
    (r"Since (\S+): dense area (.+)", lambda m: f"{m[1]}からの変化:高濃度域 {_sides(m[2])}"),
    (
        r"The result of (\S+) holds no exam score to compare with\.",
        lambda m: f"{m[1]}の結果には比較できる検査スコアがありません。",
    ),
    (
        r"(Mass|Architectural distortion|Calcification cluster) candidate, (left|right) (\S+), score (\S+)",
        lambda m: f"{_KINDS[m[1].lower()]}の候補、{_SIDES[m[2]]} {m[3]}、スコア{m[4]}",
    ),
    (
        r"No (mass|architectural distortion|calcification cluster) candidate, (left|right) (\S+)",
        lambda m: f"{_KINDS[m[1]]}の候補の指摘なし、{_SIDES[m[2]]} {m[3]}",
    ),
    (
        r"(Mass|Architectural distortion|Calcification cluster) candidates with score (\S+) or more: (\d+)",
        lambda m: f"{_KINDS[m[1].lower()]}の候補(スコア{m[2]}以上):{m[3]}",
    ),
    (
        r"In brackets: malignancy score of a second look, no probability",
        lambda m: "括弧内:再評価による悪性度スコア(確率ではありません)",  # noqa: ARG005 - every form takes its match
    ),
    (
        r"Calcifications raise the view score; the map explains (\S+) of it",
        lambda m: f"石灰化により撮影方向のスコアが上がっています;マップが説明するのは{m[1]}です",
    ),
    (
        r"A place below the threshold of distortions raises the view score; the map explains (\S+) of it",
        lambda m: f"閾値未満の構築の乱れ候補により撮影方向のスコアが上がっています;マップが説明するのは{m[1]}です",
    ),
    (
        r"A place below the threshold of calcifications raises the view score; the map explains (\S+) of it",
        lambda m: f"閾値未満の石灰化候補により撮影方向のスコアが上がっています;マップが説明するのは{m[1]}です",
    ),
    (
        r"A distortion raises the view score; the map explains (\S+) of it",
        lambda m: f"構築の乱れにより撮影方向のスコアが上がっています;マップが説明するのは{m[1]}です",
    ),
    (r"(Right|Left) (\S+): view score (\S+)", lambda m: f"{_SIDES[m[1].lower()]} {m[2]}:撮影方向のスコア{m[3]}"),
    (r"Marks with score (\S+) or more: (\d+)", lambda m: f"スコア{m[1]}以上の印:{m[2]}"),
    (
        r"Colour: what raised the view score \(class activation map\)\. Boxes: detector marks\. A map .+ detection\.",
        lambda _: "色:撮影方向のスコアを上げた部分(クラス活性化マップ)。枠:検出器の印。色は検出ではありません。",
    ),
)
"""The lines of the pipeline, and the same in Japanese."""
