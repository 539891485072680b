# SPDX-License-Identifier: Apache-2.0
"""Looks for a patient's older studies in an archive and has them sent to this node: Study Root C-FIND and C-MOVE.

What an archive answers is a stranger's text: it is read with limits of number and time, and compared by
`domain.fetch` with what was asked.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from service.domain.errors import RetrieveRefusedError
from service.domain.fetch import FoundSeries, FoundStudy, Moved, PriorQuery
from service.ports import AskedQuery, Observer
from service.settings import DestinationSettings
from service.transport.connection import PeerBrokeLimitError
from service.transport.data_set import encode
from service.transport.dimse import MEDIUM, Command, CommandField, Tag, request
from service.transport.negotiation import Accepted, silence_pynetdicom
from service.transport.opening import Opener
from service.transport.query_scu import QueryFailedError, matches, query, read_until
from service.transport.requestor import Requestor
from service.transport.sop_classes import (
    IMPLICIT_VR_LITTLE_ENDIAN,
    STUDY_ROOT_FIND,
    STUDY_ROOT_MOVE,
    UNCOMPRESSED,
)
from service.transport.statuses import PENDING

Found = TypeVar("Found")
MOST_MATCHES = 500
"""An archive that answers with more studies of one patient, or series of one study, has not understood the question."""
FIND_SECONDS = 60.0
"""Longest that the answers to one question may take altogether."""
UID = re.compile(r"[0-9.]{1,64}")
UTF_8 = "ISO_IR 192"
SERIES_KEYS = ("Modality", "BodyPartExamined", "SeriesDescription")
"""What is asked of a series: the modality decides, and the site's rules see the rest where the archive says it."""


class RetrieveScu:
    """An archive that is asked for older studies; see `ports.PriorSource`.

    Parameters
    ----------
    ae_title
        Our own AE title: as the archive knows us, and where it is asked to send to.
    observer
        Is told when certificates are read.
    opener
        The way to the system, where it is another than the settings say.
    """

    def __init__(
        self,
        settings: DestinationSettings,
        *,
        ae_title: str,
        observer: Observer = lambda _event: None,
        opener: Opener | None = None,
    ) -> None:
        silence_pynetdicom()
        self._settings = settings
        self._ae_title = ae_title
        self._opener = opener or Opener(settings, ae_title=ae_title, observer=observer)

    @property
    def name(self) -> str:
        """Name in config.yaml."""
        return self._settings.name

    def interrupt(self) -> None:
        """Break every association; see `ports.PriorSource`."""
        self._opener.interrupt()

    def wording(self, question: PriorQuery) -> AskedQuery:
        """Return the identifier of `find`, in the transfer syntax that every archive takes."""
        identifier = encode(_identifier("STUDY", **_study_keys(question)), IMPLICIT_VR_LITTLE_ENDIAN)
        return AskedQuery(
            sop_class_uid=STUDY_ROOT_FIND, transfer_syntax_uid=IMPLICIT_VR_LITTLE_ENDIAN, identifier=identifier
        )

    def find(self, question: PriorQuery) -> tuple[FoundStudy, ...]:
        """Ask for studies by Patient ID and study date, and to be told whose they are."""
        return self._read("STUDY", _study, **_study_keys(question))

    def series(self, study_instance_uid: str) -> tuple[FoundSeries, ...]:
        """Ask for the series of a study."""
        keys = dict.fromkeys(("SeriesInstanceUID", *SERIES_KEYS), "")
        found = self._read("SERIES", _series, StudyInstanceUID=study_instance_uid, **keys)
        return tuple(item for item in found if item.series_instance_uid)

    def move(self, study_instance_uid: str, series: Sequence[str], *, seconds: float) -> tuple[Moved, ...]:
        """Have series sent to this node, one after the other."""
        ends = time.monotonic() + seconds
        with self._opened(STUDY_ROOT_MOVE, "C-MOVE") as (association, context):
            return tuple(self._moved(association, context, study_instance_uid, uid, ends=ends) for uid in series)

    def offers(self) -> tuple[bool, bool]:
        """Say whether the archive takes C-FIND and C-MOVE."""
        contexts = [(sop_class, uid) for sop_class in (STUDY_ROOT_FIND, STUDY_ROOT_MOVE) for uid in UNCOMPRESSED]
        with self._opener.association(contexts) as association:
            find, move = (
                association.context_for(sop_class, UNCOMPRESSED) is not None
                for sop_class in (STUDY_ROOT_FIND, STUDY_ROOT_MOVE)
            )
            return find, move

    def _read(self, level: str, read: Callable[[Dataset], Found], **keys: str) -> tuple[Found, ...]:
        identifier = _identifier(level, **keys)
        with self._opened(STUDY_ROOT_FIND, "C-FIND") as (association, context):
            ends = time.monotonic() + FIND_SECONDS
            found = tuple(islice(matches(association, context, identifier, ends=ends), MOST_MATCHES + 1))
            if len(found) > MOST_MATCHES:
                association.abort()
        if len(found) > MOST_MATCHES:
            raise RetrieveRefusedError(self._opener.text(f"answered C-FIND with more than {MOST_MATCHES} matches"))
        try:
            return tuple(map(read, found))
        except Exception as error:  # noqa: BLE001 - pydicom converts values only now, and raises whatever it can
            name = type(error).__name__  # its text may quote the value
            raise RetrieveRefusedError(self._opener.text(f"sent a match that cannot be read ({name})")) from None

    def _moved(self, association: Requestor, context: Accepted, study: str, series: str, *, ends: float) -> Moved:
        identifier = query("SERIES", StudyInstanceUID=study, SeriesInstanceUID=series)
        elements = request(
            CommandField.C_MOVE,
            data_set=True,
            affected_sop_class_uid=STUDY_ROOT_MOVE,
            priority=MEDIUM,
            move_destination=self._ae_title,
        )
        association.send(context, elements, encode(identifier, context.transfer_syntax))
        while True:  # an archive may say how far it is, or nothing until the end (PS3.4 C.4.2.3.1)
            command, _ = read_until(association, ends)
            if command.number(Tag.STATUS) not in PENDING:
                return _outcome(command)

    @contextmanager
    def _opened(self, sop_class: str, service: str) -> Iterator[tuple[Requestor, Accepted]]:
        with self._opener.association([(sop_class, uid) for uid in UNCOMPRESSED]) as association:
            context = association.context_for(sop_class, UNCOMPRESSED)
            if context is None:
                raise RetrieveRefusedError(self._opener.text(f"does not offer Study Root {service} to us"))
            try:
                yield association, context
            except QueryFailedError as error:
                raise RetrieveRefusedError(self._opener.text(str(error))) from None
            except PeerBrokeLimitError as error:
                raise self._opener.unreachable(f"did not keep to {service}, or was silent ({error})") from None
            except ConnectionError as error:
                raise self._opener.unreachable(f"broke the association during {service} ({error})") from None


def _study_keys(question: PriorQuery) -> dict[str, str]:
    told = ("IssuerOfPatientID", "PatientBirthDate", "StudyTime", "StudyInstanceUID", "ModalitiesInStudy")
    asked = {"PatientID": question.patient_id, "StudyDate": f"{question.first_date}-{question.last_date}"}
    return dict.fromkeys(told, "") | asked


def _identifier(level: str, **keys: str) -> Dataset:
    identifier = query(level, **keys)
    if not all(value.isascii() for value in keys.values()):
        identifier.SpecificCharacterSet = UTF_8
    return identifier


def _outcome(command: Command) -> Moved:
    return Moved(
        status=command.number(Tag.STATUS),
        completed=command.count(Tag.COMPLETED_SUB_OPERATIONS) + command.count(Tag.WARNING_SUB_OPERATIONS),
        failed=command.count(Tag.FAILED_SUB_OPERATIONS),
    )


def _study(match: Dataset) -> FoundStudy:
    return FoundStudy(
        study_instance_uid=_uid(match, "StudyInstanceUID"),
        patient_id=_text(match, "PatientID"),
        issuer=_text(match, "IssuerOfPatientID"),
        birth_date=_text(match, "PatientBirthDate"),
        study_date=_text(match, "StudyDate"),
        study_time=_text(match, "StudyTime"),
        modalities=_texts(match, "ModalitiesInStudy"),
    )


def _series(match: Dataset) -> FoundSeries:
    said = {keyword: _text(match, keyword) for keyword in SERIES_KEYS}
    return FoundSeries(
        series_instance_uid=_uid(match, "SeriesInstanceUID"),
        attributes={keyword: value for keyword, value in said.items() if value},
    )


def _uid(match: Dataset, keyword: str) -> str:
    """Return a UID; "" for what is none (PS3.5 9.1)."""
    text = _text(match, keyword)
    return text if UID.fullmatch(text) else ""


def _text(match: Dataset, keyword: str) -> str:
    return next(iter(_texts(match, keyword)), "")


def _texts(match: Dataset, keyword: str) -> tuple[str, ...]:
    value = match.get(keyword)
    values = value if isinstance(value, MultiValue) else [] if value is None else [value]
    return tuple(text for text in (str(item).strip() for item in values) if text)
