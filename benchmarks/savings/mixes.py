"""Owns what is asked, what goes wrong, and the seeds: all of it fixed, so that a better figure is a better router.

Changed only with a new name; the figures of docs/savings.md are of these.
"""

from __future__ import annotations

import enum
import math
import random

import msgspec

SEEDS = (11, 23, 47)
FAULT_RATES = (0.0, 0.02, 0.10)
AGENTS = ("ag_chat", "ag_code", "ag_batch")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `output_tokens` is what a model will answer, which nobody knows before; `limit` the caller's own
    limit, None where it sets none. `at` is in seconds."""

    number: int
    agent: str
    at: float
    input_tokens: int
    output_tokens: int
    limit: int | None


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens are spread lognormally around `input` and `output` (medians) by `spread`; `limited` is the share of
    requests with a limit, of four times `output`. An agent has longer or shorter answers than others, too, by `habit`.
    """

    name: str
    input: int
    output: int
    spread: float = 0.0
    habit: float = 0.0
    limited: float = 0.0


EXACT = Mix(name="3:1", input=3000, output=1000, limited=1.0)
"""What can be computed by hand: each request has 3,000 tokens of input and 1,000 of output, and says so."""
MIXES = (
    Mix(name="chat", input=700, output=250, spread=0.8, habit=0.5, limited=0.2),
    Mix(name="agent", input=9000, output=220, spread=0.9, habit=0.5, limited=0.5),
    Mix(name="writer", input=250, output=1400, spread=0.6, habit=0.3, limited=0.2),
)
"""Talk; tools with long contexts and short answers; long answers to short questions."""


def asks(mix: Mix, model: str, seed: int, count: int, *, a_second: float = 1.0) -> list[Ask]:
    """`count` requests for one model, `a_second` on average."""
    chance = random.Random(f"{mix.name} {model} {seed}")
    habits = {agent: math.exp(chance.gauss(0, mix.habit)) for agent in AGENTS}
    found, at = [], 0.0
    for number in range(count):
        at += chance.expovariate(a_second)
        agent = chance.choice(AGENTS)
        given = max(1, round(mix.input * math.exp(chance.gauss(0, mix.spread))))
        output = max(1, round(mix.output * habits[agent] * math.exp(chance.gauss(0, mix.spread))))
        limit = None
        if chance.random() < mix.limited:
            limit = mix.output if mix is EXACT else 4 * mix.output
            output = min(output, limit)
        found.append(Ask(number=number, agent=agent, at=at, input_tokens=given, output_tokens=output, limit=limit))
    return found


class Fault(enum.Enum):
    """How an attempt fails."""

    BROKEN = "answers 503"
    LIMITED = "answers 429"
    UNREACHABLE = "cannot be reached"
    HANGS = "takes the request, bills its input, and never answers"


_FAULTS = (Fault.BROKEN, Fault.BROKEN, Fault.BROKEN, Fault.LIMITED, Fault.LIMITED, Fault.UNREACHABLE, Fault.HANGS)


def fault(seed: int, rate: float, model: str, provider: str, number: int, attempt: int) -> Fault | None:
    """What goes wrong when `provider` is asked request `number`, for the `attempt`th time; None where nothing does."""
    if not rate:
        return None
    chance = random.Random(f"{seed} {model} {provider} {number} {attempt}")
    return chance.choice(_FAULTS) if chance.random() < rate else None
