"""`make run`: serves with a demo agent, and prints how to call it once calls are served.

This process becomes `arbstr serve`, so signals and the exit code are its own. A guide beside it waits until calls are
served, makes the agent on the first start, prints, and leaves.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from arbstr_core import config
from arbstr_core.config import Address, Settings
from arbstr_core.types import ConfigError, format_amount

AGENT = "demo"
FUND = "10000sat"
LOCAL = "providers_local"
LINES = """
arbstr is ready. In another terminal:

curl {base}/chat/completions -H "Authorization: Bearer {token}" -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "max_tokens": 60, "messages": [{{"role": "user", "content": "What is a satoshi?"}}]}}'

or in Python ({python} has the openai package):

from openai import OpenAI
client = OpenAI(base_url="{base}", api_key="{token}")
answer = client.chat.completions.create(
    model="{model}", max_tokens=60, messages=[{{"role": "user", "content": "What is a satoshi?"}}]
)
print(answer.choices[0].message.content)

{money}
Ctrl-C stops."""


class Stopped(Exception):
    """The server ended, or refused: it has said why."""


class Guide:
    """Waits for the server with the process id `server`, makes the demo agent, and says how to call."""

    def __init__(self, settings: Settings, address: Address, server: int) -> None:
        self._settings = settings
        self._server = server
        host = str(address).replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")
        self._base = f"http://{host}"
        self._token_file = settings.data_dir / "demo.token"

    def show(self) -> None:
        """Print the lines, once calls are served and the model is loaded."""
        with httpx.Client(base_url=self._base, trust_env=False, timeout=30) as http:
            print("starting ...", flush=True)
            self._wait(lambda: _answers(http), seconds=600)
            if LOCAL in self._settings.arbstr.plugins and self._settings.plugins.get(LOCAL, {}).get("warm", True):
                print("loading the model ...", flush=True)
                self._wait(self._model_loaded, seconds=120)
            token = self._token(http) if self._settings.vault.enabled else "unused"
            models = _models(http, token)
        model = models[0]["id"] if models else "NO-MODEL-IS-ON-OFFER"
        print(
            LINES.format(
                base=f"{self._base}/v1",
                token=token,
                model=model,
                python=_beside("python"),
                money=self._money(),
            ),
            flush=True,
        )

    def _wait(self, done: Any, *, seconds: float) -> None:
        """Until `done()`, or so many seconds at most; the server's end is ours."""
        limit = time.monotonic() + seconds
        while not done() and time.monotonic() < limit:
            try:
                os.kill(self._server, 0)
            except ProcessLookupError:
                raise Stopped from None
            time.sleep(0.2)

    def _model_loaded(self) -> bool:
        # "resting" is a pause after a failure; the server's log says of what.
        return self._arbstr("plugin", "run", LOCAL, "status")["state"] in ("ready", "resting")

    def _token(self, http: httpx.Client) -> str:
        """The demo agent's token: the kept one where it works, else a new one, kept for the operator's eyes alone."""
        if self._token_file.exists():
            kept = self._token_file.read_text().strip()
            if http.get("/v1/models", headers=_bearer(kept)).status_code != httpx.codes.UNAUTHORIZED:
                return kept
            print(f"the token in {self._token_file} no longer works: here is a new one", flush=True)
        known = any(agent["name"] == AGENT for agent in self._arbstr("agent", "list", "--json"))
        words = ("rotate", AGENT) if known else ("create", AGENT, "--fund", FUND)
        token = str(self._arbstr("agent", *words, "--json")["token"])
        self._token_file.unlink(missing_ok=True)
        descriptor = os.open(self._token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token + "\n")
        return token

    def _money(self) -> str:
        if not self._settings.vault.enabled:
            return "There are no accounts ([vault] enabled = false): any token will do."
        agent = self._arbstr("agent", "show", AGENT, "--json")
        amount = format_amount(agent["available_msat"])
        return (
            f"The token is the demo agent's, who has {amount} (simulated). It is kept in {self._token_file}.\n"
            f"What a call cost and why: {_beside('arbstr')} receipt ID, "
            "where ID is the answer's x-request-id (curl -i shows it)."
        )

    def _arbstr(self, *words: str) -> Any:
        """What a command of arbstr answers."""
        command = [_beside("arbstr"), *words, "-c", str(self._settings.path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr, file=sys.stderr, flush=True)
            raise Stopped
        return json.loads(done.stdout)


def main(listen: str | None) -> None:
    """Serve on `listen`, else where the configuration says."""
    try:
        settings = config.load(config.find(None, os.environ))
        address = Address.from_config(listen) if listen else settings.server.listen
    except (ConfigError, ValueError) as bad:
        sys.exit(str(bad))
    if not _free(address):
        sys.exit(f"{address} is taken: stop what listens there, or choose another: make run LISTEN=127.0.0.1:8090")
    _send_off(Guide(settings, address, os.getpid()))
    os.execv(_beside("arbstr"), ["arbstr", "serve", "-c", str(settings.path), "--listen", str(address)])


def _send_off(guide: Guide) -> None:
    """Let the guide go its own way: a grandchild, so that nobody has to wait for it."""
    if os.fork():
        os.wait()
        return
    if os.fork() == 0:
        try:
            guide.show()
        except (Stopped, KeyboardInterrupt):
            pass
        except httpx.HTTPError as error:
            print(f"arbstr did not answer: {error}", file=sys.stderr, flush=True)
    os._exit(0)


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _models(http: httpx.Client, token: str) -> list[Any]:
    """What is on offer to the agent. Raises Stopped where it is refused, having said why."""
    answer = http.get("/v1/models", headers=_bearer(token))
    if answer.is_error:
        print(f"the demo agent is refused: {answer.json()['error']['message']}", file=sys.stderr, flush=True)
        raise Stopped
    return list(answer.json()["data"])


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _beside(program: str) -> str:
    """A program of the environment that runs this."""
    return str(Path(sys.executable).with_name(program))


def _free(address: Address) -> bool:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as probe:
        # As the server itself does: what waits in TIME_WAIT is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
