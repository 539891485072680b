# SPDX-License-Identifier: Apache-2.0
"""Keeps what a stranger can write out of metric labels and log fields: closed words, bounded numbers of series."""

import re
from typing import Generic, TypeVar

from prometheus_client.metrics import MetricWrapperBase

OTHER = "other"
MODALITIES = frozenset({"CR", "CT", "DX", "KO", "MG", "MR", "NM", "OT", "PR", "PT", "RF", "SEG", "SR", "US", "XA"})
MAX_VALUES = 100
"""Distinct values of one label of one metric; a node has fewer peers, destinations and packages than this."""
WORD = re.compile(r"[A-Za-z0-9_.:+/-]{1,64}")
"""Names in config.yaml, codes and identifiers of programs look like this; sentences and DICOM person names do not."""

Metric = TypeVar("Metric", bound=MetricWrapperBase)


def modality_word(modality: str) -> str:
    """Return a modality (0008,0060) as one of a closed set: the header says what its writer likes."""
    return modality if modality in MODALITIES else OTHER


def is_word(text: str) -> bool:
    """Whether the text is empty or a single plain word of at most 64 characters."""
    return not text or WORD.fullmatch(text) is not None


class Bounded(Generic[Metric]):
    """A metric whose labels take words only, and only so many: what comes after that is "other"."""

    def __init__(self, metric: Metric, label_count: int) -> None:
        self._metric = metric
        self._seen: tuple[set[str], ...] = tuple(set() for _ in range(label_count))

    def labels(self, *values: str) -> Metric:
        """Return the series of these label values."""
        return self._metric.labels(*map(_admit, self._seen, values))

    def remove(self, **labels: str) -> None:
        """Forget the series that have these labels, whatever their other ones."""
        self._metric.remove_by_labels(labels)

    def clear(self) -> None:
        """Forget all series."""
        self._metric.clear()
        for seen in self._seen:
            seen.clear()


def _admit(seen: set[str], value: str) -> str:
    if value in seen:
        return value
    if len(seen) >= MAX_VALUES or not is_word(value):
        return OTHER
    seen.add(value)
    return value
