"""What a browser shows of its session, and where it may log in from.

The cookie alone opens nothing: each request names the session's page key too, which only pages of this origin know. So
no other site can act for an operator, nor another server on the same machine, to which browsers send the cookie as
well: to them a port is no border.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from arbstr_core.accounts import Operators, SessionKeys
from arbstr_core.types import BadRequest, Forbidden
from arbstr_core.web._asgi import Message, header_map

PAGE_KEY = "x-arbstr-page"
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", ""})
_THROUGH_A_PROXY = ("x-forwarded-proto", "x-forwarded-for", "x-forwarded-host", "forwarded")
_PROTO = re.compile(r"proto=\"?(\w+)", re.IGNORECASE)
_ANOTHER_SITE = "Another site's page asked for this; operators' pages ask for themselves"


class Cookie(NamedTuple):
    """The cookie of a session, whose `id` is its value."""

    name: str
    secure: bool

    def said(self, id: str, seconds: int) -> str:
        """The value of `set-cookie`; after 0 seconds it is forgotten."""
        end = "; Secure" if self.secure else ""
        return f"{self.name}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{end}"


def names_this_machine(scope: Message) -> bool:
    """Whether its Host header says that a request is to this machine itself."""
    return re.sub(r":\d+\Z", "", _header(scope, "host")).lower() in _LOCAL_NAMES


async def identify(operators: Operators, scope: Message) -> str:
    """Which operator asks, by a token or a session; see accounts.Operators. Raises Unauthorized, or Forbidden."""
    known: str | None = scope.get("arbstr.operator")
    if known is None:
        session = session_of(scope)
        authorization = header_map(scope).get("authorization", "")
        if session is not None:
            if authorization:
                raise BadRequest("The request carries a session and a token; send one of them")
            require_own_page(scope)
        known = scope["arbstr.operator"] = await operators.require(authorization, session)
    return known


def session_of(scope: Message) -> SessionKeys | None:
    """The session that a browser shows with the cookie that was made for this address."""
    wanted = _cookie(scope).name
    for pair in "; ".join(_headers(scope, "cookie")).split(";"):
        name, _, value = pair.strip().partition("=")
        if name == wanted and value:
            return SessionKeys(id=value, page_key=_header(scope, PAGE_KEY))
    return None


def cookie_for_login(scope: Message) -> Cookie:
    """The cookie of a new session. Raises Forbidden where the token came, and the cookie would go, over a network that
    can be listened to."""
    if not _is_https(scope):
        passed_on = any(_header(scope, name) for name in _THROUGH_A_PROXY)
        if passed_on or not names_this_machine(scope):
            raise Forbidden(
                "Log in over HTTPS, or on this machine itself (http://127.0.0.1, or a tunnel to it): over plain HTTP "
                "others can read along. A proxy that speaks HTTPS says so with X-Forwarded-Proto"
            )
    return _cookie(scope)


def forgotten(scope: Message) -> str:
    """The value of `set-cookie` that ends the cookie of a session."""
    return _cookie(scope).said("", 0)


def require_own_page(scope: Message) -> None:
    """Raise Forbidden where a browser says that another site asks."""
    site, origin = _header(scope, "sec-fetch-site"), _header(scope, "origin")
    if site:
        own = site in ("same-origin", "none")
    else:
        asked = {_header(scope, name) for name in ("host", "x-forwarded-host")} - {""}
        own = not origin or urlsplit(origin).netloc in asked
    if not own:
        raise Forbidden(_ANOTHER_SITE)


def _cookie(scope: Message) -> Cookie:
    """Of its own for each port: browsers send cookies to all of a machine's ports."""
    if _is_https(scope):
        return Cookie("__Host-arbstr", True)
    port = _header(scope, "host").rpartition(":")[2]
    return Cookie(f"arbstr_{port}" if port.isdecimal() else "arbstr", False)


def _is_https(scope: Message) -> bool:
    forwarded = _PROTO.search(_header(scope, "forwarded"))
    said = _header(scope, "x-forwarded-proto").split(",")[0].strip() or (forwarded[1] if forwarded else "")
    return (said or scope["scheme"]).lower() == "https"


def _headers(scope: Message, wanted: str) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted.encode()]


def _header(scope: Message, wanted: str) -> str:
    return next(iter(_headers(scope, wanted)), "")
