"""What a macaroon says of itself, and the one the README bakes: enough for every call, and for nothing else."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from arbstr_wallet_lnd._macaroon import binary_macaroon, read_macaroon
from hypothesis import given
from hypothesis import strategies as st
from lightning import ADMIN, PERMISSIONS, Way
from lightning.macaroons import bake
from lightning.stage import FEE_LIMIT, Stage, play
from lightning.world import MACAROON

from arbstr_core.api import Msat, Paid, RailState, RailUnavailable

ROOT_KEY = b"k" * 32
README = Path(__file__).parents[1] / "README.md"
NEEDED = [("uri", path) for path in PERMISSIONS]


def baked_by_the_readme() -> list[tuple[str, str]]:
    """The permissions of the README's line."""
    command = re.search(r"^lncli bakemacaroon (?:.*\\\n)*.*$", README.read_text(), re.MULTILINE)
    assert command is not None
    return [("uri", path) for path in re.findall(r"\buri:(\S+)", command[0])]


async def everything(stage: Stage) -> None:
    """Every call that the rail makes."""
    rail = stage.rail
    assert (await rail.status()).state is RailState.READY
    await rail.balance()
    cancelled, *paid = [await rail.invoice(Msat(1_000), "kit", key=f"invoice-{at}") for at in range(3)]
    await rail.cancel(cancelled.reference)
    for each in paid:
        await stage.node.pays(each.reference)
    deposits = rail.deposits("")
    assert [(await anext(deposits)).reference for _ in paid] == [each.reference for each in paid]
    stage.node.ways += [Way(end="held"), Way()]
    held = await stage.target()
    await stage.pay(held, "held")
    await stage.look(held, "held")
    target = await stage.target()
    await stage.pay(target, "pay")
    assert isinstance(await stage.found(target, "pay"), Paid)
    assert [each async for each in rail.payments("")]
    await rail.quote(held, held.amount_msat)


def test_the_readme_s_macaroon_is_enough_and_none_of_it_too_much() -> None:
    async def scenario(stage: Stage) -> None:
        stage.secrets[MACAROON] = bake(stage.node.root_key, baked_by_the_readme())
        await everything(stage)
        assert (await stage.rail.status()).warnings == ()
        assert {path for path, _ in stage.node.calls} == {path for _, path in baked_by_the_readme()} | {
            "/lnrpc.State/GetState"
        }

    play(scenario, wait_seconds=0.3)


def test_without_any_one_of_its_permissions_nothing_is_sent_and_the_lack_is_named() -> None:
    async def scenario(stage: Stage) -> None:
        target = await stage.target()
        for lacking in PERMISSIONS:
            stage.secrets[MACAROON] = bake(stage.node.root_key, [each for each in NEEDED if each[1] != lacking])
            status = await stage.rail.status()
            assert status.state is RailState.DOWN
            assert f"does not allow {lacking.rpartition('/')[2]}: " in status.detail
            with pytest.raises(RailUnavailable):
                await stage.pay(target)
        assert stage.sends() == 0

    play(scenario)


def test_an_admin_s_macaroon_works_and_is_warned_of() -> None:
    async def scenario(stage: Stage) -> None:
        stage.secrets[MACAROON] = bake(stage.node.root_key, ADMIN)
        await everything(stage)
        (warning,) = (await stage.rail.status()).warnings
        assert "may do more than this rail needs (address:read, address:write, " in warning

    play(scenario, wait_seconds=0.3)


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        (("onchain", "write"), "(onchain:write)"),
        (("offchain", "write"), "(offchain:write)"),
        (("uri", "/routerrpc.Router/SendToRouteV2"), "(uri:/routerrpc.Router/SendToRouteV2)"),
        (("macaroon", "generate"), "(macaroon:generate)"),
    ],
)
def test_each_excess_is_found_without_a_call_that_tries_it(more: tuple[str, str], shown: str) -> None:
    async def scenario(stage: Stage) -> None:
        stage.secrets[MACAROON] = bake(stage.node.root_key, [*NEEDED, more])
        (warning,) = (await stage.rail.status()).warnings
        assert shown in warning
        assert {path for path, _ in stage.node.calls} <= {"/lnrpc.State/GetState", *PERMISSIONS}

    play(scenario)


def test_a_macaroon_that_ends_is_warned_of_and_then_refused() -> None:
    async def scenario(stage: Stage) -> None:
        caveat = "time-before 2025-06-20T00:00:00.5Z"  # five days after the stage's clock
        stage.secrets[MACAROON] = bake(stage.node.root_key, NEEDED, [caveat])
        (warning,) = (await stage.rail.status()).warnings
        assert re.search(r"expires in 10\d hours", warning)
        stage.clock.advance(5 * 86_400)
        status = await stage.rail.status()
        assert status.state is RailState.DOWN
        assert "macaroon has expired" in status.detail

    play(scenario)


def test_a_forged_macaroon_is_the_node_s_to_refuse() -> None:
    async def scenario(stage: Stage) -> None:
        stage.secrets[MACAROON] = bake(b"another root key", NEEDED)
        status = await stage.rail.status()
        assert status.state is RailState.DOWN
        assert "signature mismatch" in status.detail
        with pytest.raises(RailUnavailable):
            await stage.rail.pay(await stage.target(), Msat(21_000), fee_limit=FEE_LIMIT, key="pay-1")

    play(scenario)


def test_it_is_never_shown() -> None:
    async def scenario(stage: Stage) -> str:
        said = [repr(await stage.rail.status())]
        stage.node.root_key = b"changed"
        said.append(repr(await stage.rail.status()))
        with pytest.raises(RailUnavailable) as refused:
            await stage.pay(await stage.target())
        return "".join([*said, str(refused.value)])

    async def with_text(stage: Stage) -> None:
        macaroon = stage.secrets[MACAROON]
        assert isinstance(macaroon, bytes)
        said = await scenario(stage)
        assert macaroon.hex()[-32:] not in said
        assert base64.b64encode(macaroon).decode()[-24:-4] not in said

    play(with_text)


@pytest.mark.parametrize("given", ["binary", "hex", "HEX", "base64", "base64url", "unpadded", "hex\n"])
def test_it_is_taken_as_people_put_it_down(given: str) -> None:
    async def scenario(stage: Stage) -> None:
        binary = stage.node.macaroon()
        stage.secrets[MACAROON] = {
            "binary": binary,
            "hex": binary.hex(),
            "HEX": binary.hex().upper(),
            "base64": base64.b64encode(binary),
            "base64url": base64.urlsafe_b64encode(binary),
            "unpadded": base64.urlsafe_b64encode(binary).rstrip(b"="),
            "hex\n": binary.hex() + "\n",
        }[given]
        assert (await stage.rail.status()).state is RailState.READY

    play(scenario)


@pytest.mark.parametrize("given", [b"", b"x", b"\x02", b"\x01" * 40, "zz" * 40, b"\x02\x02\x05ab", "{}"])
def test_what_is_no_macaroon_is_named(given: bytes | str) -> None:
    async def scenario(stage: Stage) -> None:
        stage.secrets[MACAROON] = given
        await stage.restart()
        status = await stage.rail.status()
        assert status.state is RailState.DOWN
        assert "the macaroon file:arbstr.macaroon cannot be used" in status.detail

    play(scenario)


@given(st.binary(max_size=80))
def test_bytes_of_any_kind_are_a_macaroon_or_a_value_error(given: bytes) -> None:
    for each in (given, b"\x02" + given, bake(ROOT_KEY, NEEDED)[: len(given)]):
        try:
            read_macaroon(binary_macaroon(each))
        except ValueError:
            continue


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=200)), max_size=20),
    st.lists(st.text(max_size=300), max_size=4),
)
def test_what_was_baked_is_read(permissions: list[tuple[str, str]], caveats: list[str]) -> None:
    read = read_macaroon(bake(ROOT_KEY, permissions or [("info", "read")], caveats))
    assert read.permissions == frozenset(permissions or [("info", "read")])
    assert read.caveats == tuple(caveats)
