"""`/metrics`: what calls added up to, how the house stands, for those who may read it; and a board that shows it."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from house import Served, chat, instance, run, serving, until, write
from prometheus_client.parser import text_string_to_metric_families
from upstream import Act, Upstream

from arbstr_core.journal import CallRow, Counts, exposition, gauge
from arbstr_core.types import Attempt, Outcome
from arbstr_core.vault import PaymentState

ROOT = Path(__file__).parents[2]
TOKEN = "token-that-reads-metrics-and-no-more-0123456789"
Labels = dict[str, str]


class Read:
    """A page of metrics, read by Prometheus' own parser."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, /, **labels: str) -> float:
        return self.samples[name, tuple(sorted(labels.items()))]


async def read(served: Served) -> Read:
    answer = await served.http.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Read(answer.text)


async def compared(served: Served) -> Read | None:
    """The metrics, once the rails were compared with the ledger, which happens at the start."""
    found = await read(served)
    return found if ("arbstr_solvency_gap_msat", (("realm", "sim"),)) in found.samples else None


def place(folder: Path, upstream: Upstream, more: str = "") -> Any:
    (folder / "metrics.token").write_text(TOKEN + "\n")
    return write(folder, instance("x", upstream.url) + more, server='metrics_token = "file:metrics.token"')


def test_what_calls_add_up_to(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            async with serving(place(tmp_path, upstream)) as served:
                agent = await served.agent()
                upstream.script("m", Act(), Act(), Act(how="status", status=500), Act())
                charged = 0
                for _ in range(2):
                    answer = await served.call(agent)
                    charged += int(answer.headers["x-arbstr-cost-msat"])
                assert (await served.call(agent)).status_code == 502
                assert (await served.call(agent, model="none-such")).status_code == 404
                assert (await served.http.post("/v1/chat/completions", json=chat())).status_code == 401
                found = await read(served)
                x: Labels = {"provider": "providers_openai.x", "model": "m"}
                assert found("arbstr_requests_total", **x, outcome="complete") == 2
                assert found("arbstr_requests_total", provider="", model="", outcome="UpstreamFailed") == 1
                assert found("arbstr_requests_total", provider="", model="", outcome="ModelNotFound") == 1
                assert found("arbstr_requests_total", provider="", model="", outcome="Unauthorized") == 1
                assert found("arbstr_tokens_total", **x, kind="input") == 22
                assert found("arbstr_tokens_total", **x, kind="output") == 10
                assert found("arbstr_charged_msat_total", **x) == charged > 0
                assert found("arbstr_cost_msat_total", **x) == charged
                served_by = {"provider": "providers_openai.x"}
                assert found("arbstr_attempts_total", **served_by, outcome="served") == 2
                assert found("arbstr_attempts_total", **served_by, outcome="refused") == 1
                assert found("arbstr_overhead_seconds_count") == 3
                assert found("arbstr_first_byte_seconds_count", **served_by) == 2
                assert found("arbstr_call_seconds_bucket", **served_by, le="+Inf") == 2
                assert found("arbstr_balance_msat", realm="sim", kind="agent") == 10**9 - charged

    run(story())


def test_how_the_house_stands(tmp_path: Path) -> None:
    breaker = "\n[dispatch.breaker]\nfailures = 1\n"

    async def story() -> None:
        with Upstream() as upstream:
            async with serving(place(tmp_path, upstream, breaker)) as served:
                agent = await served.agent()
                x = {"provider": "providers_openai.x"}
                found = await read(served)
                assert found("arbstr_offers", **x) == found("arbstr_provider_up", **x) == 1
                assert found("arbstr_breakers", **x, state="closed") == 1
                assert found("arbstr_rail_state", rail="wallet_simulated", state="ready") == 1
                assert found("arbstr_rail_state", rail="wallet_simulated", state="down") == 0
                assert found("arbstr_database_up") == 1
                found = await until(partial(compared, served), 60)
                assert found("arbstr_solvency_gap_msat", realm="sim") == 0
                assert found("arbstr_solvency_cover", realm="sim", cover="covered") == 1
                assert found("arbstr_solvency_needed_msat", realm="sim") in (0, 10**9)
                assert found("arbstr_solvency_assets_msat", realm="sim", bound="least") > 0
                assert not any(name == "arbstr_frozen" for name, _ in found.samples)
                await served.admin.post("/admin/freeze", json={"realm": "sim", "reason": "x"})
                assert (await read(served))("arbstr_frozen", scope="realm:sim") == 1
                assert found("arbstr_calls_open") == found("arbstr_writer_queue") == found("arbstr_stopping") == 0
                assert found("process_resident_memory_bytes") > 10**6
                upstream.script("m", Act(how="stall"), Act(how="status", status=500))
                headers = {"authorization": f"Bearer {agent['token']}"}
                stream = served.http.stream("POST", "/v1/chat/completions", json=chat(stream=True), headers=headers)
                async with stream as open_one:
                    await anext(open_one.aiter_bytes())
                    assert (await served.call(agent)).status_code == 502
                    found = await read(served)
                    assert found("arbstr_calls_open") == found("arbstr_holds_open", realm="sim") == 1
                    assert found("arbstr_held_msat", realm="sim") > 0
                    assert found("arbstr_breakers", **x, state="open") == 1
                    assert found("arbstr_breaker_open", **x, node="", model="m") == 1

    run(story())


def test_who_may_read(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            setup = place(tmp_path, upstream)
            async with serving(setup) as served:
                agent = await served.agent()

                async def asked(token: str, path: str = "/metrics") -> int:
                    return (await served.http.get(path, headers={"authorization": f"Bearer {token}"})).status_code

                assert [await asked(token) for token in (TOKEN, setup.token())] == [200, 200]
                assert [await asked(token) for token in (agent["token"], "x", "adm_x")] == [401, 401, 401]
                assert (await served.http.get("/metrics")).status_code == 401
                assert [await asked(TOKEN, path) for path in ("/admin/agents", "/openapi.json")] == [401, 401]
                assert await asked(TOKEN, "/wallet/balance") == 401
                elsewhere = await served.http.get("/metrics", headers={"host": "evil.example"})
                assert elsewhere.status_code == 421

    run(story())


def test_metrics_are_the_operators_listeners_alone(tmp_path: Path) -> None:
    async def story() -> None:
        with Upstream() as upstream:
            (tmp_path / "metrics.token").write_text(TOKEN)
            door = f'metrics_token = "file:metrics.token"\nadmin_listen = "unix:{tmp_path}/admin.sock"'
            async with serving(write(tmp_path, instance("x", upstream.url), server=door)) as served:
                headers = {"authorization": f"Bearer {TOKEN}"}
                assert (await served.http.get("/metrics", headers=headers)).status_code == 404
                transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "admin.sock"))
                async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as http:
                    assert (await http.get("/metrics", headers=headers)).status_code == 200

    run(story())


def call(n: int, **more: Any) -> CallRow:
    return CallRow(id=f"req_{n}", agent="a", model=f"asked-{n}", status=200, outcome="complete", **more)


def test_names_that_callers_make_up_make_no_rows() -> None:
    counts = Counts(most_pairs=3)
    for n in range(50):
        counts.note(call(n, provider="p", sold=f"m{n}", total_ms=n, input_tokens=1))
        counts.note(call(n))
    found = Read(exposition(counts.families()))
    requests = {labels for name, labels in found.samples if name == "arbstr_requests_total"}
    assert {dict(labels)["model"] for labels in requests} == {"m0", "m1", "", "other"}
    assert found("arbstr_requests_total", provider="p", model="other", outcome="complete") == 48
    assert found("arbstr_tokens_total", provider="p", model="other", kind="input") == 48


def test_histograms_count_each_value_once() -> None:
    counts = Counts()
    for ms in (0.5, 0.6, 3.0, 5_000.0):
        counts.note(call(1, overhead_ms=ms, attempts=[Attempt(provider="p", outcome=Outcome.SERVED, ms=1)]))
    found = Read(exposition(counts.families()))
    edges = {"0.0005": 1, "0.001": 2, "0.0025": 2, "0.005": 3, "1": 3, "+Inf": 4}
    read_back = {float(le): found("arbstr_overhead_seconds_bucket", le=str(float(le))) for le in edges if le != "+Inf"}
    assert read_back == {float(le): count for le, count in edges.items() if le != "+Inf"}
    assert found("arbstr_overhead_seconds_bucket", le="+Inf") == found("arbstr_overhead_seconds_count") == 4
    assert abs(found("arbstr_overhead_seconds_sum") - 5.0041) < 1e-9


def test_odd_names_are_written_so_that_they_are_read() -> None:
    odd = 'quote" back\\slash\nline \ud800 ü'
    found = Read(exposition([gauge("g", "help\nwith \\ lines", [({"name": odd}, 1.5)])]))
    assert found("g", name=odd.replace("\ud800", "?")) == 1.5


async def everything(folder: Path) -> dict[str, str]:
    """Each metric of a house where something has happened, and its kind."""
    with Upstream() as upstream:
        async with serving(place(folder, upstream)) as served:
            await served.call(await served.agent())
            families = (await read(served)).families
            return {name + ("_total" if f.type == "counter" else ""): f.type for name, f in families.items()}


def test_the_page_and_the_board_name_metrics_that_exist(tmp_path: Path) -> None:
    there = run(everything(tmp_path))
    page = (ROOT / "docs" / "metrics.md").read_text()
    told = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE))
    assert told == there
    (open_states,) = re.findall(r"^\| `arbstr_payments_open` .*", page, re.MULTILINE)
    lives = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "payouts.md").read_text(), re.MULTILINE)
    waiting = {each.value for each in PaymentState if not each.final and each is not PaymentState.CREATED}
    assert set(re.findall(r"`(\w+)` \(", open_states)) == waiting & set(lives)
    board = json.loads((ROOT / "deploy" / "grafana" / "arbstr.json").read_text())
    parts = ("_bucket", "_sum", "_count")
    names = {f"{name}{part}" for name, kind in there.items() for part in (parts if kind == "histogram" else ("",))}
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    shown = {found for expr in asked for found in re.findall(r"\b(?:arbstr|process)_\w+", expr)}
    assert shown <= names
    family = {name: next(each for each in there if name.startswith(each)) for name in shown}
    assert {name for name in there if name.startswith("arbstr_")} <= {*family.values(), "arbstr_build_info"}
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["title"] and panel["description"] for panel in panels)
