"""Which plugins are installed, read from metadata alone: nothing is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

import msgspec

GROUP = "arbstr.plugins"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An installed plugin: what its distribution's metadata says."""

    name: str
    distribution: str
    version: str
    module: str
    """the entry point's value"""
    entry_point: EntryPoint

    def __str__(self) -> str:
        return f"plugin {self.name} ({self.distribution} {self.version})"


def installed() -> list[Found]:
    """Every plugin installed here, by name and distribution; two of one name are both listed."""
    return sorted((_found(entry) for entry in entry_points(group=GROUP)), key=lambda f: (f.name, f.distribution))


def by_name(found: Sequence[Found]) -> dict[str, list[Found]]:
    """Those of one name together; more than one is a clash."""
    names: dict[str, list[Found]] = {}
    for each in found:
        names.setdefault(each.name, []).append(each)
    return names


def nothing_sentence(wanted: Sequence[str]) -> str:
    """What to tell where there is no plugin at all: one command, not a line for each."""
    packages = " ".join(f"arbstr-{name.replace('_', '-')}" for name in dict.fromkeys(wanted))
    return (
        "no plugin is installed here, and arbstr-core alone neither buys nor sells: providers, routing and wallets are "
        f"plugins. [arbstr] plugins names these: pip install {packages}"
    )


def clash_sentence(rivals: Sequence[Found]) -> str:
    """What to tell of several distributions with one name."""
    owners = " and ".join(f"{each.distribution} {each.version}" for each in rivals)
    remedy = " or ".join(dict.fromkeys(each.distribution for each in rivals))
    return f"plugin {rivals[0].name}: {owners} both have this name, and neither was imported; pip uninstall {remedy}"


def _found(entry: EntryPoint) -> Found:
    said = entry.dist.metadata if entry.dist else None
    return Found(
        name=entry.name,
        distribution=str(said["Name"]) if said and "Name" in said else "a distribution without a name",
        version=str(said["Version"]) if said and "Version" in said else "",
        module=entry.value,
        entry_point=entry,
    )
