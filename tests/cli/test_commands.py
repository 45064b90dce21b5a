"""Commands as scripts use them, with a running server and without one: shapes, amounts, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from house import Setup, chat, instance, process, write
from upstream import Upstream

AGENT = {"id", "name", "enabled", "posted_msat", "held_msat", "available_msat", "limits"}


def test_the_life_of_an_agent(place: Setup) -> None:
    made = place.json(*("agent", "create", "bot", "--fund", "1000sat", "--max-charge", "1500msat", "--daily", "0.5btc"))
    assert set(made) >= {"id", "name", "token"}
    assert made["id"].startswith("ag_")
    assert made["token"].startswith("arb_")
    shown = place.json("agent", "show", made["id"])
    assert set(shown) >= AGENT
    assert (shown["name"], shown["enabled"], shown["posted_msat"]) == ("bot", True, 1_000_000)
    limits = shown["limits"]
    assert (limits["version"], limits["max_charge_msat"], limits["daily_msat"]) == (1, 1500, 50_000_000_000)
    assert place.json("agent", "show", "bot") == shown
    assert place.json("agent", "list") == [shown]
    assert place.json("agent", "fund", "bot", "21")["posted_msat"] == 1_021_000
    for _ in range(2):
        assert place.json("agent", "fund", "bot", "1msat", "--key", "once")["posted_msat"] == 1_021_001
    assert place.json("agent", "disable", "bot")["enabled"] is False
    assert place.json("agent", "enable", "bot")["enabled"] is True
    rotated = place.json("agent", "rotate", "bot")
    assert rotated["token"] not in ("", made["token"])
    ledger = place.json("audit", "verify")
    assert set(ledger) >= {"ok", "transfers", "sum_msat", "open_holds", "first_bad"}
    assert (ledger["ok"], ledger["sum_msat"], ledger["open_holds"]) == (True, 0, 0)
    for table in (place.arbstr("agent", "list"), place.arbstr("agent", "show", "bot")):
        assert "bot" in table
        assert made["token"] not in table


def test_a_child_key_is_shown_to_spend_from_the_account_at_the_top(place: Setup) -> None:
    place.arbstr("agent", "create", "top", "--fund", "1000sat")
    for name, above in (("child", "top"), ("grandchild", "child")):
        place.arbstr("agent", "create", name, "--parent", above)
    _, top, *below = place.arbstr("agent", "list").splitlines()
    assert "1,000 sat" in top
    for row in below:
        assert "spends from top" in row
        assert "1,000" not in row
    assert {row["posted_msat"] for row in place.json("agent", "list")} == {1_000_000}
    assert "from whose account it spends" in place.arbstr("agent", "show", "child")


def test_what_cannot_be_done_is_said_in_a_sentence(place: Setup) -> None:
    place.arbstr("agent", "create", "bot")
    cases = {
        ("agent", "create", "bot"): "bot",
        ("agent", "create", "a/b"): "a/b",
        ("agent", "create", "x", "--realm", "mars"): "mars",
        ("agent", "show", "nobody"): "nobody",
        ("agent", "fund", "nobody", "1"): "nobody",
        ("receipt", "req_none"): "req_none",
        ("plugin", "show", "nothing"): "nothing",
        ("plugin", "run", "wallet_simulated", "nothing"): "nothing",
        ("route", "--model", "none"): "none",
    }
    for words, named in cases.items():
        done = place.command(*words)
        assert (done.returncode, done.stdout) == (1, ""), words
        assert named in done.stderr
    for words in (("agent", "fund", "bot", "1.5msat"), ("agent", "create", "y", "--daily", "many"), ("route",)):
        assert place.command(*words).returncode == 2, words


def test_the_market(place: Setup) -> None:
    document = place.json("offers")
    (offer,) = document["offers"]
    assert (offer["provider"], offer["model"]) == ("providers_openai.x", "m")
    assert (offer["input_msat"], offer["output_msat"]) == (1_000_000, 4_000_000)
    (provider,) = place.json("providers")
    assert (provider["provider"], provider["models"]) == ("providers_openai.x", ["m"])
    route = place.json("route", "--model", "m", "--prompt", "Hello there")
    (candidate,) = route["candidates"]
    assert {"provider", "model", "cost_msat", "ceiling_msat"} < set(candidate)
    assert 0 < candidate["cost_msat"] <= candidate["ceiling_msat"]
    assert route["out"] == []
    for words in (("offers",), ("providers",), ("route", "--model", "m")):
        assert "providers_openai.x" in place.arbstr(*words)
    assert provider["offers"][0]["breaker"] == "closed"
    assert place.command("providers", "--close", "gone").returncode == 1


@pytest.mark.parametrize("place", ["running"], indirect=True)
def test_breakers_are_the_running_servers(place: Setup) -> None:
    assert "closed" in place.arbstr("providers", "--close", "providers_openai.x")


@pytest.mark.parametrize("place", ["alone"], indirect=True)
def test_without_a_server_there_is_no_breaker_to_close(place: Setup) -> None:
    refused = place.command("providers", "--close", "providers_openai.x")
    assert (refused.returncode, "serve" in refused.stderr) == (1, True)


def test_plugins_and_their_commands(place: Setup) -> None:
    rows = {row["name"]: row for row in place.json("plugin", "list")}
    assert rows["wallet_simulated"]["state"] == "ok"
    assert rows["providers_mock"]["state"] == "disabled"
    keys = {"name", "kinds", "version", "distribution", "state", "error"}
    assert all(set(row) == keys for row in rows.values())
    shown = place.json("plugin", "show", "wallet_simulated")
    assert shown["commands"]
    for command in shown["commands"]:
        assert set(command) == {"name", "help", "params"}
    for words in (("--amount", "21sat"), ("--amount=21000msat",)):
        made = json.loads(place.arbstr("plugin", "run", "wallet_simulated", "make-token", *words))
        assert made["amount_msat"] == 21_000
        assert made["token"]
    for words in (("--amount", "none"), (), ("21sat",)):
        assert place.command("plugin", "run", "wallet_simulated", "make-token", *words).returncode in (1, 2)
    name = shown["commands"][0]["name"]
    done = place.command("plugin", "run", "wallet_simulated", name, "--nonsense", "1")
    assert done.returncode == 1
    assert "nonsense" in done.stderr


def test_doctor_finds_nothing(place: Setup) -> None:
    found = place.json("doctor")
    assert all(row["ok"] for row in found), found
    assert {"configuration", "plugin wallet_simulated", "data_dir", "server", "ledger"} <= {
        row["what"] for row in found
    }


def test_a_receipt(tmp_path: Path) -> None:
    with Upstream() as upstream:
        place = write(tmp_path, instance("x", upstream.url))
        with process(place):
            made = place.json("agent", "create", "bot", "--fund", "1000sat")
            known = {"authorization": f"Bearer {made['token']}"}
            answer = httpx.post(f"{place.url}/v1/chat/completions", json=chat(), headers=known, timeout=60)
            request_id = answer.headers["x-request-id"]
            receipt: dict[str, Any] = place.json("receipt", request_id)
        keys = {
            "id",
            "agent",
            "model",
            "provider",
            "state",
            "held_msat",
            "charged_msat",
            "usage",
            "attempts",
            "reasons",
        }
        assert set(receipt) >= {*keys, "alternatives"}
        assert set(receipt["usage"]) == {"input_tokens", "cached_input_tokens", "output_tokens", "source"}
        assert set(receipt["attempts"][0]) >= {"provider", "outcome", "ms"}
        # The same without a server.
        assert place.json("receipt", request_id) == receipt
        assert request_id in place.arbstr("receipt", request_id)
        folder = next(tmp_path.iterdir()).parent
        kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        assert made["token"].encode() not in kept


def test_check_says_everything_and_no_secret(tmp_path: Path) -> None:
    place = write(
        tmp_path,
        instance("x", "https://user:hunter2@api.example/v1", '[models.m]\ninput = "1 sat"')
        + instance("y", "https://api.example/v1", '[models.m]\ninput = "lots"\noutput = "1 sat"', 'key = "sk-hunter2"')
        + '[plugins.policy_keywords]\nrulez = []\n[routing]\nstrategy = "best"\nkeep = 0\n[sever]\nlisten = 1\n',
        server="max_body_bytes = -1\nclient_stall_second = 3",
    )
    done = place.command("check")
    assert done.returncode == 1
    assert "hunter2" not in done.stdout + done.stderr
    for said in ("max_body_bytes", "client_stall_second", "keep", "sever", "rulez", "providers_openai"):
        assert said in done.stderr, (said, done.stderr)
    # What the strategies are cannot be said while a plugin that may bring one is broken.
    assert "there is no 'best'" not in done.stderr
    assert place.command("serve").returncode == 1
    good = write(tmp_path / "good", instance("x", "https://api.example/v1"))
    assert "valid" in good.arbstr("check")
    assert not (tmp_path / "good" / "data").exists()
    bad = write(tmp_path / "strategy", instance("x", "https://api.example/v1") + '[routing]\nstrategy = "best"\n')
    done = bad.command("check")
    assert done.returncode == 1
    assert "best" in done.stderr


def test_check_says_of_values_whatever_is_wrong_with_keys(tmp_path: Path) -> None:
    rows = (
        instance("x", "https://api.example/v1", '[models.m]\ninput = "lots"\noutput = "1 sat"')
        + '[routing]\nstrategy = "best"\nkeep = 0\nkeeep = 1\npolicies = ["policy_none"]\n[sever]\nlisten = 1\n'
        + '[market]\nusd_per_btc = "NaN"\n[dispatch]\ndeadline_seconds = 1\n'
        + '[vault.defaults]\nzone = "Mars/Olympus"\ndaily = "much"\n'
        + '[webhooks]\nurl = "https://example.org"\nsecret = "env:ARBSTR_NO_SUCH"\nevents = ["nothing"]\n'
    )
    tokens = 'internal_token = "env:ARBSTR_NO_SUCH_ONE"\nmetrics_token = "env:ARBSTR_NO_SUCH_OTHER"'
    done = write(tmp_path, rows, server=f"max_body_bytes = -1\n{tokens}").command("check")
    assert done.returncode == 1
    for said in (
        *("max_body_bytes", "[routing] keep:", "keeep", "sever", "'lots'", "[routing] strategy: there is no 'best'"),
        *("policy_none", "usd_per_btc", "deadline_seconds", "Mars/Olympus", "daily", "env:ARBSTR_NO_SUCH)"),
        *("'nothing'", "ARBSTR_NO_SUCH_ONE", "ARBSTR_NO_SUCH_OTHER"),
    ):
        assert done.stderr.count(said) == 1, (said, done.stderr)


def test_a_broken_plugin_breaks_no_help_list_or_doctor(tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "arbstr_providers_broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: arbstr-providers-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[arbstr.plugins]\nproviders_broken = arbstr_providers_broken\n")
    (site / "arbstr_providers_broken.py").write_text("import nothing_of_that_name\n")
    env = {"PYTHONPATH": str(site)}
    place = write(tmp_path, plugins=("policy_price", "wallet_simulated", "providers_broken"))
    assert "serve" in place.run("--help", **env).stdout
    listed = place.run("plugin", "list", "--json", **env)
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert rows["providers_broken"]["state"] == "import_error"
    assert "nothing_of_that_name" in rows["providers_broken"]["error"]
    assert rows["policy_price"]["state"] == "ok"
    done = place.run("doctor", "--json", **env)
    assert done.returncode == 1
    wrong = [row for row in json.loads(done.stdout) if not row["ok"]]
    assert any("nothing_of_that_name" in row["detail"] for row in wrong)
    done = place.run("serve", **env)
    assert done.returncode == 1
    assert "providers_broken" in done.stderr
    assert "Traceback" not in done.stderr


def test_init_makes_what_serve_needs(tmp_path: Path) -> None:
    place = Setup(tmp_path, 0)
    place.arbstr("init", "-c", str(place.file))
    text = place.file.read_text()
    assert "[arbstr]" in text
    assert place.token()
    assert place.database.exists()
    assert (tmp_path / "data" / "master.key").exists()
    place.arbstr("init", "-c", str(place.file))
    assert place.file.read_text() == text


def test_init_writes_what_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every command says that finds none there."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    place = Setup(tmp_path, 0)
    assert "write one with `arbstr init`" in place.command("check").stderr
    place.arbstr("init")
    assert place.database.exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []
    place.arbstr("check")


def test_check_knows_the_parts_that_are_apart(tmp_path: Path) -> None:
    """No database is asked: this one is nowhere."""
    wallets = ("policy_price", "wallet_simulated")
    postgresql = '[storage]\nurl = "postgresql://arbstr@db.invalid/arbstr"\n'
    for role, url, plugins, wrong in [
        ("treasury", postgresql, wallets, None),
        ("proxy", postgresql, ("policy_price",), None),
        (
            "proxy",
            postgresql,
            wallets,
            "[arbstr] plugins: wallet_simulated is a wallet, and this process is to hold none",
        ),
        ("treasury", "", wallets, "[storage] url: `treasury` as a process of its own needs PostgreSQL, "),
    ]:
        done = write(tmp_path, url, plugins=plugins, server=f'role = "{role}"').command("check")
        assert done.stderr.startswith(wrong) if wrong else (done.returncode, done.stderr) == (0, ""), (role, done)


def test_doctor_and_check_tell_what_plugins_warn_of(tmp_path: Path) -> None:
    """An instance without its key, a row without a price, an endpoint that does not answer: each is named."""
    dead = "http://127.0.0.1:9/v1"
    rows = (
        instance("locked", dead, "[models.m]\nfree = true", more='key = "env:ARBSTR_NO_SUCH_KEY"')
        + instance("bare", dead, "[models.unpriced]")
        + instance("dead", dead, "", more="discover = true\nfree = true")
    )
    place = write(tmp_path, rows)
    checked = place.run("check")
    assert checked.returncode == 0
    assert "providers_openai.locked is disabled: its key env:ARBSTR_NO_SUCH_KEY is not set" in checked.stderr
    doctor = place.run("doctor")
    assert doctor.returncode == 1
    for said in ("providers_openai.locked is disabled", "it has no price", "provider providers_openai.dead"):
        assert said in doctor.stdout, said


def test_ids_that_lead_elsewhere_and_odd_fundings_are_refused(place: Setup) -> None:
    place.arbstr("agent", "create", "bot")
    for words in (
        ("receipt", "../agents"),
        ("receipt", ".."),
        ("plugin", "run", "..", "agents"),
        ("agent", "show", ""),
    ):
        done = place.command(*words)
        assert done.returncode == 1, words
        assert "Traceback" not in done.stderr
    for words in (("--key", "a\x00b"), ("--key", "a\nb")):
        assert place.command("agent", "fund", "bot", "1", *words).returncode == 1
    assert place.json("agent", "fund", "bot", "1", "--key", "y:capital")["posted_msat"] == 1000
    assert place.json("agent", "fund", "bot", "1", "--key", "y")["posted_msat"] == 2000
    most = place.command("agent", "fund", "bot", "21000000btc")
    assert (most.returncode, "more than all bitcoin" in most.stderr) == (1, True)
    for threshold in ("much", "-5sat", "99999999999999999999sat"):
        done = place.command("seller", "add", "bob", "ecash", "--threshold", threshold)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert place.json("audit", "verify")["ok"] is True
    assert place.command("agent", "create", " ").returncode == 1


def test_limits_are_changed_and_their_versions_told(place: Setup) -> None:
    place.arbstr("agent", "create", "bot", "--max-charge", "100sat", "--daily", "1000sat")
    named = ("--hourly", "500sat", "--per-minute", "60", "--concurrent", "4", "--zone", "Europe/Berlin")
    more = ("--models", "m, other", "--expires", "2100-01-01", "--approval", "600", "--alert-floor", "50sat")
    rest = ("--alert-cooldown", "60", "--max-fee", "1sat", "--attempts", "2sat", "--payouts-unapproved", "3sat")
    every = (*named, *more, *rest, "--pending-approvals", "5")
    limits = place.json("agent", "limit", "bot", *every)["limits"]
    first = place.json("agent", "create", "new", "--max-charge", "100sat", "--daily", "1000sat", *every)["limits"]
    assert first == limits | {"version": 1}
    assert limits == {
        "version": 2,
        "max_charge_msat": 100_000,
        "daily_msat": 1_000_000,
        "zone": "Europe/Berlin",
        "hourly_msat": 500_000,
        "max_fee_msat": 1_000,
        "per_minute": 60,
        "concurrent": 4,
        "models": ["m", "other"],
        "expires_ms": 4_102_444_800_000,
        "approval_seconds": 600,
        "pending_approvals": 5,
        "alert_floor_msat": 50_000,
        "alert_cooldown_seconds": 60,
        "attempts_msat": 2_000,
        "payouts_unapproved_msat": 3_000,
    }
    shown = place.arbstr("agent", "show", "bot")
    for words in ("500 sat", "Europe/Berlin", "m, other", "2100-01-01", "600", "50 sat"):
        assert words in shown
    fewer = place.json("agent", "limit", "bot", "--daily", "2sat", "--unset", "hourly", "--unset", "models")["limits"]
    assert (fewer["daily_msat"], fewer["hourly_msat"], fewer["models"], fewer["concurrent"]) == (2_000, None, None, 4)
    whole = place.json("agent", "limit", "bot", "--replace", "--max-charge", "1sat", "--daily", "2sat")["limits"]
    assert {name for name, value in whole.items() if value is not None} == {
        *("version", "max_charge_msat", "daily_msat", "alert_cooldown_seconds", "pending_approvals")
    }
    assert [row["version"] for row in place.json("agent", "limit", "bot")] == [4, 3, 2, 1]
    assert "500 sat" in place.arbstr("agent", "limit", "bot")
    for words in (("--unset", "none"), ("--zone", "Mars"), ("--per-minute", "0")):
        done = place.command("agent", "limit", "bot", *words)
        assert (done.returncode, done.stdout) == (1, ""), words
    assert place.command("agent", "limit", "bot", "--expires", "soon").returncode == 2


def test_a_child_key_spends_its_parents_money(place: Setup) -> None:
    place.arbstr("agent", "create", "bot", "--fund", "100sat")
    made = place.json("agent", "create", "kid", "--parent", "bot", "--daily", "5sat")
    assert (made["posted_msat"], made["depth"], made["limits"]["daily_msat"]) == (100_000, 2, 5_000)
    assert made["parent"] == place.json("agent", "show", "bot")["id"]
    assert [agent["name"] for agent in place.json("agent", "list")] == ["bot", "kid"]
    done = place.command("agent", "create", "rich", "--parent", "bot", "--fund", "1sat")
    assert (done.returncode, "parent" in done.stderr) == (1, True)


def test_the_ledger_and_approvals(place: Setup) -> None:
    place.arbstr("agent", "create", "bot", "--fund", "100sat")
    place.arbstr("agent", "create", "other", "--fund", "1sat")
    place.arbstr("agent", "fund", "bot", "5sat", "--key", "k")
    rows = place.json("ledger", "bot")
    assert [(row["kind"], row["change_msat"]) for row in rows] == [("fund", 5_000), ("fund", 100_000)]
    assert rows[0]["key"] == "fund:k"
    assert {entry["account"] for entry in rows[0]["entries"]} == {"equity:operator", f"agent:{_id(place, 'bot')}"}
    assert len(place.json("ledger", "--kind", "fund")) == 3
    assert len(place.json("ledger", "-n", "1")) == 1
    assert "100 sat" in place.arbstr("ledger", "bot")
    assert place.command("ledger", "nobody").returncode == 1
    assert place.json("approval", "list", "--state", "all") == []
    for words in (("grant", "apr_none"), ("deny", "apr_none"), ("list", "--state", "odd")):
        assert place.command("approval", *words).returncode == 1


def _id(place: Setup, name: str) -> str:
    return str(place.json("agent", "show", name)["id"])
