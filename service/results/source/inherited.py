# SPDX-License-Identifier: Apache-2.0
"""What an object made from an image inherits of it: the side of the body and the history of compression."""

from pydicom.dataset import Dataset

from service.results.source.sources import text
from service.results.source.verbatim import COMPRESSION, SIDE, Elements, copied, empty, has_value


def anatomy(dataset: Dataset, header: Dataset) -> Elements:
    """Write the body part and return the side.

    The source's own words for the body part are many ("LUNG", "CHEST PA"), and the validity of a side depends on them:
    a breast has one, empty when unknown, a chest must have none (Laterality is type 2C, PS3.3 C.7.3.1).
    """
    if text(header, "Modality").upper() != "MG":
        dataset.BodyPartExamined = "CHEST"
        return {}
    dataset.BodyPartExamined = "BREAST"
    for keyword in SIDE:
        elements = copied(header, (keyword,))
        if has_value(elements, keyword):
            return elements
    return empty(("Laterality",))


def compression(header: Dataset) -> Elements:
    """Return the history of lossy compression, which a derived image keeps (PS3.3 C.7.6.1.1.5)."""
    return copied(header, COMPRESSION) if text(header, "LossyImageCompression") == "01" else {}
