# SPDX-License-Identifier: Apache-2.0
"""The documents of the conformance statement, and the tables that they may ask for."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from tests.conformance import (
    association,
    attributes,
    configuration,
    device,
    provider,
    results,
    terminology,
    trees,
    user,
    vendor,
    web,
)
from tests.conformance.examples import contexts
from tests.conformance.generated import Table, filled

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (
    DOCS / "conformance.md",
    DOCS / "mds2.md",
    *sorted((DOCS / "conformance").glob("*.md")),
    *sorted((DOCS / "pacs").glob("generic*.md")),
)
GROUPS: Mapping[str, attributes.Group] = MappingProxyType(
    {
        "comprehensive-3d-sr": ("sr", "1.2.840.10008.5.1.4.1.1.88.34"),
        "comprehensive-sr": ("sr", "1.2.840.10008.5.1.4.1.1.88.33"),
        "enhanced-sr": ("sr", "1.2.840.10008.5.1.4.1.1.88.22"),
        "basic-text-sr": ("sr", "1.2.840.10008.5.1.4.1.1.88.11"),
        "text": ("text", "1.2.840.10008.5.1.4.1.1.88.11"),
        "mammography-cad-sr": ("mammography_cad", "1.2.840.10008.5.1.4.1.1.88.50"),
        "chest-cad-sr": ("chest_cad", "1.2.840.10008.5.1.4.1.1.88.65"),
        "secondary-capture": ("heatmap", "1.2.840.10008.5.1.4.1.1.7"),
        "presentation-state": ("presentation_state", "1.2.840.10008.5.1.4.1.1.11.1"),
        "segmentation": ("segmentation", "1.2.840.10008.5.1.4.1.1.66.4"),
        "label-map": ("segmentation", "1.2.840.10008.5.1.4.1.1.66.7"),
        "parametric-map": ("parametric_map", "1.2.840.10008.5.1.4.1.1.30"),
        "key-objects": ("key_objects", "1.2.840.10008.5.1.4.1.1.88.59"),
        "rejection-note": ("rejection_note", "1.2.840.10008.5.1.4.1.1.88.59"),
        "pdf": ("pdf", "1.2.840.10008.5.1.4.1.1.104.1"),
    }
)
"""The objects that have an attribute table, by the name that the table has in a document."""
TREES = ("comprehensive-sr", "text", "mammography-cad-sr", "chest-cad-sr", "key-objects", "rejection-note")
"""Those with a content tree; the forms of the report have the same."""

TABLES: Mapping[str, Table] = MappingProxyType(
    {
        "services": association.services,
        "application-entity": association.application_entity,
        "limits": association.limits,
        "sop-classes": association.sop_classes,
        "transfer-syntaxes": association.transfer_syntaxes,
        "accepted-presentation-contexts": association.accepted_presentation_contexts,
        "rejections": association.rejections,
        "c-store-statuses": provider.c_store_statuses,
        "n-action-statuses": provider.n_action_statuses,
        "n-event-report-statuses": provider.n_event_report_statuses,
        "commitment-failures-given": provider.commitment_failures_given,
        "commitment-failures-taken": user.commitment_failures_taken,
        "proposed-presentation-contexts": contexts,
        "c-store-answers": user.c_store_answers,
        "stow-statuses": web.stow_statuses,
        "stow-failures": web.stow_failures,
        "stow-answers": web.stow_answers,
        "stow-limits": web.limits,
        "objects": results.objects,
        "japanese": results.japanese,
        "convertible": results.convertible,
        "states": terminology.states,
        "schemes": terminology.schemes,
        "codes-dcm": partial(terminology.codes_of, "DCM"),
        "codes-sct": partial(terminology.codes_of, "SCT"),
        "codes-private": partial(terminology.codes_of, "99DOKUEI"),
        "codes-other": terminology.other_codes,
        "context-groups": terminology.context_groups,
        "parameters": configuration.parameters,
        "device-ports": device.ports,
        "device-ciphers": device.ciphers,
        "device-audit": device.audit_events,
        "device-kept": device.kept_data,
        "device-secrets": device.secrets,
        "device-components": device.components,
        **{f"vendor-node-{language}": partial(vendor.node, language) for language in vendor.HEADS},
        **{f"vendor-in-{language}": partial(vendor.classes_in, language) for language in vendor.HEADS},
        **{f"vendor-syntaxes-{language}": vendor.syntaxes_in for language in vendor.HEADS},
        **{f"vendor-out-{language}": partial(vendor.classes_out, language) for language in vendor.HEADS},
        "common-attributes": attributes.common_attributes,
        "extended-attributes": attributes.extended_attributes,
        "private-attributes": attributes.private_attributes,
        "copied-attributes": attributes.copied_attributes,
        **{f"attributes-{key}": partial(attributes.attributes_of, group) for key, group in GROUPS.items()},
        **{f"content-{key}": partial(trees.content_of, GROUPS[key]) for key in TREES},
    }
)


def renewed(pages: Iterable[Path] = PAGES) -> Mapping[Path, str]:
    """Return the pages with their tables as the code has them now."""
    return {page: filled(page.read_text(encoding="utf-8"), TABLES) for page in pages}
