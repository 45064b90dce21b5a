"""Secrets, and references to them, so that a secret itself stands nowhere in the configuration or a log."""

from __future__ import annotations

import re
from typing import Any

import msgspec


class Secret:
    """A secret value that no log, traceback or repr shows; `reveal()` is the one way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"


class SecretRef(msgspec.Struct, frozen=True):
    """Where a secret is: `env:NAME` or `file:PATH`."""

    ref: str

    @classmethod
    def from_config(cls, value: Any) -> SecretRef:
        """Read a configuration value. The ValueError never repeats it: it may be the secret itself."""
        if not isinstance(value, str) or not re.match(r"(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)\Z", value):
            raise ValueError('is not a reference: write "env:NAME" or "file:PATH", never the secret itself')
        return cls(value)
