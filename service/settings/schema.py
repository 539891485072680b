# SPDX-License-Identifier: Apache-2.0
"""The sections of config.yaml as frozen types; unknown keys are refused."""

import re
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from service.settings.agreement import DisagreementError, misfits_in
from service.settings.base import AeTitle, Name, Port, Seconds, Section, Timeout
from service.settings.drift import DriftSettings
from service.settings.inference import InferenceSettings, PipelineSettings
from service.settings.priors import PriorSettings
from service.settings.results import DEFAULT_OBJECTS, STATEMENTS, ChosenKind, ResultKind, ResultSettings, Supersession
from service.settings.retention import RetentionSettings
from service.settings.security import (
    AuditSettings,
    CertificateName,
    Fingerprint,
    Permission,
    TlsClientSettings,
    TlsServerSettings,
)
from service.settings.traces import TraceSettings
from service.settings.web import ViewerSettings

SECRET_PARAMETERS = frozenset({"password", "sslpassword"})


def check_database_url(value: str) -> None:
    """Refuse what is no PostgreSQL URL, and every secret in one: config.yaml is read, copied and sent to support."""
    parts = urlsplit(value)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ValueError("a database URL begins with postgresql://; leave it out for SQLite in 'folder'")
    secrets = SECRET_PARAMETERS & {name for name, _ in parse_qsl(parts.query)}
    if parts.password is not None or secrets:
        raise ValueError(
            "a password must not lie in config.yaml; put it into a file and name it in database_password_file"
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class NodeSettings(Section):
    """How the node is reached over DICOM."""

    ae_title: AeTitle = "DOKUEI"
    host: str = "0.0.0.0"  # noqa: S104 - a DICOM node serves the hospital network; peers are allow-listed
    port: Port | None = 11112
    """The port without TLS; null closes it, and then `tls` must be given."""
    tls: TlsServerSettings | None = None
    """A second port, for DICOM over TLS."""
    max_associations: int = Field(default=16, ge=1, le=256)
    max_pdu_bytes: int = Field(default=131_072, ge=4_096, le=1_048_576)
    idle_seconds: Timeout = 60

    @model_validator(mode="after")
    def _has_a_port(self) -> Self:
        if self.port is None and self.tls is None:
            raise ValueError("'port: null' leaves the node no port; give 'tls' too, or a port")
        if self.tls is not None and self.port == self.tls.port:
            raise ValueError(f"port and tls.port are both {self.port}; plain and TLS never share one (PS3.15 B.12)")
        return self


class StorageSettings(Section):
    """Where studies and the ledger live."""

    folder: Path = Path("dokuei-data")
    reserve_bytes: int = Field(default=2_000_000_000, ge=0)
    """Below this much free space the node answers 0xA700 and takes nothing in."""
    database_url: str | None = None
    """A PostgreSQL database for the ledger ("postgresql://user@host/name"); a SQLite file in `folder` when absent."""
    database_password_file: Path | None = None
    """A file with the password of that user, read at each connection; libpq's own files (~/.pgpass, service) do too."""
    durability: Literal["durable", "unsafe_for_benchmarks"] = "durable"
    """"unsafe_for_benchmarks" flushes nothing, and needs DOKUEI_UNSAFE=loses-data in the environment as well."""

    @field_validator("database_url")
    @classmethod
    def _postgresql_without_secret(cls, value: str | None) -> str | None:
        if value is not None:
            check_database_url(value)
        return value

    @model_validator(mode="after")
    def _password_for_a_url(self) -> Self:
        if self.database_password_file is not None and self.database_url is None:
            raise ValueError("'database_password_file' without 'database_url'; add the URL, or remove the file")
        return self


class QuarantineSettings(Section):
    """How much of what was not let in is kept; past a limit, the oldest of the peer that fills it most goes."""

    max_bytes: int = Field(default=2_000_000_000, ge=0)
    max_objects: int = Field(default=10_000, ge=1, le=1_000_000)
    keep_days: float = Field(default=30, gt=0, le=3650)


class PeerSettings(Section):
    """A system that may send: its address, and AE title, token and certificate, where given, must match."""

    name: Name
    ae_title: AeTitle | None = None
    """Without it the peer opens no associations; then it needs a token or a certificate, for DICOMweb."""
    address: tuple[IPv4Network | IPv6Network, ...] = Field(min_length=1)
    """One address ("10.0.0.5") or network ("10.0.0.0/24"), or a list of them."""
    certificate_sha256: tuple[Fingerprint, ...] = ()
    """SHA-256 of the certificate that it must show; several while one replaces another. Needs `node.tls`."""
    certificate_name: CertificateName | None = None
    """A name in that certificate: a subject alternative name (DNS, IP, URI or mail) or the common name."""
    may: tuple[Permission, ...] = (Permission.STORE, Permission.COMMIT)
    """What it is let do beside C-ECHO; the node offers it nothing else."""
    admission: Literal["strict", "lenient"] = "strict"
    """"lenient" forgives old equipment what is wrong but cannot be read in two ways; see docs/operations.md."""
    commitment_port: Port | None = None
    """Where this peer takes storage commitment reports; without it, it may not ask for storage commitment."""
    commitment_host: str = ""
    """Host of `commitment_port`; the peer's address when it is a single one."""
    token_file: Path | None = None
    """A file with the bearer token that it must show over DICOMweb, where a token or a certificate is needed."""

    @model_validator(mode="after")
    def _has_a_way_in(self) -> Self:
        if self.ae_title is None and not self.sends_over_dicomweb:
            raise ValueError(
                "a peer needs 'ae_title' to send by C-STORE, or 'token_file' or a certificate to send over DICOMweb"
            )
        return self

    @field_validator("address", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        values = value if isinstance(value, list | tuple) else [value]
        return ["127.0.0.0/8" if item == "localhost" else item for item in values]

    @field_validator("certificate_sha256", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @property
    def pins_certificate(self) -> bool:
        """Whether the peer must show a certificate of its own."""
        return bool(self.certificate_sha256 or self.certificate_name)

    @model_validator(mode="after")
    def _reports_have_an_address(self) -> Self:
        if self.commitment_port and self.ae_title is None:
            raise ValueError("'commitment_port' needs 'ae_title': reports go to an application entity")
        single = len(self.address) == 1 and self.address[0].num_addresses == 1
        if self.commitment_port and not self.commitment_host and not single:
            raise ValueError(
                f"peer {self.name!r} has commitment_port {self.commitment_port}, but its address is not a single one; "
                "name the host that takes the reports in 'commitment_host'"
            )
        return self

    def reports_to(self) -> "DestinationSettings | None":
        """Return how this peer is called when it asked for storage commitment; None when it may not ask."""
        if self.commitment_port is None or self.ae_title is None:
            return None
        host = self.commitment_host or str(self.address[0].network_address)
        return DestinationSettings(name=self.name, ae_title=self.ae_title, host=host, port=self.commitment_port)

    @property
    def sends_over_dicomweb(self) -> bool:
        """Whether the peer has what takes the place of an AE title there."""
        return self.token_file is not None or self.pins_certificate


class DestinationSettings(Section):
    """A system that receives results: by C-STORE (`ae_title`, `host`, `port`) or by STOW-RS (`url`)."""

    name: Name
    ae_title: AeTitle = ""
    host: str = ""
    port: Port = 0
    url: str | None = Field(default=None, pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?$")
    """The base of its DICOMweb service, before /studies."""
    token_file: Path | None = None
    """A file with the bearer token for `url`."""
    tls: TlsClientSettings | None = None
    objects: tuple[ChosenKind, ...] = DEFAULT_OBJECTS
    """What it is sent; kinds that a study gives no reason for are not made."""
    results: ResultSettings = ResultSettings()
    """How that is written."""
    supersede: Supersession = Supersession.REFERENCE
    """What it is told of older results of the same study."""
    retry_first_seconds: Seconds = 5
    retry_max_seconds: Seconds = 300
    timeout_seconds: Timeout = 30
    commitment: Literal["none", "request"] = "none"
    """"request": a result counts as delivered when the destination has committed itself to keep it (PS3.4 annex J)."""
    commitment_wait_seconds: Seconds = 5
    """So long is the association held open after the request, for the report to come on it."""
    commitment_report_seconds: Timeout = 600
    """Without a report for this long, the destination is asked again."""

    @field_validator("objects")
    @classmethod
    def _each_once(cls, value: tuple[ResultKind, ...]) -> tuple[ResultKind, ...]:
        doubled = [kind.value for kind in dict.fromkeys(value) if value.count(kind) > 1]
        if doubled:
            raise ValueError(f"{doubled[0]!r} is named twice; name each kind once")
        return value

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = [key for key in ("ae_title", "host", "port") if getattr(self, key)]
        if self.url and given:
            raise ValueError(f"'url' (STOW-RS) and '{given[0]}' (C-STORE) exclude each other; give one form")
        if not self.url and len(given) < 3:
            raise ValueError("a destination needs 'ae_title', 'host' and 'port' (C-STORE), or 'url' (STOW-RS)")
        if self.token_file is not None and not self.url:
            raise ValueError("'token_file' belongs to 'url'; C-STORE has no tokens")
        if not STATEMENTS & set(self.objects):
            raise ValueError(
                f"'objects' names {', '.join(self.objects) or 'no kind'}, and none that every result has; add 'sr', "
                "'heatmap', 'text' or 'pdf', so that the destination hears of every study"
            )
        if self.commitment == "request" and self.url:
            raise ValueError("'commitment: request' needs C-STORE; there is no storage commitment over DICOMweb")
        if self.tls is not None and (self.url or "").startswith("http:"):
            raise ValueError("'tls' needs a 'url' that begins with https:")
        return self


class Condition(Section):
    """A condition on DICOM attributes: one comparison, or `all`, `any`, `not` of conditions.

    `attribute` is a DICOM keyword, or sequence and keyword with a dot ("ViewCodeSequence.CodeValue"); a condition on
    an attribute with several values holds when any value fits. Text compares without regard to case.
    """

    attribute: str | None = Field(default=None, pattern=r"^[A-Z][A-Za-z0-9]*(\.[A-Z][A-Za-z0-9]*)*$")
    equals: str | int | float | None = None
    in_: tuple[str | int | float, ...] | None = Field(default=None, alias="in")
    regex: str | None = Field(default=None, max_length=200)
    range: tuple[float, float] | None = None
    present: bool | None = None
    all: tuple["Condition", ...] | None = None
    any: tuple["Condition", ...] | None = None
    not_: "Condition | None" = Field(default=None, alias="not")

    @field_validator("regex")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"regex {value!r} does not compile: {error}") from None
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        comparisons = [self.equals, self.in_, self.regex, self.range, self.present]
        groups = [self.all, self.any, self.not_]
        compared = sum(value is not None for value in comparisons)
        grouped = sum(value is not None for value in groups)
        if self.attribute is not None and (compared, grouped) == (1, 0):
            return self
        if self.attribute is None and (compared, grouped) == (0, 1):
            return self
        raise ValueError(
            "a condition is either 'attribute' with exactly one of equals, in, regex, range, present, "
            "or exactly one of all, any, not"
        )


class RuleSettings(Section):
    """Sends a study to pipelines when any of its instances fulfils `when`."""

    name: Name
    when: Condition
    pipelines: tuple[Name, ...] = Field(min_length=1)
    priority: Literal["routine", "urgent"] = "routine"


class CloseSettings(Section):
    """When a study counts as complete."""

    quiet_seconds: Seconds = 60
    """With no new image for this long, a study closes whatever it holds."""
    settle_seconds: Seconds = 5
    """With no new image for this long, a gap-free CT series closes."""


class TriageSettings(Section):
    """Which packages may raise a study's priority."""

    allowed_statuses: tuple[Literal["research", "site-validated", "approved"], ...] = (
        "site-validated",
        "approved",
    )


class Profile(StrEnum):
    """How a site uses the node."""

    DEFAULT = "default"
    DEMO = "demo"


class SiteSettings(Section):
    """What the site has decided about research software."""

    profile: Profile = Profile.DEFAULT
    """"demo" lets demonstration packages run and raise priorities; never use it with patients."""
    allow_demonstration: bool = False
    """Run demonstration packages (every object that they produce says so). They never raise a priority."""


class WebhookSettings(Section):
    """A URL that is told of raised priorities (JSON, HTTP POST)."""

    name: Name
    url: str = Field(pattern=r"^https?://")
    token_file: Path | None = None
    timeout_seconds: Timeout = 10


class HttpSettings(Section):
    """The HTTP port of /metrics, /livez and /readyz, and of the status page."""

    host: str = "127.0.0.1"
    port: Port = 9180
    tls: TlsServerSettings | None = None
    """A second port, for the same over TLS; it needs a `port` of its own."""
    status_page: bool = False
    """Show what the node does on a page at /status: to everybody who reaches the port, without patients' identity."""
    viewers: ViewerSettings | None = None
    """Who is shown identity there; absent: nobody."""

    @model_validator(mode="after")
    def _has_two_ports(self) -> Self:
        if self.tls is not None and "port" not in self.tls.model_fields_set:
            raise ValueError(f"tls: give 'port' too, for example 9443; {self.tls.port} is that of DICOM over TLS")
        if self.tls is not None and self.tls.port == self.port:
            raise ValueError(f"port and tls.port are both {self.port}; give TLS a port of its own, for example 9443")
        return self

    @model_validator(mode="after")
    def _hides_identity_on_its_way(self) -> Self:
        viewers = self.viewers
        if viewers is None:
            return self
        if not self.status_page:
            raise ValueError("viewers: there is nothing to be shown; set 'status_page: true', or remove 'viewers'")
        if viewers.passwords_file is not None and self.tls is None:
            raise ValueError(
                "viewers.passwords_file without 'tls' would let everybody in the network read passwords and patients' "
                "names; give 'tls', or let a proxy on this machine do both"
            )
        if viewers.proxy is not None and not viewers.proxy.is_local and self.tls is None:
            raise ValueError(
                "viewers.proxy on another machine without 'tls' would let everybody between it and the node read "
                "patients' names; give 'tls', or use a proxy on this machine (address: 127.0.0.1)"
            )
        return self


class DicomwebSettings(Section):
    """The port of the STOW-RS server (PS3.18 10.5)."""

    host: str = "127.0.0.1"
    port: Port | None = None
    """Plain HTTP, on loopback alone; or give `tls`, which has a port of its own."""
    tls: TlsServerSettings | None = None
    base: str = Field(default="/dicom-web", pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    """What stands before /studies in the URL."""
    max_connections: int = Field(default=32, ge=1, le=256)
    idle_seconds: Timeout = 30

    @property
    def listens_on(self) -> int:
        """The port, whichever it is."""
        return self.tls.port if self.tls is not None else self.port or 0

    @model_validator(mode="after")
    def _has_one_port(self) -> Self:
        if (self.port is None) == (self.tls is None):
            raise ValueError("give 'port' (plain HTTP, on loopback alone) or 'tls' with its own port, and not both")
        if self.tls is not None and "port" not in self.tls.model_fields_set:
            raise ValueError(f"tls: give 'port' too, for example 8443; {self.tls.port} is that of DICOM over TLS")
        return self

    @model_validator(mode="after")
    def _hides_tokens(self) -> Self:
        if self.tls is None and not _is_loopback(self.host):
            raise ValueError(
                f"host {self.host!r} without 'tls' would let everybody in the network read tokens and images; give "
                "'tls', or listen on 127.0.0.1 behind a proxy that does TLS"
            )
        return self


class LogSettings(Section):
    """Logs: one event per line."""

    format: Literal["json", "console"] = "json"
    level: Literal["debug", "info", "warning", "error"] = "info"


DEFAULT_RULES: tuple[dict[str, Any], ...] = (
    {
        "name": "chest-radiograph",
        "when": {
            "all": [
                {"attribute": "Modality", "in": ["CR", "DX"]},
                {
                    "any": [
                        {"attribute": "BodyPartExamined", "regex": "CHEST|THORAX|LUNG"},
                        {"attribute": "BodyPartExamined", "present": False},
                    ]
                },
            ]
        },
        "pipelines": ["pneumoconiosis"],
    },
    {
        "name": "chest-ct",
        "when": {
            "all": [
                {"attribute": "Modality", "equals": "CT"},
                {
                    "any": [
                        {"attribute": "BodyPartExamined", "regex": "CHEST|THORAX|LUNG"},
                        {"attribute": "BodyPartExamined", "present": False},
                    ]
                },
            ]
        },
        "pipelines": ["diffuse_lung"],
    },
    {"name": "mammography", "when": {"attribute": "Modality", "equals": "MG"}, "pipelines": ["mammography"]},
)

DEFAULT_PIPELINES: dict[str, dict[str, str]] = {
    "pneumoconiosis": {"package": "pneumoconiosis-demo", "version": "0.2.0"},
    "diffuse_lung": {"package": "diffuse-lung-demo", "version": "0.3.0"},
    "mammography": {"package": "mammography-demo", "version": "0.3.0"},
}


class Settings(Section):
    """The whole of config.yaml."""

    node: NodeSettings = NodeSettings()
    storage: StorageSettings = StorageSettings()
    quarantine: QuarantineSettings = QuarantineSettings()
    retention: RetentionSettings = RetentionSettings()
    peers: tuple[PeerSettings, ...] = ()
    destinations: tuple[DestinationSettings, ...] = ()
    rules: tuple[RuleSettings, ...] = tuple(RuleSettings.model_validate(rule) for rule in DEFAULT_RULES)
    pipelines: dict[Name, PipelineSettings] = Field(
        default={name: PipelineSettings.model_validate(value) for name, value in DEFAULT_PIPELINES.items()}
    )
    close: CloseSettings = CloseSettings()
    inference: InferenceSettings = InferenceSettings()
    triage: TriageSettings = TriageSettings()
    site: SiteSettings = SiteSettings()
    webhooks: tuple[WebhookSettings, ...] = ()
    http: HttpSettings = HttpSettings()
    dicomweb: DicomwebSettings | None = None
    """Absent: nothing is taken in over DICOMweb."""
    log: LogSettings = LogSettings()
    traces: TraceSettings | None = None
    """Absent: no spans are made."""
    drift: DriftSettings = DriftSettings()
    priors: PriorSettings | None = None
    """Absent: a study is compared with what the node has itself."""
    audit: AuditSettings | None = None

    @model_validator(mode="after")
    def _sections_agree(self, info: ValidationInfo) -> Self:
        misfits = tuple(misfits_in(self, but=info.context or frozenset()))
        if misfits:
            raise DisagreementError(misfits)
        return self
