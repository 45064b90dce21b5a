"""Takes money back from nodes: the token that a node gives is booked, and redeemed like any that is handed in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from arbstr_core.api import NodeFunds, Prepaid, RailCapability, Swept, TokenFacts, WalletRail
from arbstr_core.flow._incoming import TOKEN_PURPOSE
from arbstr_core.flow._prepaid import account_of
from arbstr_core.rails import Rails, Raised, answered, appraise
from arbstr_core.storage import Cipher
from arbstr_core.types import BadRequest, Conflict, RailUnavailable
from arbstr_core.vault import (
    NewRequest,
    NodeSwept,
    Purpose,
    RequestKind,
    Requests,
    RequestState,
    TokenDisputed,
    Treasury,
    Vault,
)

_ASK_SECONDS = 60.0


class Sweeping:
    """See the module."""

    def __init__(
        self,
        vault: Vault,
        treasury: Treasury,
        requests: Requests,
        rails: Rails,
        cipher: Cipher,
        *,
        ids: Callable[[str], str],
    ) -> None:
        self._vault = vault
        self._treasury = treasury
        self._requests = requests
        self._rails = rails
        self._cipher = cipher
        self._ids = ids

    async def step(self, provider: Prepaid, funds: NodeFunds) -> str:
        """Begin a sweep, or go on with one; why it cannot be."""
        key = funds.sweeping or self._ids("swp_")
        swept = await answered(provider.sweep(funds.node, key=key), seconds=_ASK_SECONDS)
        if isinstance(swept, Raised):
            return f"nothing comes back yet: {swept.what}"
        if swept is None:
            return await self._let_go(provider, funds.node, key)
        request = await self._requests.find(key)
        if request is None:
            problem = await self._book(provider, funds.node, key, swept)
            if problem:
                return problem
            request = await self._requests.find(key)
        elif request.state is not RequestState.ASKED:
            if request.state is not RequestState.PAID:
                await self._dispute(provider, funds.node, key, request.amount_msat)
            return await self._let_go(provider, funds.node, key)
        if request is None:
            return await self._let_go(provider, funds.node, key)
        return ""

    async def _dispute(self, provider: Prepaid, node: str, key: str, msat: int) -> None:
        """The node gave a token that is worth nothing."""
        lost = TokenDisputed(node=account_of(provider.name, node), msat=msat)
        await self._vault.post(lost, realm=provider.network.value, key=f"disputed:{key}")

    async def _book(self, provider: Prepaid, node: str, key: str, swept: Swept) -> str:
        """The money is on its way to us: by the ledger first, and then as a request to redeem its token; or it is a
        claim, where the node has given that token before."""
        realm, account = provider.network.value, account_of(provider.name, node)
        try:
            rail, facts = await appraise(
                self._rails.within(realm, RailCapability.ECASH), swept.token, seconds=_ASK_SECONDS
            )
        except (BadRequest, RailUnavailable) as refused:
            return f"it gave {swept.token_msat} msat back, and no rail here takes that: {refused}"
        worth = facts.amount_msat + facts.fee_msat
        balance = max(swept.balance_msat, worth)
        owed = (await self._treasury.owed()).get(realm)
        there = 0 if owed is None else owed.assets.get(f"prepaid:{account}", 0)
        found = max(0, balance - there)
        event = NodeSwept(node=account, balance_msat=balance, token_msat=worth, found_msat=found)
        # Booked before, and not told to the rail: then what is there is less by now, and it is another event.
        with contextlib.suppress(Conflict):
            await self._vault.post(event, realm=realm, key=f"swept:{key}")
        try:
            await self._requests.open(self._request(key, realm, account, rail, facts, swept.token))
        except Conflict:
            await self._dispute(provider, node, key, worth)
        return ""

    def _request(
        self, key: str, realm: str, account: str, rail: WalletRail, facts: TokenFacts, token: str
    ) -> NewRequest:
        return NewRequest(
            id=key,
            kind=RequestKind.TOKEN,
            purpose=Purpose.NODE,
            realm=realm,
            rail=rail.name,
            amount_msat=facts.amount_msat + facts.fee_msat,
            fee_msat=facts.fee_msat,
            subject=account,
            reference=facts.reference,
            sealed=self._cipher.seal(token.encode(), f"{TOKEN_PURPOSE}{key}"),
        )

    async def _let_go(self, provider: Prepaid, node: str, key: str) -> str:
        done = await answered(provider.done(node, key=key), seconds=_ASK_SECONDS)
        return f"{key} could not be let go of: {done.what}" if isinstance(done, Raised) else ""
