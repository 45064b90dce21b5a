"""What the node is called with: its certificate and our macaroon, read again for each call, so that new ones count."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import msgspec

from arbstr_core.api import ArbstrError, SecretRef, Tools
from arbstr_wallet_lnd._errors import CredentialsMissing
from arbstr_wallet_lnd._macaroon import Macaroon, binary_macaroon, read_macaroon


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate (PEM; None for the authorities everybody trusts) and a macaroon (its bytes)."""

    certificate: bytes | None
    macaroon: bytes

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """How LND wants to be shown the macaroon."""
        return (("macaroon", self.macaroon.hex()),)

    def __repr__(self) -> str:
        return "Held(***)"


class Credentials:
    """Reads both from where the configuration says they are."""

    def __init__(self, tools: Tools, *, certificate: SecretRef | None, macaroon: SecretRef) -> None:
        self._certificate = certificate and _Source(tools, certificate, "certificate", _pem)
        self._macaroon = _Source(tools, macaroon, "macaroon", _baked)

    def read(self) -> Held:
        """Both, as they are now; of one that is being replaced and is not whole, the last whole one.

        Raises CredentialsMissing where there never was one.
        """
        certificate = self._certificate.read() if self._certificate else None
        return Held(certificate=certificate, macaroon=self._macaroon.read())

    def macaroon(self) -> Macaroon:
        """What the macaroon allows. Raises CredentialsMissing."""
        return read_macaroon(self._macaroon.read())


class _Source:
    """One reference, and the last good thing that was there."""

    def __init__(self, tools: Tools, ref: SecretRef, what: str, check: Callable[[bytes], bytes]) -> None:
        self._tools = tools
        self._ref = ref
        self._what = what
        self._check = check
        self._given: bytes | None = None
        self._good: bytes | None = None
        self._said = ""

    def read(self) -> bytes:
        try:
            given = self._tools.secret_bytes(self._ref)
            if given is None:
                raise ValueError("nothing is there")
            if given != self._given:
                self._good, self._given, self._said = self._check(given), given, ""
        except (ArbstrError, ValueError) as bad:
            said = f"the {self._what} {self._ref.ref} cannot be used: {bad}"
            if self._good is None:
                raise CredentialsMissing(said) from None
            if said != self._said:
                self._said = said
                self._tools.log.warning("%s; the last one still is", said)
        assert self._good is not None
        return self._good


def _pem(given: bytes) -> bytes:
    """`given`, if it is certificates; ValueError where it is none, or cut short."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=given.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise ValueError("it is no certificate in PEM") from None
    return given


def _baked(given: bytes) -> bytes:
    binary = binary_macaroon(given)
    read_macaroon(binary)
    return binary
