"""What sells inference: the contract, and the base for everything that speaks OpenAI over HTTP."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from arbstr_core.api._replies import Outbound, Reply
from arbstr_core.api._tools import Tools
from arbstr_core.types import ConnectFailed, Endpoint, KeyHeader, NotSupported, Offer, ProviderError, Secret

ANTHROPIC_VERSION = "2023-06-01"


class AnsweredWith(ProviderError):
    """A list of models was asked for, and something else came."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Living:
    """An object with a life: made by a hook, started, closed. Both do nothing unless overridden."""

    async def start(self) -> None:
        """Called once, before the first use; background work begins here, through `tools.tasks`."""

    async def aclose(self) -> None:
        """Called once, after the last use."""


class Provider(Living, ABC):
    """Somewhere to buy inference. `name` is `stem` or `stem.instance`, and unique."""

    name: str

    @abstractmethod
    async def offers(self) -> Sequence[Offer]:
        """What can be bought here now. Called at start and every `[market] refresh_seconds`; may do I/O.

        An exception, or no answer within 10 seconds, keeps the last offers, with their age. An empty list withdraws
        them all.
        """

    @abstractmethod
    async def open(self, call: Outbound, offer: Offer) -> Reply:
        """Send `call` and return once status and headers are in; any status is a Reply.

        Raises ConnectFailed or ReplyTimedOut. It may be cancelled at any await. It must not retry: the kernel does,
        within what was held.
        """

    def remarks(self) -> Mapping[str, str]:
        """What is wrong with parts of it (a node, a list that it reads), by name, in a sentence each: for the operator,
        in `arbstr offers`. From memory; none unless overridden."""
        return {}

    async def check(self) -> None:
        """Ask whether it can be reached and takes our key, for the operator; what is wrong is raised as an ArbstrError
        that says what to do. No call waits for this. Nothing is asked unless overridden."""

    async def count_input(self, call: Outbound, offer: Offer) -> int:
        """The input tokens that `call` will be billed for, exactly; asked only where `offer.exact_tokenizer` is true.

        Less would be held than is billed if it were only an estimate. Raises NotSupported unless overridden, or a
        ProviderError; then the bound of the offer stands.
        """
        raise NotSupported(f"{self.name} does not count the input of a call")


class OpenAIProvider(Provider):
    """A provider that speaks the OpenAI API at `url` (which ends in `/v1` or what stands for it). `key_header` is where
    its key goes: Anthropic wants it as `x-api-key`."""

    def __init__(
        self,
        name: str,
        url: str,
        tools: Tools,
        *,
        key: Secret | None = None,
        key_header: KeyHeader = KeyHeader.AUTHORIZATION,
    ) -> None:
        self.name = name
        self.url = url.rstrip("/")
        self.tools = tools
        self.key = key
        self.key_header = key_header

    async def open(self, call: Outbound, offer: Offer) -> Reply:
        """POST to the endpoint below `url`."""
        where = f"{self.url}/{call.endpoint}"
        return await self.tools.upstream.send(call.to(where, self.key, key_header=self.header_for(call.endpoint)))

    def header_for(self, endpoint: Endpoint) -> KeyHeader:
        """Where the key goes in a call to `endpoint`; the same everywhere, unless overridden."""
        return self.key_header

    async def check(self) -> None:
        """GET its list of models. One that has no list, and says so, is there all the same."""
        try:
            await self.listed_rows()
        except AnsweredWith as said:
            if said.status in (401, 403):
                raise ProviderError(f"{said}: it does not accept our key; correct the key of its row") from None
            if said.status >= 500 or said.status == 429:
                raise ProviderError(f"{said}: it has troubles of its own; wait, or take its row out") from None
        except ConnectFailed as failed:
            raise ConnectFailed(f"{failed}: start it, or correct the url of its row") from None
        except ProviderError:
            return  # it answers, if not with a list

    async def listed_models(self) -> list[str]:
        """The ids that `GET {url}/models` lists; raises ProviderError where it does not answer with a list."""
        return [row["id"] for row in await self.listed_rows()]

    async def listed_rows(self) -> list[Mapping[str, Any]]:
        """What `GET {url}/models` lists, each row with an `id` that is text, and with whatever else the endpoint says
        of a model; raises as `listed_models`."""
        headers: dict[str, str] = {}
        if self.key:
            bearer = self.key_header is KeyHeader.AUTHORIZATION
            headers = {self.key_header: f"Bearer {self.key.reveal()}" if bearer else self.key.reveal()}
            headers |= {} if bearer else {"anthropic-version": ANTHROPIC_VERSION}
        where = f"{self.name}: GET {self.url}/models"
        try:
            answer = await self.tools.http.get(f"{self.url}/models", headers=headers)
        except httpx.HTTPError as failed:
            # The words of a header that cannot be sent repeat the key.
            secret = isinstance(failed, httpx.LocalProtocolError)
            said = "" if secret else str(failed)
            raise ConnectFailed(f"{where} failed: {said or type(failed).__name__}") from None
        if answer.status_code != 200:
            raise AnsweredWith(f"{where} answered {answer.status_code}", answer.status_code)
        try:
            return [row for row in answer.json()["data"] if isinstance(row["id"], str)]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ProviderError(f"{where} did not answer with a list of models") from None
