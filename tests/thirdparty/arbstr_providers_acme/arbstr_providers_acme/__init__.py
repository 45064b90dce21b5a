"""Acme sells inference: the OpenAI API, and beside it a price list of Acme's own at `/prices`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from arbstr_core.api import Manifest, MsatPrice, Offer, OpenAIProvider, Provider, ProviderError, Tools, hookimpl


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """`[plugins.providers_acme]`."""

    url: str


class Row(msgspec.Struct):
    """One line of the price list, in msat per million tokens. A zero there is a mistake, not a gift."""

    model: str
    input: Annotated[int, msgspec.Meta(gt=0)]
    output: Annotated[int, msgspec.Meta(gt=0)]


MANIFEST = Manifest(name="providers_acme", api=(1, 0), config=Config)


@hookimpl
def arbstr_providers(config: Config, tools: Tools) -> list[Provider]:
    """One provider: Acme."""
    return [AcmeProvider("providers_acme", config.url, tools)]


class AcmeProvider(OpenAIProvider):
    """The base class sends the calls; what is left is what Acme sells, for how much."""

    async def offers(self) -> list[Offer]:
        """Acme's price list as it is now."""
        answer = await self.tools.http.get(f"{self.url}/prices")
        try:
            rows = msgspec.json.decode(answer.content, type=list[Row])
        except msgspec.DecodeError as bad:
            raise ProviderError(f"{self.name}: GET {self.url}/prices answered {answer.status_code}: {bad}") from None
        return [self._offer(row) for row in rows]

    def _offer(self, row: Row) -> Offer:
        price = MsatPrice(input=row.input, cached_input=row.input, output=row.output)
        now = self.tools.clock.now_ms()
        return Offer(provider=self.name, model=row.model, upstream=row.model, price=price, as_of_ms=now)
