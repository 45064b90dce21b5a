"""What a secret reference points to."""

from __future__ import annotations

from pathlib import Path

import pytest

from arbstr_core.config import resolve_bytes, resolve_secret
from arbstr_core.types import ConfigError, SecretRef


def reveal(ref: str, base: Path, environ: dict[str, str] | None = None) -> str | None:
    secret = resolve_secret(SecretRef.from_config(ref), base, environ or {})
    return secret.reveal() if secret else None


def test_environment(tmp_path: Path):
    assert reveal("env:K", tmp_path, {"K": "v\n"}) == "v"
    assert reveal("env:K", tmp_path, {"K": ""}) is None
    assert reveal("env:K", tmp_path) is None


def test_the_environment_is_the_process_s_own_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ARBSTR_TEST_SECRET", "v")
    secret = resolve_secret(SecretRef("env:ARBSTR_TEST_SECRET"), tmp_path)
    assert secret is not None
    assert secret.reveal() == "v"


@pytest.mark.parametrize(("written", "read"), [("v", "v"), ("v\n", "v"), ("v\r\n", "v"), ("\n", None)])
def test_file(tmp_path: Path, written: str, read: str | None):
    (tmp_path / "key").write_bytes(written.encode())
    assert reveal("file:key", tmp_path) == read
    assert reveal(f"file:{tmp_path}/key", Path("/elsewhere")) == read


def test_no_file(tmp_path: Path):
    assert reveal("file:absent", tmp_path) is None
    (tmp_path / "plain").touch()
    assert reveal("file:plain/below", tmp_path) is None


def test_a_file_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot be read"):
        reveal("file:.", tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        reveal("file:binary", tmp_path)


@pytest.mark.parametrize("value", ["sk-SECRET ", " sk-SECRET", "sk-SEC\rRET", "sk-SEC\nRET", "sk-\x00"])
def test_a_secret_that_no_header_can_carry_is_refused_unseen(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        resolve_secret(SecretRef("env:KEY"), tmp_path, {"KEY": value})
    assert "env:KEY" in str(refused.value)
    assert "SEC" not in str(refused.value)


def test_what_is_no_text_comes_as_it_is(tmp_path: Path):
    (tmp_path / "macaroon").write_bytes(b"\x02\xff\n")
    assert resolve_bytes(SecretRef("file:macaroon"), tmp_path) == b"\x02\xff\n"
    assert resolve_bytes(SecretRef("env:K"), tmp_path, {"K": "two\nlines\n"}) == b"two\nlines\n"
    assert resolve_bytes(SecretRef("file:absent"), tmp_path) is None
    assert resolve_bytes(SecretRef("env:K"), tmp_path, {}) is None
    with pytest.raises(ConfigError, match="cannot be read"):
        resolve_bytes(SecretRef("file:."), tmp_path)
