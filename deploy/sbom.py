# SPDX-License-Identifier: Apache-2.0
"""Writes the software bill of materials (CycloneDX 1.6, JSON) of what a node is installed from.

One component per wheel, with its licence and the digest of the file, and one per model package inside Dokuei's own
wheel, with the digests of its graphs.
"""

import email
import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import yaml
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from deploy.wheel import source_date_epoch

PACKAGES = "service/_packages/"
"""Where Dokuei's wheel holds its model packages."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something that is shipped; `sha256` is that of its file."""

    name: str
    version: str
    kind: ComponentType
    sha256: str
    licence: str = ""
    properties: dict[str, str] = field(default_factory=dict)


def describe_wheels(folder: Path, *, variant: str) -> Bom:
    """Return the bill of a folder of wheels, of which one is Dokuei's."""
    parts = [part for wheel in sorted(folder.glob("*.whl")) for part in _parts(wheel)]
    (own,) = (part for part in parts if part.name == "dokuei")
    bom = Bom(components=[_component(part) for part in parts if part is not own])
    bom.metadata.component = _component(own)
    bom.metadata.properties.add(Property(name="dokuei:variant", value=variant))
    bom.metadata.timestamp = datetime.fromtimestamp(source_date_epoch(), UTC)
    bom.serial_number = uuid5(NAMESPACE_URL, " ".join(sorted(part.sha256 for part in parts)))
    bom.register_dependency(bom.metadata.component, bom.components)
    return bom


def write_sbom(bom: Bom, path: Path) -> None:
    """Write a bill that holds to the schema; raises ValueError naming what does not."""
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problem is not None:
        raise ValueError(f"{path.name} does not hold to CycloneDX 1.6: {problem}")
    path.write_text(text + "\n", encoding="utf-8")


def _parts(wheel: Path) -> Iterator[Part]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (entry for entry in archive.namelist() if _is_metadata(entry))
        about = email.message_from_bytes(archive.read(name))
        yield Part(
            name=canonicalize_name(about["Name"]),
            version=about["Version"],
            kind=ComponentType.APPLICATION if about["Name"] == "dokuei" else ComponentType.LIBRARY,
            sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
            licence=_licence(about),
        )
        yield from _model_packages(archive)


def _is_metadata(entry: str) -> bool:
    return entry.endswith(".dist-info/METADATA") and entry.count("/") == 1


def _licence(about: Message) -> str:
    """Return the licence by the first of the three fields that names one, "" when none does."""
    named = [text.rpartition(" :: ")[2] for text in about.get_all("Classifier", []) if text.startswith("License ::")]
    classified = ", ".join(name for name in named if name != "OSI Approved")
    first_line = (about["License"] or "").partition("\n")[0]
    return str(about["License-Expression"] or classified or first_line)


def _model_packages(archive: zipfile.ZipFile) -> Iterator[Part]:
    manifests = [name for name in archive.namelist() if name.startswith(PACKAGES) and name.endswith("/manifest.yaml")]
    for name in sorted(manifests):
        data = archive.read(name)
        about = yaml.safe_load(data)
        yield Part(
            name=about["name"],
            version=about["version"],
            kind=ComponentType.MACHINE_LEARNING_MODEL,
            sha256=hashlib.sha256(data).hexdigest(),
            licence=about["licence"],
            properties={f"dokuei:sha256:{file}": digest for file, digest in about["files"].items()},
        )


def _component(part: Part) -> Component:
    model = part.kind is ComponentType.MACHINE_LEARNING_MODEL
    return Component(
        name=part.name,
        version=part.version,
        type=part.kind,
        bom_ref=f"{'model' if model else 'pypi'}:{part.name}@{part.version}",
        purl=None if model else PackageURL(type="pypi", name=part.name, version=part.version),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)],
        licenses=[LicenseFactory().make_from_string(part.licence)] if part.licence else [],
        properties=[Property(name=name, value=value) for name, value in sorted(part.properties.items())],
    )
