# SPDX-License-Identifier: Apache-2.0
"""The Image Library (TID 1600) with the group that OHIF demands, from headers that may lack anything."""

import highdicom as hd

from service.codes import code, dcm
from service.domain.instance import Instance
from service.results.sources import Sources, integer, text
from service.results.sr_group import concept

CODED_MODALITIES = frozenset({"CR", "DX", "MG", "CT"})
PIXELS = code("UCUM", "{pixels}")


def image_library(instances: tuple[Instance, ...], sources: Sources) -> hd.sr.ContainerContentItem:
    """Return the library of the images that the report refers to.

    highdicom's own ImageLibrary raises on a radiograph without Patient Orientation or Imager Pixel Spacing.
    """
    library = _container("111028")
    group = _container("126200")
    group.ContentSequence = hd.sr.ContentSequence([_entry(instance, sources) for instance in instances])
    library.ContentSequence = hd.sr.ContentSequence([group])
    return library


def _container(value: str) -> hd.sr.ContainerContentItem:
    return hd.sr.ContainerContentItem(name=concept(dcm(value)), relationship_type="CONTAINS")


def _entry(instance: Instance, sources: Sources) -> hd.sr.ImageContentItem:
    entry = hd.sr.ImageContentItem(
        name=concept(dcm("111040")),
        referenced_sop_class_uid=instance.sop_class_uid,
        referenced_sop_instance_uid=instance.sop_instance_uid,
        relationship_type="CONTAINS",
    )
    entry.ContentSequence = hd.sr.ContentSequence(_descriptors(instance, sources))
    return entry


def _descriptors(instance: Instance, sources: Sources) -> list[hd.sr.ContentItem]:
    """Return TID 1602: modality and size, the part that never misleads."""
    header = sources.header(instance.sop_instance_uid)
    modality = text(header, "Modality").upper()
    items = [
        hd.sr.CodeContentItem(
            name=concept(dcm("121139")),
            value=concept(dcm(modality if modality in CODED_MODALITIES else "OT")),
            relationship_type="HAS ACQ CONTEXT",
        )
    ]
    sizes = (("110910", integer(header, "Rows")), ("110911", integer(header, "Columns")))
    return items + [_size(name, value) for name, value in sizes if value]


def _size(name: str, value: int) -> hd.sr.NumContentItem:
    return hd.sr.NumContentItem(
        name=concept(dcm(name)), value=value, unit=concept(PIXELS), relationship_type="HAS ACQ CONTEXT"
    )
