"""What a secret reference points to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from arbstr_core.types import ConfigError, Problem, Secret, SecretRef


def resolve_secret(ref: SecretRef, base: Path, environ: Mapping[str, str] = os.environ) -> Secret | None:
    """The secret; None where the environment variable is unset or empty, or the file is absent or empty.

    A relative `file:` is relative to `base`, the folder of the configuration; one newline at its end is not part of
    the secret. Raises ConfigError where the file is there and cannot be read, or where the
    secret could not stand in a header.
    """
    value = _text(ref, resolve_bytes(ref, base, environ) or b"").removesuffix("\n").removesuffix("\r")
    if value != value.strip() or not value.isprintable():
        # Headers refuse such a value, and clients say so by repeating it.
        raise ConfigError([Problem(f"the secret {ref.ref} has blanks around it, or a line break in it; take them out")])
    return Secret(value) if value else None


def resolve_bytes(ref: SecretRef, base: Path, environ: Mapping[str, str] = os.environ) -> bytes | None:
    """What is there, as it is: for what is no line of text, such as a macaroon or a certificate.

    None where the environment variable is unset or empty, or the file is absent or empty. Raises ConfigError where
    the file is there and cannot be read.
    """
    kind, _, where = ref.ref.partition(":")
    return (os.fsencode(environ.get(where, "")) if kind == "env" else _read(base / Path(where).expanduser())) or None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as bad:
        reason = bad.strerror or type(bad).__name__
        raise ConfigError([Problem(f"the secret file {path} cannot be read ({reason}); correct it")]) from None


def _text(ref: SecretRef, value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError([Problem(f"the secret {ref.ref} is not UTF-8 text; correct it")]) from None
