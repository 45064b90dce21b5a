"""The settings: what each table of `config.toml` may hold, and its defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from arbstr_core.types import Amount, Msat, Ppm, Rate, SecretRef

_WEEK = 604_800
Seconds = Annotated[float, msgspec.Meta(gt=0, le=_WEEK)]
Count = Annotated[int, msgspec.Meta(ge=1, le=2**40)]


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a door listens: `host` and `port`, or `unix`, the path of a socket."""

    host: str = ""
    port: int = 0
    unix: str | None = None

    @classmethod
    def from_config(cls, value: Any) -> Address:
        """Read `"127.0.0.1:8080"`, `"[::1]:8080"` or `"unix:PATH"`; ValueError says what is wrong with it."""
        if isinstance(value, str) and value.startswith("unix:") and len(value) > len("unix:"):
            return cls(unix=value.removeprefix("unix:"))
        found = re.match(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})\Z", value) if isinstance(value, str) else None
        if found is None or int(found[2]) > 65535:
            raise ValueError(f'{value!r} is not an address: write "127.0.0.1:8080" or "unix:PATH"')
        return cls(host=found[1].strip("[]"), port=int(found[2]))

    def __str__(self) -> str:
        if self.unix is not None:
            return f"unix:{self.unix}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ArbstrSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[arbstr]`: which plugins, and where state lives."""

    plugins: tuple[str, ...]
    """enabled plugins by their stems; their order is the order of policies"""
    mock: tuple[str, ...] = ()
    """what `--mock` puts in the place of the provider plugins"""
    data_dir: str = "."
    """as written; Settings.data_dir is the whole path"""


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[server]`: the doors."""

    role: Literal["all", "proxy", "treasury"] = "all"
    """which part of arbstr this process is; apart only on PostgreSQL"""
    listen: Address = Address(host="127.0.0.1", port=8080)
    admin_listen: Address | None = None
    """None: the admin API shares `listen`"""
    max_body_bytes: Count = 33_554_432
    client_stall_seconds: Seconds = 30
    keep_alive: Literal["off", "comment", "chunk"] = "off"
    """what a stream is kept alive with while nothing comes"""
    keep_alive_seconds: Seconds = 15
    shutdown_grace_seconds: Seconds = 30
    cors_origins: tuple[str, ...] = ()
    session_seconds: Annotated[int, msgspec.Meta(ge=60, le=_WEEK)] = 43_200
    """how long an operator's browser stays logged in without use"""
    internal_token: SecretRef | None = None
    """by which another router may reserve and settle; None: none may"""
    metrics_token: SecretRef | None = None
    """by which metrics may be read, and nothing else; None: operators alone read them"""


class StorageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[storage]`: the database. The URL never holds a password."""

    url: str = "sqlite:///arbstr.db"
    """as written; Settings.database_url has the whole path"""
    password: SecretRef | None = None
    """of the role in a PostgreSQL url"""


class VaultDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """`[vault.defaults]`: limits of a new agent where the command names none."""

    max_charge: Amount = Amount(Msat(1_000_000))
    daily: Amount = Amount(Msat(10_000_000))
    zone: str | None = None
    """whose days they are, as in "Europe/Berlin"; None: UTC"""
    hourly: Amount | None = None
    max_fee: Amount | None = None
    per_minute: Count | None = None
    concurrent: Count | None = None
    models: tuple[str, ...] | None = None
    approval_seconds: Annotated[int, msgspec.Meta(ge=1, le=_WEEK)] | None = None
    """how long a call above max_charge waits for an operator; None: it is refused at once"""
    pending_approvals: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 16
    """how many calls of one agent may wait for an operator at one time"""
    alert_floor: Amount | None = None
    alert_cooldown_seconds: Annotated[int, msgspec.Meta(ge=0, le=_WEEK)] = 3600
    attempts: Amount | None = None
    payouts_unapproved: Amount | None = None


class VaultSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[vault]`: accounts and billing."""

    enabled: bool = True
    """False: a free proxy, no accounts, no billing"""
    margin: Ppm = Ppm(0)
    """the operator's share, on top of the provider's price"""
    orphans: Literal["seen", "full"] = "seen"
    """what a call costs whose process ended before it: what was seen of it, or all that was held"""
    heartbeat_seconds: Seconds = 10
    """three times as long, and this process serves no more until the database has heard from it"""
    settle_seconds: Seconds = 10
    """how long a whole answer waits for its charge to be durable"""
    reservation_seconds: Seconds = 3600
    """how long another router may take to settle or release what it has reserved"""
    check_seconds: Seconds = 60
    """how often rails are compared with the ledger"""
    working_capital: Ppm = Ppm(0)
    """the share of what is owed that may be out of reach at nodes, beyond the operator's own money"""
    defaults: VaultDefaults = VaultDefaults()


class PayoutSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[payouts]`: money that goes out over rails."""

    ecash_below: Amount = Amount(Msat(1_000_000))
    """where both can, ecash pays less than this, and Lightning this and more"""


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[webhooks]`: where the operator is told what happens."""

    url: str = ""
    """empty: nobody is told"""
    secret: SecretRef | None = None
    """signs what is sent"""
    events: tuple[str, ...] | None = None
    """None: all"""


class AuditSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[audit]`: how often the audit's end is signed, and whom that is told to."""

    checkpoint_seconds: Seconds = 3600
    checkpoint_rows: Count = 10_000
    """a checkpoint comes earlier after so many rows"""
    anchors: tuple[str, ...] = ()
    """"file:PATH", "syslog" or a URL; a relative PATH is below the configuration"""


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[log]`: what `arbstr serve` writes to standard error."""

    format: Literal["text", "json"] = "text"
    calls: bool = False
    """True: a line for each call that ended"""
    traces: bool = False
    """True: a span for each call, sent as OpenTelemetry's own variables say"""
    keep_days: Annotated[int, msgspec.Meta(ge=1, le=36_500)] | None = None
    """how long the request log is kept; None: for ever. The ledger and its receipts are"""


class RoutingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[routing]`: how a call finds its provider."""

    policies: tuple[str, ...] | None = None
    """None: all enabled policies, in the order of `[arbstr] plugins`"""
    strategy: str = "cheapest"
    output_tokens: Count = 4096
    """the output limit sent when the caller sent none"""
    keep: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    """candidates in a plan"""
    cache_seconds: Annotated[float, msgspec.Meta(ge=0, le=_WEEK)] = 300
    """how long a provider is taken to have a prompt in its cache; 0: it has none"""


class UsdSource(msgspec.Struct, frozen=True, kw_only=True):
    """One of `[[market.usd_sources]]`: an address that answers with JSON, and where in it a bitcoin's price stands."""

    url: str
    pointer: str = ""
    """RFC 6901: "/bitcoin/usd"; empty where the answer is the number itself"""


class MarketSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[market]`: offers, the most they may cost, the names they have, and the price of a dollar."""

    refresh_seconds: Seconds = 60
    stale_seconds: Seconds = 900
    max_input: Rate | None = None
    """the most that a provider may ask for a million tokens; None: whatever it does"""
    max_output: Rate | None = None
    max_request: Rate | None = None
    aliases: dict[str, tuple[str, ...]] = {}
    """names that stand for models"""
    usd_per_btc: Decimal | None = None
    """a fixed rate; where there are no sources either, offers in dollars have no price"""
    usd_sources: tuple[UsdSource, ...] = ()
    usd_stale_seconds: Seconds = 900
    usd_apart: Ppm = Ppm(20_000)
    """how far a source may be from the others to be believed"""
    usd_spread: Ppm = Ppm(5_000)
    """added when dollars become msat"""


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[dispatch.breaker]`: when an offer is not asked for a while."""

    failures: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 5
    """it opens after so many in a row"""
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    """or where so large a part of the calls fail, once there were `calls` of them"""
    calls: Count = 20
    window_seconds: Seconds = 60
    """failures older than this do not count"""
    slow_seconds: Seconds = 20
    """a failure that kept its caller waiting for so long opens it at once, unless others were answered meanwhile"""
    open_seconds: Seconds = 30
    """then one call tries it; where that fails it is open for twice as long"""
    most_open_seconds: Seconds = 600
    probe_seconds: Seconds = 3
    """how long the call that tries it waits before it goes elsewhere"""
    wait_seconds: Seconds = 5
    """how long those wait for its outcome that have nobody else to ask"""
    waiting: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 10_000
    """how many of them may"""


class DispatchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[dispatch]`: how long a provider may be silent, and what is done about it."""

    connect_seconds: Seconds = 5
    first_byte_seconds: Seconds = 60
    idle_seconds: Seconds = 60
    deadline_seconds: Seconds | None = None
    """until when one of the candidates has to begin its answer; None: three times `first_byte_seconds`"""
    drain_seconds: Annotated[float, msgspec.Meta(ge=0, le=_WEEK)] = 10
    """how long the reply to a client that left is read on; 0: it is let go"""
    hedge_seconds: Annotated[float, msgspec.Meta(ge=0, le=_WEEK)] = 0
    """after so long without a first byte a second candidate is asked, too, if that costs nothing; 0: never"""
    queue: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 100
    """calls that may wait for a node that serves no more at one time"""
    queue_seconds: Annotated[float, msgspec.Meta(ge=0, le=_WEEK)] = 1
    """how long they wait while there are others to ask"""
    breaker: BreakerSettings = BreakerSettings()


class Tables(Mapping[str, Mapping[str, Any]]):
    """The plugins' tables as written, not checked yet: a secret may stand in them by mistake, so they never print."""

    def __init__(self, tables: Mapping[str, Mapping[str, Any]]) -> None:
        self._tables = dict(tables)

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def __repr__(self) -> str:
        return f"Tables({', '.join(self._tables)})"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A checked configuration. Safe to print."""

    path: Path
    """the file it came from, absolute"""
    arbstr: ArbstrSettings
    server: ServerSettings
    storage: StorageSettings
    vault: VaultSettings
    payouts: PayoutSettings
    webhooks: WebhookSettings
    audit: AuditSettings
    log: LogSettings
    routing: RoutingSettings
    market: MarketSettings
    dispatch: DispatchSettings
    plugins: Tables
    """by stem, as written; each plugin's own schema checks its table when it is loaded"""

    @property
    def base(self) -> Path:
        """What relative paths in the file are relative to."""
        return self.path.parent

    @property
    def data_dir(self) -> Path:
        """Where the database, the tokens, the keys and the plugins' own state live."""
        return self.base / Path(self.arbstr.data_dir).expanduser()

    @property
    def database_url(self) -> str:
        """`[storage] url`; a relative SQLite file is in `data_dir`."""
        scheme, separator, file = self.storage.url.partition("sqlite:///")
        if not separator or scheme:
            return self.storage.url
        return f"sqlite:///{self.data_dir / file}"
