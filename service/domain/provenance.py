# SPDX-License-Identifier: Apache-2.0
"""How our own result objects are marked, and the rule that recognises one when it comes back."""

from collections.abc import Container, Mapping

from service.domain.instance import AttributeValue

MANUFACTURER = "Dokuei project"
"""Manufacturer (0008,0070) of every result object."""
MODEL_NAME = "DOKUEI"
"""Manufacturer's Model Name (0008,1090) of every result object."""
DEMONSTRATION_MODEL_NAME = f"{MODEL_NAME}-DEMO"
"""Manufacturer's Model Name when the package is a demonstration (pipelines.md D.4)."""
HEATMAP_IMAGE_TYPE = ("DERIVED", "SECONDARY", "AI_HEATMAP")
"""Image Type (0008,0008) of every heatmap."""


def is_own_result(
    attributes: Mapping[str, AttributeValue],
    *,
    sop_instance_uid: str = "",
    own_sop_instance_uids: Container[str] = (),
) -> bool:
    """Say whether an instance is one of our results, so that the node never analyses its own output.

    An archive may rewrite equipment or image type, so any one of the marks is enough.

    Parameters
    ----------
    attributes
        DICOM keywords and values, as in `Instance.attributes`; needs Manufacturer, ManufacturerModelName, ImageType.
    own_sop_instance_uids
        UIDs of the results that this node has made, when the caller knows them.
    """
    return (
        sop_instance_uid in own_sop_instance_uids
        or _has_own_equipment(attributes)
        or _texts(attributes.get("ImageType"))[:3] == HEATMAP_IMAGE_TYPE
    )


def _has_own_equipment(attributes: Mapping[str, AttributeValue]) -> bool:
    model = _texts(attributes.get("ManufacturerModelName"))[:1]
    return model in {(MODEL_NAME,), (DEMONSTRATION_MODEL_NAME,)}


def _texts(value: AttributeValue) -> tuple[str, ...]:
    values = value if isinstance(value, tuple) else (value,)
    return tuple(str(entry).strip().upper() for entry in values if entry is not None)
