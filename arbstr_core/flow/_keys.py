"""Agents and their child keys: made, switched, given tokens and limits, for the operator and for the agents above."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from arbstr_core.accounts import Accounts, new_token, token_hash
from arbstr_core.flow import _documents as documents
from arbstr_core.rails import Rails
from arbstr_core.types import BadRequest, NotFound
from arbstr_core.vault import AgentRecord, Limits, NewAgent, Vault

Json = dict[str, Any]
T = TypeVar("T")

# What stands in the path of a URL, alone between two slashes, and is neither an id nor an option of a command.
_NAME = re.compile(r"(?!ag_|\.|-)[^/]{1,100}\Z")
_AGENT = "ag_"
_MOST_MODELS = 1_000
_MOST_OF_A_MODEL = 256


def switched_on(room: T | None) -> T:
    """A room that is there only with the vault. Raises NotFound."""
    if room is None:
        raise NotFound("The vault is switched off ([vault] enabled = false): there are no accounts")
    return room


class Keys:
    """Makes and changes agents. `defaults` are the limits of one for which none are named."""

    def __init__(
        self, vault: Vault, accounts: Accounts, rails: Rails, *, defaults: Limits, ids: Callable[[str], str]
    ) -> None:
        self._vault = vault
        self._accounts = accounts
        self._rails = rails
        self._defaults = defaults
        self._ids = ids

    async def find(self, id_or_name: str) -> AgentRecord:
        """The agent with this id, else with this name. Raises NotFound."""
        record = await self._vault.agent(id_or_name)
        if record is None:
            raise NotFound(f"There is no agent {id_or_name!r}; `arbstr agent list` shows them")
        return record

    async def create(
        self, name: str, *, realm: str | None, fund_msat: int, limits: Mapping[str, Any], actor: str
    ) -> Json:
        """Make an agent with limits, first money and a token, in one transaction. Nobody sees the token again."""
        where = realm or self._rails.default_realm()
        return await self._create(
            name,
            realm=where,
            limits=_checked(self._defaults, limits),
            fund_msat=fund_msat,
            rail=self._rails.of_realm(where).name,
            actor=actor,
        )

    async def create_below(self, parent: AgentRecord, name: str, *, limits: Mapping[str, Any], actor: str) -> Json:
        """Make a child key. Its largest charge and daily limit are its parent's where others are not named."""
        above = parent.limits or self._defaults
        base = Limits(max_charge_msat=above.max_charge_msat, daily_msat=above.daily_msat, zone=above.zone)
        return await self._create(
            name, realm=parent.realm, limits=_checked(base, limits), parent=parent.id, actor=actor
        )

    async def _create(self, name: str, *, realm: str, limits: Limits, **more: Any) -> Json:
        if not _NAME.match(name) or not name.isprintable() or name != name.strip():
            raise BadRequest(
                f"{name!r} cannot be an agent's name: 1 to 100 printable characters, no /, no blanks around it, "
                "and neither ag_ nor . nor - first",
                param="name",
            )
        token = new_token()
        new = NewAgent(
            id=self._ids(_AGENT), name=name, realm=realm, token_hash=token_hash(token), limits=limits, **more
        )
        return {**documents.agent(await self._vault.create_agent(new)), "token": token}

    async def set_limits(self, agent: AgentRecord, named: Mapping[str, Any], *, whole: bool, actor: str) -> AgentRecord:
        """A new version of an agent's limits: the named ones alone, or the present ones with the named ones changed."""

        def changed(base: Limits) -> Limits:
            if whole:
                # What is the operator's to set stays as the operator has set it.
                agents = actor.startswith(_AGENT)
                kept = {name: getattr(base, name) for name in _OPERATORS_OWN} if agents else {}
                base = Limits(**kept)
            return _checked(base, named)

        record = await self._vault.set_limits(agent.id, changed, actor=actor)
        self._accounts.forget()
        return record

    async def set_enabled(self, agent: AgentRecord, enabled: bool, *, actor: str) -> AgentRecord:
        """Switch an agent on or off; it counts from the next call."""
        record = await self._vault.set_enabled(agent.id, enabled, actor=actor)
        self._accounts.forget()
        return record

    async def rotate(self, agent: AgentRecord, *, actor: str) -> Json:
        """A new token; the old ones stop working at once."""
        token = new_token()
        await self._vault.rotate_token(agent.id, token_hash(token), actor=actor)
        self._accounts.forget()
        return {"id": agent.id, "name": agent.name, "token": token}


_OPERATORS_OWN = (
    *("max_fee_msat", "attempts_msat", "approval_seconds", "alert_floor_msat"),
    *("alert_cooldown_seconds", "payouts_unapproved_msat", "pending_approvals"),
)


_NEVER_NONE = ("alert_cooldown_seconds", "pending_approvals")
_DEFAULTS = Limits()


def _checked(base: Limits, named: Mapping[str, Any]) -> Limits:
    """`base` with the named limits, None for none. What no number or zone can be, the vault refuses.
    Raises BadRequest."""
    named = {name: tuple(value) if isinstance(value, list) else value for name, value in named.items()}
    for name in _NEVER_NONE:
        if named.get(name, 0) is None:
            named[name] = getattr(_DEFAULTS, name)
    limits = msgspec.structs.replace(base, version=0, **named)
    models = limits.models or ()
    if len(models) > _MOST_MODELS or not all(_is_model(each) for each in models):
        raise BadRequest(
            f"models takes at most {_MOST_MODELS} names of 1 to {_MOST_OF_A_MODEL} characters", param="models"
        )
    return limits


def _is_model(name: str) -> bool:
    return 1 <= len(name) <= _MOST_OF_A_MODEL and name.isprintable()
