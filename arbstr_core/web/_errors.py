"""The one place where an error becomes a status and a body in OpenAI's shape.

Source: OpenAI API reference, "Error codes". `code` is a string or null; `x-should-retry` steers the SDKs' retries.
"""

from __future__ import annotations

from typing import Any

import msgspec

from arbstr_core.types import (
    AgentDisabled,
    ApprovalDenied,
    ApprovalRequired,
    BadRequest,
    BodyTooLarge,
    CallRefused,
    Conflict,
    Endpoint,
    Forbidden,
    IdempotencyConflict,
    InsufficientFunds,
    LimitExceeded,
    ModelNotFound,
    NotFound,
    NothingQualifies,
    Overloaded,
    PolicyRefused,
    ProvidersUnavailable,
    RailUnavailable,
    ShuttingDown,
    StillRunning,
    Unauthorized,
    UnsupportedMedia,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimedOut,
    VaultUnavailable,
    WayToPay,
)
from arbstr_core.wire import codec_of

_INVALID = "invalid_request_error"
_SHAPES: dict[type[CallRefused], tuple[int, str, str | None]] = {
    BadRequest: (400, _INVALID, None),
    BodyTooLarge: (413, _INVALID, "body_too_large"),
    UnsupportedMedia: (415, _INVALID, "unsupported_media"),
    Unauthorized: (401, "authentication_error", "invalid_api_key"),
    Forbidden: (403, "permission_error", "forbidden"),
    AgentDisabled: (403, "permission_error", "agent_disabled"),
    NotFound: (404, _INVALID, "not_found"),
    Conflict: (409, _INVALID, "conflict"),
    StillRunning: (409, _INVALID, "still_running"),
    IdempotencyConflict: (422, _INVALID, "idempotency_conflict"),
    ModelNotFound: (404, _INVALID, "model_not_found"),
    NothingQualifies: (400, _INVALID, "nothing_qualifies"),
    PolicyRefused: (403, "permission_error", "policy_refused"),
    InsufficientFunds: (402, "insufficient_quota", "insufficient_quota"),
    LimitExceeded: (403, "permission_error", "limit_exceeded"),
    ApprovalDenied: (403, "permission_error", "approval_denied"),
    ApprovalRequired: (403, "permission_error", "approval_required"),
    ProvidersUnavailable: (503, "api_error", "providers_unavailable"),
    RailUnavailable: (503, "api_error", "rail_unavailable"),
    VaultUnavailable: (503, "api_error", "vault_unavailable"),
    Overloaded: (503, "api_error", "overloaded"),
    ShuttingDown: (503, "api_error", "shutting_down"),
    UpstreamFailed: (502, "api_error", "upstream_failed"),
    UpstreamTimedOut: (504, "api_error", "upstream_timed_out"),
}
_FINAL = (
    InsufficientFunds,
    LimitExceeded,
    ApprovalDenied,
    ApprovalRequired,
    PolicyRefused,
    AgentDisabled,
    Conflict,
    StillRunning,
    IdempotencyConflict,
)
"""Trying again changes nothing: the SDKs are told so."""
_SOON = (RailUnavailable, VaultUnavailable, Overloaded, ShuttingDown)

Answer = tuple[int, list[tuple[str, str]], bytes]
"""(status, headers, body)"""


def error_body(
    message: str,
    kind: str,
    *,
    code: str | None = None,
    param: str | None = None,
    endpoint: Endpoint = Endpoint.CHAT,
    status: int = 500,
) -> bytes:
    """An error in the shape of the endpoint: OpenAI's, or Anthropic's."""
    said = {"message": message, "type": kind, "param": param, "code": code}
    return codec_of(endpoint).error_body(said, status=status)


def shape_of(path: str) -> Endpoint:
    """In whose shape the errors of a path are: Anthropic's below `/v1/messages`, else OpenAI's."""
    return Endpoint.MESSAGES if path.startswith("/v1/messages") else Endpoint.CHAT


def answer(error: CallRefused, endpoint: Endpoint = Endpoint.CHAT) -> Answer:
    """What a refused caller gets, in the shape of the endpoint."""
    if isinstance(error, UpstreamRefused):
        return _passed_on(error, endpoint)
    status, kind, code = _SHAPES[type(error)]
    headers = [("content-type", "application/json")]
    if isinstance(error, _FINAL):
        headers.append(("x-should-retry", "false"))
    if isinstance(error, _SOON):
        headers.append(("retry-after", "1"))
    if isinstance(error, ProvidersUnavailable):
        headers.append(("retry-after", str(error.retry_after)))
    if isinstance(error, InsufficientFunds):
        headers += [("cache-control", "no-store"), *_challenges(error)]
    if isinstance(error, UpstreamFailed):
        wait = error.retry_after
        if error.rate_limited:
            status, kind, code = 429, "rate_limit_error", "rate_limit_exceeded"
            wait = 1 if wait is None else wait
        if wait is not None:
            headers.append(("retry-after", str(wait)))
    said = {"message": str(error), "type": kind, "param": error.param, "code": code, **_more(error)}
    return status, headers, codec_of(endpoint).error_body(said, status=status)


def last_error(error: CallRefused, endpoint: Endpoint) -> bytes:
    """What ends a stream that had begun, for the same reason."""
    if isinstance(error, UpstreamRefused):
        kind, code = _INVALID, "upstream_refused"
    else:
        _, kind, named = _SHAPES[type(error)]
        code = named or "bad_request"
    return codec_of(endpoint).error_event(str(error), kind, code)


def reserve_refused(error: InsufficientFunds) -> Answer:
    """The same for a router that wanted to reserve: with the two amounts where arbstr-vault had them."""
    status, headers, body = answer(error)
    document = msgspec.json.decode(body)
    document |= {"current_balance_msats": error.available_msat, "requested_msats": error.needed_msat}
    return status, headers, msgspec.json.encode(document)


def _more(error: CallRefused) -> dict[str, Any]:
    if isinstance(error, InsufficientFunds):
        way = {} if error.payment is None else {"payment": _way(error.payment)}
        return {"needed_msat": error.needed_msat, "available_msat": error.available_msat, **way}
    if isinstance(error, LimitExceeded):
        resets = {} if error.resets_ms is None else {"resets_ms": error.resets_ms}
        return {"limit": error.limit, "needed_msat": error.needed_msat, "left_msat": error.left_msat, **resets}
    if isinstance(error, ApprovalDenied):
        return {"approval": error.approval}
    if isinstance(error, ApprovalRequired):
        payout = {} if error.payout is None else {"payout": error.payout}
        return {"approval": error.approval, "expires_ms": error.expires_ms, "needed_msat": error.needed_msat, **payout}
    return {}


def _challenges(error: InsufficientFunds) -> list[tuple[str, str]]:
    """How a wallet is asked: L402's challenge, and NUT-24's."""
    way, said = error.payment, []
    if way is not None and way.macaroon:
        said.append(("www-authenticate", f'L402 macaroon="{way.macaroon}", invoice="{way.invoice}"'))
    if error.ecash:
        said.append(("x-cashu", error.ecash))
    return said


def _way(way: WayToPay) -> dict[str, Any]:
    """As the body has it; the macaroon is in the header alone."""
    return {
        "deposit": way.deposit,
        "amount_msat": way.amount_msat,
        "invoice": way.invoice,
        "expires_ms": way.expires_ms,
        "ecash": way.ecash or None,
    }


def _passed_on(error: UpstreamRefused, endpoint: Endpoint) -> Answer:
    """A client's own mistake, in the provider's words, in the endpoint's shape."""
    headers = [("content-type", "application/json")]
    message, kind, code, param = str(error), _INVALID, None, None
    try:
        said = msgspec.json.decode(error.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = None
    if isinstance(said, list) and said:
        said = said[0]  # as Google says it
    inner = said.get("error", said) if isinstance(said, dict) else None
    if isinstance(inner, dict) and isinstance(inner.get("message"), str):
        message = inner["message"]
        kind = inner["type"] if isinstance(inner.get("type"), str) else kind
        code = None if inner.get("code") is None else str(inner["code"])
        param = inner["param"] if isinstance(inner.get("param"), str) else None
    elif isinstance(inner, dict):
        message = _detail(inner.get("detail")) or message
    elif isinstance(inner, str):
        message = inner
    told = {"message": message, "type": kind, "param": param, "code": code}
    return error.status, headers, codec_of(endpoint).error_body(told, status=error.status)


def _detail(said: Any) -> str:
    """What a server made with FastAPI says: text, or where each mistake is and which."""
    if isinstance(said, str):
        return said
    found = []
    for each in said if isinstance(said, list) else ():
        if isinstance(each, dict) and isinstance(each.get("msg"), str):
            place = each.get("loc")
            where = ".".join(map(str, place)) if isinstance(place, list) else ""
            found.append(f"{where}: {each['msg']}" if where else each["msg"])
    return "; ".join(found)
