"""What the operator asks for of the house: what is on offer, what would become of a call, rails, plugins' commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from arbstr_core.api import Command
from arbstr_core.flow import _documents as documents
from arbstr_core.flow.call import CallFlow
from arbstr_core.rails import Rails
from arbstr_core.types import (
    BadRequest,
    Caller,
    ChatCall,
    Conflict,
    NotFound,
    NothingQualifies,
    Offer,
    PolicyRefused,
    ProvidersUnavailable,
)

Json = dict[str, Any]

_ANYONE = Caller()


class HouseFlow:
    """`serving` is false where a command does without a server. `unpaid` says why money does not go to a node."""

    def __init__(
        self,
        calls: CallFlow,
        rails: Rails,
        commands: Mapping[str, Sequence[Command]],
        *,
        serving: bool,
        unpaid: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._unpaid = unpaid
        self._calls = calls
        self._rails = rails
        self._commands = commands
        self._serving = serving

    def ready(self) -> Json:
        """That calls are served. Raises ShuttingDown or VaultUnavailable where none may begin."""
        self._calls.require_serving()
        return {"status": "ready"}

    def offers(self) -> Json:
        """Everything on offer with the agent's price in msat, what is out, which providers do not answer, the names
        that stand for several models, and the rate of the dollar."""
        market, snapshot = self._calls.market, self._calls.snapshot
        rows, asked_ms = snapshot.models.values(), market.asked_ms
        return {
            "offers": [
                documents.offer(listing, asked_ms.get(listing.offer.provider, 0))
                for row in rows
                for listing in row.listings
                if listing.offer.model == row.model  # under its canonical name it is no other offer
            ],
            "out": [documents.out(excluded) for row in rows for excluded in row.out if excluded.model == row.model],
            "failing": documents.failing({**self._unpaid(), **market.remarks(), **market.failures}),
            "aliases": [
                {"name": name, "stands_for": list(row.stands_for), "offers": len(row.listings)}
                for name, row in sorted(snapshot.aliases.items())
            ],
            "usd": documents.rate(market.rates.now(), market.rates.failures()),
        }

    def providers(self) -> Json:
        """Each provider: its offers with their breakers, what of it is out, and why it does not answer, where it does
        not."""
        failures, found = self._calls.market.failures, self._offers()
        out: dict[str, list[Json]] = {}
        for row in self._calls.snapshot.models.values():
            for excluded in row.out:
                if excluded.model == row.model:
                    out.setdefault(excluded.provider, []).append(documents.out(excluded))
        return {
            "providers": [
                {
                    "provider": name,
                    "failing": failures.get(name),
                    "offers": [documents.offer_state(self._calls.state(offer)) for offer in found.get(name, ())],
                    "out": out.get(name, []),
                }
                for name in sorted(found.keys() | out.keys() | failures.keys())
            ]
        }

    async def check_providers(self) -> Json:
        """Ask every provider whether it is there and takes our key."""
        failing = await self._calls.rooms.dispatch.check()
        return {"failing": documents.failing(failing)}

    def close_breakers(self, provider: str) -> Json:
        """Ask a provider again that was mended. Raises NotFound, or Conflict where no server knows of breakers."""
        offers = self._offers().get(provider)
        if offers is None:
            raise NotFound(f"There is no provider {provider!r} that offers anything; `arbstr providers` shows them")
        if not self._serving:
            raise Conflict("Breakers are the running server's: `arbstr serve` first")
        for offer in offers:
            self._calls.forgive(offer)
        return next(row for row in self.providers()["providers"] if row["provider"] == provider)

    def _offers(self) -> dict[str, list[Offer]]:
        """What can be bought, by provider; under its canonical name it is no other offer."""
        found: dict[str, list[Offer]] = {}
        for row in self._calls.snapshot.models.values():
            for listing in row.listings:
                if listing.offer.model == row.model:
                    found.setdefault(listing.offer.provider, []).append(listing.offer)
        return found

    def route(self, call: ChatCall, caller: Caller | None = None) -> Json:
        """What would happen to a call of `caller`, or of anyone: its candidates with their cost, and who is out and
        why. Sends nothing."""
        try:
            return documents.plan(self._calls.plan(call, caller or _ANYONE))
        except (NothingQualifies, PolicyRefused, ProvidersUnavailable) as refused:
            return documents.no_plan(str(refused), refused.out)

    async def rails(self) -> Json:
        """Every rail's state."""
        return {name: msgspec.to_builtins(status) for name, status in (await self._rails.status()).items()}

    async def run_command(self, stem: str, name: str, arguments: Mapping[str, str]) -> Any:
        """Run a plugin's command. Raises NotFound, or BadRequest for parameters it does not have."""
        if stem not in self._commands:
            raise NotFound(
                f"No plugin {stem!r} with commands is enabled; these are: {', '.join(sorted(self._commands))}"
            )
        commands = {command.name: command for command in self._commands[stem]}
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
