"""What operators set and are told: the limits of new agents, the webhook that events go to, how long logins last."""

from __future__ import annotations

from arbstr_core import config
from arbstr_core.api import Clock
from arbstr_core.config import Settings, WebhookSettings
from arbstr_core.flow import Notifier, Turn
from arbstr_core.net import Webhook
from arbstr_core.storage import Database
from arbstr_core.types import AddressRefused, Amount, BadRequest, ConfigError, Problem, Secret
from arbstr_core.vault import EventName, Limits, Operators, Vault, check_limits

_MOST_OF_A_SESSION_MS = 7 * 86_400_000


def default_limits(settings: Settings) -> Limits:
    """`[vault.defaults]`. Raises ConfigError for a time zone that this machine does not know."""
    given = settings.vault.defaults
    limits = Limits(
        max_charge_msat=given.max_charge.msat,
        daily_msat=given.daily.msat,
        zone=given.zone,
        hourly_msat=_msat(given.hourly),
        max_fee_msat=_msat(given.max_fee),
        per_minute=given.per_minute,
        concurrent=given.concurrent,
        models=given.models,
        approval_seconds=given.approval_seconds,
        pending_approvals=given.pending_approvals,
        alert_floor_msat=_msat(given.alert_floor),
        alert_cooldown_seconds=given.alert_cooldown_seconds,
        attempts_msat=_msat(given.attempts),
        payouts_unapproved_msat=_msat(given.payouts_unapproved),
    )
    try:
        check_limits(limits)
    except BadRequest as bad:
        raise ConfigError([Problem(f"[vault.defaults] {bad}")]) from bad
    return limits


def _msat(amount: Amount | None) -> int | None:
    return None if amount is None else amount.msat


def webhook(settings: WebhookSettings) -> Webhook | None:
    """The address that events go to; None where nobody is told. Raises ConfigError."""
    if not settings.url:
        return None
    known = [event.value for event in EventName]
    problems = [
        Problem(f"[webhooks] events: there is no event {name[:40]!r}; there is: {', '.join(known)}")
        for name in settings.events or ()
        if name not in known
    ]
    if problems:
        raise ConfigError(problems)
    try:
        return Webhook(settings.url)
    except AddressRefused:
        raise ConfigError([Problem("[webhooks] url: is not an http or https URL; correct it")]) from None


def webhook_secret(settings: Settings) -> Secret:
    """What signs events. Raises ConfigError where there is none."""
    ref = settings.webhooks.secret
    secret = None if ref is None else config.resolve_secret(ref, settings.base)
    if secret is None:
        named = "" if ref is None else f" ({ref.ref})"
        raise ConfigError([Problem(f"[webhooks] secret{named}: there is nothing there; set it")])
    return secret


def notifier(settings: Settings, to: Webhook, vault: Vault, clock: Clock) -> Notifier:
    """What sends events there. Raises ConfigError where there is no secret to sign with."""
    secret = webhook_secret(settings)
    events = settings.webhooks.events
    return Notifier(
        vault,
        to,
        clock,
        secret=secret,
        events=None if events is None else frozenset(events),
        lead=Turn(vault, clock),
    )


def known_operators(settings: Settings, database: Database) -> Operators:
    """Where operators with names, and their sessions, are kept."""
    idle_ms = int(settings.server.session_seconds * 1000)
    return Operators(database, idle_ms=idle_ms, most_ms=max(idle_ms, _MOST_OF_A_SESSION_MS))
