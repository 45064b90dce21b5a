"""`/readyz` is what balancers and engines of containers believe: it is 200 only while calls are served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
from house import chat, instance, process, run, until, write
from postgres import Cluster
from upstream import Upstream


def test_a_process_that_has_lost_its_database_is_not_ready_until_it_is_back(tmp_path: Path) -> None:
    async def story(url: str, headers: dict[str, str], cluster: Cluster) -> None:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http:

            def answers(status: int) -> Callable[[], Awaitable[httpx.Response | None]]:
                async def asked() -> httpx.Response | None:
                    answer = await http.get("/readyz")
                    return answer if answer.status_code == status else None

                return asked

            assert (await http.get("/readyz")).json() == {"status": "ready"}
            cluster.kill()
            refused = await until(answers(503), 60)
            assert refused.json()["error"]["code"] == "vault_unavailable"
            cluster.start()
            await until(answers(200), 60)
            assert (await http.post("/v1/chat/completions", json=chat(), headers=headers)).status_code == 200

    with Cluster() as cluster, Upstream() as upstream:
        url = cluster.create_database()
        tables = f'\n[storage]\nurl = "{url}"\n[vault]\nheartbeat_seconds = 1\n'
        place = write(tmp_path, instance("x", upstream.url) + tables)
        agent = place.json("agent", "create", "a", "--fund", "1000sat")
        with process(place):
            run(story(place.url, {"authorization": f"Bearer {agent['token']}"}, cluster))
