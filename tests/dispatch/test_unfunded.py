"""A node at which too little money lies is passed over at once where there are others, and is no failure of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from arbstr_core.api import NotFunded, Offer, Outbound, Provider, Reply
from arbstr_core.dispatch import Dispatch
from arbstr_core.testing import FakeClock, a_call, a_quote, an_offer
from arbstr_core.types import Attempt, Outcome, ProvidersUnavailable


class Node(Provider):
    """Has money of ours, or not; notes whether it was told of others."""

    def __init__(self, name: str, *, funded: bool) -> None:
        self.name = name
        self.funded = funded
        self.others: list[bool] = []

    async def offers(self) -> Sequence[Offer]:
        return []

    async def open(self, call: Outbound, offer: Offer) -> Reply:
        self.others.append(call.others)
        if not self.funded:
            raise NotFunded("nothing is there yet")
        return Reply.of_json(b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}')


def asked(*nodes: Node, times: int = 1) -> tuple[Dispatch, list[Attempt]]:
    attempts: list[Attempt] = []
    dispatch = Dispatch({node.name: node for node in nodes}, FakeClock())
    quotes = [a_quote(an_offer(provider=node.name)) for node in nodes]

    async def story() -> None:
        for _ in range(times):
            opened = await dispatch.open(a_call(), quotes, attempts)
            await opened.aclose()

    try:
        asyncio.run(story())
    finally:
        asyncio.run(dispatch.aclose())
    return dispatch, attempts


def test_the_next_one_is_asked_and_no_breaker_counts_it() -> None:
    empty, full = Node("empty", funded=False), Node("full", funded=True)
    dispatch, attempts = asked(empty, full, times=10)
    assert [each.outcome for each in attempts] == [Outcome.UNFUNDED, Outcome.SERVED] * 10
    assert empty.others == [True] * 10
    assert full.others == [False] * 10
    state = dispatch.state(an_offer(provider="empty"))
    assert (state.failures, state.success) == (0, 1.0)


def test_where_nobody_has_money_the_caller_is_to_come_again() -> None:
    with pytest.raises(ProvidersUnavailable, match="too little money for it at its node yet") as refused:
        asked(Node("empty", funded=False))
    assert refused.value.retry_after == 5
