"""The composition root: every room made once, in order, and handed the others it needs."""

from __future__ import annotations

import logging
import random
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from arbstr_core import config, plugins, storage
from arbstr_core.accounts import Accounts, Internal, KnownOperators, Operators
from arbstr_core.api import Clock, Provider, Site, Tools
from arbstr_core.cli._data import open_database, operator_token
from arbstr_core.cli._flows import control_flows, door_token
from arbstr_core.cli._market import market_of, rates_of, router_of
from arbstr_core.cli._money import Money, Moving, treasury_of
from arbstr_core.cli._notices import Notices, heard
from arbstr_core.cli._operators import known_operators, notifier, webhook
from arbstr_core.config import Settings
from arbstr_core.dispatch import BreakerRules, Dispatch, DispatchRules
from arbstr_core.flow import (
    Approvals,
    CallFlow,
    CallRooms,
    Heartbeat,
    Lease,
    Notifier,
    OperatorsFlow,
    audit_signer,
)
from arbstr_core.journal import Counts, Experience, Journal
from arbstr_core.market import Market, Rates
from arbstr_core.net import Guard, UpstreamPools, control_client, origins_in
from arbstr_core.plugins import Lives, LoopClock, PluginTools, Supervisor
from arbstr_core.rails import Rails
from arbstr_core.storage import Cipher, Database, PluginStore
from arbstr_core.types import Caller
from arbstr_core.vault import BODY_DIGEST_KEY, History, Requests, Treasury, Vault
from arbstr_core.web import ControlFlows

_log = logging.getLogger("arbstr")

_FRESH_SECONDS = 2.0


class Ids:
    """Makes ids that sort by time: a prefix, 12 hex digits of milliseconds, 16 random ones. Unique, and no secret."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._random = random.Random(secrets.randbits(256))

    def __call__(self, prefix: str) -> str:
        return f"{prefix}{self._clock.now_ms():012x}{self._random.getrandbits(64):016x}"


@dataclass(frozen=True, kw_only=True)
class House:
    """The rooms of a running arbstr that doors and commands are built on."""

    settings: Settings
    clock: Clock
    ids: Ids
    calls: CallFlow
    flows: ControlFlows
    operators: Operators
    internal: Internal
    market: Market
    dispatch: Dispatch
    journal: Journal
    database: Database
    supervisor: Supervisor
    vault: Vault | None
    heartbeat: Heartbeat | None
    approvals: Approvals | None
    notifier: Notifier | None
    moving: Moving | None
    notices: Notices
    plugin_rows: Callable[[], list[dict[str, Any]]]
    sites: Sequence[Site]


_STARTED = ("arbstr_wallet_rails", "arbstr_providers", "arbstr_policies", "arbstr_authenticators")
"""Hooks whose objects have a life, in the order in which they begin it."""
_HOOKS = (*_STARTED, "arbstr_commands", "arbstr_sites")


@asynccontextmanager
async def open_house(settings: Settings, *, mock: bool = False, serving: bool = False) -> AsyncIterator[House]:
    """Build and start everything; close it in reverse. Raises ConfigError, PluginError or StorageError."""
    async with make_everything(settings, mock=mock, serving=serving) as (house, made):
        lives = Lives(_log)
        try:
            for hook in _STARTED:
                await lives.start(made[hook])
            await house.market.refresh()
            yield house
        finally:
            await house.dispatch.aclose()
            await lives.aclose()


@asynccontextmanager
async def made_house(settings: Settings) -> AsyncIterator[House]:
    """Build everything and start nothing: enough for what is about accounts, the ledger and plugins' own commands."""
    async with make_everything(settings) as (house, _):
        yield house


Made = Mapping[str, Sequence[tuple[str, tuple[Any, ...]]]]
"""What the plugins' hooks made: by hook, with each owner's name."""


@asynccontextmanager
async def make_everything(
    settings: Settings, *, mock: bool = False, serving: bool = False
) -> AsyncIterator[tuple[House, Made]]:
    """Every room and every plugin's objects, made and not started."""
    clock = LoopClock()
    loaded = plugins.load(
        settings.arbstr.plugins, settings.plugins, config.decode, mock=settings.arbstr.mock if mock else ()
    )
    async with AsyncExitStack() as stack:
        database = open_database(settings, clock)
        stack.push_async_callback(database.close)
        counts = Counts()
        log = Journal(database, clock, [counts.note])
        stack.push_async_callback(log.flush)
        toolbox = await _toolbox(settings, database, clock, stack)
        with heard() as notices:
            made = {hook: loaded.call_each(hook, toolbox.tools) for hook in _HOOKS}
        money = await _money(settings, database)
        house = _put_together(settings, clock, database, money, log, counts, made, toolbox, notices, serving=serving)
        if house.vault is not None and (told := webhook(settings.webhooks)) is not None:
            stack.push_async_callback(told.aclose)
            house = replace(house, notifier=notifier(settings, told, house.vault, clock))
        yield house, made


def _put_together(
    settings: Settings,
    clock: Clock,
    database: Database,
    money: Money,
    log: Journal,
    counts: Counts,
    made: Made,
    toolbox: _Toolbox,
    notices: Notices,
    *,
    serving: bool,
) -> House:
    rails = Rails(_objects(made["arbstr_wallet_rails"]))
    moving = treasury_of(settings, money, rails, toolbox.cipher, clock)
    vault = money.vault
    accounts = _accounts(vault) if vault else None
    ids = Ids(clock)
    known = known_operators(settings, database)
    rooms = _call_rooms(settings, clock, made, vault, toolbox)
    calls = CallFlow(rooms, accounts, log)
    flows = control_flows(
        settings,
        clock,
        ids,
        database,
        money,
        moving,
        accounts,
        calls,
        rails,
        OperatorsFlow(known),
        dict(made["arbstr_commands"]),
        log,
        counts,
        serving=serving,
    )
    return House(
        settings=settings,
        clock=clock,
        ids=ids,
        calls=calls,
        flows=flows,
        operators=_operators(settings, known, clock, serving=serving),
        internal=_internal(settings, serving=serving),
        market=rooms.market,
        dispatch=rooms.dispatch,
        journal=log,
        database=database,
        supervisor=toolbox.supervisor,
        vault=vault,
        heartbeat=None if vault is None else _heartbeat(settings, clock, rooms.lease, calls, vault),
        approvals=rooms.approvals,
        notifier=None,
        moving=moving,
        notices=notices,
        plugin_rows=partial(plugin_rows, settings),
        sites=_objects(made["arbstr_sites"]),
    )


def _internal(settings: Settings, *, serving: bool) -> Internal:
    # Nobody bills where nothing is served: a command does without what only `serve` is given.
    return Internal(door_token(settings, "internal_token") if serving else None)


def _operators(settings: Settings, known: KnownOperators, clock: Clock, *, serving: bool) -> Operators:
    # A command does without what only `serve` is given.
    metrics = door_token(settings, "metrics_token") if serving else None
    return Operators(operator_token(settings), known, clock, metrics=metrics)


_BEATS_A_LEASE = 3


async def _money(settings: Settings, database: Database) -> Money:
    if not settings.vault.enabled:
        return Money()
    boot_id = secrets.token_hex(8)
    vault = Vault(
        database,
        boot_id=boot_id,
        charge_orphans_in_full=settings.vault.orphans == "full",
        lease_seconds=_BEATS_A_LEASE * settings.vault.heartbeat_seconds,
    )
    return Money(
        vault=vault,
        signer=await audit_signer(vault, settings.data_dir / "audit.key"),
        treasury=Treasury(database, boot_id=boot_id),
        requests=Requests(database),
        history=History(database),
    )


def _heartbeat(settings: Settings, clock: Clock, lease: Lease | None, calls: CallFlow, money: Vault) -> Heartbeat:
    return Heartbeat(calls, money, clock, seconds=settings.vault.heartbeat_seconds, lease=lease)


def _call_rooms(settings: Settings, clock: Clock, made: Made, money: Vault | None, toolbox: _Toolbox) -> CallRooms:
    """The rooms that a call walks through."""
    cipher = toolbox.cipher
    providers: list[Provider] = _objects(made["arbstr_providers"])
    return CallRooms(
        market=market_of(settings, providers, toolbox.rates, clock),
        router=router_of(settings, made["arbstr_policies"]),
        dispatch=Dispatch({provider.name: provider for provider in providers}, clock, _dispatch_rules(settings)),
        vault=money,
        clock=clock,
        experience=Experience(cache_seconds=settings.routing.cache_seconds),
        approvals=None if money is None else Approvals(money, clock),
        body_key=cipher.derived(BODY_DIGEST_KEY),
        cipher=cipher,
        lease=Lease(clock, seconds=money.lease_seconds) if money is not None and money.shared else None,
        settle_seconds=settings.vault.settle_seconds,
        drain_seconds=settings.dispatch.drain_seconds,
    )


def _dispatch_rules(settings: Settings) -> DispatchRules:
    asked, breaker = settings.dispatch, settings.dispatch.breaker
    return DispatchRules(
        first_byte_seconds=asked.first_byte_seconds,
        idle_seconds=asked.idle_seconds,
        deadline_seconds=asked.deadline_seconds or 3 * asked.first_byte_seconds,
        hedge_seconds=asked.hedge_seconds,
        queue=asked.queue,
        queue_seconds=asked.queue_seconds,
        breaker=BreakerRules(**msgspec.structs.asdict(breaker)),
    )


def plugin_rows(settings: Settings) -> list[dict[str, Any]]:
    """Every installed plugin and its state, as `arbstr plugin list` shows it."""
    enabled = (*settings.arbstr.plugins, *settings.arbstr.mock)
    return [msgspec.to_builtins(row) for row in plugins.states(enabled, settings.plugins, config.decode)]


def _objects(made: Sequence[tuple[str, tuple[Any, ...]]]) -> list[Any]:
    return [each for _, objects in made for each in objects]


def _accounts(money: Vault) -> Accounts:
    """Who calls. Where other processes work on the same money, what they change is seen here soon."""
    find = partial(_find, money)
    return Accounts(find, fresh_seconds=_FRESH_SECONDS) if money.shared else Accounts(find)


async def _find(money: Vault, digest: bytes) -> Caller | None:
    record = await money.agent_by_token(digest)
    if record is None:
        return None
    return Caller(agent=record.id, name=record.name, realm=record.realm, enabled=record.enabled)


@dataclass(frozen=True)
class _Toolbox:
    tools: Callable[[str], Tools]
    supervisor: Supervisor
    cipher: Cipher
    rates: Rates


async def _toolbox(settings: Settings, database: Database, clock: Clock, stack: AsyncExitStack) -> _Toolbox:
    """What makes each plugin's Tools, once, and lets go of them at the end."""
    cipher = await storage.open_cipher(database, settings.data_dir / "master.key")
    pools = await stack.enter_async_context(UpstreamPools(connect_seconds=settings.dispatch.connect_seconds))
    supervisor = Supervisor(_log)
    stack.push_async_callback(supervisor.aclose)
    made: dict[str, Tools] = {}

    def tools(stem: str) -> Tools:
        if stem not in made:
            guard = Guard(frozenset(origins_in(settings.plugins.get(stem, {}))))
            http = control_client(guard)
            stack.push_async_callback(http.aclose)
            made[stem] = PluginTools(
                http=http,
                upstream=pools.client(guard),
                clock=clock,
                log=logging.getLogger(f"arbstr.plugins.{stem}"),
                store=PluginStore(database, cipher, stem),
                tasks=supervisor.tasks(stem),
                data_dir=settings.data_dir / stem,
                secret=partial(config.resolve_secret, base=settings.base),
                secret_bytes=partial(config.resolve_bytes, base=settings.base),
                port=guard.port,
            )
        return made[stem]

    return _Toolbox(tools, supervisor, cipher, rates_of(settings, clock, stack))
