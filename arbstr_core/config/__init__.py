"""TOML to checked, frozen settings, with every problem at once; and secret references. It prints no secret."""

from arbstr_core.config._decode import decode
from arbstr_core.config._load import find, load, named, parse, read, survey
from arbstr_core.config._secrets import resolve_bytes, resolve_secret
from arbstr_core.config._settings import (
    Address,
    ArbstrSettings,
    AuditSettings,
    DispatchSettings,
    LogSettings,
    MarketSettings,
    PayoutSettings,
    RoutingSettings,
    ServerSettings,
    Settings,
    StorageSettings,
    Tables,
    UsdSource,
    VaultDefaults,
    VaultSettings,
    WebhookSettings,
)

__all__ = [
    "Address",
    "ArbstrSettings",
    "AuditSettings",
    "DispatchSettings",
    "LogSettings",
    "MarketSettings",
    "PayoutSettings",
    "RoutingSettings",
    "ServerSettings",
    "Settings",
    "StorageSettings",
    "Tables",
    "UsdSource",
    "VaultDefaults",
    "VaultSettings",
    "WebhookSettings",
    "decode",
    "find",
    "load",
    "named",
    "parse",
    "read",
    "resolve_bytes",
    "resolve_secret",
    "survey",
]
