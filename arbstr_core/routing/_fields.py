"""Which fields of a request may cost more than its tokens, and what an offer does about each: takes, bounds, refuses.

Source: the API references of OpenAI and Anthropic; pricing pages say what is billed apart. The fields beyond those are
of llama.cpp, vLLM, Ollama and OpenRouter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from arbstr_core.types import (
    PPM,
    ChatCall,
    Endpoint,
    FieldRule,
    Listing,
    MsatPrice,
    Offer,
    Passthrough,
    ceil_div,
)

_SAMPLING = """temperature top_p top_k min_p top_a typical_p frequency_penalty presence_penalty repetition_penalty
    repeat_penalty repeat_last_n logit_bias seed stop stop_token_ids ignore_eos min_tokens skip_special_tokens mirostat
    mirostat_tau mirostat_eta dry_multiplier dry_base dry_allowed_length xtc_probability xtc_threshold"""
PLAIN_OF: Mapping[Endpoint, frozenset[str]] = {
    endpoint: frozenset(fields.split()) | {"provider"}
    for endpoint, fields in {
        Endpoint.CHAT: f"""model messages stream stream_options max_tokens max_completion_tokens n tools tool_choice
            functions function_call parallel_tool_calls response_format {_SAMPLING} logprobs top_logprobs user metadata
            store safety_identifier prompt_cache_key prompt_cache_retention verbosity reasoning reasoning_effort
            include_reasoning thinking enable_thinking chat_template_kwargs""",
        Endpoint.COMPLETIONS: f"""model prompt suffix stream stream_options max_tokens n best_of echo {_SAMPLING}
            logprobs user""",
        Endpoint.EMBEDDINGS: "model input dimensions encoding_format user",
        Endpoint.RESPONSES: """model input instructions stream stream_options max_output_tokens tools tool_choice
            parallel_tool_calls max_tool_calls text reasoning temperature top_p top_logprobs truncation include store
            metadata user safety_identifier prompt_cache_key prompt_cache_retention""",
        Endpoint.MESSAGES: """model messages system max_tokens stop_sequences stream temperature top_p top_k tools
            tool_choice thinking metadata output_config output_format""",
    }.items()
}
"""They cost nothing but tokens, within the limits: reasoning counts as output, and its limit is the output's."""


class _Costly(msgspec.Struct, frozen=True):
    """Why a field may cost more. `brings`: it brings input that is not in the body. `harmless`: values that do not."""

    why: str
    brings: bool = False
    harmless: Callable[[Any], bool] = lambda value: value in (None, False, [], {}, "")
    taken: bool = False


_LIMIT = _Costly("may lift the limit of output")
_ELSEWHERE = _Costly("charges for another model or seller than the offer's")
_SOUND = "asks for sound, which has a price of its own"
_SEARCH = _Costly(
    "has the provider search or read, at a price of its own", brings=True, harmless=lambda v: v in (None, [])
)
_REFERS = _Costly("refers to content that is elsewhere", brings=True, taken=True)
_UNKNOWN = _Costly("is not known here, and may cost something", harmless=lambda _: False)
_PLAIN = _Costly("costs nothing but tokens", taken=True)
_TOOL = _Costly("runs at the provider, at a price of its own", brings=True)
_TIERS = (None, "auto", "default", "flex", "standard", "standard_only")

_TABLE: Mapping[str, _Costly] = {
    "best_of": _Costly("bills choices that it does not show", harmless=lambda value: value in (None, 1)),
    "use_beam_search": _Costly("bills choices that it does not show"),
    "service_tier": _Costly("asks for a tier that may cost more", harmless=lambda value: value in _TIERS),
    "modalities": _Costly(_SOUND, harmless=lambda value: value in (None, [], ["text"])),
    "audio": _Costly(_SOUND),
    "web_search_options": msgspec.structs.replace(_SEARCH, harmless=lambda value: value is None),
    "plugins": _SEARCH,
    "prediction": _Costly("bills what it predicts wrongly, beyond the limit of output"),
    "background": _Costly("runs on when nobody waits for it"),
    "cache_control": _Costly("has the provider store input, which may cost more than reading it"),
    "chat_template": _Costly("can make any amount of input"),
    "previous_response_id": _REFERS,
    "conversation": _REFERS,
    "prompt": _REFERS,
    "documents": _REFERS,
    "file_ids": _REFERS,
    **dict.fromkeys(("models", "route", "preset", "transforms"), _ELSEWHERE),
    **dict.fromkeys(
        ("n_predict", "n_cmpl", "num_predict", "max_new_tokens", "max_output_tokens", "max_length", "options"), _LIMIT
    ),
}
"""What is done by default on an offer that costs something; the offer's own `fields` come first."""


class Demand(msgspec.Struct, frozen=True):
    """One thing a call asks for that is not plain. `field` is as the caller wrote it, `rule` as an offer names it."""

    field: str
    rule: str
    costly: _Costly


NO_DEMANDS: tuple[Demand, ...] = ()


def demands(call: ChatCall) -> tuple[Demand, ...]:
    """What `call` asks for beyond plain fields; a field that is null, or asks for nothing, is not among it."""
    plain = PLAIN_OF[call.endpoint]
    if not call.inside and plain.issuperset(call.members):
        return NO_DEMANDS
    extra = call.members.keys() - plain
    found = []
    for field in sorted(extra):
        # Some servers match names without case.
        rule = field.casefold()
        costly = _TABLE.get(rule, _UNKNOWN)
        value = _value(call, field)
        if value is not None and not costly.harmless(value):
            found.append(Demand(field, rule, costly))
    for rule in sorted(call.inside):
        tool = rule.startswith("tools.")
        found.append(Demand("tools" if tool else _said_in(call), rule, _TOOL if tool else _TABLE[rule]))
    return tuple(found)


def ruled(offer: Offer, call: ChatCall, asked: tuple[Demand, ...]) -> tuple[Demand, ...]:
    """`asked`, and the plain fields of `call` that `offer` has a rule for all the same."""
    plain = [name for name in offer.fields if name in PLAIN_OF[call.endpoint] and call.raw(name) not in (None, b"null")]
    return asked + tuple(Demand(name, name, _PLAIN) for name in plain)


def choices(call: ChatCall) -> int:
    """How many choices may be billed: those that are shown, or `best_of` where that is more."""
    most = max(call.choices, call.billed_choices)
    value = _value(call, "best_of")
    return max(most, value) if type(value) is int else most


def refused(listing: Listing, asked: tuple[Demand, ...]) -> tuple[str, str] | None:
    """(The field, the reason) why `listing` cannot take what is asked; None where it can."""
    offer, free = listing.offer, listing.price.free
    for demand in asked:
        rule = offer.fields.get(demand.rule)
        name = _named(demand)
        if rule is None:
            if free or demand.costly.taken or (demand.costly is _UNKNOWN and offer.passthrough is Passthrough.ALL):
                continue
            remedy = f'leave it out, or set fields."{demand.rule}" for this offer'
            if demand.costly is _UNKNOWN:
                remedy += ' or passthrough = "all"'
            return demand.field, f"does not take {name}, which {demand.costly.why}: {remedy}"
        if not rule.taken:
            return demand.field, f"does not take {name}: leave it out"
        if rule.most is not None and rule.most.usd and listing.fx is None:
            return demand.field, f"takes {name} at a price in usd, and its own price is not: write both in one unit"
    return None


def brings(asked: tuple[Demand, ...]) -> str | None:
    """The field that brings input from elsewhere, None where none does."""
    return next((demand.field for demand in asked if demand.costly.brings), None)


def with_fees(listing: Listing, asked: tuple[Demand, ...]) -> tuple[MsatPrice, MsatPrice]:
    """The agent's price and the provider's, with the most that the fields asked for may add, as a fee."""
    price, cost = listing.price, listing.cost_price
    rules = [listing.offer.fields.get(demand.rule) for demand in asked]
    fee = sum(_in_msat(rule, listing) for rule in rules if rule is not None)
    if not fee:
        return price, cost
    marked_up = ceil_div(fee * (PPM + listing.margin_ppm), PPM)
    return (
        msgspec.structs.replace(price, request=price.request + marked_up),
        msgspec.structs.replace(cost, request=cost.request + fee),
    )


def _in_msat(rule: FieldRule, listing: Listing) -> int:
    if rule.most is None:
        return 0
    if not rule.most.usd:
        return int(rule.most.value)
    assert listing.fx is not None, "a fee in usd was let through without a rate"
    return listing.fx.to_msat(rule.most.value)


def _named(demand: Demand) -> str:
    return demand.field if demand.field.casefold() == demand.rule else f"{demand.rule} in {demand.field}"


def _said_in(call: ChatCall) -> str:
    return "input" if call.endpoint is Endpoint.RESPONSES else "messages"


def _value(call: ChatCall, field: str) -> Any:
    raw = call.raw(field)
    try:
        return None if raw is None else msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return raw
