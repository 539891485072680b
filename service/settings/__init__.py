# SPDX-License-Identifier: Apache-2.0
"""config.yaml as one frozen `Settings` value: read once, checked whole, passed on section by section."""

from service.settings.loader import Problem, SettingsError, load_settings, parse_settings
from service.settings.schema import (
    AeTitle,
    CloseSettings,
    Condition,
    DestinationSettings,
    HttpSettings,
    InferenceSettings,
    LogSettings,
    NodeSettings,
    PeerSettings,
    PipelineSettings,
    Profile,
    RuleSettings,
    Section,
    Settings,
    SiteSettings,
    StorageSettings,
    TriageSettings,
    WebhookSettings,
)

__all__ = [
    "AeTitle",
    "CloseSettings",
    "Condition",
    "DestinationSettings",
    "HttpSettings",
    "InferenceSettings",
    "LogSettings",
    "NodeSettings",
    "PeerSettings",
    "PipelineSettings",
    "Problem",
    "Profile",
    "RuleSettings",
    "Section",
    "Settings",
    "SettingsError",
    "SiteSettings",
    "StorageSettings",
    "TriageSettings",
    "WebhookSettings",
    "load_settings",
    "parse_settings",
]
