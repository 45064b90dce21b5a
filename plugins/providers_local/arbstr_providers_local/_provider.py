"""The provider: one offer, served by the model server that the keeper keeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import httpx
import msgspec

from arbstr_core.api import (
    REFUSE,
    ConnectFailed,
    Endpoint,
    Feature,
    Offer,
    OpenAIProvider,
    Outbound,
    ProviderError,
    Reply,
    Tier,
    Tools,
)
from arbstr_providers_local._child import Spec
from arbstr_providers_local._config import STEM, LocalConfig
from arbstr_providers_local._keeper import Keeper
from arbstr_providers_local._model import Shelf

LOG_FILE = "server.log"
# Grammars make any model write JSON; tools need a chat template that knows them.
_PLAIN = frozenset({Feature.JSON})
_OVERHEAD = 256
_OVERHEAD_WITH_TOOLS = 1024
_COUNTS = {
    Endpoint.CHAT: "chat/completions/input_tokens",
    Endpoint.RESPONSES: "responses/input_tokens",
}
"""where llama.cpp counts the input of a body, below `/v1`"""
# It speaks messages too, but leaves `output_config` alone: put into a chat's words, its schema is kept to.
_SPOKEN = frozenset({*_COUNTS, Endpoint.COMPLETIONS})


class LocalProvider(OpenAIProvider):
    """A model on this machine. Its server is another process: whatever happens there fails one call at most."""

    def __init__(self, config: LocalConfig, tools: Tools, *, shelf: Shelf | None = None) -> None:
        super().__init__(STEM, "", tools)
        self._config = config
        self._shelf = shelf or Shelf(config.path, tools.data_dir)
        self.keeper = Keeper(tools, spec_of(config, tools.data_dir), self._shelf)

    async def start(self) -> None:
        """Begin loading the model, without waiting for it."""
        if self._config.warm:
            self.keeper.begin()

    async def aclose(self) -> None:
        """End the model server."""
        await self.keeper.aclose()

    async def offers(self) -> Sequence[Offer]:
        """One offer; context and tools are the configuration's until the model is loaded, then the model's own."""
        child = self.keeper.running
        context = min(self._config.context, child.context) if child else self._config.context
        tools = child is not None and child.tools
        return [
            Offer(
                provider=self.name,
                model=self._config.model,
                upstream=self._config.model,
                price=self._config.price(),
                endpoints=_SPOKEN,
                features=_PLAIN | {Feature.TOOLS} if tools else _PLAIN,
                context_window=context,
                max_output_tokens=context,
                tier=Tier.LOCAL,
                # Its usage counts one choice alone, and these would ask for more than what was set aside.
                max_choices=1,
                exact_tokenizer=True,
                cancel_free=True,
                max_concurrent=self._config.parallel,
                # A response in a given `text` format would be written in any other.
                fields={"n_predict": REFUSE, "n_cmpl": REFUSE, "text": REFUSE},
                input_overhead=_OVERHEAD_WITH_TOOLS if tools else _OVERHEAD,
            )
        ]

    async def open(self, call: Outbound, offer: Offer) -> Reply:
        """Ask the model server, which is started first where it does not run."""
        child = await self.keeper.child()
        # The server drops idle connections after 5 s; one reused in that moment would fail a call for nothing.
        once = msgspec.structs.replace(call, headers={**call.headers, "connection": "close"})
        return await self.tools.upstream.send(once.to(f"{child.url}/{call.endpoint}", child.key))

    async def check(self) -> None:
        """Whether the model's file is one, and why its server rests, if it does; none is started for this."""
        self._shelf.find()
        if self.keeper.trouble:
            raise ConnectFailed(f"{self.keeper.trouble}: see `arbstr plugin run {STEM} status`")

    async def count_input(self, call: Outbound, offer: Offer) -> int:
        """Ask the model server: it renders the same template, and counts with the tokenizer it will use."""
        where = _COUNTS.get(call.endpoint)
        if where is None:
            return await super().count_input(call, offer)
        child = await self.keeper.child()
        headers = {"authorization": f"Bearer {child.key.reveal()}", "content-type": "application/json"}
        try:
            answer = await self.tools.http.post(f"{child.url}/{where}", content=call.body, headers=headers)
            return msgspec.json.decode(answer.content, type=_Counted).input_tokens
        except (httpx.HTTPError, msgspec.MsgspecError) as bad:
            raise ProviderError(f"{self.name} does not count the input of a call: {bad}") from None


class _Counted(msgspec.Struct, frozen=True):
    input_tokens: int


def spec_of(config: LocalConfig, data_dir: str) -> Spec:
    """How to run the server for `config`."""
    return Spec(
        name=config.model,
        context=config.context,
        parallel=config.parallel,
        threads=config.thread_count(),
        idle=config.idle_stop_seconds,
        start_seconds=config.start_seconds,
        log=Path(data_dir) / LOG_FILE,
    )
