"""From usage to msat: what the agent pays, never above what was held, and what it cost us."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from arbstr_core.metering._meter import Meter
from arbstr_core.types import MAX_MSAT, CallFacts, Msat, MsatPrice, Quote, Usage

_MOST_BYTES_PER_TOKEN = 128
"""No vocabulary in use has longer ones."""
_MOST_COST = Msat(MAX_MSAT // 1_000_000)
"""21 BTC for one call: a provider that says more has made a mistake, or wants the ledger to overflow."""


_SLACK_TOKENS = 16
"""A provider may count so many more than its limits allow: it is not overcharging yet."""


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What one served call costs: the agent (`charge_msat`), and us (`cost_msat`), for `usage`. `note` says what was
    clamped.

    `overage_msat` is what it costs us beyond what the offer's limits, and the bytes seen, allow; 0 where it is little.
    `told` is what the provider said of the cost, for the receipt.
    """

    charge_msat: Msat
    cost_msat: Msat
    note: str = ""
    overage_msat: Msat = Msat(0)
    usage: Usage = Usage()
    told: Mapping[str, Any] = {}


def bill(quote: Quote, usage: Usage, facts: CallFacts, *, held_msat: int, text_bytes: int, stops: int) -> Bill:
    """Price `usage` at the quote's frozen price.

    Clamped to the hold, to the input and output the ceiling counted with, and to what the bytes seen can be: a token
    is at least a byte, but for one that ends each choice; hidden reasoning only where the offer declares it.
    """
    most_output = quote.output_limit * quote.choices
    if not quote.offer.hidden_reasoning:
        most_output = min(most_output, text_bytes + stops)
    if usage.cached_input_tokens <= usage.input_tokens <= quote.input_limit and usage.output_tokens <= most_output:
        believed = usage
    else:
        believed = Usage(
            input_tokens=min(usage.input_tokens, quote.input_limit),
            cached_input_tokens=min(usage.cached_input_tokens, usage.input_tokens, quote.input_limit),
            output_tokens=min(usage.output_tokens, most_output),
        )
    asked = _price(quote.price, believed)
    charge = Msat(min(asked, held_msat))
    cost = _price(quote.cost_price, usage) if facts.cost_msat is None else max(facts.cost_msat, Msat(0))
    cost = min(cost, _MOST_COST)
    assert 0 <= charge <= held_msat, "a charge is within its hold"
    assert charge == 0 or not quote.price.free, "a free offer is charged nothing"
    return Bill(
        charge_msat=charge,
        cost_msat=cost,
        note=_note(usage, believed, asked, held_msat),
        overage_msat=Msat(0) if cost <= asked and quote.cost_price == quote.price else _overage(quote, believed, cost),
        usage=usage,
        told=facts.told,
    )


def counted(quote: Quote, meter: Meter, *, held_msat: int) -> Msat:
    """What a call has used so far, by what it showed: its input alone until it showed something."""
    if not meter.output_seen:
        return min(sent([quote], meter.counted_input()), Msat(held_msat))
    facts = CallFacts()
    usage = meter.usage(facts)
    return bill(quote, usage, facts, held_msat=held_msat, text_bytes=meter.text_bytes, stops=meter.stops).charge_msat


def exhausted(quote: Quote, meter: Meter) -> bool:
    """True where more came than the output limit can be, so that nothing yet to come is worth waiting for: a provider
    that kept to the limit would have ended, and said what was used."""
    return meter.text_bytes >= _MOST_BYTES_PER_TOKEN * quote.output_limit * quote.choices


def sent(candidates: Sequence[Quote], input_tokens: int) -> Msat:
    """What a call has used as soon as it is sent to one of `candidates`: its input, at the least price."""
    least = candidates[0].ceiling_msat
    for quote in candidates:
        used = quote.price.cost(input_tokens=min(input_tokens, quote.input_limit), output_tokens=0)
        if used < least:
            least = used
    return least


def _overage(quote: Quote, believed: Usage, cost: Msat) -> Msat:
    price = quote.cost_price
    allowed = _price(price, believed)
    if cost <= allowed:
        return Msat(0)
    slack = Usage(
        input_tokens=believed.input_tokens + _SLACK_TOKENS,
        cached_input_tokens=believed.cached_input_tokens,
        output_tokens=believed.output_tokens + _SLACK_TOKENS,
    )
    return Msat(cost - allowed) if cost > _price(price, slack) else Msat(0)


def _price(price: MsatPrice, usage: Usage) -> Msat:
    return price.cost(
        input_tokens=usage.input_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        output_tokens=usage.output_tokens,
    )


def _note(usage: Usage, believed: Usage, asked: int, held: int) -> str:
    if asked > held:
        return f"the usage would cost {asked} msat; charged what was held"
    if (usage.input_tokens, usage.output_tokens) != (believed.input_tokens, believed.output_tokens):
        return (
            f"the provider reports {usage.input_tokens} + {usage.output_tokens} tokens; "
            f"charged for {believed.input_tokens} + {believed.output_tokens}, the most that its limits and bytes allow"
        )
    return ""
