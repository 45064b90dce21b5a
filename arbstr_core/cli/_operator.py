"""How commands reach the operator's API: the running server's where there is one, else the same API in this process."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx

from arbstr_core.cli._data import operator_token
from arbstr_core.cli._house import made_house, open_house
from arbstr_core.cli._part import PROXY
from arbstr_core.cli._serve import control_app
from arbstr_core.config import Settings
from arbstr_core.storage import is_held, lock_base, read_announcement
from arbstr_core.types import ArbstrError

NO_DOOR = (
    "This process serves calls apart from the treasury and has no door for operators: ask where the treasury runs. "
    "SIGHUP has it read its configuration again"
)
_SECONDS = 120.0
_PAGE = 100


class Refused(ArbstrError):
    """The operator's API said no; the message is its own."""


def part(text: str, what: str) -> str:
    """`text` as one part of a path. Raises Refused where it is none, or would lead elsewhere."""
    if text in ("", ".", ".."):
        raise Refused(f"{text!r} is not {what}")
    return quote(text, safe="")


class OperatorClient:
    """The operator's API. `running` says whether a server answers, or this process itself."""

    def __init__(self, http: httpx.AsyncClient, *, running: bool) -> None:
        self._http = http
        self.running = running

    async def get(self, path: str, **asked: Any) -> Any:
        """What `GET /admin{path}` answers; `asked` are the query's parameters, None for none."""
        params = {name: value for name, value in asked.items() if value is not None}
        return _read(await self._http.get(f"/admin{path}", params=params))

    async def rows(self, path: str, most: int | None = None, **asked: Any) -> list[Any]:
        """The rows of a list, page by page: all, or the first `most`."""
        found: list[Any] = []
        cursor = None
        while most is None or len(found) < most:
            limit = _PAGE if most is None else min(_PAGE, most - len(found))
            page = await self.get(path, limit=limit, cursor=cursor, **asked)
            found += page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return found

    async def post(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """What `POST /admin{path}` answers; the same again under `key` is done once."""
        headers = {} if key is None else {"idempotency-key": key}
        return _read(await self._http.post(f"/admin{path}", json={} if body is None else body, headers=headers))

    async def put(self, path: str, body: Any) -> Any:
        """What `PUT /admin{path}` answers."""
        return _read(await self._http.put(f"/admin{path}", json=body))

    async def patch(self, path: str, body: Any) -> Any:
        """What `PATCH /admin{path}` answers."""
        return _read(await self._http.patch(f"/admin{path}", json=body))


@asynccontextmanager
async def operator_client(settings: Settings, *, market: bool = False) -> AsyncIterator[OperatorClient]:
    """The client to use now. Raises what building a house raises, or Refused where a server does not answer.

    Where no server runs, plugins are started only for what needs the `market`.
    """
    path = lock_base(settings.database_url, settings.data_dir)
    running = is_held(path)
    if running and settings.server.role == PROXY:
        raise Refused(NO_DOOR)
    headers = {"authorization": f"Bearer {operator_token(settings, make=not running).reveal()}"}
    if running:
        async with _server_client(settings, headers) as http:
            yield OperatorClient(http, running=True)
        return
    async with _quiet(), (open_house if market else made_house)(settings) as house:
        transport = httpx.ASGITransport(control_app(house))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as http:
            yield OperatorClient(http, running=False)


@asynccontextmanager
async def _quiet() -> AsyncIterator[None]:
    """What plugins warn of in a short command is not for the operator's screen; `doctor` asks for it."""
    log = logging.getLogger("arbstr")
    before = log.propagate
    silent = logging.NullHandler()
    log.addHandler(silent)
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = before
        log.removeHandler(silent)


def _server_client(settings: Settings, headers: dict[str, str]) -> httpx.AsyncClient:
    path = lock_base(settings.database_url, settings.data_dir)
    said = read_announcement(path)
    if said is None or not said.admin:
        raise Refused(f"{path} is in use by a process that does not serve yet; try again in a moment")
    where = said.admin
    if where.startswith("unix:"):
        transport = httpx.AsyncHTTPTransport(uds=where.removeprefix("unix:"))
        return httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers, timeout=_SECONDS)
    # A server that listens everywhere is reached here.
    host = where.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")
    return httpx.AsyncClient(base_url=f"http://{host}", headers=headers, timeout=_SECONDS, trust_env=False)


def _read(answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json()
    try:
        message = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"the server answered {answer.status_code}"
    raise Refused(message)
