"""`${NAME}` in a configuration is what the environment says, or a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from arbstr_core.config import parse
from arbstr_core.types import ConfigError

HERE = Path("/etc/arbstr/config.toml")
WITHOUT_NAME = "a ${...} without a name of the environment: write ${NAME}, ${NAME:-DEFAULT}, or $${ for the signs alone"
LEAST = '[arbstr]\nplugins = ["acme"]\n'


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE_HOST", "db.example")
    monkeypatch.setenv("HERE_TOKEN", "sk-very-secret-and-long-enough")
    monkeypatch.setenv("HERE_EMPTY", "")
    monkeypatch.setenv("HERE_MARKED", "${HERE_HOST}")
    monkeypatch.delenv("HERE_NOTHING", raising=False)


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse(LEAST + text, HERE)
    return list(raised.value.problems)


def test_texts_are_filled_wherever_they_stand() -> None:
    text = (
        '[storage]\nurl = "postgresql://arbstr@${HERE_HOST}:${HERE_PORT:-5432}/arbstr"\n'
        '[server]\nlisten = "${HERE_EMPTY:-0.0.0.0}:8080"\n'
        '[market.aliases]\n"${HERE_HOST}" = ["a", "${HERE_HOST}"]\n'
        '[plugins.acme.rows]\nurl = "https://${HERE_HOST}/v1"\nexactly = "$${HERE_HOST} costs $5"\n'
        'default = "${HERE_NOTHING:-}"\n'
        'marked = "${HERE_MARKED}"\n'
    )
    settings = parse(LEAST + text, HERE)
    assert settings.storage.url == "postgresql://arbstr@db.example:5432/arbstr"
    assert str(settings.server.listen) == "0.0.0.0:8080"
    assert settings.market.aliases == {"${HERE_HOST}": ("a", "db.example")}
    assert settings.plugins["acme"]["rows"] == {
        "url": "https://db.example/v1",
        "exactly": "${HERE_HOST} costs $5",
        "default": "",
        "marked": "${HERE_HOST}",  # what comes from the environment is not read again
    }


def test_what_is_missing_is_told_with_everything_else() -> None:
    text = '[storage]\nurl = "sqlite:///${HERE_NOTHING}"\n[market.aliases]\na = ["${1}"]\n[routing]\nkeep = 0\n'
    assert problems_of(text) == [
        "[storage] url: the environment has no HERE_NOTHING: set it, or write a default, ${HERE_NOTHING:-DEFAULT}",
        f"[market.aliases] a[0]: {WITHOUT_NAME}",
        "[routing] keep: expected a whole number >= 1",
    ]


def test_a_secret_does_not_come_in_this_way() -> None:
    """Where a secret belongs stands a reference; one that the environment puts there itself is refused unsaid."""
    said = "\n".join(problems_of('[server]\ninternal_token = "${HERE_TOKEN}"\n'))
    assert "[server] internal_token" in said
    assert "sk-very" not in said
