# SPDX-License-Identifier: Apache-2.0
"""What is encoded for destinations of different profiles, and what becomes of one whose objects cannot be sent."""

from dataclasses import dataclass, field
from pathlib import Path

from fakes import SR, FakeAnalyst, FolderDestination, ct_dataset, incoming
from node import SETTINGS, Node, running
from service.domain.profile import DEFAULT_PROFILE, EncodingProfile, Language, profile_key
from service.ports import EncodeRequest, ObjectSet, ResultObject, StoreOutcome
from service.settings import DestinationSettings, Settings

JAPANESE = profile_key(EncodingProfile(language=Language.JAPANESE))


def settings(**destinations: dict[str, object]) -> Settings:
    common = {"ae_title": "PACS", "host": "localhost", "port": 1, "retry_first_seconds": 0.05, "retry_max_seconds": 0.2}
    entries = [
        DestinationSettings.model_validate({"name": name, **common, **own}) for name, own in destinations.items()
    ]
    return SETTINGS.model_copy(update={"destinations": tuple(entries)})


def archives(root: Path, *names: str) -> dict[str, FolderDestination]:
    for name in names:
        (root / name).mkdir()
    return {name: FolderDestination(name=name, folder=root / name) for name in names}


def send(node: Node) -> None:
    for number in (1, 2):
        assert node.receive(incoming(ct_dataset(1, number))) is StoreOutcome.STORED


def finish(node: Node) -> None:
    node.wait(lambda: node.rows("select state from job") == [("finished",)])


@dataclass
class HoldsSome(FakeAnalyst):
    """Writes one report for each set; its gate holds back those of some profiles that do not say NOT ANALYSED."""

    held: frozenset[str] = frozenset()
    holds_refusals: bool = False
    names: dict[str, str] = field(default_factory=dict)

    def encode(self, request: EncodeRequest) -> tuple[ResultObject, ...]:
        self.encoded.append(request)
        return tuple(self._report(request, item) for item in request.sets)

    def _report(self, request: EncodeRequest, item: ObjectSet) -> ResultObject:
        said = "not analysed" if item.refusal or self.refused else "result"
        key = profile_key(item.profile)
        uid = f"2.25.{int(request.analysis.job_key.replace('-', ''), 16)}{len(said)}{int(key or '0', 16)}"[:64]
        path = request.analysis.folder / f"{uid}.dcm"
        path.write_text(said)
        self.names[uid] = said
        is_held = key in self.held and not self.refused and (self.holds_refusals or not item.refusal)
        problems = ("Modality is missing",) if is_held else ()
        return ResultObject(
            kind="sr", sop_class_uid=SR, sop_instance_uid=uid, path=path, profile=key, problems=problems
        )

    def told(self, destination: FolderDestination) -> list[str]:
        return [self.names[uid] for uid in destination.stored()]


def test_a_destination_without_captures_has_a_profile_that_names_none(tmp_path: Path) -> None:
    wanted = settings(all={}, words={"objects": ["sr"]}, pictures={"objects": ["heatmap"]})
    analyst = HoldsSome()
    with running(
        tmp_path, settings=wanted, analyst=analyst, destinations=archives(tmp_path, "all", "words", "pictures")
    ) as node:
        send(node)
        node.wait(lambda: bool(analyst.encoded))
        sets = {item.profile.max_secondary_captures: set(item.kinds) for item in analyst.encoded[0].sets}
    assert sets[0] == {"sr"}
    assert {"sr", "heatmap"} <= sets[DEFAULT_PROFILE.max_secondary_captures]
    assert len(sets) == 2


def test_only_the_destinations_of_a_profile_that_fails_are_told_that_nothing_was_analysed(tmp_path: Path) -> None:
    wanted, places = settings(one={}, two={"results": {"language": "ja"}}), archives(tmp_path, "one", "two")
    analyst = HoldsSome(held=frozenset({JAPANESE}))
    with running(tmp_path, settings=wanted, analyst=analyst, destinations=places, reconcile_seconds=0.3) as node:
        send(node)
        finish(node)
        assert (analyst.told(places["one"]), analyst.told(places["two"])) == (["result"], ["not analysed"])
        assert analyst.refused == []
        assert node.rows("select outcome from job") == [("no_findings",)]
        with node.ledger.reading() as view:
            (held,) = view.jobs.held(limit=9)
        assert (held.destinations, held.problems) == (("two",), ("Modality is missing",))
        assert [item.refusal[0].code for item in analyst.encoded[-1].sets] == ["encoding_failed"]


def test_where_not_even_that_can_be_told_the_study_is_not_analysed_for_all(tmp_path: Path) -> None:
    wanted, places = settings(one={}, two={"results": {"language": "ja"}}), archives(tmp_path, "one", "two")
    analyst = HoldsSome(held=frozenset({JAPANESE}), holds_refusals=True)
    with running(tmp_path, settings=wanted, analyst=analyst, destinations=places, reconcile_seconds=0.3) as node:
        send(node)
        finish(node)
        assert (analyst.told(places["one"]), analyst.told(places["two"])) == (["not analysed"], ["not analysed"])
        assert [codes for _, codes in analyst.refused] == [("encoding_failed",)]


def test_a_result_that_passes_the_second_time_is_sent(tmp_path: Path) -> None:
    class HoldsOnce(HoldsSome):
        def encode(self, request: EncodeRequest) -> tuple[ResultObject, ...]:
            self.held = frozenset() if self.encoded else frozenset({JAPANESE})
            return super().encode(request)

    wanted, places = settings(one={}, two={"results": {"language": "ja"}}), archives(tmp_path, "one", "two")
    analyst = HoldsOnce()
    with running(tmp_path, settings=wanted, analyst=analyst, destinations=places, reconcile_seconds=0.3) as node:
        send(node)
        finish(node)
        assert (analyst.told(places["one"]), analyst.told(places["two"])) == (["result"], ["result"])
