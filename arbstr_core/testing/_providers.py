"""Owns the conformance suite of providers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from arbstr_core.api import (
    CallFacts,
    ConnectFailed,
    FieldRule,
    Free,
    MsatPrice,
    NotSupported,
    Offer,
    Outbound,
    Provider,
    ProviderError,
    Reply,
    UsdPrice,
)
from arbstr_core.testing._replies import a_completion, a_stream, answers, reply_of
from arbstr_core.testing._tools import KitTools, kit_tools
from arbstr_core.testing._values import an_outbound
from arbstr_core.wire import event_data

MakeProvider = Callable[[KitTools], Provider]
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[A-Za-z0-9_-]+)?\Z")
_READ_LIMIT = 1 << 22
_STATUSES = (200, 400, 401, 403, 404, 429, 500, 503)


class ProviderSuite:
    """What every provider promises. Subclass it as `TestAcme`, with one fixture:

        @pytest.fixture
        def make(self):
            return lambda tools: AcmeProvider("acme", tools)

    `make` takes `KitTools` and returns a new provider; it is called inside a running loop. The provider must have an
    offer to sell. Override `tools` where it needs more: pages of its control plane, secrets, a store.
    """

    def tools(self, **more: Any) -> KitTools:
        """The tools `make` gets; `more` goes to `kit_tools`."""
        return kit_tools(**more)

    def test_name_is_a_stem_or_a_stem_and_an_instance(self, make: MakeProvider) -> None:
        """`stem` or `stem.instance`: what receipts and rules call it."""

        async def scenario(provider: Provider, tools: KitTools) -> None:
            name = getattr(provider, "name", None)
            assert isinstance(name, str), f"a provider's name is text, not {name!r}"
            assert _NAME.match(name), f"{name!r} is no name: write stem or stem.instance"

        self._run(make, scenario)

    def test_offers_are_whole(self, make: MakeProvider) -> None:
        """Every offer is the provider's own, has names, prices that are integers >= 0, and sizes > 0 where known."""

        async def scenario(provider: Provider, tools: KitTools) -> None:
            offers = await _offers(provider)
            for offer in offers:
                _check_offer(provider, offer)
            keys = [offer.key for offer in offers]
            assert len(set(keys)) == len(keys), f"two offers have one key (provider, node, model): {sorted(keys)}"

        self._run(make, scenario)

    def test_offers_again_are_the_same(self, make: MakeProvider) -> None:
        """Nothing changed outside, so nothing changes inside; no offer is lost or doubled by asking twice."""

        async def scenario(provider: Provider, tools: KitTools) -> None:
            first, again = await _offers(provider), await _offers(provider)
            assert {offer.key for offer in first} == {offer.key for offer in again}, (
                "offers() changed between two calls"
            )

        self._run(make, scenario)

    def test_who_counts_exactly_can_count(self, make: MakeProvider) -> None:
        """An offer with `exact_tokenizer` is a provider's whose `count_input` counts, or fails as a provider does."""

        async def scenario(provider: Provider, tools: KitTools) -> None:
            for offer in await _offers(provider):
                if offer.exact_tokenizer:
                    await _check_counts(provider, offer)

        self._run(make, scenario)

    @pytest.mark.parametrize("status", _STATUSES)
    def test_open_returns_any_status_as_a_reply(self, make: MakeProvider, status: int) -> None:
        """`open` returns the upstream's status as it is; it neither raises for one nor tries again."""

        async def scenario(provider: Provider, tools: KitTools) -> None:
            offer = (await _offers(provider))[0]
            tools.upstream.sent.clear()
            reply = await provider.open(an_outbound(model=offer.upstream), offer)
            assert isinstance(reply, Reply), f"open returned {reply!r}, which is no Reply"
            sent = tools.upstream.sent
            assert len(sent) <= 1, (
                f"open sent the call {len(sent)} times: trying again is the kernel's, within the hold"
            )
            if sent:
                assert reply.status == status, f"the upstream said {status}, and the reply says {reply.status}"
            await reply.read(_READ_LIMIT)
            await reply.aclose()

        self._run(make, scenario, upstream=lambda outbound: _reply_with(status, outbound))

    def test_open_sends_the_body_as_the_kernel_wrote_it(self, make: MakeProvider) -> None:
        """A provider adds an address and its key, and leaves body and endpoint alone."""

        async def scenario(provider: Provider, tools: KitTools) -> None:
            offer = (await _offers(provider))[0]
            tools.upstream.sent.clear()
            call = an_outbound(model=offer.upstream)
            reply = await provider.open(call, offer)
            await reply.aclose()
            for sent in tools.upstream.sent:
                assert sent.body == call.body, "the provider changed the body; only the kernel writes it"
                assert sent.endpoint == call.endpoint, "the provider changed the endpoint"
                address = sent.url or ""
                assert address.startswith(("http://", "https://")), f"the call went out without an address: {address!r}"

        self._run(make, scenario)

    def test_a_failed_connection_is_raised(self, make: MakeProvider) -> None:
        """ConnectFailed goes through, so that the kernel can try the next candidate."""
        failed = 0

        async def refuse(outbound: Outbound) -> Reply:
            nonlocal failed
            failed += 1
            raise ConnectFailed("the kit refuses the connection")

        async def scenario(provider: Provider, tools: KitTools) -> None:
            offer = (await _offers(provider))[0]
            try:
                reply = await provider.open(an_outbound(model=offer.upstream), offer)
            except ConnectFailed:
                return
            await reply.aclose()
            assert not failed, f"the connection failed, and open returned a Reply with status {reply.status}"

        self._run(make, scenario, upstream=refuse)

    def test_open_can_be_cancelled(self, make: MakeProvider) -> None:
        """A caller that leaves cancels `open`; the cancellation is not swallowed."""
        reached = asyncio.Event()

        async def never(outbound: Outbound) -> Reply:
            reached.set()
            await asyncio.Event().wait()
            raise AssertionError("waited for nothing")

        async def scenario(provider: Provider, tools: KitTools) -> None:
            offer = (await _offers(provider))[0]
            opening = asyncio.ensure_future(provider.open(an_outbound(model=offer.upstream), offer))
            waiting = asyncio.ensure_future(reached.wait())
            await asyncio.wait({opening, waiting}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            opening.cancel()
            await asyncio.wait({opening}, timeout=60)
            assert opening.done(), "open goes on after it was cancelled"
            if reached.is_set():
                assert opening.cancelled(), "open swallowed its cancellation"
            elif not opening.cancelled() and opening.exception() is None:
                await opening.result().aclose()

        self._run(make, scenario, upstream=never)

    def test_streams_at_once_share_no_state(self, make: MakeProvider) -> None:
        """Two streams read in turns say what each says alone."""

        async def scenario(provider: Provider, tools: KitTools) -> None:
            offer = (await _offers(provider))[0]
            calls = [an_outbound(f"stream {name}", model=offer.upstream, stream=True) for name in ("one", "two")]
            alone = [await _text_of(await provider.open(call, offer)) for call in calls]
            replies = [await provider.open(call, offer) for call in calls]
            together = await asyncio.gather(*(_text_of(reply) for reply in replies))
            assert list(together) == alone, f"read at once the streams say {together}, and alone {alone}"

        self._run(make, scenario, upstream=_echo)

    def test_events_are_whole_and_end(self, make: MakeProvider) -> None:
        """A streamed reply is whole events with data, in JSON, and `[DONE]` last."""

        async def scenario(provider: Provider, tools: KitTools) -> None:
            offer = (await _offers(provider))[0]
            reply = await provider.open(an_outbound(model=offer.upstream, stream=True), offer)
            assert reply.streaming, f"the call streams, and the reply is {reply.headers.get('content-type')!r}"
            datas = [event_data(event) async for events in reply.events() for event in events]
            await reply.aclose()
            shown = [data for data in datas if data is not None]
            assert shown, "the stream has no event"
            assert shown[-1] == b"[DONE]", f"the stream ends with {shown[-1]!r} instead of [DONE]"
            for data in shown[:-1]:
                assert isinstance(json.loads(data), dict), f"an event is no JSON object: {data!r}"

        self._run(make, scenario)

    def test_facts_after_the_end(self, make: MakeProvider) -> None:
        """`facts()` after the last byte: usage and cost that are integers >= 0, or None."""

        async def scenario(provider: Provider, tools: KitTools) -> None:
            offer = (await _offers(provider))[0]
            reply = await provider.open(an_outbound(model=offer.upstream), offer)
            await reply.read(_READ_LIMIT)
            facts = reply.facts()
            await reply.aclose()
            assert isinstance(facts, CallFacts), f"facts() returned {facts!r}"
            if facts.cost_msat is not None:
                _check_count("cost_msat", facts.cost_msat)
            if facts.usage is not None:
                for field in ("input_tokens", "cached_input_tokens", "output_tokens"):
                    _check_count(field, getattr(facts.usage, field))

        self._run(make, scenario)

    @pytest.mark.parametrize("read", [True, False])
    def test_closing_a_reply_lets_go_once(self, make: MakeProvider, read: bool) -> None:
        """`Reply.aclose`, twice, read or not, closes the upstream's reply exactly once."""
        opened: list[Reply] = []
        closed: list[Reply] = []

        def watched(outbound: Outbound) -> Reply:
            async def close() -> None:
                closed.append(reply)

            reply = Reply(200, {"content-type": "application/json"}, _once(a_completion()), close=close)
            opened.append(reply)
            return reply

        async def scenario(provider: Provider, tools: KitTools) -> None:
            offer = (await _offers(provider))[0]
            opened.clear()
            closed.clear()
            reply = await provider.open(an_outbound(model=offer.upstream), offer)
            if read:
                await reply.read(_READ_LIMIT)
            await reply.aclose()
            await reply.aclose()
            assert len(closed) == len(opened), f"{len(opened)} connections opened, {len(closed)} closed by aclose"

        self._run(make, scenario, upstream=watched)

    def test_aclose_is_idempotent(self, make: MakeProvider) -> None:
        """`start`, then `aclose` twice; and `aclose` of one that was never started."""

        async def scenario(provider: Provider, tools: KitTools) -> None:
            await provider.aclose()
            await provider.aclose()
            await make(tools).aclose()

        self._run(make, scenario)

    def _run(self, make: MakeProvider, scenario: Scenario, **more: Any) -> None:
        async def main() -> None:
            async with _living(make, self.tools(**more)) as (provider, tools):
                await scenario(provider, tools)

        asyncio.run(main())


Scenario = Callable[[Provider, KitTools], Awaitable[None]]


@asynccontextmanager
async def _living(make: MakeProvider, tools: KitTools) -> AsyncIterator[tuple[Provider, KitTools]]:
    try:
        provider = make(tools)
        await provider.start()
        try:
            yield provider, tools
        finally:
            await provider.aclose()
    finally:
        await tools.aclose()


async def _offers(provider: Provider) -> Sequence[Offer]:
    offers = await provider.offers()
    assert isinstance(offers, Sequence), f"offers() returned {offers!r} instead of a list of offers"
    assert offers, "the provider offers nothing here: give the suite one that has something to sell"
    return offers


def _check_offer(provider: Provider, offer: Offer) -> None:
    assert isinstance(offer, Offer), f"{offer!r} is no Offer"
    assert offer.provider == provider.name, f"{provider.name} offers in the name of {offer.provider!r}"
    for field in ("model", "upstream"):
        value = getattr(offer, field)
        assert isinstance(value, str), f"{field} is {value!r}, not text"
        assert value.strip(), f"an offer of {offer.provider} has an empty {field}"
    _check_price(offer)
    for field in ("context_window", "max_output_tokens"):
        size = getattr(offer, field)
        assert size is None or (type(size) is int and size > 0), f"{offer.model}: {field} is {size!r}"
    assert offer.endpoints, f"{offer.model} speaks no endpoint"
    assert offer.input_factor > 0, f"{offer.model}: input_factor is {offer.input_factor!r}, and bounds nothing"
    _check_count(f"{offer.model}: input_overhead", offer.input_overhead)
    _check_count(f"{offer.model}: attachment_tokens", offer.attachment_tokens)
    _check_rules(offer)
    _check_count(f"{offer.model}: as_of_ms", offer.as_of_ms)


async def _check_counts(provider: Provider, offer: Offer) -> None:
    try:
        counted = await provider.count_input(an_outbound(model=offer.upstream), offer)
    except NotSupported as never:
        raise AssertionError(f"{offer.model} says exact_tokenizer, and count_input is not supported") from never
    except ProviderError:
        return
    _check_count(f"{offer.model}: count_input", counted)
    assert counted, f"{offer.model}: count_input says that a call has no input"


def _check_rules(offer: Offer) -> None:
    for name, rule in offer.fields.items():
        assert isinstance(rule, FieldRule), f"{offer.model}: the rule for {name} is {rule!r}, no FieldRule"
        assert name == name.casefold(), f"{offer.model}: the rule for {name!r} is never found: write it in lower case"


def _check_price(offer: Offer) -> None:
    price = offer.price
    assert isinstance(price, MsatPrice | UsdPrice | Free | None), f"{offer.model}: {price!r} is no price"
    if price is None or isinstance(price, Free):
        return
    for field in ("input", "cached_input", "output", "request"):
        value = getattr(price, field)
        if isinstance(price, MsatPrice):
            _check_count(f"{offer.model}: {field}", value)
        assert value >= 0, f"{offer.model}: {field} is {value!r}, below zero"


def _check_count(name: str, value: object) -> None:
    assert type(value) is int, f"{name} is {value!r}, not an integer"
    assert value >= 0, f"{name} is {value!r}, below zero"


def _reply_with(status: int, outbound: Outbound) -> Reply:
    if status == 200:
        return answers(outbound)
    error = {"message": f"the kit says {status}", "type": "kit_error", "param": None, "code": None}
    return Reply.of_json(json.dumps({"error": error}).encode(), status=status)


def _echo(outbound: Outbound) -> Reply:
    said = json.loads(outbound.body)["messages"][-1]["content"]
    return reply_of(a_stream(said))


async def _text_of(reply: Reply) -> str:
    """The text of choice 0, giving other tasks a turn after each event."""
    parts: list[str] = []
    async for events in reply.events():
        for data in map(event_data, events):
            if data is not None and data != b"[DONE]":
                parts += [choice["delta"].get("content") or "" for choice in json.loads(data).get("choices", ())]
        await asyncio.sleep(0)
    await reply.aclose()
    return "".join(parts)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
