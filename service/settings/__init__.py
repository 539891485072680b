# SPDX-License-Identifier: Apache-2.0
"""config.yaml as one frozen `Settings` value: read once, checked whole, passed on section by section."""

from service.settings.base import AeTitle, Section
from service.settings.digest import settings_digest, shared_digest
from service.settings.drift import DriftSettings
from service.settings.inference import InferenceSettings, PackageSettings, PipelineSettings, Provider
from service.settings.loader import Problem, SettingsError, load_settings, locate_problems, parse_settings
from service.settings.priors import PriorSettings
from service.settings.retention import RetentionSettings
from service.settings.schema import (
    CloseSettings,
    Condition,
    DestinationSettings,
    DicomwebSettings,
    HttpSettings,
    LogSettings,
    NodeSettings,
    PeerSettings,
    Profile,
    QuarantineSettings,
    RuleSettings,
    Settings,
    SiteSettings,
    StorageSettings,
    TriageSettings,
    WebhookSettings,
)
from service.settings.security import AuditSettings, Permission, TlsClientSettings, TlsServerSettings
from service.settings.signatures import SignatureSettings
from service.settings.traces import TraceSettings
from service.settings.web import ProxySettings, ViewerSettings

__all__ = [
    "AeTitle",
    "AuditSettings",
    "CloseSettings",
    "Condition",
    "DestinationSettings",
    "DicomwebSettings",
    "DriftSettings",
    "HttpSettings",
    "InferenceSettings",
    "LogSettings",
    "NodeSettings",
    "PackageSettings",
    "PeerSettings",
    "Permission",
    "PipelineSettings",
    "PriorSettings",
    "Problem",
    "Profile",
    "Provider",
    "ProxySettings",
    "QuarantineSettings",
    "RetentionSettings",
    "RuleSettings",
    "Section",
    "Settings",
    "SettingsError",
    "SignatureSettings",
    "SiteSettings",
    "StorageSettings",
    "TlsClientSettings",
    "TlsServerSettings",
    "TraceSettings",
    "TriageSettings",
    "ViewerSettings",
    "WebhookSettings",
    "load_settings",
    "locate_problems",
    "parse_settings",
    "settings_digest",
    "shared_digest",
]
