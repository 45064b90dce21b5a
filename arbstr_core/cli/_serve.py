"""`arbstr serve`: the application, its listeners, its signals, its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from arbstr_core.cli._apart import works_of_money
from arbstr_core.cli._house import House, open_house, plugin_rows
from arbstr_core.cli._memory import keep_large, settle_in
from arbstr_core.cli._part import PROXY, TREASURY
from arbstr_core.cli._reload import Reload, Reread
from arbstr_core.cli._toolbox import Learn, nothing
from arbstr_core.config import Address, Settings
from arbstr_core.flow import CallFlow
from arbstr_core.types import ArbstrError, BadRequest, ChatCall, Conflict, Endpoint
from arbstr_core.web import CallDoor, ClosedDoor, Front, HttpProtocol, ModelsDoor, Present, control_plane
from arbstr_core.wire import read_call

_log = logging.getLogger("arbstr")

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_AT_ONCE = 32
"""connections that are taken in one turn of the loop"""
_MOST_SETTLING_SECONDS = 10.0


def planned_call(house: House, request: Mapping[str, Any], hints: Mapping[str, str], endpoint: Endpoint) -> ChatCall:
    """A request that is never sent, to see what would become of it."""
    try:
        body = msgspec.json.encode(request)
    except UnicodeEncodeError:
        raise BadRequest("model and prompt must be text that can be written as UTF-8", param="prompt") from None
    return read_call(
        body,
        call_id=house.ids("req_"),
        endpoint=endpoint,
        hints=hints,
        arrived_ms=house.clock.now_ms(),
    )


def control_app(house: House) -> Any:
    """The control plane of a house."""
    return control_plane(
        house.flows,
        house.operators,
        house.internal,
        partial(planned_call, house),
        Present(
            plugins=lambda: plugin_rows(house.now.settings),
            notices=lambda: [*house.now.notices.texts, *map(str, house.box.supervisor.failures)],
            reload=partial(_reload, house),
        ),
        partial(house.ids, "req_"),
        version=version("arbstr-core"),
    )


async def _reload(house: House) -> dict[str, Any]:
    if house.reload is None:
        raise Conflict("No server runs: the configuration counts from its start")
    return await house.reload()


class ListenFailed(ArbstrError):
    """An address cannot be listened on."""


class Doors:
    """The applications of a house: what everyone may reach, and the operator's own where it has its own listener."""

    def __init__(self, house: House) -> None:
        server = house.settings.server
        control = control_app(house)
        self.chat = CallDoor(
            house.calls,
            partial(house.ids, "req_"),
            max_body_bytes=server.max_body_bytes,
            client_stall_seconds=server.client_stall_seconds,
            keep_alive=None if server.keep_alive == "off" else server.keep_alive,
            keep_alive_seconds=server.keep_alive_seconds,
        )
        ids = partial(house.ids, "req_")
        models = ModelsDoor(house.calls, ids)
        role = server.role
        make = partial(
            Front,
            ClosedDoor(ids) if role == TREASURY else self.chat,
            models,
            control,
            house.operators,
            house.internal,
            house.flows.wallet,
            ids,
            house.sites,
            cors_origins=server.cors_origins,
        )
        # What calls add up to is known here alone, and a process without the operator's doors tells it all the same.
        admin = server.admin_listen is None and role != PROXY
        self.public = make(admin=admin, local=server.listen.host in _LOOPBACK, metrics=role == PROXY)
        self.operators = make(admin=True, local=server.admin_listen is None or server.admin_listen.host in _LOOPBACK)


async def serve(
    settings: Settings,
    *,
    mock: bool,
    ready: Callable[[str], None],
    reread: Reread | None = None,
    learn: Learn = nothing,
) -> None:
    """Serve until a signal says stop; then finish what is open, settle it, and return. Where `reread` is given, SIGHUP
    and the operator's API let what it gives count. Whatever secret is read is told to `learn`.

    `ready` is called once, with the address, when calls are served. Raises ListenFailed before anything is started.
    """
    stop = Stop()
    with contextlib.ExitStack() as stack:
        stack.enter_context(stop.on_signals())
        addresses = [settings.server.listen, *_apart_from(settings)]
        sockets = [stack.enter_context(_bound(address)) for address in addresses]
        try:
            await _serve_on(sockets, settings, stop, mock=mock, ready=ready, reread=reread, learn=learn)
        except asyncio.CancelledError:
            if not stop.asked:
                raise


async def _serve_on(
    sockets: list[socket.socket | None],
    settings: Settings,
    stop: Stop,
    *,
    mock: bool,
    ready: Callable[[str], None],
    reread: Reread | None,
    learn: Learn,
) -> None:
    async with open_house(settings, mock=mock, serving=True, reread=reread, learn=learn) as house:
        orphans = await house.heartbeat.begin() if house.heartbeat else 0
        if orphans:
            _log.warning("%d calls of an earlier run were ended without it", orphans)
        doors = Doors(house)
        async with _background(house, doors):
            servers = _servers(settings, doors)
            await _run(
                list(zip(servers, sockets, strict=True)), house, stop, partial(_announce, settings, house, ready)
            )
            left = await house.calls.drain(_MOST_SETTLING_SECONDS)
            if left:
                _log.critical("%d calls could not be settled in time; the next start ends them", left)
        if house.heartbeat:
            # It beats no more: another beat would take the lease again.
            await house.heartbeat.leave()


def _servers(settings: Settings, doors: Doors) -> list[uvicorn.Server]:
    server = settings.server
    servers = [_server(doors.public, server.listen, server.shutdown_grace_seconds)]
    apart = [_server(doors.operators, address, server.shutdown_grace_seconds) for address in _apart_from(settings)]
    return [*servers, *apart]


def _apart_from(settings: Settings) -> list[Address]:
    """Where the operator's doors listen that are not beside the others. A process that may not do what operators ask
    has none."""
    server = settings.server
    return [] if server.admin_listen is None or server.role == PROXY else [server.admin_listen]


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: `serve` owns the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


def _server(app: Any, address: Address, grace_seconds: float) -> uvicorn.Server:
    where: dict[str, Any] = {"uds": address.unix} if address.unix else {"host": address.host, "port": address.port}
    return _Server(
        uvicorn.Config(
            app,
            **where,
            loop="none",
            http=HttpProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, int(grace_seconds)),
        )
    )


@contextlib.contextmanager
def _bound(address: Address) -> Iterator[socket.socket | None]:
    """A socket bound to a TCP address; None for a Unix one, which uvicorn makes itself."""
    if address.unix is not None:
        yield None
        return
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((address.host, address.port))
        except OSError as taken:
            raise ListenFailed(
                f"{address} cannot be listened on ({taken.strerror}): stop what does, or change [server] listen"
            ) from taken
        yield made


Listening = list[tuple[uvicorn.Server, socket.socket | None]]


class Stop:
    """What signals do, from the first moment to the last: SIGHUP reads the configuration again. The first of the others
    lets open calls end, a second one does not wait for them, and before anything listens one ends the start."""

    def __init__(self) -> None:
        self.asked = False
        self._task = asyncio.current_task()
        self._calls: CallFlow | None = None
        self._reload: Reload | None = None
        self._servers: list[uvicorn.Server] = []

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """While this lasts, SIGINT, SIGTERM and SIGHUP are ours."""
        loop = asyncio.get_running_loop()
        handlers = {signal.SIGINT: self._now, signal.SIGTERM: self._now, signal.SIGHUP: self._again}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def serving(self, house: House, servers: list[uvicorn.Server]) -> None:
        """From now on these are told to stop."""
        self._calls, self._reload, self._servers = house.calls, house.reload, servers

    def _again(self) -> None:
        if self._reload is not None:
            self._reload.soon()

    def _now(self) -> None:
        if self._calls is not None:
            if not self.asked:
                _log.info("stopping once open calls have ended; a second signal does not wait for them")
            self._calls.stop()
            for server in self._servers:
                server.force_exit = server.should_exit
                server.should_exit = True
        elif not self.asked and self._task is not None:
            self._task.cancel()
        self.asked = True


async def _run(doors: Listening, house: House, stop: Stop, started: Callable[[], None]) -> None:
    """Listen until told to stop."""
    servers = [server for server, _ in doors]
    stop.serving(house, servers)
    listening = [asyncio.create_task(_listen(server, bound)) for server, bound in doors]
    await _all_started(servers, listening)
    started()
    await asyncio.gather(*listening)


async def _listen(server: uvicorn.Server, bound: socket.socket | None) -> None:
    # uvloop takes one connection of each listening socket in a turn of the loop, and while a thousand streams run the
    # last of a thousand that come at once would wait for a thousand turns.
    more = [] if bound is None else [bound.dup() for _ in range(_AT_ONCE - 1)]
    try:
        await server.serve(None if bound is None else [bound, *more])
    except SystemExit as refused:
        # uvicorn's word for an address it cannot have; it has logged why.
        where = server.config.uds or f"{server.config.host}:{server.config.port}"
        raise ListenFailed(f"{where} cannot be listened on: change [server] listen or admin_listen") from refused
    finally:
        for each in more:
            each.close()


async def _all_started(servers: list[uvicorn.Server], listening: list[asyncio.Task[None]]) -> None:
    while not all(server.started for server in servers):
        done, _ = await asyncio.wait(listening, timeout=0.01, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


def _announce(settings: Settings, house: House, ready: Callable[[str], None]) -> None:
    """Say where we are: to whoever started us, and to commands, through the lock file."""
    server = settings.server
    house.database.announce(str(server.admin_listen or server.listen))
    for address in (server.listen, *_apart_from(settings)):
        if address.unix is not None:
            Path(address.unix).chmod(0o600)
    settle_in()
    ready(str(server.listen))


@asynccontextmanager
async def _background(house: House, doors: Doors) -> AsyncIterator[None]:
    """What runs beside the calls."""
    works = {
        "market": (house.reload or house.trade.market).run(),
        "journal": house.journal.run(),
        "watches": doors.chat.watches.sweep(),
        "memory": keep_large(),
        **works_of_money(house),
    }
    tasks = [asyncio.create_task(_kept(name, work), name=name) for name, work in works.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if house.moving and house.settings.server.role != PROXY:
            await house.moving.office.leave()


async def _kept(name: str, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:
        _log.critical("the background work %r ended", name, exc_info=True)
        raise
