"""A real model in a real child process answers calls."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from arbstr_providers_local import LocalConfig, LocalProvider, _server
from arbstr_providers_local._child import LOG_BYTES, environment

from arbstr_core.api import ConnectFailed, Endpoint, Feature, Free, Outbound, ProviderError, Tier

ToolsIn = Callable[[Path], Any]


def call(stream: bool = False, text: str = "hi", **more: Any) -> Outbound:
    body = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": text}], "max_tokens": 4}
    body |= {"stream": stream} | ({"stream_options": {"include_usage": True}} if stream else {}) | more
    return Outbound(
        endpoint=Endpoint.CHAT,
        headers={"content-type": "application/json"},
        body=json.dumps(body).encode(),
        stream=stream,
    )


async def answer(provider: LocalProvider, outbound: Outbound) -> tuple[int, dict[str, Any]]:
    (offer,) = await provider.offers()
    reply = await provider.open(outbound, offer)
    try:
        return reply.status, json.loads(await reply.read(1_000_000))
    finally:
        await reply.aclose()


def test_a_completion_and_a_stream_come_from_the_model(tools_in: ToolsIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            provider = LocalProvider(LocalConfig(), tools)
            await provider.start()
            status, whole = await answer(provider, call(temperature=0))
            assert status == 200
            assert whole["model"] == "smollm2-135m-instruct"
            assert whole["usage"]["completion_tokens"] == 4
            assert whole["choices"][0]["message"]["content"].strip()

            (offer,) = await provider.offers()
            reply = await provider.open(call(stream=True, temperature=0), offer)
            assert reply.streaming
            events = [event async for batch in reply.events() for event in batch]
            await reply.aclose()
            assert events[-1] == b"data: [DONE]\n\n"
            chunks = [json.loads(event.removeprefix(b"data: ")) for event in events[:-1]]
            text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
            assert text == whole["choices"][0]["message"]["content"]
            assert chunks[-1]["choices"] == []
            assert chunks[-1]["usage"]["prompt_tokens"] == whole["usage"]["prompt_tokens"]
            await provider.aclose()

    asyncio.run(story())


def test_the_offer_is_what_the_model_can_do(tools_in: ToolsIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            provider = LocalProvider(LocalConfig(context=16384, parallel=1), tools)
            (before,) = await provider.offers()
            assert (before.provider, before.tier, before.node) == ("providers_local", Tier.LOCAL, "")
            assert before.price == Free()
            assert before.context_window == 16384
            await answer(provider, call())
            (after,) = await provider.offers()
            assert after.context_window == after.max_output_tokens == 8192, "no more than the model was made for"
            assert after.features == {Feature.JSON}
            shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "boolean"}}}
            _, made = await answer(provider, call(response_format=shape, max_tokens=16, temperature=0))
            assert json.loads(made["choices"][0]["message"]["content"]) in (True, False)
            status, refused = await answer(provider, call(text="word " * 9000))
            assert status == 400
            assert refused["error"]["type"] == "exceed_context_size_error"
            await provider.aclose()

    asyncio.run(story())


HARD_TEXTS = ["hi", "é€😀\u0301" * 20, "<|im_start|>" * 20, "a\n\t\x01" * 30, "1234567890" * 15]


def test_input_is_never_more_than_the_offer_bounds(tools_in: ToolsIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            provider = LocalProvider(LocalConfig(), tools)
            (offer,) = await provider.offers()
            many = [{"role": "user", "content": ""}] * 12
            for outbound in (call(max_tokens=1, messages=many), *(call(text=t, max_tokens=1) for t in HARD_TEXTS)):
                status, whole = await answer(provider, outbound)
                assert status == 200
                assert whole["usage"]["prompt_tokens"] <= len(outbound.body) * offer.input_factor + offer.input_overhead
            await provider.aclose()

    asyncio.run(story())


def test_the_count_before_a_call_is_the_usage_after_it(tools_in: ToolsIn, tmp_path: Path) -> None:
    """Exact, with nothing left over: what is held by it covers what is billed."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    called = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    spoken = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "content": "x", "tool_call_id": "1"},
    ]

    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            provider = LocalProvider(LocalConfig(), tools)
            (offer,) = await provider.offers()
            assert offer.exact_tokenizer
            asked = [call(text=text, max_tokens=1) for text in HARD_TEXTS]
            asked += [call(max_tokens=1, messages=[{"role": "user", "content": ""}] * 12)]
            asked += [call(max_tokens=1, messages=spoken, tools=[tool], tool_choice="auto")]
            for outbound in asked:
                counted = await provider.count_input(outbound, offer)
                _, whole = await answer(provider, outbound)
                assert whole["usage"]["prompt_tokens"] == counted
            broken = msgspec.structs.replace(asked[0], body=b'{"messages":7}')
            with pytest.raises(ProviderError, match="count"):
                await provider.count_input(broken, offer)
            await provider.aclose()

    asyncio.run(story())


def test_concurrent_first_calls_share_one_start(tools_in: ToolsIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            provider = LocalProvider(LocalConfig(warm=False), tools)
            await provider.start()
            assert not tools.tasks.all, "nothing starts before the first call"
            leaver = asyncio.create_task(answer(provider, call()))
            await asyncio.sleep(0)
            leaver.cancel()
            answers = await asyncio.gather(*(answer(provider, call(max_tokens=1)) for _ in range(6)))
            assert [status for status, _ in answers] == [200] * 6
            assert len(tools.tasks.all) == 1
            assert json.loads((tmp_path / "status.json").read_text())["restarts"] == 0
            await provider.aclose()

    asyncio.run(story())


def test_a_killed_server_is_started_again(tools_in: ToolsIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            provider = LocalProvider(LocalConfig(), tools)
            await answer(provider, call(max_tokens=1))
            first = provider.keeper.running
            assert first is not None
            os.kill(first.process.pid, signal.SIGKILL)
            await first.ended()
            status, _ = await answer(provider, call(max_tokens=1))
            assert status == 200
            second = provider.keeper.running
            assert second is not None
            assert second.process.pid != first.process.pid
            noted = json.loads((tmp_path / "status.json").read_text())
            assert noted["restarts"] == 1
            assert noted["last_error"] == "the model server ended with status -9"
            await provider.aclose()

    asyncio.run(story())


def test_a_call_in_progress_fails_alone_when_the_server_dies(tools_in: ToolsIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            provider = LocalProvider(LocalConfig(), tools)
            child = await provider.keeper.child()
            (offer,) = await provider.offers()
            long = asyncio.create_task(provider.open(call(max_tokens=3000), offer))
            while b"processing task" not in (tmp_path / "server.log").read_bytes():
                await asyncio.sleep(0.01)
            child.process.kill()
            with pytest.raises(ConnectFailed):
                await long
            await provider.aclose()

    asyncio.run(story())


def test_it_ends_with_the_provider_under_uvloop_too(
    tools_in: ToolsIn, tmp_path: Path, until_gone: Callable[[int], None]
) -> None:
    async def story() -> int:
        async with tools_in(tmp_path) as tools:
            provider = LocalProvider(LocalConfig(), tools)
            await answer(provider, call(max_tokens=1))
            child = provider.keeper.running
            assert child is not None
            await provider.aclose()
            assert child.process.returncode == -9
            with pytest.raises(ConnectFailed, match="closed"):
                await answer(provider, call())
            return int(child.process.pid)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        until_gone(runner.run(story()))


def test_the_server_ends_when_its_input_does(tools_in: ToolsIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            provider = LocalProvider(LocalConfig(), tools)
            child = await provider.keeper.child()
            assert child.process.stdin is not None
            child.process.stdin.close()
            async with asyncio.timeout(60):
                assert await child.ended() == 0
            await provider.aclose()

    asyncio.run(story())


def test_closing_during_the_start_leaves_nothing(tools_in: ToolsIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            provider = LocalProvider(LocalConfig(), tools)
            await provider.start()
            waiting = asyncio.create_task(provider.keeper.child())
            while not (tmp_path / "server.log").exists():
                await asyncio.sleep(0.01)
            await provider.aclose()
            with pytest.raises(ConnectFailed):
                await waiting
            assert provider.keeper.running is None

    asyncio.run(story())


def test_idle_it_unloads_and_the_next_call_loads_again(tools_in: ToolsIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            provider = LocalProvider(LocalConfig(idle_stop_seconds=1), tools)
            child = await provider.keeper.child()

            async def asleep() -> bool:
                key = {"authorization": f"Bearer {child.key.reveal()}"}
                props = await tools.http.get(f"http://127.0.0.1:{child.port}/props", headers=key)
                return bool(props.json()["is_sleeping"])

            async with asyncio.timeout(60):
                while not await asleep():
                    await asyncio.sleep(0.1)
            status, _ = await answer(provider, call(max_tokens=1))
            assert status == 200
            assert provider.keeper.running is child
            await provider.aclose()

    asyncio.run(story())


def test_only_with_the_key_and_only_from_here(tools_in: ToolsIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            provider = LocalProvider(LocalConfig(), tools)
            child = await provider.keeper.child()
            strange = await tools.http.post(f"{child.url}/chat/completions", content=call().body)
            assert strange.status_code == 401
            arguments = Path(f"/proc/{child.process.pid}/cmdline").read_bytes() if Path("/proc/self").exists() else b""
            assert child.key.reveal().encode() not in arguments
            await provider.aclose()

    asyncio.run(story())


def test_the_child_gets_none_of_our_secrets() -> None:
    ours = {"PATH": "/bin", "OPENAI_API_KEY": "sk-1", "ARBSTR_MASTER_KEY": "x", "CUDA_VISIBLE_DEVICES": "0"}
    assert environment(ours) == {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0"}


def test_the_log_is_bounded(tools_in: ToolsIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            provider = LocalProvider(LocalConfig(), tools)
            await provider.keeper.child()
            log = tmp_path / "server.log"
            assert b"listening" in log.read_bytes()
            with log.open("ab") as file:
                file.write(b"x" * LOG_BYTES)
            await answer(provider, call(max_tokens=1))
            assert log.stat().st_size < LOG_BYTES / 10
            await provider.aclose()

    asyncio.run(story())


def test_usage_is_real(tools_in: ToolsIn, tmp_path: Path) -> None:
    async def story() -> None:
        async with tools_in(tmp_path) as tools:
            provider = LocalProvider(LocalConfig(), tools)
            _, first = await answer(provider, call(max_tokens=1))
            _, second = await answer(provider, call(max_tokens=3))
            assert first["usage"]["prompt_tokens"] == second["usage"]["prompt_tokens"] == 31
            assert (first["usage"]["completion_tokens"], second["usage"]["completion_tokens"]) == (1, 3)
            assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
            assert second["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
            await provider.aclose()

    asyncio.run(story())


def test_a_machine_without_openmp_is_told_what_to_install(tmp_path: Path) -> None:
    """Debian's smallest images have none, and llama.cpp is linked with it."""
    said = "libgomp.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "xllamacpp.py").write_text(f"raise ImportError({said!r})\n")
    words = ["--model=m", "--name=m", "--port=1", "--ctx=1", "--parallel=1", "--threads=1", "--idle=0"]
    done = subprocess.run(
        [sys.executable, _server.__file__, *words],
        input="key\n",
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"ImportError: {said}; install it (Debian: apt-get install libgomp1)"
