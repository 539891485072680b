# SPDX-License-Identifier: Apache-2.0
"""Files as the ledger knows them; without torch, whose memory would be measured as the pipeline's."""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pydicom import dcmread

from harness.studies import instance_of
from service.dicom.header import read_attributes
from service.domain.instance import Instance


def instance_with_attributes(path: Path) -> Instance:
    """Return an instance as the ledger knows it."""
    return replace(instance_of(dcmread(path, stop_before_pixels=True), path), attributes=read_attributes(path))
