# SPDX-License-Identifier: Apache-2.0
"""Rules for the printed report: a whole PDF, titled with its state, that names what it was made from and no one."""

import re
from collections.abc import Callable

from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from service.domain.result import Outcome
from service.results.words.wording import WORDS

START, END = b"%PDF-", b"%%EOF"
ACTIVE = (b"/JavaScript", b"/JS", b"/Launch", b"/EmbeddedFile", b"/URI", b"/OpenAction")
"""What a document for an archive must not hold: it would be run, opened or fetched by whoever looks at it."""

STREAM = re.compile(rb"stream\r?\n.*?endstream", re.DOTALL)
"""Pictures, glyphs and page contents, whose bytes may look like any word."""


def is_encapsulated_pdf(dataset: Dataset) -> list[str]:
    """Encapsulated PDF Storage, of type application/pdf, as a document."""
    expected = {
        "SOPClassUID": EncapsulatedPDFStorage,
        "MIMETypeOfEncapsulatedDocument": "application/pdf",
        "Modality": "DOC",
        "VerificationFlag": "UNVERIFIED",
    }
    return [
        f"'{keyword}' is {dataset.get(keyword)!r}, not {value!r}"
        for keyword, value in expected.items()
        if dataset.get(keyword) != value
    ]


def document_is_whole(dataset: Dataset) -> list[str]:
    """The document begins and ends as a PDF does, and is as long as it says (PS3.3 C.24.2)."""
    document = _document(dataset)
    length = dataset.get("EncapsulatedDocumentLength")
    problems = [] if length == len(document) else [f"'EncapsulatedDocumentLength' is {length}, not {len(document)}"]
    if not document.startswith(START) or not document.rstrip().endswith(END):
        problems.append("'EncapsulatedDocument' does not begin and end as a PDF does")
    return problems


def document_is_passive(dataset: Dataset) -> list[str]:
    """The document runs, opens and fetches nothing."""
    structure = STREAM.sub(b"", _document(dataset))
    return [f"'EncapsulatedDocument' holds {word.decode()}" for word in ACTIVE if word in structure]


def title_states_the_outcome(dataset: Dataset) -> list[str]:
    """Document Title says one state and that it is research: archives show it instead of the document."""
    title = str(dataset.get("DocumentTitle", ""))
    said = {
        (words.language, outcome)
        for words in WORDS.values()
        for outcome in Outcome
        if title.endswith(f": {words.outcomes[outcome]} - {words.research_banner}")
    }
    return (
        [] if len(said) == 1 else [f"'DocumentTitle' {title!r} does not say one state of the analysis and 'research'"]
    )


def claims_no_identity(dataset: Dataset) -> list[str]:
    """Burned In Annotation is NO, since no page names the patient (PS3.3 C.24.2)."""
    return [] if dataset.get("BurnedInAnnotation") == "NO" else ["'BurnedInAnnotation' must be 'NO'"]


def document_names_its_sources(dataset: Dataset) -> list[str]:
    """The images that the report is about are referenced."""
    sources = dataset.get("SourceInstanceSequence") or []
    return [] if sources else ["'SourceInstanceSequence' is missing or empty"]


def _document(dataset: Dataset) -> bytes:
    """Return the document without the byte that makes its length even."""
    document = bytes(dataset.EncapsulatedDocument)
    return document[:-1] if document.endswith(b"\0") else document


PDF_RULES: tuple[Callable[[Dataset], list[str]], ...] = (
    is_encapsulated_pdf,
    document_is_whole,
    document_is_passive,
    title_states_the_outcome,
    claims_no_identity,
    document_names_its_sources,
)
