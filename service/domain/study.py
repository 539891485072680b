# SPDX-License-Identifier: Apache-2.0
"""Studies and the decisions made about them on their way through the node."""

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum

from service.domain.instance import Instance
from service.domain.prior import Prior
from service.domain.result import Reason


class Completeness(StrEnum):
    """What a pipeline says of a set of instances: can it start?"""

    NOT_WANTED = "not_wanted"
    """Nothing here is input of this pipeline."""
    INCOMPLETE = "incomplete"
    """More is expected; the quiet period decides."""
    SETTLING = "settling"
    """Looks complete (a gap-free stack of slices) but more may follow at once; the shorter settle period decides."""
    COMPLETE = "complete"
    """Nothing more is needed: close now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The instances that a pipeline will analyse, in the order that it wants them.

    `prior` is not the pipeline's choice: the node adds it before `Pipeline.run`, where it has one.
    """

    instances: tuple[Instance, ...]
    flags: tuple[Reason, ...] = ()
    prior: Prior | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A pipeline's refusal of a study, with every reason, and the instances that the refusal is about."""

    reasons: tuple[Reason, ...]
    instances: tuple[Instance, ...]


def study_key(study_instance_uid: str, *, site_key: bytes) -> str:
    """Return the name of a study in logs: 12 hex digits of HMAC-SHA256 under the site's own key.

    Without the key (kept in the data folder) a log line cannot be tied to a patient's study.
    """
    return hmac.new(site_key, study_instance_uid.encode("ascii", "replace"), hashlib.sha256).hexdigest()[:12]
