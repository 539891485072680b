# SPDX-License-Identifier: Apache-2.0
"""The Image Library (TID 1600) with the group that OHIF demands, from headers that may lack anything."""

from service.codes import code, dcm
from service.domain.instance import Instance
from service.results.report.sr_tree import Coded, Container, Image, Item, Number, Relationship, by_value, contains
from service.results.source.sources import Sources, integer, text

CODED_MODALITIES = frozenset({"CR", "DX", "MG", "CT"})
PIXELS = code("UCUM", "{pixels}")


def image_library(instances: tuple[Instance, ...], sources: Sources) -> Item:
    """Return the library of the images that the report refers to."""
    entries = [_entry(instance, sources) for instance in instances]
    group = Item(dcm("126200"), Container(), contains(*entries))
    return Item(dcm("111028"), Container(), contains(group))


def _entry(instance: Instance, sources: Sources) -> Item:
    links = by_value(Relationship.HAS_ACQ_CONTEXT, *_descriptors(instance, sources))
    return Item(dcm("111040"), Image(instance), links)


def _descriptors(instance: Instance, sources: Sources) -> list[Item]:
    """Return TID 1602: modality and size, the part that never misleads."""
    header = sources.header(instance.sop_instance_uid)
    modality = text(header, "Modality").upper()
    coded = dcm(modality if modality in CODED_MODALITIES else "OT")
    sizes = (("110910", integer(header, "Rows")), ("110911", integer(header, "Columns")))
    numbers = [Item(dcm(name), Number(value, PIXELS)) for name, value in sizes if value]
    return [Item(dcm("121139"), Coded(coded)), *numbers]
