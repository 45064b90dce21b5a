"""What the operator asks for: agents and their money, receipts, proof, and what the market and the plugins are like."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from arbstr_core.accounts import Accounts, new_token, token_hash
from arbstr_core.api import Command
from arbstr_core.flow.call import CallFlow
from arbstr_core.rails import Rails
from arbstr_core.types import (
    BadRequest,
    ChatCall,
    Conflict,
    Excluded,
    ModelNotFound,
    NotFound,
    NothingQualifies,
    PolicyRefused,
    Quote,
)
from arbstr_core.vault import AgentRecord, Limits, NewAgent, Vault

Json = dict[str, Any]

# What stands in the path of a URL, alone between two slashes.
_NAME = re.compile(r"(?!ag_|\.)[^/]{1,100}\Z")


class AdminFlow:
    """The operator's side. `vault` and `accounts` are None where the vault is switched off; `serving` is false where
    a command does without a server."""

    def __init__(
        self,
        *,
        vault: Vault | None,
        accounts: Accounts | None,
        rails: Rails,
        calls: CallFlow,
        default_limits: Limits,
        commands: Mapping[str, Sequence[Command]],
        serving: bool,
        ids: Callable[[str], str],
    ) -> None:
        self._vault = vault
        self._accounts = accounts
        self._rails = rails
        self._calls = calls
        self._default_limits = default_limits
        self._commands = commands
        self._serving = serving
        self._ids = ids

    # -- agents ---------------------------------------------------------------------------------------------------

    async def create_agent(
        self,
        name: str,
        *,
        realm: str | None = None,
        fund_msat: int = 0,
        max_charge_msat: int | None = None,
        daily_msat: int | None = None,
    ) -> Json:
        """Make an agent with limits, first money and a token, in one transaction. Nobody sees the token again."""
        if not _NAME.match(name) or not name.isprintable() or name != name.strip():
            raise BadRequest(
                f"{name!r} cannot be an agent's name: 1 to 100 printable characters, no /, no blanks around it, "
                "and neither ag_ nor . first",
                param="name",
            )
        where = realm or self._rails.default_realm()
        rail = self._rails.of_realm(where)
        token = new_token()
        defaults = self._default_limits
        record = await self._need_vault().create_agent(
            NewAgent(
                id=self._ids("ag_"),
                name=name,
                realm=where,
                token_hash=token_hash(token),
                limits=Limits(
                    max_charge_msat=defaults.max_charge_msat if max_charge_msat is None else max_charge_msat,
                    daily_msat=defaults.daily_msat if daily_msat is None else daily_msat,
                ),
                fund_msat=fund_msat,
                rail=rail.name,
            )
        )
        return {**_agent(record), "token": token}

    async def agents(self) -> list[Json]:
        """All agents, oldest first."""
        return [_agent(record) for record in await self._need_vault().agents()]

    async def agent(self, id_or_name: str) -> Json:
        """One agent, by id or name."""
        return _agent(await self._find(id_or_name))

    async def fund(self, id_or_name: str, amount_msat: int, *, key: str | None = None) -> Json:
        """Give an agent money: made where its realm is `sim`, else out of what the operator's rail holds."""
        if key is not None and not key.isprintable():
            raise BadRequest("key holds characters that cannot be printed; use another", param="key")
        agent = await self._find(id_or_name)
        rail = self._rails.of_realm(agent.realm)
        key = f"fund:{key or secrets.token_hex(16)}"
        return _agent(await self._need_vault().fund(agent.id, amount_msat, rail=rail.name, key=key))

    async def set_enabled(self, id_or_name: str, enabled: bool) -> Json:
        """Switch an agent on or off; it counts from the next call."""
        agent = await self._find(id_or_name)
        record = await self._need_vault().set_enabled(agent.id, enabled)
        self._forget()
        return _agent(record)

    async def rotate(self, id_or_name: str) -> Json:
        """A new token; the old ones stop working at once."""
        agent = await self._find(id_or_name)
        token = new_token()
        await self._need_vault().rotate_token(agent.id, token_hash(token))
        self._forget()
        return {"id": agent.id, "name": agent.name, "token": token}

    # -- proof ----------------------------------------------------------------------------------------------------

    async def receipt(self, request_id: str) -> Json:
        """What one call cost, who served it, why."""
        found = await self._need_vault().receipt(request_id)
        if found is None:
            raise NotFound(
                f"There is no receipt {request_id!r}. It is the x-request-id of an answer; a call that was refused "
                "before money was held has none"
            )
        body = msgspec.json.decode(found.body) if found.body else {}
        usage = {"input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0, "source": "none"}
        return {
            "id": found.id,
            "agent": found.agent,
            "model": None,
            "provider": None,
            "usage": usage,
            "attempts": [],
            "reasons": [],
            "alternatives": [],
            **body,
            "state": found.state,
            "held_msat": found.held_msat,
            "charged_msat": found.charged_msat,
        }

    async def verify(self) -> Json:
        """Replay the ledger and check every invariant; `first_bad` names the first row that is wrong."""
        return msgspec.structs.asdict(await self._need_vault().verify())

    # -- the market -----------------------------------------------------------------------------------------------

    def offers(self) -> Json:
        """Everything on offer with the agent's price in msat, what is out, and which providers do not answer."""
        rows = self._calls.snapshot.models.values()
        listings = [listing for row in rows for listing in row.listings]
        return {
            "offers": [
                {
                    "provider": listing.offer.provider,
                    "model": listing.offer.model,
                    "tier": listing.offer.tier,
                    "context_window": listing.offer.context_window,
                    "input_msat": listing.price.input,
                    "cached_input_msat": listing.price.cached_input,
                    "output_msat": listing.price.output,
                    "request_msat": listing.price.request,
                }
                for listing in listings
            ],
            "out": [_out(excluded) for row in rows for excluded in row.out],
            "failing": [{"provider": name, "reason": why} for name, why in sorted(self._calls.failures.items())],
        }

    def route(self, call: ChatCall) -> Json:
        """What would happen to a call: its candidates with their cost, and who is out and why. Sends nothing."""
        if self._calls.snapshot.find(call.model) is None:
            raise ModelNotFound(f"The model {call.model!r} does not exist here; `arbstr offers` lists those that do")
        try:
            plan = self._calls.plan(call)
        except (NothingQualifies, PolicyRefused) as refused:
            return {
                "candidates": [],
                "out": [_out(row) for row in refused.out],
                "reasons": [str(refused)],
                "strategy": None,
            }
        return {
            "candidates": [_candidate(quote) for quote in plan.candidates],
            "beaten": [_candidate(quote) for quote in plan.beaten],
            "out": [_out(row) for row in plan.out],
            "reasons": list(plan.reasons),
            "strategy": plan.strategy,
        }

    async def rails(self) -> Json:
        """Every rail's state."""
        return {name: msgspec.to_builtins(status) for name, status in (await self._rails.status()).items()}

    # -- plugins' commands ----------------------------------------------------------------------------------------

    async def run_command(self, stem: str, name: str, arguments: Mapping[str, str]) -> Any:
        """Run a plugin's command. Raises NotFound, or BadRequest for parameters it does not have."""
        commands = {command.name: command for command in self._commands.get(stem, ())}
        command = commands.get(name)
        if command is None:
            known = ", ".join(sorted(commands)) or "none"
            raise NotFound(f"The plugin {stem!r} has no command {name!r}; it has: {known}")
        if not self._serving and not command.offline:
            raise Conflict(f"{stem} {name} needs the running server: `arbstr serve` first")
        params = {param.name: param for param in command.params}
        for given in arguments:
            if given not in params:
                known = ", ".join(params) or "nothing"
                raise BadRequest(f"{stem} {name} takes no {given!r}; it takes: {known}", param=given)
        for param in params.values():
            if param.required and param.name not in arguments:
                raise BadRequest(f"{stem} {name} needs --{param.name}: {param.help}", param=param.name)
        return await command.run({param.name: arguments.get(param.name, param.default) for param in params.values()})

    def commands(self) -> dict[str, Sequence[Command]]:
        """All plugins' commands, by stem."""
        return dict(self._commands)

    async def _find(self, id_or_name: str) -> AgentRecord:
        record = await self._need_vault().agent(id_or_name)
        if record is None:
            raise NotFound(f"There is no agent {id_or_name!r}; `arbstr agent list` shows them")
        return record

    def _need_vault(self) -> Vault:
        if self._vault is None:
            raise NotFound("The vault is switched off ([vault] enabled = false): there are no accounts")
        return self._vault

    def _forget(self) -> None:
        if self._accounts is not None:
            self._accounts.forget()


def _agent(record: AgentRecord) -> Json:
    """An agent as every door shows it."""
    shown = msgspec.structs.asdict(record)
    shown["limits"] = None if record.limits is None else msgspec.structs.asdict(record.limits)
    return shown


def _out(row: Excluded) -> Json:
    return {"provider": row.provider, "model": row.model, "reason": row.reason}


def _candidate(quote: Quote) -> Json:
    return {
        "provider": quote.offer.provider,
        "model": quote.offer.model,
        "cost_msat": quote.cost_msat,
        "ceiling_msat": quote.ceiling_msat,
    }
