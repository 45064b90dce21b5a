"""Static sites of plugins: what is served, under which policy, on which listener."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from house import instance, run, serving, write
from ports import free_port
from upstream import Upstream

from arbstr_core.api import Site
from arbstr_core.types import PluginError
from arbstr_core.web import Sites

POLICY = "default-src 'none'"


def site(folder: Path, name: str = "shown", **files: str) -> Site:
    folder.mkdir(exist_ok=True)
    (folder / "index.html").write_text("<!doctype html>")
    for file, text in files.items():
        path = folder / file.replace("__", ".")
        path.write_text(text)
    return Site(name=name, title="Shown", folder=folder)


def asked(sites: Sites, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(sites({"path": path, "method": method, "headers": raw}, send))
    said = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], said, sent[1]["body"]


def test_files_are_served_from_memory_with_their_kind_and_tag(tmp_path: Path) -> None:
    long = "let x = 1;\n" * 1000
    sites = Sites([site(tmp_path / "s", app__js=long, small__css="p{}")])
    status, headers, body = asked(sites, "/shown/app.js")
    assert (status, headers["content-type"], body) == (200, "text/javascript; charset=utf-8", long.encode())
    _, packed, small = asked(sites, "/shown/app.js", accept_encoding="gzip, br")
    assert packed["content-encoding"] == "gzip"
    assert len(small) < len(long) / 10
    (tmp_path / "s" / "app.js").unlink()
    status, again, body = asked(sites, "/shown/app.js", if_none_match=headers["etag"])
    assert (status, body, again["etag"]) == (304, b"", headers["etag"])
    assert asked(sites, "/shown/")[1]["content-type"] == "text/html; charset=utf-8"
    assert "content-encoding" not in asked(sites, "/shown/small.css", accept_encoding="gzip")[1]
    assert asked(sites, "/shown/", "HEAD")[2] == b""


def test_nothing_else_is(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    made = site(tmp_path / "s")
    (tmp_path / "s" / ".hidden.txt").write_text("secret")
    sites = Sites([made])
    for path in ("/shown/no", "/shown/../secret.txt", "/shown/%2e%2e/secret.txt", "/shown/.hidden.txt", "/shown//"):
        status, headers, body = asked(sites, path)
        assert (status, b"secret" in body) == (404, False), path
        assert headers["content-security-policy"].startswith(POLICY)
    assert asked(sites, "/shown/", "POST")[0] == 405
    assert asked(sites, "/shown")[:2][1]["location"] == "/shown/"


@pytest.mark.parametrize("name", ["admin", "v1", "wallet", "Upper", "a/b", "", "é", "metrics"])
def test_a_site_takes_no_doors_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(PluginError, match="another lower-case word"):
        Sites([site(tmp_path / "s", name)])


def test_a_site_that_cannot_be_served_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"no index\.html"):
        Sites([Site(name="shown", title="", folder=tmp_path)])
    with pytest.raises(PluginError, match=r"page\.php.*nothing of that kind"):
        Sites([site(tmp_path / "s", page__php="")])
    made = site(tmp_path / "t")
    (tmp_path / "out.txt").write_text("")
    (tmp_path / "t" / "in.txt").symlink_to(tmp_path / "out.txt")
    with pytest.raises(PluginError, match="leads out of its folder"):
        Sites([made])


def test_sites_are_on_the_operators_listener_alone(tmp_path: Path) -> None:
    async def story() -> None:
        port = free_port()
        plugins = ("providers_openai", "policy_price", "wallet_simulated", "dashboard")
        with Upstream() as upstream:
            setup = write(
                tmp_path,
                instance("x", upstream.url),
                server=f'admin_listen = "127.0.0.1:{port}"',
                plugins=plugins,
            )
            async with serving(setup) as served:
                page = {"accept": "text/html"}
                assert (await served.http.get("/dashboard/", headers=page)).status_code == 404
                assert (await served.http.get("/", headers=page)).status_code == 404
                own = f"http://127.0.0.1:{port}"
                shown = await served.http.get(f"{own}/dashboard/")
                assert shown.status_code == 200
                assert shown.headers["content-security-policy"].startswith(POLICY)
                assert "unsafe" not in shown.headers["content-security-policy"]
                assert shown.headers["x-request-id"].startswith("req_")
                sent = await served.http.get(f"{own}/", headers=page)
                assert (sent.status_code, sent.headers["location"]) == (302, "/dashboard/")
                assert (await served.http.get(f"{own}/")).status_code == 404  # no browser
                there = await served.http.get(f"{own}/dashboard/", headers={"host": "evil.example"})
                assert there.status_code == 421

    run(story())
