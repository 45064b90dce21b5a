"""A file becomes settings, or a list of everything that is wrong with it."""

from __future__ import annotations

import io
import textwrap
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.pretty import pretty_repr

from arbstr_core.config import Address, Settings, find, load, parse, survey
from arbstr_core.types import Amount, ConfigError, Msat, Ppm

ROOT = Path(__file__).parents[2]
HERE = Path("/etc/arbstr/config.toml")
TABLES = "arbstr, audit, dispatch, log, market, payouts, plugins, routing, server, storage, vault, webhooks"
ADD = "add it to [arbstr] plugins"
LEAST = '[arbstr]\nplugins = ["acme"]\n'


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse(textwrap.dedent(text), HERE)
    return list(raised.value.problems)


def test_defaults():
    settings = parse(LEAST, HERE)
    assert settings.arbstr.mock == ()
    assert str(settings.server.listen) == "127.0.0.1:8080"
    assert settings.server.max_body_bytes == 32 * 1024 * 1024
    assert settings.vault.enabled is True
    assert settings.vault.margin == Ppm(0)
    assert settings.vault.defaults.max_charge == Amount(Msat(1_000_000))
    assert settings.vault.defaults.daily == Amount(Msat(10_000_000))
    assert settings.routing.policies is None
    assert (settings.routing.strategy, settings.routing.output_tokens, settings.routing.keep) == ("cheapest", 4096, 3)
    assert settings.market.usd_per_btc is None
    assert settings.dispatch.first_byte_seconds == 60
    assert settings.data_dir == Path("/etc/arbstr")
    assert settings.database_url == "sqlite:////etc/arbstr/arbstr.db"


def test_relative_paths_are_relative_to_the_file():
    text = f'{LEAST}data_dir = "state"\n[server]\nadmin_listen = "unix:admin.sock"\n[storage]\nurl = "sqlite:///x.db"'
    settings = parse(text, HERE)
    assert settings.data_dir == Path("/etc/arbstr/state")
    assert settings.database_url == "sqlite:////etc/arbstr/state/x.db"
    assert settings.server.admin_listen == Address(unix="/etc/arbstr/admin.sock")
    absolute = parse(LEAST + 'data_dir = "/var/lib/arbstr"\n[storage]\nurl = "sqlite:////db/a.db"', HERE)
    assert absolute.data_dir == Path("/var/lib/arbstr")
    assert absolute.database_url == "sqlite:////db/a.db"
    url = "postgresql://me@host/arbstr"
    assert parse(LEAST + f'[storage]\nurl = "{url}"', HERE).database_url == url


@pytest.mark.parametrize("written", ['"97000.5"', "97000.5"])
def test_the_rate_of_a_dollar_is_exact(written: str):
    settings = parse(f"{LEAST}[market]\nusd_per_btc = {written}", HERE)
    assert settings.market.usd_per_btc == Decimal("97000.5")


def test_all_problems_at_once():
    assert problems_of("""
        zzz = 1
        [arbstr]
        plugins = ["providers-openai", "acme", "acme"]
        mcok = ["x"]
        [serve]
        [server]
        listen = "unix:/x"
        max_body_bytes = true
        client_stall_seconds = 0
        [storage]
        url = "postgresql://me:hunter2@host/db"
        [vault]
        margin = "a lot"
        [vault.defaults]
        dayly = "1 sat"
        [routing]
        policies = ["policy_x"]
        keep = 0
        [market]
        usd_per_btc = -5
        refresh_seconds = 1000
        [plugins]
        slip = 1
        [plugins.acmee]
        key = "sk-1"
    """) == [
        f"zzz: unknown key, outside of any table; known: {TABLES}",
        '[serve]: unknown table; did you mean "server"?',
        '[arbstr] mcok: unknown key; did you mean "mock"?',
        "[server] max_body_bytes: expected a whole number, got true or false",
        "[server] client_stall_seconds: expected a number > 0.0",
        '[vault] margin: \'a lot\' is not a share: write "5000 ppm" or "0.5 %"',
        '[vault.defaults] dayly: unknown key; did you mean "daily"?',
        "[routing] keep: expected a whole number >= 1",
        "[plugins] slip: expected a table, got a whole number; write [plugins.slip]",
        '[server] listen: wants host:port, as in "127.0.0.1:8080"; only admin_listen may be "unix:PATH"',
        '[storage] url: holds a password; take it out, and write password = "env:NAME"',
        "[market] usd_per_btc: is not a rate; write how many dollars one bitcoin costs, as in 97000",
        "[market] stale_seconds: is below refresh_seconds, so every offer would go stale; raise it",
        '[arbstr] plugins: "acme" stands there twice; take one out',
        '[arbstr] plugins: "providers-openai" is not the name of a plugin; write "providers_openai"',
        f'[plugins.acmee]: the plugin is not enabled; did you mean "acme"? Else {ADD}, or take this out',
        f'[routing] policies: "policy_x" is not enabled; {ADD}',
    ]


def test_the_plugins_have_no_default():
    assert problems_of("") == ["[arbstr] plugins: is missing; add it: it wants a list of text"]
    assert problems_of("arbstr = 1") == ["[arbstr]: expected a table, got a whole number"]


@pytest.mark.parametrize(
    ("listen", "good"),
    [
        ("127.0.0.1:0", True),
        ("[::1]:8080", True),
        ("localhost:65535", True),
        ("localhost:65536", False),
        ("localhost", False),
        (":8080", False),
        ("unix:", False),
        (8080, False),
    ],
)
def test_addresses(listen: object, good: bool):
    if good:
        assert str(Address.from_config(listen)) == listen
    else:
        with pytest.raises(ValueError, match="is not an address"):
            Address.from_config(listen)


def test_two_doors_are_not_one():
    found = problems_of(LEAST + '[server]\nlisten = "localhost:1"\nadmin_listen = "localhost:1"')
    assert found == ["[server] admin_listen: is the same as listen; take it out to share one door"]


@pytest.mark.parametrize("url", ["postgresql://me:hunter2@host/db", "postgresql+psycopg://host/db?password=hunter2"])
def test_the_database_s_url_holds_no_password(url: str):
    (sentence,) = problems_of(f'{LEAST}[storage]\nurl = "{url}"')
    assert "holds a password" in sentence
    assert "hunter2" not in sentence


@pytest.mark.parametrize("url", ["arbstr.db", "sqlite:///", "mysql://x"])
def test_an_unknown_database(url: str):
    assert "[storage] url: is not a database" in problems_of(f'{LEAST}[storage]\nurl = "{url}"')[0]


def test_names_that_stand_for_models_and_sources_of_a_rate():
    tables = """
        [market]
        max_output = "20 usd"
        usd_stale_seconds = 120
        [market.aliases]
        llama = ["a", "b"]
        [[market.usd_sources]]
        url = "https://x.example/price"
        pointer = "/usd"
    """
    market = parse(LEAST + tables, HERE).market
    assert market.aliases == {"llama": ("a", "b")}
    assert [(source.url, source.pointer) for source in market.usd_sources] == [("https://x.example/price", "/usd")]
    assert market.max_output is not None
    assert (market.max_output.value, market.max_output.usd) == (Decimal(20), True)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("[market.aliases]\nx = []", "[market.aliases] x: stands for nothing"),
        ('[market.aliases]\n" x" = ["m"]', '[market.aliases] " x": is no name that can be asked for'),
        ('[market.aliases]\nx = ["m", "m"]', '[market.aliases] x: "m" stands there twice'),
        ('[market.aliases]\nx = "m"', "[market.aliases] x: expected a list of text"),
        ('[[market.usd_sources]]\nurl = "x.example"', "[market.usd_sources[0]] url: is not an address"),
        ('[[market.usd_sources]]\nurl = "https://me:hunter2@x.example"', "[market.usd_sources[0]] url: is not an"),
        (
            '[[market.usd_sources]]\nurl = "https://x.example"\npointer = "usd"',
            "[market.usd_sources[0]] pointer: 'usd' is no JSON pointer",
        ),
        ('[[market.usd_sources]]\npointer = "/usd"', "[market.usd_sources[0]] url: is missing"),
        (
            '[market]\nusd_per_btc = 1\n[[market.usd_sources]]\nurl = "https://x.example"',
            "[market] usd_per_btc: is a rate, and usd_sources say where to get one",
        ),
        (
            '[market]\nusd_stale_seconds = 30\n[[market.usd_sources]]\nurl = "https://x.example"',
            "[market] usd_stale_seconds: is below refresh_seconds",
        ),
        (
            '[[market.usd_sources]]\nurl = "https://x.example"\n[[market.usd_sources]]\nurl = "https://x.example"',
            "[market] usd_sources: name one address twice",
        ),
        ("[market]\nmax_input = 5", "[market] max_input: 5 is not a price"),
    ],
)
def test_what_is_wrong_with_the_market_is_said(table: str, said: str):
    (problem,) = problems_of(f"{LEAST}{table}")
    assert problem.startswith(said)
    assert "hunter2" not in problem


@pytest.mark.parametrize("rate", ["nan", "inf", "0", '"1e30"', '"sNaN"', '"-1"'])
def test_a_rate_that_is_none(rate: str):
    assert "[market] usd_per_btc: is not a rate" in problems_of(f"{LEAST}[market]\nusd_per_btc = {rate}")[0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a = 1\nb =\n", f"{HERE}: is not TOML: Invalid value (at line 2, column 4); correct that place"),
        ("a = " + "[" * 9000, f"{HERE}: is nested too deeply; flatten it"),
        ("a = " + "1" * 9000, f"{HERE}: holds a number that is too long; correct it"),
    ],
)
def test_not_toml(text: str, sentence: str):
    assert problems_of(text) == [sentence]


def test_not_a_text_file(tmp_path: Path):
    file = tmp_path / "config.toml"
    file.write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match="byte 5 is not UTF-8"):
        load(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_survey_keeps_what_is_right():
    settings, problems = survey(LEAST + "[server]\nlisten = 5\nmax_body_bytes = 7\n[plugins.acme]\nx = 1", HERE)
    assert len(problems) == 1
    assert settings is not None
    assert settings.server.max_body_bytes == 7
    assert settings.plugins["acme"] == {"x": 1}


def test_which_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="arbstr init"):
        find(None, {})
    with pytest.raises(ConfigError, match=r"a\.toml, which -c names, is not a file.*arbstr init"):
        find("a.toml", {})
    with pytest.raises(ConfigError, match=r"b\.toml, which ARBSTR_CONFIG names"):
        find(None, {"ARBSTR_CONFIG": "b.toml"})
    for name in ("a.toml", "b.toml", "config.toml"):
        (tmp_path / name).write_text(LEAST)
    assert find("a.toml", {"ARBSTR_CONFIG": "b.toml"}) == tmp_path / "a.toml"
    assert find(None, {"ARBSTR_CONFIG": "b.toml"}) == tmp_path / "b.toml"
    assert find(None, {}) == tmp_path / "config.toml"


def test_printing_settings_prints_no_secret():
    settings = parse(LEAST + '[plugins.acme]\nkey = "sk-secret"\n[plugins.acme.deep]\ntoken = "sk-secret"', HERE)
    paper = io.StringIO()
    Console(file=paper, width=10_000).print(settings)
    shown = [repr(settings), str(settings), pretty_repr(settings), paper.getvalue(), repr(settings.plugins)]
    assert all("sk-secret" not in each and "acme" in each for each in shown)
    with pytest.raises(TypeError):
        msgspec.json.encode(settings)


def test_the_root_configuration_is_right():
    settings = load(ROOT / "config.toml")
    assert settings.data_dir == ROOT / "data"
    assert "providers_mock" in settings.arbstr.mock


def test_the_root_configuration_shows_the_defaults():
    """What it sets, plugins and data_dir apart, is what arbstr does without it; so are its commented lines."""
    written = load(ROOT / "config.toml")
    bare = parse(f"[arbstr]\nplugins = {list(written.arbstr.plugins)}", written.path)
    for table in ("server", "storage", "vault", "routing", "market", "dispatch"):
        assert getattr(written, table) == getattr(bare, table)


toml_keys = st.sampled_from(["arbstr", "server", "storage", "plugins", "listen", "url", "keep", "x"])
toml_values = st.sampled_from(["1", '"a"', "[]", '["a", "a"]', "nan", "true", "1979-05-27", "{ a = 1 }", "{}", "-1"])


@given(st.dictionaries(toml_keys, toml_values), st.dictionaries(toml_keys, st.dictionaries(toml_keys, toml_values)))
def test_any_document_is_settings_or_a_config_error(top: dict[str, str], tables: dict[str, dict[str, str]]):
    lines = [f"{key} = {value}" for key, value in top.items() if key not in tables]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in table.items())]
    try:
        assert isinstance(parse("\n".join(lines), HERE), Settings)
    except ConfigError as bad:
        problems = bad.problems
        assert problems and not any("\n" in problem for problem in problems)  # noqa: PT018


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('url = "https://me:pw@host/x"\nsecret = "env:S"', "[webhooks] url: is not an address"),
        ('url = "ftp://host"\nsecret = "env:S"', "[webhooks] url: is not an address"),
        ('url = "https://host/x"', "[webhooks] secret: is missing"),
        ('secret = "env:S"', "[webhooks] url: is missing"),
        ('url = "https://host"\nsecret = "env:S"\nevents = ["a", "a"]', '[webhooks] events: "a" stands there twice'),
    ],
)
def test_a_webhook_is_an_address_and_a_secret(table, problem):
    found = problems_of(f"[arbstr]\nplugins = []\n[webhooks]\n{table}")
    assert [each.startswith(problem) for each in found] == [True]
    assert not any(word in found[0] for word in ("me:", "pw@"))
