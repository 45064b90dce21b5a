"""Who is calling: tokens, the memory of callers, and the operator."""

from __future__ import annotations

import asyncio

import pytest

from arbstr_core.accounts import Accounts, Operators, SessionKeys, new_token, token_hash
from arbstr_core.plugins import LoopClock
from arbstr_core.types import AgentDisabled, Caller, OperatorSession, Secret, Unauthorized


class Book:
    """Callers by the hash of their token; counts how often it is asked."""

    def __init__(self) -> None:
        self.callers: dict[bytes, Caller] = {}
        self.asked = 0
        self.gate: asyncio.Event | None = None

    def add(self, name: str, *, enabled: bool = True) -> str:
        token = new_token()
        self.callers[token_hash(token)] = Caller(agent=name, name=name, realm="sim", enabled=enabled)
        return token

    async def find(self, digest: bytes) -> Caller | None:
        self.asked += 1
        found = self.callers.get(digest)
        if self.gate is not None:
            await self.gate.wait()
        return found


def test_t28_tokens_are_long_random_and_kept_as_a_hash() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(token.startswith("arb_") and len(token) >= 47 for token in tokens)
    assert len(token_hash("arb_x")) == 32


def test_a_known_caller_is_asked_for_once() -> None:
    async def story() -> None:
        book = Book()
        accounts = Accounts(book.find)
        token = book.add("a")
        for header in (f"Bearer {token}", f"bearer {token}", f"BEARER  {token} "):
            assert (await accounts.identify(header)).agent == "a"
        assert book.asked == 1
        accounts.forget()
        await accounts.identify(f"Bearer {token}")
        assert book.asked == 2

    asyncio.run(story())


def test_what_another_process_revoked_ends_here() -> None:
    """Where agents are changed elsewhere, nobody is believed for longer than a while."""

    async def story() -> None:
        now = 0.0
        book = Book()
        accounts = Accounts(book.find, fresh_seconds=2, monotonic=lambda: now)
        token = book.add("a")
        await accounts.identify(f"Bearer {token}")
        book.callers.clear()
        now = 1.9
        assert (await accounts.identify(f"Bearer {token}")).agent == "a"
        now = 2.0
        for _ in range(2):
            with pytest.raises(Unauthorized):
                await accounts.identify(f"Bearer {token}")
        assert book.asked == 3

    asyncio.run(story())


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic arb_x", "arb_x", "Bearer sk-1", "Bearer arb_unknown"]
)
def test_others_are_nobody(header: str) -> None:
    async def story() -> None:
        with pytest.raises(Unauthorized) as refused:
            await Accounts(Book().find).identify(header)
        assert "arb_no" not in str(refused.value)

    asyncio.run(story())


def test_what_is_unknown_is_not_remembered() -> None:
    async def story() -> None:
        book = Book()
        accounts = Accounts(book.find)
        for _ in range(3):
            with pytest.raises(Unauthorized):
                await accounts.identify("Bearer arb_none")
        assert book.asked == 3

    asyncio.run(story())


def test_a_disabled_agent_is_told_so() -> None:
    async def story() -> None:
        book = Book()
        with pytest.raises(AgentDisabled):
            await Accounts(book.find).identify(f"Bearer {book.add('a', enabled=False)}")

    asyncio.run(story())


def test_a_change_counts_for_a_lookup_that_is_on_its_way() -> None:
    async def story() -> None:
        book = Book()
        accounts = Accounts(book.find)
        token = book.add("a")
        book.gate = asyncio.Event()
        early = asyncio.create_task(accounts.identify(f"Bearer {token}"))
        await asyncio.sleep(0)
        # It has read the old state; now the token is revoked, and everyone is forgotten.
        del book.callers[token_hash(token)]
        accounts.forget()
        book.gate.set()
        assert (await early).agent == "a"
        with pytest.raises(Unauthorized):
            await accounts.identify(f"Bearer {token}")

    asyncio.run(story())


class NoOperators:
    """Nobody but the bearer of the file's token."""

    async def by_token(self, token_hash: bytes) -> str | None:
        assert len(token_hash) == 32
        return None

    async def session(self, key: bytes, now_ms: int) -> OperatorSession | None:
        return None

    async def see(self, key: bytes, at_ms: int) -> None:
        raise AssertionError("there is no session to see")

    async def log_in(self, key: bytes, *, page: bytes, token: bytes, actor: str) -> None:
        raise AssertionError("nobody logs in")

    async def log_out(self, key: bytes) -> None:
        raise AssertionError("nobody is logged in")


def test_the_operator() -> None:
    async def story() -> None:
        operators = Operators(Secret("adm_secret"), NoOperators(), LoopClock())
        for header in ("Bearer adm_secret", "bearer  adm_secret "):
            assert await operators.require(header, None) == "operator"
        wrong = (
            "",
            "Bearer",
            "Bearer adm_secre",
            "Bearer adm_secrett",
            "Basic adm_secret",
            "Bearer \xff",
            "Bearer opr_x",
        )
        for header in wrong:
            with pytest.raises(Unauthorized) as refused:
                await operators.require(header, None)
            assert "adm_secret" not in str(refused.value)
        with pytest.raises(Unauthorized, match="log in again"):
            await operators.require("", SessionKeys(id="x", page_key="y"))
        with pytest.raises(Unauthorized):
            await operators.log_in("opr_unknown")

    asyncio.run(story())
