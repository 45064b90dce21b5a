"""The errors that cross rooms.

ArbstrError
├── ConfigError            config.toml, or a plugin's table in it; carries every problem found
├── PluginError            a plugin that cannot be loaded or misbehaved
├── StorageError           the database is broken, locked, full, or not ours
├── NotSupported           a rail or provider was asked for what its capabilities lack
├── AddressRefused         an outgoing address that the guard does not allow
├── NotDelivered           a webhook did not take an event
├── ProviderError          what a provider's `open` or its events raise
│   ├── ConnectFailed      no connection, or none that lasted until the status line
│   ├── NotFunded          there is too little money of ours at the node: the call was not sent
│   ├── ReplyTimedOut      nothing came for too long
│   └── ReplyCut           the reply ended before its end
└── CallRefused            what a caller is told; `web` maps each to a status
    ├── BadRequest         the request itself is wrong; `param` names the field
    ├── BodyTooLarge · UnsupportedMedia
    ├── Unauthorized · AgentDisabled
    ├── NotFound · ModelNotFound
    ├── NothingQualifies   no offer has what the call needs
    ├── PolicyRefused      routing policies left no offer
    ├── ProvidersUnavailable   those that would serve the call have open breakers, or are busy
    ├── InsufficientFunds · LimitExceeded
    ├── ApprovalRequired   an operator has to decide first
    ├── Conflict           the thing exists, or is in another state
    ├── StillRunning       what is asked for again has not ended yet
    ├── IdempotencyConflict    a key came again with another body
    ├── RailUnavailable    a wallet rail cannot be asked now
    ├── VaultUnavailable · Overloaded · ShuttingDown
    └── UpstreamRefused · UpstreamFailed · UpstreamTimedOut
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from arbstr_core.types._calls import Attempt
from arbstr_core.types._offers import Excluded


class ArbstrError(Exception):
    """Anything arbstr raises on purpose."""


class Problem(str):
    """One thing wrong with the configuration: where, what, and what to do, in one sentence. Never holds a secret."""

    __slots__ = ()


class ConfigError(ArbstrError):
    """The configuration cannot be used; `problems` holds every reason, one sentence each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class PluginError(ArbstrError):
    """A plugin cannot be used; the message names it."""


class StorageError(ArbstrError):
    """The database cannot be used; the message names it and says what to do."""


class NotSupported(ArbstrError):
    """A plugin was asked for something that its capabilities do not name."""


class AddressRefused(ArbstrError):
    """An outgoing address is not allowed: neither the operator's, nor a child's port, nor public https."""


class NotDelivered(ArbstrError):
    """An event did not arrive; the message says why, and never where it was to go."""


class ProviderError(ArbstrError):
    """A provider's reply failed; the kernel tries the next candidate where nothing was shown to the caller yet."""


class ConnectFailed(ProviderError):
    """No reply: the connection was refused, or it broke before the status line."""


class NotFunded(ProviderError):
    """Too little money of ours lies at the node of a prepaid provider: nothing was sent, and more is on its way."""


class ReplyTimedOut(ProviderError):
    """No first byte, or no next one, within the time allowed."""


class ReplyCut(ProviderError):
    """The reply broke off before its end."""


class CallRefused(ArbstrError):
    """A caller is refused; the message is for the caller."""

    param: str | None = None


class BadRequest(CallRefused):
    """The request is wrong; `param` names the field where one is to blame."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class BodyTooLarge(CallRefused):
    """The body is larger than `[server] max_body_bytes`."""


class UnsupportedMedia(CallRefused):
    """The body is in an encoding or of a type that arbstr does not read."""


class Unauthorized(CallRefused):
    """No token, or none that is known."""


class Forbidden(CallRefused):
    """Not this way: another site's page asks, or a token would go over a network that can be listened to."""


class AgentDisabled(CallRefused):
    """The agent is known, and switched off."""


class NotFound(CallRefused):
    """There is no such thing."""


class Conflict(CallRefused):
    """The thing exists already, or is in a state that forbids this."""


class StillRunning(CallRefused):
    """The same was asked for before, and that call has not ended in the time that one may wait for it."""


class IdempotencyConflict(CallRefused):
    """The `Idempotency-Key` was used for another body."""


class ModelNotFound(CallRefused):
    """No provider offers the model."""


class NothingQualifies(CallRefused):
    """Offers exist, and none of them has what the call needs; `out` says why, one each."""

    def __init__(self, message: str, *, out: tuple[Excluded, ...] = (), param: str | None = None) -> None:
        super().__init__(message)
        self.out = out
        self.param = param


class PolicyRefused(CallRefused):
    """Routing policies refuse the call."""

    def __init__(self, message: str, *, out: tuple[Excluded, ...] = ()) -> None:
        super().__init__(message)
        self.out = out


class ProvidersUnavailable(CallRefused):
    """Who would serve the call cannot be asked now: open breakers, or as many calls as a node takes. `retry_after` is
    when the first of them can be, in seconds."""

    def __init__(self, message: str, *, retry_after: int, out: tuple[Excluded, ...] = ()) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.out = out


class WayToPay(msgspec.Struct, frozen=True, kw_only=True):
    """How what is missing can be paid: an invoice, which is deposit `deposit`; the macaroon that with its preimage is
    an L402 credential of the account; and a text that asks a wallet for ecash (NUT-18), empty where none is taken."""

    deposit: str
    amount_msat: int
    invoice: str
    expires_ms: int
    macaroon: str = ""
    ecash: str = ""


class InsufficientFunds(CallRefused):
    """The balance does not cover the cheapest candidate's ceiling. Amounts in msat. `payment` is how to pay what is
    missing, `ecash` what a token in the header `X-Cashu` would have to be, for a call that came with one."""

    def __init__(
        self,
        message: str,
        *,
        needed_msat: int,
        available_msat: int,
        payment: WayToPay | None = None,
        ecash: str = "",
    ) -> None:
        super().__init__(message)
        self.needed_msat = needed_msat
        self.available_msat = available_msat
        self.payment = payment
        self.ecash = ecash


class LimitExceeded(CallRefused):
    """One of the agent's limits forbids the call; `limit` names it, as docs/errors.md lists them. `resets_ms` is when
    it leaves more by itself, in Unix milliseconds."""

    def __init__(
        self, message: str, *, limit: str, needed_msat: int = 0, left_msat: int = 0, resets_ms: int | None = None
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.needed_msat = needed_msat
        self.left_msat = left_msat
        self.resets_ms = resets_ms


class ApprovalRequired(CallRefused):
    """The call is above the largest charge, and an operator is asked. The same call again, once the `approval` is
    granted and before it expires, goes through. A `payout` goes by itself then."""

    def __init__(
        self, message: str, *, approval: str, expires_ms: int, needed_msat: int, payout: str | None = None
    ) -> None:
        super().__init__(message)
        self.payout = payout
        self.approval = approval
        self.expires_ms = expires_ms
        self.needed_msat = needed_msat


class ApprovalDenied(CallRefused):
    """An operator was asked about the call, and has said no."""

    def __init__(self, message: str, *, approval: str) -> None:
        super().__init__(message)
        self.approval = approval


class RailUnavailable(CallRefused):
    """A wallet rail, a mint or a node cannot be asked now; nothing is known of what was asked. Try again."""


class VaultUnavailable(CallRefused):
    """The database does not take writes: money does not move, so calls are refused."""


class Overloaded(CallRefused):
    """Too much is waiting; try again."""


class ShuttingDown(CallRefused):
    """The server is stopping and takes no new calls."""


class UpstreamRefused(CallRefused):
    """The provider says the request itself is wrong; its status and body are passed on."""

    def __init__(self, message: str, *, status: int, body: bytes, attempts: tuple[Attempt, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        self.attempts = attempts


class UpstreamFailed(CallRefused):
    """No candidate answered. `retry_after` is in seconds, None where no provider named a time."""

    def __init__(
        self,
        message: str,
        *,
        attempts: tuple[Attempt, ...] = (),
        retry_after: int | None = None,
        rate_limited: bool = False,
    ) -> None:
        super().__init__(message)
        self.attempts = attempts
        self.retry_after = retry_after
        self.rate_limited = rate_limited


class UpstreamTimedOut(UpstreamFailed):
    """No candidate answered in time."""
