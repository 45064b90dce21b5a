"""The dashboard: a static site, a client of `/admin` alone."""

from __future__ import annotations

from pathlib import Path

import msgspec

from arbstr_core.api import Manifest, Site, hookimpl


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """`[plugins.dashboard]` has no keys."""


__all__ = ["MANIFEST", "arbstr_sites"]

MANIFEST = Manifest(name="dashboard", api=(1, 0), config=Config)


@hookimpl
def arbstr_sites() -> list[Site]:
    """The one site."""
    return [Site(name="dashboard", title="Dashboard", folder=Path(__file__).with_name("site"))]
