"""The front of the house: which door a request goes to."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from arbstr_core.accounts import Internal, Operators
from arbstr_core.flow import WalletFlow
from arbstr_core.types import BadRequest, CallRefused, Endpoint, StorageError, Unauthorized, VaultUnavailable
from arbstr_core.web._asgi import Application, Message, Receive, Send, credential, header_map, respond
from arbstr_core.web._body import ClientGone, read_body
from arbstr_core.web._calls import CallDoor
from arbstr_core.web._closed import ClosedDoor
from arbstr_core.web._errors import answer, error_body, shape_of
from arbstr_core.web._line import ids_of
from arbstr_core.web._metrics import may_read
from arbstr_core.web._models import ModelsDoor
from arbstr_core.web._sessions import identify, names_this_machine
from arbstr_core.web._sites import Sites

_CALLS = {f"/{endpoint.value}": endpoint for endpoint in Endpoint}
_SLASHES = re.compile("/{2,}")
_METRICS = "/metrics"
_ADMIN = ("/admin", "/openapi.json", _METRICS)
_INTERNAL = "/internal"
_WALLET = "/wallet"
_FIRST = ("/v1", "/providers", "/health")
_COUNT = "/messages/count_tokens"
_WITH_BODY = frozenset({"/v1/cost", "/v1/route", f"/v1{_COUNT}"})
_CREDENTIALS = (b"authorization", b"x-internal-token")
_MOST_OF_A_BODY = 1024 * 1024
_WALLETS_METHODS = "GET, POST, PUT, PATCH, OPTIONS"
_LOGIN = "/admin/session"


class Front:
    """One ASGI application: raw doors for OpenAI clients, the control plane for the rest.

    `admin` says whether the operator's doors are served here, `/admin` and `/internal`; `metrics` whether `/metrics` is
    all the same; `local` whether only this machine can reach it, and so whether a Host that names another machine is a
    trick (DNS rebinding). `ids` makes request ids.
    """

    def __init__(
        self,
        chat: CallDoor | ClosedDoor,
        models: ModelsDoor,
        control: Application,
        operators: Operators,
        internal: Internal,
        wallet: WalletFlow,
        ids: Callable[[], str],
        sites: Sites,
        *,
        admin: bool,
        local: bool,
        metrics: bool = False,
        cors_origins: tuple[str, ...] = (),
    ) -> None:
        self._chat = chat
        self._models = models
        self._control = control
        self._operators = operators
        self._internal = internal
        self._wallet = wallet
        self._ids = ids
        self._sites = sites
        self._admin = admin
        self._metrics = admin or metrics
        self._local = local
        self._cors_origins = frozenset(cors_origins)

    def __call__(self, scope: Message, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        if scope["type"] != "http":
            return self._control(scope, receive, send)
        if self._cors_origins:
            send = self._with_cors(scope, send)
        path = scope["path"]
        endpoint = _CALLS.get(path[3:] if path.startswith("/v1/") else path)
        if endpoint is None:
            path = _plain(path)
            endpoint = _CALLS.get(path)
        if endpoint is not None and scope["method"] == "POST":
            # What the door does is awaited as it is: a step in between would be woken each time the call is.
            return self._chat(scope, receive, send, endpoint)
        return self._other(scope, receive, send, path, endpoint)

    async def _other(self, scope: Message, receive: Receive, send: Send, path: str, endpoint: Endpoint | None) -> None:
        """What is no call."""
        method = scope["method"]
        if endpoint is not None:
            await self._not_that_way(method, "POST", send, endpoint)
        elif path == "/models" or path.startswith("/models/"):
            if method in ("GET", "HEAD"):
                await self._models(scope, send, path[len("/models/") :] or None)
            else:
                await self._not_that_way(method, "GET, HEAD", send)
        else:
            await self._rest({**scope, "path": _known_as(scope["path"], path)}, receive, send)

    async def _rest(self, scope: Message, receive: Receive, send: Send) -> None:
        """The control plane. Nothing of a body is gathered before it is known whose it is."""
        path: str = scope["path"]
        try:
            headers = header_map(scope)
        except BadRequest as two:
            await respond(_with_ids(send, self._ids(), None), *answer(two, shape_of(path)))
            return
        send = _with_ids(send, self._ids(), headers.get("x-request-id"))
        if scope["method"] == "HEAD":
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        try:
            if _below(path, *_ADMIN, _INTERNAL) or self._sites.has(path) or self._shows_a_site(scope):
                if not (self._admin or (self._metrics and path == _METRICS)):
                    await _say(send, 404, f"{path} is not served here: the operator's API has a listener of its own")
                    return
                if self._local and not names_this_machine(scope):
                    await _say(send, 421, _ELSEWHERE)
                    return
                if not _below(path, *_ADMIN, _INTERNAL):
                    await self._sites(scope, send)
                    return
                _one_credential(scope)
                if _below(path, _INTERNAL):
                    self._internal.require(_header(scope, b"x-internal-token"))
                elif path == _METRICS:
                    await may_read(self._operators, scope)
                elif path != _LOGIN or scope["method"] != "POST":
                    await identify(self._operators, scope)
                receive = await _read_first(headers, receive)
            elif _below(path, _WALLET):
                if scope["method"] == "OPTIONS":
                    await respond(send, 204, [("allow", _WALLETS_METHODS)], b"")
                    return
                _one_credential(scope)
                await self._wallet.identify(headers.get("authorization", ""))
                receive = await _read_first(headers, receive)
            elif _below(path, *_FIRST):
                scope["arbstr.operators"] = self._admin
                if scope["method"] == "OPTIONS":
                    await respond(send, 204, [("allow", _WALLETS_METHODS)], b"")
                    return
                if path in _WITH_BODY:
                    await self._known(credential(headers))
                    receive = await _read_first(headers, receive)
        except CallRefused as refused:
            status, said, body = answer(refused, shape_of(path))
            await respond(send, status, said, body)
            return
        except StorageError as broken:
            await respond(send, *answer(VaultUnavailable(str(broken)), shape_of(path)))
            return
        except ClientGone:
            return
        await self._control(scope, receive, send)

    def _shows_a_site(self, scope: Message) -> bool:
        """Whether a browser asks for nothing, where there is something to show."""
        wants = b"text/html" in dict(scope["headers"]).get(b"accept", b"")
        return bool(scope["path"] == "/" and wants and self._admin and self._sites.first)

    async def _known(self, given: str) -> None:
        """Raise Unauthorized for whoever is neither an agent nor the operator."""
        try:
            await self._wallet.identify(given)
        except Unauthorized as unknown:
            if not (self._admin and await self._operators.bearer(given)):
                raise unknown from None

    async def _not_that_way(self, method: str, allowed: str, send: Send, endpoint: Endpoint = Endpoint.CHAT) -> None:
        ids = ids_of(self._ids(), endpoint)
        if method == "OPTIONS":
            await respond(send, 204, [("allow", f"{allowed}, OPTIONS"), *ids], b"")
            return
        message = f"{method} is not allowed here; use {allowed}"
        body = error_body(message, "invalid_request_error", code="method_not_allowed", endpoint=endpoint, status=405)
        headers = [("content-type", "application/json"), ("allow", allowed), *ids]
        await respond(send, 405, headers, body, head=method == "HEAD")

    def _with_cors(self, scope: Message, send: Send) -> Send:
        origin = next((value for name, value in scope["headers"] if name == b"origin"), b"")
        if not origin or (origin.decode("latin-1") not in self._cors_origins and "*" not in self._cors_origins):
            return send
        allow = [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", _WALLETS_METHODS.encode()),
            (b"access-control-allow-headers", b"*, authorization"),
            (b"access-control-expose-headers", b"*"),
            (b"vary", b"origin"),
        ]

        async def with_cors(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *allow]
            await send(message)

        return with_cors


async def _read_first(headers: Mapping[str, str], receive: Receive) -> Receive:
    """The whole of a request, bounded, before the framework begins to gather it without a bound."""
    body = await read_body(headers, receive, _MOST_OF_A_BODY, "the bound for everything but calls")
    _require_plain(body)
    told = False

    async def once() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once


def _require_plain(body: bytes) -> None:
    """Refuse JSON in which a key stands twice, at any depth: whoever looked at it before may have believed the other
    one. What is no JSON at all is the framework's to tell."""
    try:
        json.loads(body or b"null", object_pairs_hook=_once)
    except RecursionError:
        raise BadRequest("The body is nested too deeply") from None
    except ValueError:
        return


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise BadRequest(f"{key!r} stands twice in one object of the body; send it once", param=key)
        seen.add(key)


def _with_ids(send: Send, request_id: str, clients: str | None) -> Send:
    """Every answer says which request it is of, and what the client called that."""
    said = [(b"x-request-id", request_id.encode())]
    if clients is not None:
        said.append((b"x-client-request-id", clients.encode("latin-1")))

    async def with_ids(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *said]
        await send(message)

    return with_ids


def _without_body(send: Send) -> Send:
    """The head of an answer alone: what HEAD asks for."""

    async def head_alone(message: Message) -> None:
        if message["type"] == "http.response.body":
            if not message.get("more_body", False):
                await send({"type": "http.response.body", "body": b""})
        else:
            await send(message)

    return head_alone


def _one_credential(scope: Message) -> None:
    """Refuse two: one would open the door, and the other be believed behind it."""
    if sum(name in _CREDENTIALS for name, _ in scope["headers"]) > 1:
        raise BadRequest("The request carries two credentials; send one Authorization, or one X-Internal-Token")


def _header(scope: Message, wanted: bytes) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), "")


def _below(path: str, *prefixes: str) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)


def _plain(path: str) -> str:
    """`//v1/models/` and `/models` as `/models`."""
    path = _SLASHES.sub("/", path)
    path = path.rstrip("/") if len(path) > 1 else path
    return path.removeprefix("/v1") or "/"


def _known_as(path: str, plain: str) -> str:
    """The path by which the control plane knows what is below `/v1`; clients write that in several ways. `plain` is
    what `_plain` gives."""
    below = _SLASHES.sub("/", path).startswith("/v1/") or plain == _COUNT
    return f"/v1{plain}" if below and plain != "/" else path


_ELSEWHERE = "The Host header names another machine: use 127.0.0.1 or localhost"


async def _say(send: Send, status: int, message: str) -> None:
    body = error_body(message, "invalid_request_error", code="not_found" if status == 404 else "misdirected_request")
    await respond(send, status, [("content-type", "application/json")], body)
