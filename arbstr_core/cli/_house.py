"""The composition root: every room made once, in order, and handed the others it needs."""

from __future__ import annotations

import logging
import math
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from arbstr_core import config, plugins, storage
from arbstr_core.accounts import Accounts, Internal, KnownOperators, Operators, Others
from arbstr_core.api import Clock, Command
from arbstr_core.cli._data import open_database, operator_token
from arbstr_core.cli._flows import control_flows, door_token
from arbstr_core.cli._money import Money, Moving, treasury_of
from arbstr_core.cli._operators import known_operators, notifier, webhook
from arbstr_core.cli._part import PROXY, require_part, require_postgresql
from arbstr_core.cli._redact import learn_settings
from arbstr_core.cli._reload import Reload, Reread
from arbstr_core.cli._toolbox import Learn, Toolbox, nothing
from arbstr_core.cli._trade import STARTED, Trade, load_plugins, trade_of
from arbstr_core.cli._watchers import watchers_of
from arbstr_core.config import Settings
from arbstr_core.flow import (
    Alarm,
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
from arbstr_core.net import UpstreamPools
from arbstr_core.plugins import Lives, LoopClock, Supervisor
from arbstr_core.rails import Rails
from arbstr_core.storage import Cipher, Database
from arbstr_core.types import Caller
from arbstr_core.vault import BODY_DIGEST_KEY, History, Requests, Treasury, Vault
from arbstr_core.web import ControlFlows, Sites

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
    journal: Journal
    database: Database
    vault: Vault | None
    heartbeat: Heartbeat | None
    approvals: Approvals | None
    notifier: Notifier | None
    moving: Moving | None
    trade: Trade
    box: Toolbox
    commands: dict[str, tuple[Command, ...]]
    sites: Sites
    reload: Reload | None = None
    """puts another configuration in the place of this one; None where nothing is served"""

    @property
    def now(self) -> Trade:
        """The trade that counts now."""
        return self.trade if self.reload is None else self.reload.trade


@asynccontextmanager
async def open_house(
    settings: Settings,
    *,
    mock: bool = False,
    serving: bool = False,
    reread: Reread | None = None,
    learn: Learn = nothing,
) -> AsyncIterator[House]:
    """Build and start everything; close it in reverse. `reread` gives the configuration as it is later on, for whoever
    serves; every secret that is read is told to `learn`. Raises ConfigError, PluginError or StorageError."""
    async with make_everything(settings, mock=mock, serving=serving, learn=learn) as house:
        learn_settings(settings, learn)
        lives, reload = Lives(_log), None
        if reread is not None:
            reload = Reload(house.trade, house.calls, house.box, lives, reread, house.commands, house.sites)
            house = replace(house, reload=reload)
        try:
            for hook in STARTED:
                await lives.start(house.trade.made[hook])
            await house.trade.market.refresh()
            yield house
        finally:
            if reload is not None:
                await reload.aclose()
            await house.now.dispatch.aclose()
            await lives.aclose()
            await house.now.aclose()


@asynccontextmanager
async def made_house(settings: Settings) -> AsyncIterator[House]:
    """Build everything and start nothing: enough for what is about accounts, the ledger and plugins' own commands."""
    async with make_everything(settings) as house:
        yield house


@asynccontextmanager
async def make_everything(
    settings: Settings, *, mock: bool = False, serving: bool = False, learn: Learn = nothing
) -> AsyncIterator[House]:
    """Every room and every plugin's objects, made and not started."""
    require_postgresql(settings)
    clock = LoopClock()
    loaded = load_plugins(settings, mock=mock)
    async with AsyncExitStack() as stack:
        database = open_database(settings, clock)
        stack.push_async_callback(database.close)
        counts = Counts()
        watchers = [counts.note, *watchers_of(settings.log, stack, serving=serving)]
        log = Journal(database, clock, watchers, keep_days=settings.log.keep_days)
        stack.push_async_callback(log.flush)
        box = await _toolbox(settings, database, clock, stack, learn)
        trade = await trade_of(settings, loaded, box, mock=mock)
        stack.push_async_callback(trade.aclose)
        await require_part(settings, database, [stem for stem, made in trade.made["arbstr_wallet_rails"] if made])
        money = await _money(settings, database)
        house = _put_together(settings, clock, database, money, log, counts, trade, box, serving=serving)
        if house.moving is not None:
            stack.push_async_callback(house.moving.public.aclose)
        if house.vault is not None and (told := webhook(settings.webhooks)) is not None:
            stack.push_async_callback(told.aclose)
            house = replace(house, notifier=notifier(settings, told, house.vault, clock))
        yield house


def _put_together(
    settings: Settings,
    clock: Clock,
    database: Database,
    money: Money,
    log: Journal,
    counts: Counts,
    trade: Trade,
    box: Toolbox,
    *,
    serving: bool,
) -> House:
    rails = Rails(trade.objects("arbstr_wallet_rails"))
    commands: dict[str, tuple[Command, ...]] = dict(trade.made["arbstr_commands"])
    ids = Ids(clock)
    providers = trade.objects("arbstr_providers")
    moving = treasury_of(settings, money, rails, providers, box.cipher, clock, ids, serving=serving)
    vault = money.vault
    accounts = _accounts(vault, moving) if vault else None
    known = known_operators(settings, database)
    rooms = _call_rooms(settings, clock, trade, vault, moving, box.cipher)
    calls = CallFlow(rooms, accounts, log, Others(trade.objects("arbstr_authenticators")))
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
        commands,
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
        journal=log,
        database=database,
        vault=vault,
        heartbeat=None if vault is None else _heartbeat(settings, clock, rooms.lease, calls, vault),
        approvals=rooms.approvals,
        notifier=None,
        moving=moving,
        trade=trade,
        box=box,
        commands=commands,
        sites=Sites(trade.objects("arbstr_sites")),
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
    boot_id, apart = secrets.token_hex(8), settings.server.role == PROXY
    vault = Vault(
        database,
        boot_id=boot_id,
        charge_orphans_in_full=settings.vault.orphans == "full",
        lease_seconds=_BEATS_A_LEASE * settings.vault.heartbeat_seconds,
        bounded=apart,
    )
    return Money(
        vault=vault,
        signer=None if apart else await audit_signer(vault, settings.data_dir / "audit.key"),
        treasury=Treasury(database, boot_id=boot_id),
        requests=Requests(database),
        history=History(database),
    )


def _heartbeat(settings: Settings, clock: Clock, lease: Lease | None, calls: CallFlow, money: Vault) -> Heartbeat:
    sweeps = settings.server.role != PROXY
    return Heartbeat(calls, money, clock, seconds=settings.vault.heartbeat_seconds, lease=lease, sweeps=sweeps)


def _call_rooms(
    settings: Settings, clock: Clock, trade: Trade, money: Vault | None, moving: Moving | None, cipher: Cipher
) -> CallRooms:
    """The rooms that a call walks through."""
    return CallRooms(
        market=trade.market,
        router=trade.router,
        dispatch=trade.dispatch,
        vault=money,
        clock=clock,
        experience=Experience(cache_seconds=settings.routing.cache_seconds),
        approvals=None if money is None else Approvals(money, clock),
        body_key=cipher.derived(BODY_DIGEST_KEY),
        cipher=cipher,
        lease=Lease(clock, seconds=money.lease_seconds) if money is not None and money.shared else None,
        bills=None if moving is None else moving.bills,
        singles=None if moving is None else moving.singles,
        settle_alarm=Alarm(settings.vault.settle_seconds),
        drain_seconds=settings.dispatch.drain_seconds,
    )


def plugin_rows(settings: Settings) -> list[dict[str, Any]]:
    """Every installed plugin and its state, as `arbstr plugin list` shows it."""
    enabled = (*settings.arbstr.plugins, *settings.arbstr.mock)
    return [msgspec.to_builtins(row) for row in plugins.states(enabled, settings.plugins, config.decode)]


def _accounts(money: Vault, moving: Moving | None) -> Accounts:
    """Who calls. Where other processes work on the same money, what they change is seen here soon."""
    find = partial(_find, money)
    l402 = None if moving is None else moving.l402
    return Accounts(find, l402=l402, fresh_seconds=_FRESH_SECONDS if money.shared else math.inf)


async def _find(money: Vault, digest: bytes) -> Caller | None:
    record = await money.agent_by_token(digest)
    if record is None:
        return None
    return Caller(agent=record.id, name=record.name, realm=record.realm, enabled=record.enabled)


async def _toolbox(
    settings: Settings, database: Database, clock: Clock, stack: AsyncExitStack, learn: Learn
) -> Toolbox:
    """What makes the tools of plugins."""
    cipher = await storage.open_cipher(database, settings.data_dir / "master.key")
    pools = await stack.enter_async_context(UpstreamPools(connect_seconds=settings.dispatch.connect_seconds))
    supervisor = Supervisor(_log)
    stack.push_async_callback(supervisor.aclose)
    return Toolbox(database, cipher, pools, supervisor, clock, learn)
