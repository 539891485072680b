# SPDX-License-Identifier: Apache-2.0
"""Where the objects of earlier results stand: their series, which references to them name (PS3.3 C.17.2.1)."""

from dataclasses import replace

import pydicom
from pydicom.errors import InvalidDicomError

from service.ports import PriorObject
from service.results.object.identifiers import sr_series_instance_uid
from service.results.source.bad_values import BAD_VALUE_ERRORS
from service.results.source.sources import text


def with_series(prior: PriorObject) -> PriorObject:
    """Return the object with the series that its file says; a report's series follows from its UID when it is gone."""
    if prior.series_instance_uid:
        return prior
    if prior.path is None:
        return replace(prior, series_instance_uid=sr_series_instance_uid(prior.sop_instance_uid))
    try:
        header = pydicom.dcmread(prior.path, specific_tags=["SeriesInstanceUID"], stop_before_pixels=True)
    except (OSError, InvalidDicomError, *BAD_VALUE_ERRORS):
        return replace(prior, series_instance_uid=sr_series_instance_uid(prior.sop_instance_uid))
    return replace(prior, series_instance_uid=text(header, "SeriesInstanceUID"))
