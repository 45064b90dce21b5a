"""The plugins' tables in the root config.toml are right, and so are its commented lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from arbstr_core.config import decode, parse
from arbstr_core.plugins import load

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("commented", [False, True])
def test_the_root_configuration(commented: bool):
    text = (ROOT / "config.toml").read_text()
    if commented:
        text = re.sub(r"^# (?=\w+ = |\[)", "", text, flags=re.MULTILINE)
        # What moves real money, or needs a network of yours, is not enabled, but its lines are right all the same.
        more = '"wallet_lnd", "wallet_cashu", "providers_mesh", "providers_routstr"'
        text = text.replace('"dashboard"]', f'"dashboard", {more}]')
    settings = parse(text, ROOT / "config.toml")
    policies = {"policy_keywords", "policy_complexity"}
    providers = {"providers_local", "providers_openai", "providers_mesh", "providers_routstr"}
    tables = providers | {"wallet_lnd", "wallet_cashu"} | policies
    assert set(settings.plugins) == (tables if commented else {"providers_local"})
    plugins = load(settings.arbstr.plugins, settings.plugins, decode)
    assert plugins.names == settings.arbstr.plugins
    assert plugins.kinds("policy_keywords") == ("policy",)
    mocked = load(settings.arbstr.plugins, settings.plugins, decode, mock=settings.arbstr.mock)
    assert {name for name in mocked.names if "provider" in mocked.kinds(name)} == set(settings.arbstr.mock)
