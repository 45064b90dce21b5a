"""An arbstr in front of a scripted upstream, and every client; each is started for the first test that asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from driving import ANTHROPIC, CLIENTS, Client, Driver, World, make_clients
from house import PRICED, UNBROKEN, instance, process, write
from upstream import Upstream

ENDPOINTS = ["chat/completions", "completions", "embeddings", "responses", "messages"]


@pytest.fixture(scope="session")
def clients_made() -> None:
    make_clients()


@pytest.fixture(scope="session")
def drivers(clients_made: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Driver]]:
    """Clients by name."""
    made: dict[str, Driver] = {}
    with ExitStack() as stack:

        def driver(name: str) -> Driver:
            if name not in made or not made[name].running:
                program, *words = (CLIENTS | ANTHROPIC)[name]
                made[name] = Driver(program, words, tmp_path_factory.mktemp("client"))
                stack.callback(made[name].close)
            return made[name]

        yield driver
        for each in made.values():
            each.leave()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    with Upstream() as upstream:
        tables = instance("x", upstream.url, f"[models.m]\n{PRICED}", f"endpoints = {ENDPOINTS}")
        tables += instance("y", upstream.url, f"[models.chats]\n{PRICED}", 'endpoints = ["chat/completions"]')
        setup = write(folder, tables + UNBROKEN)
        with (
            process(setup),
            httpx.Client(base_url=setup.url, headers=setup.operator(), trust_env=False, timeout=60) as admin,
        ):
            yield World(setup, upstream, admin)
            ledger = admin.get("/admin/audit/verify").raise_for_status().json()
            assert (ledger["ok"], ledger["sum_msat"], ledger["open_holds"]) == (True, 0, 0)


@pytest.fixture(scope="session")
def agents(world: World) -> Callable[[str], dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {}

    def agent(name: str) -> dict[str, Any]:
        if name not in made:
            made[name] = world.agent(name)
        return made[name]

    return agent


@pytest.fixture(params=CLIENTS)
def client(
    request: pytest.FixtureRequest,
    drivers: Callable[[str], Driver],
    world: World,
    agents: Callable[[str], dict[str, Any]],
) -> Client:
    """Each client in turn."""
    name = request.param
    return Client(name, drivers(name), world, agents(name))
