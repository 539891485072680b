# SPDX-License-Identifier: Apache-2.0
"""The page's sentences in Japanese, by their English form; a test says which are missing or said by nobody."""

from collections.abc import Mapping
from types import MappingProxyType

_FRAME = {
    "Skip to the content": "本文へ移動",
    "Language": "言語",
    "Signed in as {name}. Whose studies these are is shown, and each view is recorded.": (
        "{name} としてサインインしています。患者情報が表示され、閲覧はすべて記録されます。"
    ),
    "Patients' identity is not shown; studies are named by their study key.": (
        "患者情報は表示されません。検査は検査キーで示されます。"
    ),
    "Sign in": "サインイン",
    "Made at {time}. All times are of the zone {zone}.": "作成時刻 {time}。時刻はすべてタイムゾーン {zone} です。",
    "This page loads itself anew every {seconds} s.": "このページは {seconds} 秒ごとに更新されます。",
    "Research software, not a medical device. No mark does not mean no disease.": (
        "研究用ソフトウェアであり、医療機器ではありません。印がないことは病気がないことを意味しません。"
    ),
    "Status": "状態",
    "{seconds} s": "{seconds} 秒",
    "{minutes} min": "{minutes} 分",
    "{hours} h": "{hours} 時間",
    "{hours} h {minutes} min": "{hours} 時間 {minutes} 分",
    "{days} days": "{days} 日",
    "{words}: {number}": "{words} {number} 件",
}

_PROBLEMS = {
    "There is no such page: the address asks for something that is not offered.": (
        "このページはありません。アドレスの指定が正しくありません。"
    ),
    "There is no such page, or no such study.": "このページ、またはこの検査はありません。",
    "Name or password are not right.": "名前またはパスワードが正しくありません。",
    "Passwords are taken over TLS alone: use the https address of this page.": (
        "パスワードは TLS でのみ受け付けます。このページの https アドレスを使ってください。"
    ),
    "Too many sign-ins failed; try again in five minutes.": (
        "サインインの失敗が続いたため、受け付けていません。5 分後にもう一度試してください。"
    ),
    "This page is asked for too often, or the ledger is busy; try again in a moment.": (
        "アクセスが多すぎるか、台帳が混み合っています。少し待ってからもう一度試してください。"
    ),
}

_HOME = {
    "What needs a person": "対応が必要なこと",
    "Nothing that the node knows of.": "ノードが把握している範囲ではありません。",
    "Worklist": "ワークリスト",
    "Order and time": "並び順と期間",
    "Order:": "並び順:",
    "urgent first, then oldest first": "緊急を先に、次に古い順",
    "newest first": "新しい順",
    "Arrived within:": "到着からの期間:",
    "There are more studies in this time than can be put in order; the oldest are not listed. "
    "'Newest first' lists all.": (
        "この期間の検査が多すぎて並べきれません。最も古い検査は表示されていません。「新しい順」ではすべて表示されます。"
    ),
    "Studies: a result of the node is not a diagnosis.": "検査の一覧。ノードの結果は診断ではありません。",
    "Study": "検査",
    "Priority": "優先度",
    "Received": "受信",
    "Result": "結果",
    "Destinations": "送信先",
    "Patient ID": "患者 ID",
    "Accession number": "受付番号",
    "URGENT": "緊急",
    "routine": "通常",
    "No study arrived in this time.": "この期間に到着した検査はありません。",
    "Pages": "ページ",
    "First page": "最初のページ",
    "Next page": "次のページ",
    "Destination": "送信先",
    "Connection": "接続",
    "To send": "送信待ち",
    "Oldest": "最も古いもの",
    "To commit": "保管確約待ち",
    "Refused": "拒否",
    "Kind not taken": "受け付けない種類",
    "Last stored": "最後に保存",
    "Model packages": "モデルパッケージ",
    "Package": "パッケージ",
    "Pipeline": "パイプライン",
    "Role": "役割",
    "Runs on": "実行環境",
    "Golden test": "基準結果の再現テスト",
    "Digest (SHA-256)": "ハッシュ値 (SHA-256)",
    "There is no usable model package.": "使えるモデルパッケージがありません。",
    "Drift of scores": "スコアのドリフト",
    "No monitor is configured.": "監視は設定されていません。",
    "State": "状態",
    "PSI": "PSI",
    "Since": "開始",
    "Quarantine": "隔離",
    "Reason": "理由",
    "Number": "件数",
    "First": "最初",
    "Last": "最後",
    "What to do": "対処",
    "The quarantine is empty.": "隔離されたものはありません。",
    "{time} since arrival": "到着から {time}",
    "result after {time}": "{time} で結果",
    "'{destination}' is not reachable; results wait and are sent when it is back": (
        "「{destination}」に接続できません。結果は待機し、復旧後に送信されます"
    ),
    "'{destination}' refused {count} objects; see why in the log, then 'dokuei retry'": (
        "「{destination}」が {count} 件を拒否しました。理由をログで確認し、'dokuei retry' を実行してください"
    ),
    "{count} objects wait for '{destination}', which config.yaml does not name any more": (
        "config.yaml から消えた送信先「{destination}」への {count} 件が待機しています"
    ),
    "{count} images came again with other bytes under the same UID": (
        "同じ UID で内容の異なる画像が {count} 件届きました"
    ),
    "{count} result objects failed the checks before sending; why: 'dokuei held'": (
        "送信前の検査で {count} 件の結果が保留されました。理由: 'dokuei held'"
    ),
    "{count} analyses have no result at all; see the log": "{count} 件の解析に結果がありません。ログを確認してください",
}

_STUDY = {
    "Patient": "患者",
    "Name": "氏名",
    "not in the stored image": "保存された画像にありません",
    "Date of birth, sex": "生年月日、性別",
    "Study date": "検査日",
    "Study Instance UID": "検査インスタンス UID",
    "Where it stands": "現在の状態",
    "What happened": "経過",
    "Time": "時刻",
    "Details": "詳細",
    "The ledger keeps states, not a history: how often something was tried and what the last answer was is known, "
    "when each earlier try was made is not.": (
        "台帳は履歴ではなく状態を記録します。試行の回数と最後の応答はわかりますが、それ以前の各試行の時刻はわかりません。"
    ),
    "Received: {count} images from '{peer}'": "受信: 「{peer}」から画像 {count} 枚",
    "AE title: {title}": "AE タイトル: {title}",
    "last image: {time}": "最後の画像: {time}",
    "Not let in, in the quarantine: {count} ({reason})": "受け入れず隔離: {count} 件 ({reason})",
    "Taken as complete with {count} images (set {number})": "画像 {count} 枚で完了と判断 (セット {number})",
    "rules that matched: {names}": "一致した規則: {names}",
    "Routed to: {names}": "振り分け先: {names}",
    "NO RULE MATCHED: analysed by no pipeline": "一致する規則なし: どのパイプラインでも解析されません",
    "analysis planned (result {number})": "解析を予定 (結果 {number})",
    "model package: {name}": "モデルパッケージ: {name}",
    "there is no usable model package": "使えるモデルパッケージがありません",
    "broken off and done again: {count} times": "中断してやり直した回数: {count}",
    "gate refused: {reason}": "条件により解析せず: {reason}",
    "note: {reason}": "注意: {reason}",
    "model score for triage: {score}": "トリアージのモデルスコア: {score}",
    "priority: urgent": "優先度: 緊急",
    "result objects written": "結果オブジェクトを作成",
    "HELD BACK: '{kind}' failed the checks before sending": "保留: 「{kind}」が送信前の検査に通りませんでした",
    "for: {names}": "送信先: {names}",
    "Stored at '{destination}'": "「{destination}」に保存",
    "nobody is there; sent as soon as somebody is": "応答がありません。応答があり次第送信します",
    "next try: {time}": "次の試行: {time}",
    "tries: {count}": "試行回数: {count}",
    "last answer: {status}": "最後の応答: {status}",
    "shown by: {proof}": "確認方法: {proof}",
    "'{destination}' was asked to commit itself": "「{destination}」に保管の確約を依頼",
    "'{destination}' sent no report in time": "「{destination}」から期限内に報告がありません",
    "'{name}' is to be told of the raised priority": "「{name}」に優先度の引き上げを通知予定",
    "'{name}' was told of the raised priority": "「{name}」に優先度の引き上げを通知",
    "'{name}' COULD NOT BE TOLD of the raised priority": "「{name}」に優先度の引き上げを通知できませんでした",
}

_STATES = {
    "waiting for analysis": "解析待ち",
    "being analysed": "解析中",
    "analysis is repeated after a failure": "失敗後に解析をやり直しています",
    "analysed, result being written": "解析済み、結果を作成中",
    "result on its way": "結果を送信中",
    "done": "完了",
    "replaced by a later set of images": "後の画像セットに置き換え",
    "FAILED: no result could be written": "失敗: 結果を作成できません",
    "receiving images": "画像を受信中",
    "complete, rules are applied next": "受信完了、規則の適用待ち",
    "an earlier analysis raised it; a priority is never lowered": (
        "以前の解析で引き上げられました。優先度は下げられません"
    ),
    "rule '{rule}'": "規則「{rule}」",
    "model score {score} is above the operating point": "モデルスコア {score} が動作点を超えています",
    "raised when it was routed": "振り分け時に引き上げ",
    "not due yet": "まだ送らない",
    "to send": "送信待ち",
    "stored, commitment asked for": "保存済み、確約待ち",
    "stored": "保存済み",
    "committed": "保管確約済み",
    "REFUSED": "拒否",
    "kind not taken": "受け付けない種類",
    "not needed": "不要",
    "HELD": "保留",
    "replaced by a later result": "後の結果に置き換え",
    "ABANDONED: destination not configured": "放棄: 送信先が設定にありません",
    "all images that the pipelines want are here": "パイプラインに必要な画像がそろいました",
    "it looked complete, and nothing more came for the settle period": (
        "そろったと見え、確認時間内に追加がありませんでした"
    ),
    "nothing more came for the quiet period": "待ち時間内に追加がありませんでした",
    "the archive has sent all of it, because this node asked for it": (
        "Dokueiの要求により、サーバーがすべて送信しました"
    ),
    "the archive did not send all that this node asked for: it is not compared with": (
        "サーバーが要求した画像の一部しか送信しなかったため、比較に使いません"
    ),
    "older study from the archive, for comparison alone: no result of it is sent": (
        "比較のためにサーバーから取得した過去の検査(結果は送信しません)"
    ),
    "older study: the archive is asked, or its study is on its way": "過去の検査: サーバーに問い合わせ中、または受信中",
    "older study: it came from the archive, and there is something to compare with": (
        "過去の検査: サーバーから届き、比較できます"
    ),
    "older study: the archive has none": "過去の検査: サーバーにありません",
    "older study: the archive COULD NOT BE ASKED": "過去の検査: サーバーに問い合わせできません",
    "older study: the archive REFUSED the search, or to send": "過去の検査: サーバーが検索または送信を拒否しました",
    "older study: the archive DID NOT SEND ALL of it": "過去の検査: サーバーから一部しか届きません",
    "older study: the archive sent that of ANOTHER PATIENT": "過去の検査: サーバーから別の患者の検査が届きました",
    "older study: it came from the archive and could not be analysed": (
        "過去の検査: サーバーから届きましたが、解析できません"
    ),
    "older study: it was NOT HERE IN TIME": "過去の検査: 結果が間に合いませんでした",
    "the analysis waits until: {time}": "解析の待機期限: {time}",
    "waits for the report": "報告待ち",
    "the report came": "報告あり",
    "no report came in time": "期限内に報告なし",
    "reachable": "接続可",
    "being probed": "確認中",
    "NOT REACHABLE": "接続不可",
    "PAUSED by a person": "手動で停止中",
    "passed": "合格",
    "FAILED": "不合格",
    "not tested yet": "未実施",
    "active": "使用中",
    "shadow (compared only)": "シャドウ (比較のみ)",
    "demonstration": "実演用",
    "research": "研究用",
    "site-validated": "施設で検証済み",
    "approved": "承認済み",
    "usual": "通常",
    "ALARM": "警報",
    "learning, nothing compared yet": "学習中、比較はまだありません",
}

_QUARANTINE = {
    "no DICOM file": "DICOM ファイルではない",
    "transfer syntax": "転送構文",
    "bad UID in the request": "要求の UID が不正",
    "cut short": "途中で切れている",
    "element given twice": "要素の重複",
    "elements out of order": "要素の順序が不正",
    "element of a wrong group": "不正なグループの要素",
    "unknown value representation": "未知の VR",
    "odd length": "奇数長",
    "undefined length": "未定義長",
    "delimiter out of place": "区切りの位置が不正",
    "nested too deeply": "入れ子が深すぎる",
    "too many items": "項目が多すぎる",
    "too many elements": "要素が多すぎる",
    "too many values": "値が多すぎる",
    "character set": "文字セット",
    "ambiguous identity": "識別情報があいまい",
    "UID of another object": "別のオブジェクトの UID",
    "other bytes under a known UID": "既知の UID で内容が異なる",
    "analysis ended its process twice": "解析がプロセスを 2 回終了させた",
    "The sender writes objects that cannot be read safely; have its vendor look at it, then send again.": (
        "送信元が安全に読めないオブジェクトを作っています。製造元に確認を依頼し、再送してください。"
    ),
    "Have the sender's vendor look at it; for old equipment that is known, 'admission: lenient' forgives harmless "
    "kinds.": (
        "送信元の製造元に確認を依頼してください。既知の古い装置では 'admission: lenient' で無害なものを許容できます。"
    ),
    "Whose object it is cannot be told for certain; correct it at the sender, then send again.": (
        "誰のオブジェクトか確実に判断できません。送信元で修正し、再送してください。"
    ),
    "No equipment writes such objects; find out what sent it.": (
        "通常の装置はこのようなオブジェクトを作りません。送信元を調べてください。"
    ),
    "The object did not come whole; send it again from its source.": (
        "オブジェクトが完全に届きませんでした。元の装置から再送してください。"
    ),
    "The first copy stays; compare both, and give the changed one a UID of its own at the sender.": (
        "最初のものを保持しています。両者を比較し、変更されたものには送信元で新しい UID を付けてください。"
    ),
    "Read the study without CAD, and report the study key; 'dokuei quarantine release' tries again.": (
        "この検査は CAD なしで読影し、検査キーを報告してください。'dokuei quarantine release' で再試行できます。"
    ),
    "See 'dokuei quarantine list'.": "'dokuei quarantine list' を見てください。",
}

JAPANESE: Mapping[str, str] = MappingProxyType({**_FRAME, **_PROBLEMS, **_HOME, **_STUDY, **_STATES, **_QUARANTINE})
