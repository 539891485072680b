# SPDX-License-Identifier: Apache-2.0
"""A real Orthanc as the PACS of a test."""

import json
import urllib.request
from pathlib import Path
from typing import Any

from harness.processes import Program, free_port, wait_until

DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


def dicomweb_options(servers: dict[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    """Options of an Orthanc that speaks DICOMweb and knows these servers (Debian package orthanc-dicomweb)."""
    return {
        "Plugins": [str(DICOMWEB_PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "Servers": servers or {}, "StowMaxInstances": 100},
    }


class Orthanc:
    """Orthanc in a folder of its own on free loopback ports.

    `modalities` maps a symbolic name to (AE title, port) of a loopback peer that Orthanc may send to.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ae_title: str = "ORTHANC",
        modalities: dict[str, tuple[str, int]] | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.ae_title = ae_title
        self.dicom_port = free_port()
        self.http_port = free_port()
        self._configuration = {**self._defaults(modalities or {}), **(options or {})}
        self._program: Program | None = None

    def _defaults(self, modalities: dict[str, tuple[str, int]]) -> dict[str, Any]:
        return {
            "Name": "test",
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "index"),
            "Plugins": [],
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomPort": self.dicom_port,
            "DicomAet": self.ae_title,
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "UnknownSopClassAccepted": False,
            "OverwriteInstances": False,
            "StableAge": 1,
            "ConcurrentJobs": 2,
            "DicomModalities": {name: [title, "127.0.0.1", port] for name, (title, port) in modalities.items()},
        }

    def start(self) -> None:
        """Start, or start again with everything stored before, on the same ports."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(self._configuration, indent=1))
        self._program = Program(["Orthanc", str(path)], log=self.folder / "orthanc.log")
        self._program.wait_for_port(self.http_port)
        self._program.wait_for_port(self.dicom_port)

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()
            self._program = None

    @property
    def pid(self) -> int:
        if self._program is None:
            raise RuntimeError("Orthanc does not run")
        return self._program.pid

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._program is not None:
            self._program.kill()
            self._program = None

    def request(self, path: str, *, method: str = "GET", body: bytes | None = None) -> bytes:
        """Call the REST interface and return the raw answer."""
        url = f"http://127.0.0.1:{self.http_port}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data=body, method=method), timeout=60) as answer:
            return bytes(answer.read())

    def get(self, path: str) -> Any:
        return json.loads(self.request(path))

    def post(self, path: str, document: Any) -> Any:
        return json.loads(self.request(path, method="POST", body=json.dumps(document).encode()))

    def studies(self) -> list[str]:
        """Orthanc's identifiers of all studies."""
        return list(self.get("/studies"))

    def series_of(self, study: str) -> list[dict[str, Any]]:
        return list(self.get(f"/studies/{study}/series"))

    def instances(self) -> list[str]:
        return list(self.get("/instances"))

    def instances_of_study(self, study_instance_uid: str) -> list[str]:
        """Orthanc's identifiers of the instances of a study, by its DICOM UID."""
        found = self.post("/tools/find", {"Level": "Instance", "Query": {"StudyInstanceUID": study_instance_uid}})
        return list(found)

    def tags(self, instance: str) -> dict[str, Any]:
        """The header of an instance by DICOM keyword."""
        return dict(self.get(f"/instances/{instance}/simplified-tags"))

    def file(self, instance: str) -> bytes:
        """The stored DICOM file of an instance."""
        return self.request(f"/instances/{instance}/file")

    def save_files(self, folder: Path) -> list[Path]:
        """Write every stored instance into `folder`, named by its SOP Instance UID."""
        folder.mkdir(parents=True, exist_ok=True)
        return [self._save(instance, folder) for instance in self.instances()]

    def _save(self, instance: str, folder: Path) -> Path:
        path = folder / f"{self.tags(instance)['SOPInstanceUID']}.dcm"
        path.write_bytes(self.file(instance))
        return path

    def find(self, sop_instance_uid: str) -> str | None:
        """Orthanc's identifier of the instance with this UID; None when it is not there."""
        found = json.loads(self.request("/tools/lookup", method="POST", body=sop_instance_uid.encode()))
        return next((item["ID"] for item in found if item["Type"] == "Instance"), None)

    def wait_for_instances(self, count: int, *, seconds: float = 60) -> list[str]:
        wait_until(lambda: len(self.instances()) >= count, seconds=seconds, what=f"fewer than {count} instances")
        return self.instances()

    def upload(self, path: Path) -> dict[str, Any]:
        return dict(json.loads(self.request("/instances", method="POST", body=path.read_bytes())))

    @property
    def dicomweb_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    def stow_to(self, server: str, identifiers: list[str]) -> dict[str, Any]:
        """Let Orthanc send studies, series or instances to a DICOMweb server by STOW-RS, and wait for the end."""
        document = {"Resources": identifiers, "Synchronous": True}
        return dict(self.post(f"/dicom-web/servers/{server}/stow", document))

    def store_to(self, modality: str, identifiers: list[str]) -> dict[str, Any]:
        """Let Orthanc send studies, series or instances to a modality by C-STORE, and wait for the end."""
        return dict(self.post(f"/modalities/{modality}/store", {"Resources": identifiers, "Synchronous": True}))
