"""How much of a prompt is the same as of an earlier one: never more than is, and all of a conversation that goes on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbstr_core.testing import a_call
from arbstr_core.wire import marks, shared_bytes


def common(one: bytes, other: bytes) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


@given(
    beginning=st.binary(max_size=40).map(lambda some: some * 200),
    one=st.binary(max_size=3000),
    other=st.binary(max_size=3000),
)
def test_it_never_says_more_than_is_shared_and_at_least_half_of_it(beginning: bytes, one: bytes, other: bytes) -> None:
    earlier, later = beginning + one, beginning + other
    shared = shared_bytes(marks(earlier), later)
    assert shared <= common(earlier, later)
    if common(earlier, later) >= 2048 and earlier != later:
        assert shared * 2 >= min(common(earlier, later), len(later))


@given(said=st.binary(min_size=1024, max_size=5000), more=st.binary(max_size=50))
def test_what_goes_on_shares_all_that_was_before(said: bytes, more: bytes) -> None:
    assert shared_bytes(marks(said), said + more) == len(said)


def test_short_prompts_have_no_marks() -> None:
    assert marks(b"x" * 1023) == ()
    assert shared_bytes((), b"x" * 5000) == 0


@pytest.mark.parametrize("tools", [None, [{"type": "function", "function": {"name": "f"}}]])
def test_the_next_turn_of_a_conversation_begins_with_the_one_before(tools: list[object] | None) -> None:
    fields = {"tools": tools} if tools else {}
    said = [{"role": "system", "content": "Be brief. " * 300}, {"role": "user", "content": "Why?"}]
    first = a_call(messages=said, fields=fields).prompt()
    more = [{"role": "assistant", "content": "Because."}, {"role": "user", "content": "Of what?"}]
    second = a_call(messages=said + more, fields=fields).prompt()
    assert second.startswith(first)
    assert shared_bytes(marks(first), second) == len(first)
    other = a_call(messages=said + more, fields={"tools": [{"type": "function", "function": {"name": "g"}}]}).prompt()
    assert shared_bytes(marks(first), other) == 0
