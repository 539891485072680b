# SPDX-License-Identifier: Apache-2.0
"""Encodes the key images of a result that raises a priority as Key Object Selection "Of Interest" (TID 2010)."""

from pathlib import Path

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import KeyObjectSelectionDocumentStorage, SecondaryCaptureImageStorage

from service import __version__
from service.codes import dcm
from service.domain.provenance import MANUFACTURER, MODEL_NAME
from service.domain.result import PipelineResult, Presence
from service.ports import EncodedObject, ResultContext, ResultKind
from service.results.object.coded import concept
from service.results.object.identifiers import (
    SERVICE,
    derived_uid,
    heatmap_series_instance_uid,
    heatmap_sop_instance_uid,
    result_uid,
)
from service.results.object.part10 import write_object
from service.results.object.series import SeriesKind, begin
from service.results.object.stand_in import stand_in
from service.results.picture.captures import captured
from service.results.source.sources import Sources
from service.results.source.verbatim import REQUEST, copied, patient_and_study
from service.results.words.statements import (
    DEMONSTRATION_SENTENCE,
    RESEARCH_SENTENCE,
    is_demonstration,
    is_raised,
    latin,
    model_name,
)

SERIES = SeriesKind(role="key-objects", modality="KO", number=9401, words="key images")
ROLE = "key-objects"


def encode_key_objects(result: PipelineResult, context: ResultContext, folder: Path) -> tuple[EncodedObject, ...]:
    """Write the selection; nothing for a result that raises no priority, whatever its outcome.

    A selection only ever adds: there is none that says a study needs no reading.
    """
    if not is_raised(result, context):
        return ()
    sources = Sources.of(context)
    frames = key_images(result, sources)
    source = sources.header(next(iter(frames), sources.first.sop_instance_uid))
    dataset = _document(result, context, sources, frames=frames)
    head = begin(
        SERIES,
        result,
        context,
        sop_class_uid=KeyObjectSelectionDocumentStorage,
        role=ROLE,
        instance_number=1,
        source=source,
    )
    dataset.update(head)
    _name_frames(dataset, frames)
    verbatim = patient_and_study(sources.header(sources.first.sop_instance_uid)) | copied(source, REQUEST)
    return (write_object(dataset, folder, kind=ResultKind.KEY_OBJECTS, verbatim=verbatim),)


Frames = dict[str, tuple[int, ...]]
"""Key images by SOP Instance UID, with the frames that are meant; none means the whole image."""


def key_images(result: PipelineResult, sources: Sources) -> Frames:
    """Return the images that findings and heatmaps stand on, the findings' first; the first source when none does."""
    present = [finding.region for finding in result.findings if finding.presence is Presence.PRESENT]
    places = [(region.sop_instance_uid, region.frame_number) for region in present]
    places += [(heatmap.source_sop_instance_uid, heatmap.frame_number) for heatmap in result.heatmaps]
    places = places or [(sources.first.sop_instance_uid, None)]
    uids = dict.fromkeys(uid for uid, _ in places)
    return {uid: tuple(dict.fromkeys(frame for own, frame in places if own == uid and frame)) for uid in uids}


def _document(
    result: PipelineResult, context: ResultContext, sources: Sources, *, frames: Frames
) -> hd.ko.KeyObjectSelectionDocument:
    objects = [_of_source(uid, sources) for uid in frames] + _of_captures(result, context)
    content = hd.ko.KeyObjectSelection(
        document_title=concept(dcm("113000")),
        referenced_objects=objects,
        observer_device_context=_observer(result),
        description=_description(result),
    )
    document = hd.ko.KeyObjectSelectionDocument(
        evidence=objects,
        content=content,
        series_instance_uid=result_uid(result, f"series:{SERIES.role}"),  # `begin` says which it is
        series_number=SERIES.number,
        sop_instance_uid=result_uid(result, ROLE),
        instance_number=1,
        specific_character_set=None,
    )
    # highdicom notes itself here with the time of encoding, which would make every file differ.
    document.pop("ContributingEquipmentSequence", None)
    return document


def _of_source(uid: str, sources: Sources) -> Dataset:
    instance = sources.instance(uid)
    return stand_in(
        study=instance.study_instance_uid,
        series=instance.series_instance_uid,
        sop_class=instance.sop_class_uid,
        sop_instance=uid,
    )


def _of_captures(result: PipelineResult, context: ResultContext) -> list[Dataset]:
    """Return the pictures that show what raised the priority, those that this destination is sent."""
    revision, profile = context.revision, context.profile
    series = heatmap_series_instance_uid(result, revision=revision, profile=profile)
    return [
        stand_in(
            study=result.study_instance_uid,
            series=series,
            sop_class=SecondaryCaptureImageStorage,
            sop_instance=heatmap_sop_instance_uid(result, heatmap.key, revision=revision, profile=profile),
        )
        for heatmap in captured(result, profile)
    ]


def _observer(result: PipelineResult) -> hd.sr.ObserverContext:
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid(SERVICE, "device", __version__),
        name=MODEL_NAME,
        manufacturer_name=MANUFACTURER,
        model_name=model_name(result),
        serial_number=__version__,
    )
    return hd.sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)


def _description(result: PipelineResult) -> str:
    sentences = [f"{result.headline}.", "Selected by a computer so that the study is read early."]
    sentences += [DEMONSTRATION_SENTENCE] if is_demonstration(result) else []
    return latin(" ".join([*sentences, RESEARCH_SENTENCE, "Not a reason to leave another study unread."]))


def _name_frames(dataset: Dataset, frames: Frames) -> None:
    """Take the names off the images, which TID 2010 does not have, and say which frames are meant."""
    for item in dataset.ContentSequence:
        if item.ValueType != "IMAGE":
            continue
        item.pop("ConceptNameCodeSequence", None)
        reference = item.ReferencedSOPSequence[0]
        numbers = frames.get(str(reference.ReferencedSOPInstanceUID), ())
        if numbers:
            reference.ReferencedFrameNumber = list(numbers)
