"""What the doors other than the OpenAI ones ask: put together from the rooms of a house."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from arbstr_core.accounts import Accounts
from arbstr_core.api import Clock, Command
from arbstr_core.cli._money import Money, Moving, deposit_flow, payout_flow, seller_flow
from arbstr_core.cli._operators import default_limits
from arbstr_core.config import Settings, resolve_secret
from arbstr_core.flow import (
    AdminFlow,
    Anchor,
    AuditFlow,
    BillingFlow,
    CallFlow,
    FileAnchor,
    HouseFlow,
    Keys,
    MetricsFlow,
    OperatorsFlow,
    OverviewFlow,
    Records,
    SolvencyFlow,
    StatsFlow,
    SyslogAnchor,
    TransferFlow,
    UrlAnchor,
    WalletFlow,
)
from arbstr_core.journal import Counts, Journal, RequestLog, Series
from arbstr_core.rails import Rails
from arbstr_core.storage import Database, Signer
from arbstr_core.types import ConfigError, Problem, Secret, SecretRef
from arbstr_core.vault import BODY_DIGEST_KEY, History, Vault
from arbstr_core.web import ControlFlows

_SHORTEST = 32


def control_flows(
    settings: Settings,
    clock: Clock,
    ids: Callable[[str], str],
    database: Database,
    money: Money,
    moving: Moving | None,
    accounts: Accounts | None,
    calls: CallFlow,
    rails: Rails,
    operators: OperatorsFlow,
    commands: Mapping[str, Sequence[Command]],
    journal: Journal,
    counts: Counts,
    *,
    serving: bool,
) -> ControlFlows:
    """All of them. `moving` and `accounts` are None where the vault is switched off."""
    history = keys = records = deposits = transfers = None
    vault, signer, treasury = money.vault, money.signer, money.treasury
    reconcile = moving.reconcile if moving is not None and serving else None
    if vault is not None and accounts is not None:
        history = History(database)
        keys = Keys(vault, accounts, rails, defaults=default_limits(settings), ids=ids)
        records = Records(history)
        if moving is not None:
            deposits = deposit_flow(moving, keys)
            transfers = TransferFlow(vault, keys, ids=ids, body_key=moving.cipher.derived(BODY_DIGEST_KEY))
    return ControlFlows(
        admin=AdminFlow(vault, keys, records, rails),
        house=HouseFlow(
            calls, rails, commands, serving=serving, unpaid=dict if moving is None else moving.topup.problems
        ),
        wallet=WalletFlow(calls, clock, history=history, keys=keys, records=records),
        audit=None if vault is None or signer is None else audit_flow(settings, vault, signer, clock),
        operators=operators,
        payouts=payout_flow(settings, vault, moving, clock, ids),
        sellers=seller_flow(settings, moving, clock, ids),
        overview=OverviewFlow(calls, Series(database), treasury, rails, clock),
        metrics=MetricsFlow(
            *(calls, counts, journal, database, history, rails, clock),
            version=version("arbstr-core"),
            reconcile=reconcile,
        ),
        solvency=SolvencyFlow(vault, treasury, rails, reconcile, ids),
        deposits=deposits,
        transfers=transfers,
        stats=StatsFlow(calls, RequestLog(database), history, clock),
        billing=BillingFlow(vault, history, accounts, clock, reservation_seconds=settings.vault.reservation_seconds),
    )


def audit_flow(settings: Settings, money: Vault, signer: Signer, clock: Clock) -> AuditFlow:
    """What signs checkpoints with the key beside the database, and where it tells them to."""
    asked = settings.audit
    return AuditFlow(
        money,
        signer,
        [_anchor(anchor, settings) for anchor in asked.anchors],
        clock,
        every_seconds=asked.checkpoint_seconds,
        every_rows=asked.checkpoint_rows,
    )


def _anchor(name: str, settings: Settings) -> Anchor:
    if name == "syslog":
        return SyslogAnchor()
    if name.startswith("file:"):
        return FileAnchor(settings.base / Path(name.removeprefix("file:")).expanduser())
    return UrlAnchor(name)


def door_token(settings: Settings, name: str) -> Secret | None:
    """The token that `[server]` refers to by `name`; None where it names none. Raises ConfigError where there is
    nothing, or something too short to be one."""
    ref: SecretRef | None = getattr(settings.server, name)
    if ref is None:
        return None
    found = resolve_secret(ref, settings.base)
    if found is None:
        raise ConfigError([Problem(f"[server] {name}: {ref.ref} is empty or not there; set it")])
    if len(found.reveal()) < _SHORTEST:
        what = f"{ref.ref} is shorter than {_SHORTEST} characters; make one that is as hard to guess as a key"
        raise ConfigError([Problem(f"[server] {name}: {what}")])
    return found
