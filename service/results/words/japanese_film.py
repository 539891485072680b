# SPDX-License-Identifier: Apache-2.0
"""What the chest film pipeline says to people, in Japanese; see `japanese` for the rules."""

import re
from collections.abc import Callable

Say = Callable[[re.Match[str]], str]

QUESTIONS = {
    "ILO-style reading sheet": "ILO形式の読影票",
    "Film quality": "写真の質",
    "Grade 1 to 4": "質の段階(1から4)",
    "Pixel spacing": "画素間隔",
    "Grey range": "階調の幅",
    "Black or white": "黒つぶれ・白飛び",
    "Heart brighter than lung": "心陰影と肺野の明るさの差",
    "Lung at the edge": "画像の端にかかる肺野",
    "Heart over chest width": "心胸郭比",
    "Rotation, breath, scapulae, artefacts": "体の回旋、吸気、肩甲骨、アーチファクト",
    "Small opacities": "小陰影",
    "Profusion": "密度",
    "Shape and size": "形と大きさ",
    "Zones at 0/1 or more": "0/1以上の肺野",
    "Zones": "肺野",
    "Right upper": "右上",
    "Right middle": "右中",
    "Right lower": "右下",
    "Left upper": "左上",
    "Left middle": "左中",
    "Left lower": "左下",
    "Large opacities": "大陰影",
    "Category, ILO rule": "分類(ILOの規則)",
    "Category, Japanese rule": "分類(じん肺法の規則)",
    "Pleura": "胸膜",
    "Pleural abnormality": "胸膜の異常",
    "Diffuse thickening": "びまん性胸膜肥厚",
    "Plaque": "胸膜プラーク",
    "Calcification": "胸膜石灰化",
    "Costophrenic angle obliterated": "肋骨横隔膜角の鈍化",
    "Symbols": "付加記号",
    "Obligatory symbols": "必須の付加記号",
    "Pneumoconiosis Act (Japan)": "じん肺法",
    "Type, candidate": "型の候補",
    "Since the prior film": "前回の写真からの変化",
    "Date": "前回の日付",
}
"""The titles and questions of the reading sheet."""

CHANGE = r"(?:(\S+) to (\S+), ([+-]\d+) steps?|(\S+), unchanged)"
_NOT_EXCLUDED = "大陰影は読まれていないため、第4型は除外できません"
_SIDES = {"right": "右", "left": "左", "Right": "右", "Left": "左"}
_UNREAD = {"large opacities": "大陰影", "part of the pleura": "胸膜の一部", "pleura": "胸膜", "symbols": "付加記号"}
_QUEUES = {"expert readers' queue": "専門読影者へ", "ordinary queue": "通常の読影へ"}


def _unread(match: re.Match[str]) -> str:
    parts = re.split(r", | and ", match[1].lower())
    return "、".join(_UNREAD.get(part, part) for part in parts) + "は読まれていません。"


def _typed(match: re.Match[str]) -> str:
    rest = f"、{match[3]}の候補" if match[3] else ""
    return f"大陰影{match[1]}(ILOの規則)、小陰影の密度{match[2]}{rest}"


def _routing(match: re.Match[str]) -> str:
    demonstration = "実演用のため振り分けは行われません。行う場合:" if match[1] else ""
    where = f"振り分け(緊急度ではありません):{_QUEUES[match[2]]}"
    return f"{demonstration}{where}(スコア{match[3]}、動作点 {match[4]} は{match[5]})"


def _change(match: re.Match[str]) -> str:
    if match[1]:
        return f"{match[1]}から{match[2]}、{match[3]}段階"
    return f"{match[4]}、変化なし"


def _since(match: re.Match[str]) -> str:
    changed = re.fullmatch(CHANGE, match[2])
    said = _change(changed) if changed else match[2]
    return f"{match[1]}からの変化:密度{said};肺野ごとの段階:右 {match[3]}、左 {match[4]}"


def _predictive(match: re.Match[str]) -> str:
    positive, negative = ("不明" if share == "unknown" else f"{share} %" for share in (match[2], match[3]))
    figures = f"感度{match[4]}、特異度{match[5]}、測定対象:{match[6]}"
    return f"有病率{match[1]} %のとき陽性的中率{positive}、陰性的中率{negative}({figures})"


def _candidate(match: re.Match[str]) -> str:
    limit = f"。{_NOT_EXCLUDED}" if match[3] else ""
    return f"{match[1]}:密度{match[2]}{limit}"


FILM_FORMS: tuple[tuple[str, Say], ...] = (
    (
        r"Pleural findings, small opacities ([^\s,]+)(?:, (PR\d) candidate)?",
        lambda m: f"胸膜所見あり、小陰影の密度{m[1]}{f'、{m[2]}の候補' if m[2] else ''}",
    ),
    (r"Large opacity (A|B|C) \(ILO rule\), small opacities (\S+?)(?:, (PR\d) candidate)?", _typed),
    (
        r"No small opacities of profusion 1/0 or more \((.+)\), (PR\d) candidate",
        lambda m: f"密度1/0以上の小陰影の指摘なし({m[1]})、{m[2]}の候補",
    ),
    (
        r"Small opacities, profusion (\S+), shape (\S+?), (PR\d) candidate",
        lambda m: f"小陰影あり、密度{m[1]}、形{m[2]}、{m[3]}の候補",
    ),
    (r"(Right|Left), share of the score: (.+)", lambda m: f"{_SIDES[m[1]]} スコアへの寄与:{m[2]}"),
    (
        (
            r"(Demonstration, routes nothing; it would say: )?Routing, not urgency: "
            r"(expert readers' queue|ordinary queue) \(score (\S+), (.+) at (\S+)\)"
        ),
        _routing,
    ),
    (
        (
            r"At (\S+) % prevalence PPV (\S+)(?: %)?, NPV (\S+)(?: %)? "
            r"\(sensitivity (\S+), specificity (\S+), measured on (.+)\)"
        ),
        _predictive,
    ),
    (
        r"At (\S+) % prevalence PPV and NPV are unknown: the package gives no sensitivity and specificity",
        lambda m: f"有病率{m[1]} %のときの的中率は不明です。パッケージに感度と特異度がありません",
    ),
    (r"((?i:large opacities|part of the pleura|pleura|symbols).*) are not read\.", _unread),
    (
        r"Suggestive, not an ILO classification: .+",
        lambda _: "参考であり、ILO分類ではありません。分類は読影者がILO標準写真と並べて行うものです。",
    ),
    (r"Since (\S+): profusion (.+?); zones, steps: R (.+), L (.+)", _since),
    (
        r"The result of (\S+) holds no profusion to compare with\.",
        lambda m: f"{m[1]}の結果には比較できる密度がありません。",
    ),
    (CHANGE, _change),
    (r"Large opacity, (right|left), (\d+) mm", lambda m: f"大陰影、{_SIDES[m[1]]}、{m[2]} mm"),
    (r"not read", lambda _: "読まれていません"),
    (
        r"not read \(switched off: (\d+) of (\d+) normal films were called\)",
        lambda m: f"読まれていません(停止中:正常写真{m[2]}枚のうち{m[1]}枚が陽性とされたため)",
    ),
    (r"not read \(for a reader\)", lambda _: "読まれていません(読影者が判定します)"),
    (r"(\S+ %|\S+) of the display", lambda m: f"表示範囲の{m[1]}"),
    (r"(\d+ %) of the film's middle", lambda m: f"写真の中央部の{m[1]}"),
    (r"(\S+) \(category (\d)\)", lambda m: f"{m[1]}(大分類{m[2]})"),
    (r"none at 1/0 or more", lambda _: "1/0以上なし"),
    (r"none", lambda _: "なし"),
    (
        r"(\S+), score (\S+), share of the film's (\S+)",
        lambda m: f"{m[1]}、スコア{m[2]}、写真のスコアへの寄与{m[3]}",
    ),
    (r"0, none above 10 mm", lambda _: "0、10 mmを超えるものなし"),
    (
        r"(A|B|C), longest diameters (\d+) mm, area (\d+) cm2",
        lambda m: f"{m[1]}、最大径の和{m[2]} mm、面積の和{m[3]} cm2",
    ),
    (r"(right|left)", lambda m: _SIDES[m[1]]),
    (r"right and left", lambda _: "左右"),
    (r"(PR\d): profusion (\S+?)(; large opacities were not read, so that type 4 is not excluded)?", _candidate),
    (
        r"(PR4): large opacity (A|B|C) by the Japanese rule",
        lambda m: f"{m[1]}:大陰影{m[2]}(じん肺法の規則)",
    ),
    (
        r"none: small opacities were not read in both lungs, which types 1 to 3 ask for(; large opacities .+)?",
        lambda m: (
            "なし:小陰影が両肺野に読まれていません。第1型から第3型には両肺野の小陰影が必要です。"
            + (_NOT_EXCLUDED if m[1] else "")
        ),
    ),
)
"""The lines and answers of the pipeline, and the same in Japanese."""
