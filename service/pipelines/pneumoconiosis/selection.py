# SPDX-License-Identifier: Apache-2.0
"""Chooses the one film of a study that is analysed, or says why none is."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.domain.instance import Instance
from service.domain.result import Reason
from service.domain.study import Completeness, Refusal, Selection
from service.pipelines.pneumoconiosis.gates import header_flags, header_reasons
from service.pipelines.pneumoconiosis.headers import is_pa_chest, is_radiograph, matrix_of


def completeness(instances: Sequence[Instance]) -> Completeness:
    """Say whether a PA chest film is there: then nothing else is needed."""
    radiographs = [instance for instance in instances if is_radiograph(instance)]
    if not radiographs:
        return Completeness.NOT_WANTED
    found = any(is_pa_chest(instance) for instance in radiographs)
    return Completeness.COMPLETE if found else Completeness.INCOMPLETE


def select(instances: Sequence[Instance], acceptance: Mapping[str, Any]) -> Selection | Refusal:
    """Choose the acceptable film of the largest matrix, of equals the latest; refuse with every reason otherwise."""
    radiographs = [instance for instance in instances if is_radiograph(instance)]
    accepted = sorted(
        (instance for instance in radiographs if not header_reasons(instance, acceptance)),
        key=_preference,
        reverse=True,
    )
    if not accepted:
        return _refuse(instances, radiographs, acceptance)
    chosen = accepted[0]
    return Selection(instances=(chosen,), flags=(*header_flags(chosen, acceptance), *_several(accepted)))


def _preference(instance: Instance) -> tuple[bool, int, str, str]:
    """Order films: a stated PA view first, then matrix, then time, then the UID so that the choice never varies."""
    return is_pa_chest(instance), matrix_of(instance), instance.text("ContentTime"), instance.sop_instance_uid


def _several(accepted: Sequence[Instance]) -> tuple[Reason, ...]:
    if len(accepted) == 1:
        return ()
    message = (
        f"{len(accepted)} films of the study are acceptable; analysed was one that says PA, of these the largest "
        "matrix, of equals the latest"
    )
    return (Reason(code="several_films", message=message),)


def _refuse(instances: Sequence[Instance], radiographs: Sequence[Instance], acceptance: Mapping[str, Any]) -> Refusal:
    """Refuse with the reasons of the film that came closest."""
    if not radiographs:
        message = "(0008,0060) Modality is neither CR nor DX in any image; send the chest radiograph"
        return Refusal(reasons=(Reason(code="no_radiograph", message=message),), instances=tuple(instances))
    ordered = sorted(radiographs, key=lambda instance: instance.sop_instance_uid)
    reasons = min((header_reasons(instance, acceptance) for instance in ordered), key=len)
    return Refusal(reasons=reasons, instances=tuple(ordered))
