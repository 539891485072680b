# SPDX-License-Identifier: Apache-2.0
"""What is said to people, in Japanese: every character lies in JIS X 0208, which ISO 2022 IR 87 can carry.

Sentences of our own are written out. Lines that a pipeline makes of its numbers are recognised by their form and said
again; a line of unknown form stays English, so that nothing is ever left out. Element names, values and codes stay as
they are. Half-width kana, circled digits and squared units are not in JIS X 0208: "mm" is two letters.
"""

import re
from collections.abc import Callable

from service.codes import Code, table
from service.domain.result import Finding, Outcome, Presence, Reason
from service.results.words.japanese_exam import EXAM_FORMS
from service.results.words.japanese_film import FILM_FORMS, QUESTIONS

RESEARCH_BANNER = "研究用 - 診断に使用しないこと"
DEMONSTRATION_BANNER = "デモンストレーション - 臨床使用禁止"
DEMONSTRATION_SENTENCE = (
    "デモンストレーション - 臨床使用禁止。このモデルパッケージは実演用で、患者での妥当性は確認されていません。"
)
RESEARCH_SENTENCE = (
    "研究用 - 診断に使用しないこと。医師が確認していないコンピュータの出力です。"
    "印がないことは病気がないことを意味しません。"
)
NOT_NEGATIVE_SENTENCE = (
    "これは「所見なし」という結果ではありません。この検査は送られなかったものとして読影してください。"
)
OUTCOMES = {
    Outcome.FINDINGS: "解析済み:所見あり",
    Outcome.NO_FINDINGS: "解析済み:モデルの指摘なし",
    Outcome.PARTLY_ANALYSED: "一部のみ解析",
    Outcome.NOT_ANALYSED: "解析されていません",
}
STATES = {
    Outcome.FINDINGS: "この検査は解析され、モデルが所見を示しました。",
    Outcome.NO_FINDINGS: (
        "この検査は解析されましたが、モデルが示した所見はありません。印がないことは病気がないことを意味しません。"
    ),
    Outcome.PARTLY_ANALYSED: (
        "この検査は一部だけが解析されました。解析されなかった部分は見られていません。その部分については何も言えません。"
    ),
    Outcome.NOT_ANALYSED: (
        "この検査は解析されていません。これは「所見なし」という結果ではありません。"
        "この検査は送られなかったものとして読影してください。"
    ),
}
PRESENCES = {
    Presence.PRESENT: "あり",
    Presence.ABSENT: "指摘なし",
    Presence.UNDETERMINED: "不明(判定されていません)",
}
PIPELINES = {"pneumoconiosis": "じん肺", "diffuse_lung": "びまん性肺疾患", "mammography": "マンモグラフィ"}

TERMS = {
    "Computer-aided analysis": "コンピュータ支援解析の結果",
    "Result": "結果",
    "Not analysed": "解析されなかったもの",
    "Findings": "所見",
    "Finding": "所見",
    "Place": "部位",
    "Model says": "モデルの判定",
    "Values": "値",
    "Model score": "モデルスコア",
    "certainty": "確信度",
    "Notes": "注意",
    "Note": "注意",
    "Pictures": "画像",
    "Picture": "画像",
    "not sent here": "この送信先に送らない画像",
    "Summary": "要約",
    "How it was made": "作成の方法",
    "Model package": "モデルパッケージ",
    "Package digest (SHA-256)": "パッケージのハッシュ値(SHA-256)",
    "Package status": "パッケージの状態",
    "Operating point": "動作点",
    "Software": "ソフトウェア",
    "Analysed at": "解析日時",
    "Images given to the analysis": "解析に用いた画像",
    "Pipeline": "パイプライン",
    "Result line as computed": "計算時の結果文(英語)",
    "no operating point was applied": "動作点は適用されていません",
    "none ran": "実行されていません",
    "no reason was recorded": "理由は記録されていません",
    "more findings; the structured report has all": "件の所見がほかにあります。全件は構造化レポートにあります",
    "more images": "件の画像がほかにあります",
    "page": "ページ",
    "Not verified by a physician.": "医師による確認はされていません。",
    "No colour does not mean no disease.": "色がないことは病気がないことを意味しません。",
    "The model was not run.": "モデルは実行されていません。",
    "No finding was marked.": "モデルが示した所見はありません。",
    "demonstration": "実演用",
    "research": "研究用",
    "site-validated": "施設で検証済み",
    "approved": "承認済み",
    "review first": "優先読影",
    "picture": "画像",
    "of": "/",
    "... more than fits here, see the report": "... ここに収まりません。レポートを見てください",
}
"""Headings and short phrases, by their English form."""

REASONS = {
    "age": "対象年齢ではありません",
    "age_unknown": "年齢が記録されていません",
    "analysis_failed": "この画像の解析は繰り返し失敗しました",
    "background_not_dark": "背景が暗くありません",
    "bits_stored": "階調のビット数が足りません",
    "body_part": "撮影部位が対象外です",
    "body_part_not_chest": "撮影部位が胸部ではありません",
    "body_part_unknown": "撮影部位が記録されていません",
    "breast_area": "乳房の面積が範囲外です",
    "breast_exceeds_field": "乳房が撮影範囲を超えています",
    "cardiothoracic_ratio": "心胸郭比が範囲外です",
    "burned_in": "画像に文字が焼き込まれています",
    "contrast_agent": "造影剤が使われています",
    "derivation": "加工された画像です",
    "digitised_film": "フィルムを読み取った画像です",
    "duplicate_positions": "同じ位置のスライスが複数あります",
    "dynamic_range": "画像の階調の幅が足りません",
    "encoding_failed": "結果をDICOMとして書けませんでした",
    "energy_outside_lungs": "モデルの根拠が肺野の外にあります",
    "for_processing": "処理前の画像を変換して解析しました",
    "gantry_tilted": "ガントリが傾いています",
    "heart_certainty": "心陰影が確実に認識できません",
    "heart_side": "心臓が右側にあります",
    "image_type": "画像の種類が対象外です",
    "images_deleted": "保存期間が過ぎ、一部の画像は削除されています",
    "implant": "乳房インプラントがあります",
    "indeterminate": "モデルの判定が定まりません",
    "kernel_not_listed": "再構成関数が確認済みのものではありません",
    "laterality": "左右が対象外または不明です",
    "laterality_doubtful": "左右の記録が誤っている可能性があります",
    "laterality_disagrees": "左右の記録が画像の向きと合いません",
    "lossy": "非可逆圧縮された画像です",
    "lossy_compression": "非可逆圧縮された画像です",
    "lossy_ratio": "非可逆圧縮の圧縮率が高すぎます",
    "lung_area": "肺野の面積が範囲外です",
    "lung_certainty": "肺野が確実に認識できません",
    "lung_cut_off": "肺野が画像の端で切れています",
    "lung_ratio": "左右の肺野の面積が違いすぎます",
    "lung_sides": "左右の肺野の位置が合いません",
    "magnification": "拡大撮影です",
    "mirrored": "画像が左右反転しているか、心臓が右側にあります",
    "mixed_geometry": "スライスの形状が揃っていません",
    "multi_frame": "複数フレームの画像です",
    "no_frontal_chest": "胸部正面像と認められません",
    "no_mammogram": "マンモグラムがありません",
    "no_radiograph": "単純X線写真がありません",
    "not_a_mammogram": "マンモグラムではありません",
    "not_axial": "横断像ではありません",
    "on_its_side": "画像が横向きです",
    "orientation": "画像の向きが対象外です",
    "orientation_disagrees": "画像の向きの記録が画像と合いません",
    "orientation_unknown": "画像の向きが記録されていません",
    "out_of_distribution": "モデルの学習に用いた画像と異なります",
    "partial_view": "乳房の一部だけの撮影です",
    "patient_orientation": "患者の向きの記録が使えません",
    "patient_sex": "パッケージが対象としない性別です",
    "polarity": "白黒が逆です",
    "performance_not_assured": "モデルの性能は保証されません",
    "pixel_intensity": "画素値とX線の強さの関係が記録されていません",
    "pixel_spacing": "画素間隔が範囲外または不明です",
    "pixel_spacing_coarse": "画素間隔が粗すぎます",
    "pixel_spacing_missing": "画素間隔が記録されていません",
    "pixel_spacing_outside_range": "画素間隔が範囲外です",
    "pixel_spacing_uncalibrated": "画素間隔が較正されていません",
    "pixel_spacing_unknown": "画素間隔が記録されていません",
    "pixels_unreadable": "画素を読み取れません",
    "portable": "ポータブル撮影です",
    "position_unknown": "スライスの位置が記録されていません",
    "presentation_intent": "表示用の画像ではありません",
    "lungs_inconsistent": "肺の輪郭がスライス間で合いません",
    "prior_incomplete": "過去の検査がサーバーから一部しか届かず、比較していません",
    "prior_late": "過去の検査の結果が間に合わず、比較していません",
    "prior_other_patient": "サーバーから別の患者の検査が届いたため、比較していません",
    "prior_refused": "過去の検査の検索または取得をサーバーが拒否したため、比較していません",
    "prior_unreachable": "過去の検査をサーバーに問い合わせできず、比較していません",
    "prior_unusable": "過去の検査を解析できず、比較していません",
    "prior_of_other_mode": "過去の検査とは標本の取り方が違います",
    "prior_of_other_package": "過去の検査は別のモデルパッケージで解析されています",
    "prior_unreadable": "過去の検査の結果を読み取れません",
    "prone_position": "腹臥位で撮影されています",
    "repeated_view": "同じ撮影方向の画像が複数あります",
    "rescale_type_not_hu": "CT値に変換できません",
    "saturation": "白飛びまたは黒つぶれがあります",
    "several_films": "写真が複数あります",
    "slice_thicker_than_best": "スライス厚が望ましい値より厚くなっています",
    "slice_thickness_unknown": "スライス厚が記録されていません",
    "slice_too_thick": "スライスが厚すぎます",
    "slices_missing": "スライスが欠けています",
    "slices_not_parallel": "スライスが平行ではありません",
    "slices_with_gaps": "スライスの間に隙間があります",
    "sop_class": "画像のSOPクラスが対象外です",
    "spacing_uneven": "スライスの間隔が揃っていません",
    "specimen": "標本の画像です",
    "tomosynthesis": "トモシンセシスの画像です",
    "too_few_slices": "スライスが足りません",
    "no_ct_image": "CT画像がありません",
    "no_original_axial_image": "元の横断像がありません",
    "no_lungs": "肺が見つかりません",
    "one_lung": "片側の肺だけです",
    "lung_volume_implausible": "肺の体積が範囲外です",
    "lung_not_classifiable": "肺の大部分を分類できません",
    "lungs_cut_laterally": "肺の側方が撮影範囲の外にあります",
    "lungs_cut_off": "肺が撮影範囲の端で切れています",
    "emphysema_not_confirmed": "肺気腫の判定がCT値と合いません",
    "package_unavailable": "使えるモデルパッケージがありません",
    "header_unusable": "画像のヘッダが使えません",
    "selection_failed": "画像のヘッダの処理に失敗しました",
    "input_unusable": "画像が使えません",
    "package_unusable": "モデルパッケージが使えません",
    "unilateral": "片側の肺野だけです",
    "upside_down": "画像が上下逆です",
    "view": "撮影方向が対象外です",
    "view_modifier": "撮影方向の修飾が対象外です",
    "view_unknown": "撮影方向が記録されていません",
}
"""What the code of a reason means; the message with element, value and rule follows in English."""

PATTERNS = {
    "normal lung": "パターンなし",
    "consolidation": "浸潤影",
    "ground glass": "すりガラス影",
    "ground glass + nodules": "すりガラス影と粒状影",
    "ground glass + reticulation": "すりガラス影と網状影",
    "reticulation": "網状影",
    "honeycombing": "蜂巣肺",
    "micronodules": "微小結節",
    "emphysema": "肺気腫",
    "single cyst": "単発の嚢胞",
    "multiple cysts": "多発嚢胞",
    "crazy paving": "メロンの皮様所見",
}
ZONES = {"RU": "右上", "RM": "右中", "RL": "右下", "LU": "左上", "LM": "左中", "LL": "左下"}
SIDES = {"right": "右", "left": "左", "R": "右", "L": "左"}
LEVELS = {"upper": "上肺野", "middle": "中肺野", "lower": "下肺野"}
SHEET = {
    "rounded": "円形陰影",
    "irregular or linear": "不整形・線状陰影",
    "inhomogeneous attenuation": "不均一な濃度",
    "honeycombing": "蜂巣肺",
    "emphysema": "肺気腫",
    "large opacities": "大陰影",
    "pleura": "胸膜",
    "symbols": "付加記号",
}
FEATURES = {
    "honeycombing": "蜂巣肺",
    "reticular or linear opacities": "網状影または線状影",
    "ground-glass opacity": "すりガラス影",
    "rounded or micronodular opacities": "円形または微小結節状の陰影",
    "emphysema": "肺気腫",
    "consolidation": "浸潤影",
    "cysts": "嚢胞",
    "no honeycombing (below 2 %)": "蜂巣肺なし(2 %未満)",
    "honeycombing with subpleural predominance": "胸膜下優位の蜂巣肺",
    "honeycombing with basal predominance": "肺底部優位の蜂巣肺",
    "reticular or linear opacities with subpleural predominance": "胸膜下優位の網状影または線状影",
    "reticular or linear opacities with basal predominance": "肺底部優位の網状影または線状影",
    "reticular opacities or honeycombing with upper predominance": "上肺優位の網状影または蜂巣肺",
    "rounded or micronodular opacities with upper predominance": "上肺優位の円形または微小結節状の陰影",
    "more ground-glass opacity than reticular opacities and honeycombing": "網状影と蜂巣肺より多いすりガラス影",
    "honeycombing, subpleural and basal (listed for UIP, 2018/2022)": (
        "胸膜下かつ肺底部の蜂巣肺(UIPの項に挙げられた特徴、2018/2022)"
    ),
    "reticular opacities, subpleural and basal, no honeycombing (listed for probable UIP, 2018/2022)": (
        "胸膜下かつ肺底部の網状影、蜂巣肺なし(probable UIPの項に挙げられた特徴、2018/2022)"
    ),
    "upper predominance of fibrosis (listed for another cause, 2018/2022)": (
        "上肺優位の線維化(他の原因の項に挙げられた特徴、2018/2022)"
    ),
    "predominant ground-glass opacity (listed for another cause, 2018/2022)": (
        "優位なすりガラス影(他の原因の項に挙げられた特徴、2018/2022)"
    ),
    "emphysema in upper, reticular opacities or honeycombing in lower zones": (
        "上肺野の肺気腫と下肺野の網状影または蜂巣肺"
    ),
}
"""What the rules that come with the node say; those of a package stay English."""

Say = Callable[[re.Match[str]], str]


def title(words: str) -> str:
    """Return the Japanese name of a lung pattern; the words themselves when it has none."""
    return PATTERNS.get(words.lower(), words)


def _shares(match: re.Match[str]) -> str:
    parts = re.findall(r"([A-Za-z][A-Za-z +]*?) (\d+) %", match[1])
    return "びまん性肺疾患:" + "、".join(f"{title(name)} {share} %" for name, share in parts)


def _unread(match: re.Match[str]) -> str:
    return "ICOERDで読まれていないもの:" + "、".join(SHEET.get(word, word) for word in match[1].split(", "))


def _cut(match: re.Match[str]) -> str:
    return f"肺野の区分:{'肺体積' if match[1] == 'volume' else 'スライスの肺面積'}の3等分(気管分岐部は見つかりません)"


def _graded(match: re.Match[str]) -> str:
    name, right, left, total, most = match.groups()
    said = f"合計は読まれていません(最大{most})" if total == "not read" else f"合計{total}(最大{most})"
    return f"ICOERD {SHEET[name]}:右 {right}、左 {left}、{said}"


def _ratio(words: str) -> str:
    return "定義されません" if words == "not defined" else words


FORMS: tuple[tuple[str, Say], ...] = (
    (r"No small opacities of profusion 1/0 or more \((.+)\)", lambda m: f"密度1/0以上の小陰影の指摘なし({m[1]})"),
    (r"Small opacities, profusion (\S+), shape (\S+)", lambda m: f"小陰影あり、密度{m[1]}、形{m[2]}"),
    (r"Small opacities, profusion (\S+)", lambda m: f"小陰影あり、密度{m[1]}"),
    (r"(R|L)(U|M|L) profusion (\S+)", lambda m: f"{ZONES[m[1] + m[2]]}肺野 小陰影密度{m[3]}"),
    (r"(Right|Left) upper, middle, lower: (.+)", lambda m: f"{SIDES[m[1].lower()]} 上・中・下肺野:{m[2]}"),
    (
        r"Model score (\S+) \(uncalibrated\); (.+) at (\S+)",
        lambda m: f"モデルスコア{m[1]}(較正なし);動作点 {m[2]} は{m[3]}",
    ),
    (r"Model score (\S+); (.+) at (\S+)", lambda m: f"モデルスコア{m[1]};動作点 {m[2]} は{m[3]}"),
    (
        r"Calibrated: (\S+) at a prevalence of (\S+) %(?:, (\S+) at the site's (\S+) %)?",
        lambda m: f"較正済み:有病率{m[2]} %で{m[1]}" + (f"、施設の有病率{m[4]} %で{m[3]}" if m[3] else ""),
    ),
    (r"Profusion (\S+), (\S+) % set (\S+) to (\S+)", lambda m: f"密度{m[1]}、{m[2]} %集合 {m[3]}から{m[4]}"),
    (
        r"(Right|Left) upper, middle, lower, (\S+) % sets: (.+)",
        lambda m: f"{SIDES[m[1].lower()]} 上・中・下肺野の{m[2]} %集合:{m[3].replace(' to ', 'から')}",
    ),
    (
        r"The patient's chest (radiograph|CT) of (\S+) was analysed too:",
        lambda m: f"同じ患者の胸部{'単純X線写真' if m[1] == 'radiograph' else 'CT'}({m[2]})も解析されています:",
    ),
    (r"Lung patches outside the training distribution: (\d+) %", lambda m: f"学習の分布の外にある肺の区画:{m[1]} %"),
    (r"Lung patches without a settled pattern: (\d+) %", lambda m: f"パターンが定まらない肺の区画:{m[1]} %"),
    (
        r"Confidence: mean margin ([\d.]+) between the two likeliest patterns",
        lambda m: f"確信度:最有力と次点のパターンの差の平均 {m[1]}",
    ),
    (
        r"Confidence: mean margin ([\d.]+) between 1/0 or more and less",
        lambda m: f"確信度:1/0以上と未満の差の平均 {m[1]}",
    ),
    (
        r"Disagreement of the models: mean divergence ([\d.]+) nats",
        lambda m: f"モデル間の不一致:ダイバージェンスの平均 {m[1]} nat",
    ),
    (
        r"Overall profusion is the mean over zones read as 0/1 or more\.",
        lambda _: "全体の密度は0/1以上と読まれた肺野の平均です。",
    ),
    (
        r"Evidence for profusion 1/0 or more \(class activation map\); explains the zone score, detects nothing",
        lambda _: "密度1/0以上の根拠(クラス活性化マップ);肺野のスコアの説明であり、検出ではありません",
    ),
    (
        r"1 - p\(normal lung\), per tile of (\S+) mm called abnormal",
        lambda m: f"1 - p(パターンなし)、所見ありとされた{m[1]} mmの区画ごと",
    ),
    (
        r"Diffuse lung: no pattern above cut-off; without any (\d+) %",
        lambda m: f"びまん性肺疾患:基準値以上のパターンの指摘なし(パターンなし {m[1]} %)",
    ),
    (r"Diffuse lung: not analysed \(.+\)", lambda _: "びまん性肺疾患:解析されていません"),
    (r"Mammography: not analysed \(.+\)", lambda _: "マンモグラフィ:解析されていません"),
    (r"Pneumoconiosis: not analysed.*", lambda _: "じん肺:解析されていません"),
    (r"(Pneumoconiosis|Diffuse lung|Mammography): NOT ANALYSED", lambda _: "解析されていません"),
    (r"Diffuse lung:( .+ \d+ %)", _shares),
    (
        r"% of lung; R and L by upper/middle/lower zone",
        lambda _: "肺に占める割合(%);R(右)とL(左)は上/中/下肺野ごと",
    ),
    (
        r"% of lung area on (\d+) slices(?:, (\S+) mm apart)?, no volumes; R and L by upper/middle/lower zone",
        lambda m: (
            f"{m[1]}スライス{f'({m[2]} mm間隔)' if m[2] else ''}の肺面積に占める割合(%)、体積はありません;"
            "R(右)とL(左)は上/中/下肺野ごと"
        ),
    ),
    (
        r"(.+): (\d+) % of subpleural and (\d+) % of central lung, upper to lower (\S+|not defined)",
        lambda m: f"{title(m[1])}:胸膜下の肺の{m[2]} %、中心部の肺の{m[3]} %、上肺野の下肺野に対する比 {_ratio(m[4])}",
    ),
    (
        r"Zones: cut at the carina and at (\d+) % of the way from it to the lung base, which stands for .+",
        lambda m: f"肺野の区分:気管分岐部と、そこから肺底部までの{m[1]} %の高さ(下肺静脈の代わり)",
    ),
    (r"Zones: equal thirds of lung (volume|area of the slices); the carina was not found", _cut),
    (
        r"ICOERD grades, R and L by upper/middle/lower zone; 1, 2, 3 from (.+) % of a zone",
        lambda m: f"ICOERD評点、R(右)とL(左)は上/中/下肺野ごと;肺野の{m[1]} %から評点1, 2, 3",
    ),
    (r"ICOERD not read: (.+)", _unread),
    (r"ICOERD (.+): R (\S+), L (\S+); sum (\d+|not read) of (\d+)", _graded),
    (r"Features present: (.+) \[(\S+)\]", lambda m: f"認められる特徴:{FEATURES.get(m[1], m[1])} [{m[2]}]"),
    (
        r"Change since the study of (\S+) \((.+) (\S+)\)",
        lambda m: f"{m[1]}の検査からの変化({m[2]} {m[3]}による解析)",
    ),
    (r"No share of the prior study can be compared", lambda _: "過去の検査に比べられる割合はありません"),
    (
        r"(.+), before and now: (\S+) and (\S+) %, (\S+) points(?: \((\S+) %\))?",
        lambda m: f"{title(m[1])}、前回と今回:{m[2]} %と{m[3]} %、{m[4]}ポイント{f'({m[5]} %)' if m[5] else ''}",
    ),
    (r"LAA-950: (\d+)", lambda m: f"低吸収域(LAA-950):{m[1]}"),
    (r"Key slice at (\S+) mm", lambda m: f"代表スライス {m[1]} mm"),
    (r"No diffuse lung pattern above its cut-off", lambda _: "基準値以上のびまん性肺疾患パターンの指摘なし"),
    (r"(.+): (\d+) % of lung", lambda m: f"{title(m[1])}:肺の{m[2]} %"),
    (
        r"(.+): (\d+) % of (right|left) (upper|middle|lower) zone",
        lambda m: f"{title(m[1])}:{SIDES[m[3]]}{LEVELS[m[4]]}の{m[2]} %",
    ),
    (r"(.+): (\d+) % of this slice", lambda m: f"{title(m[1])}:このスライスの{m[2]} %"),
    (r"([A-Z][A-Za-z +]+): (\d+ \(R .+\))", lambda m: f"{title(m[1])}:{m[2]}"),
)
"""The lines that the pipelines write, and the same in Japanese."""
COMPILED = tuple((re.compile(form), say) for form, say in (*FILM_FORMS, *EXAM_FORMS, *FORMS))


def line(words: str) -> str:
    """Return a line of a result in Japanese; as it is when its form is not known."""
    for form, say in COMPILED:
        match = form.fullmatch(words)
        if match:
            return say(match)
    return words


def reason(entry: Reason, message: str) -> str:
    """Return why something was refused or flagged: what it means, then the message with element, value and rule."""
    meaning = REASONS.get(entry.code)
    return f"{meaning}。{message}" if meaning else message


def code(entry: Code) -> str:
    """Return the Japanese meaning of a code; its English one when the table has none."""
    row = table().get((entry.scheme, entry.value))
    return (row.meaning_ja if row else "") or entry.meaning


def label(finding: Finding, words: str) -> str:
    """Return the label of a finding, put together from its codes when its line is of no known form."""
    said = line(words)
    if said != words:
        return said
    place = code(finding.site) if finding.site else ""
    return " ".join(filter(None, (place, code(finding.finding), PRESENCES[finding.presence])))


def question(words: str) -> str:
    """Return a title or a question of a reading sheet; as it is when it is not known."""
    return QUESTIONS.get(words, words)


def pipeline(name: str) -> str:
    """Return the name of a pipeline."""
    return PIPELINES.get(name, name.replace("_", " "))
