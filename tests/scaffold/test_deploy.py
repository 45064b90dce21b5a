"""What deploy/ holds fits together, and keeps what it promises: guarded, healthy by a real check, nothing to guess."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from house import Setup
from lightning.macaroons import PERMISSIONS
from topology import DEPLOY, ROOT, composed, environment

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EXAMPLE = (DEPLOY / ".env.example").read_text()
ENDS_BY_ITSELF = {"lnd-door", "role"}
PLAYS_ROOT = {"postgres", "bitcoind", "miner"}
"""images that begin as root, to give their folders to another user"""
UNITS = sorted((DEPLOY / "systemd").iterdir())


# -- compose.yaml ----------------------------------------------------------------------------------------------------


def test_an_older_compose_reads_it_too() -> None:
    """What Debian ships (1.29) knows neither a name at the top nor `include`."""
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"services", "volumes"}
    if shutil.which("docker-compose"):
        variables = {**os.environ, **dict.fromkeys(_variables(EXAMPLE), "x"), "ARBSTR_PUBLISH": "127.0.0.1:1"}
        variables["TREASURY_PUBLISH"] = "127.0.0.1:2"
        done = subprocess.run(
            ["docker-compose", "config", "--quiet"], cwd=DEPLOY, env=variables, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")


def _variables(example: str) -> list[str]:
    return re.findall(r"^(\w+)=", example, re.MULTILINE)


def test_every_variable_stands_in_the_example_and_none_stands_there_for_nothing() -> None:
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    assert used | {"COMPOSE_PROFILES"} == set(_variables(EXAMPLE))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_guarded(name: str) -> None:
    service = SERVICES[name]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service
    if name not in PLAYS_ROOT:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
    assert all(re.match(r"\$\{(ARBSTR|TREASURY)_PUBLISH\}:", port) for port in service.get("ports", []))
    assert len(re.findall(r"_PUBLISH=127\.0\.0\.1:", EXAMPLE)) == 2


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_really_asked_how_it_is_and_waited_for(name: str) -> None:
    service = SERVICES[name]
    if name in ENDS_BY_ITSELF:
        assert not {"healthcheck", "restart"} & set(service)
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        assert "curl" not in " ".join(service["healthcheck"]["test"])
    for needed, how in service.get("depends_on", {}).items():
        ends = needed in ENDS_BY_ITSELF
        assert how == {"condition": "service_completed_successfully" if ends else "service_healthy"}
        assert set(service["profiles"]) <= set(SERVICES[needed]["profiles"]), "what it needs is started with it"


@pytest.mark.parametrize("profile", ["small", "regtest", "real"])
def test_each_profile_has_an_arbstr_and_what_it_mounts(profile: str, tmp_path: Path) -> None:
    services = composed(environment(DEPLOY / ".env.example", tmp_path), profile)
    serving = {name for name, service in services.items() if service["image"] == "arbstr" and "ports" in service}
    assert serving == ({"arbstr"} if profile == "small" else {"treasury", "proxy"})
    if profile != "small":
        assert not any("lnd" in volume for volume in services["proxy"]["volumes"]), "it has no wallet"
        assert not re.search("LND|MINT|DATABASE", " ".join(services["proxy"]["environment"]))
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source[0] == "." else source in COMPOSE["volumes"]


# -- the environment file --------------------------------------------------------------------------------------------


def test_secrets_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    first, second = (environment(DEPLOY / ".env.example", _folder(tmp_path, name)) for name in ("a", "b"))
    secret = [name for name in first if re.search("PASSWORD|PRIVATE", name)]
    assert len(secret) == 6
    values = [made[name] for made in (first, second) for name in secret]
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in values)
    assert len(set(values)) == len(values)
    assert {name: value for name, value in first.items() if name not in secret} == {
        name: value for name, value in second.items() if name not in secret
    }
    assert environment(DEPLOY / ".env.example", tmp_path / "a") == first
    assert (tmp_path / "a" / ".env").stat().st_mode & 0o777 == 0o600


def _folder(within: Path, name: str) -> Path:
    (within / name).mkdir()
    return within / name


@pytest.mark.parametrize("name", ["small", "treasury", "proxy"])
def test_its_configurations_are_valid(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in environment(DEPLOY / ".env.example", tmp_path).items():
        monkeypatch.setenv(variable, value)
    shutil.copy(DEPLOY / "config" / f"{name}.toml", tmp_path / "config.toml")
    done = Setup(tmp_path, 0).command("check")
    assert done.returncode == 0 or "/run/lnd" in done.stderr, done
    wrong = [line for line in done.stderr.splitlines() if not line.startswith("warning") and "/run/lnd" not in line]
    assert wrong == []


# -- scripts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", ["env", *(str(path.relative_to(DEPLOY)) for path in sorted(DEPLOY.glob("*/*.sh")))])
def test_scripts_are_for_any_shell(script: str) -> None:
    path = DEPLOY / script
    assert path.read_text().startswith("#!/bin/sh\n")
    assert os.access(path, os.X_OK)
    assert subprocess.run(["/bin/sh", "-n", path], capture_output=True).returncode == 0


def run_script(script: str, folder: Path, **environ: str) -> str:
    """What a script starts in the end, with its environment: the program is one of ours, and says it."""
    for program in ("lnd", "python3"):
        (folder / program).write_text('#!/bin/sh\necho "$0" "$@"; env\n')
        (folder / program).chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", DEPLOY / script], env={"PATH": path, **environ}, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("network", ["regtest", "signet", "testnet", "mainnet"])
def test_only_on_regtest_is_anything_played(network: str, tmp_path: Path) -> None:
    """A wallet without a seed, or a mint without a node, would be lost or forged money anywhere else."""
    environ = {"NETWORK": network, "LND_NAME": "lnd", "LND_PORT": "1", "LND_WALLET_PASSWORD": "x"}
    node = run_script("lnd/start.sh", tmp_path, TMPDIR=str(tmp_path), **environ)
    assert f"--bitcoin.{network} " in node
    assert ("--noseedbackup" in node) == (network == "regtest")
    assert ("--wallet-unlock-password-file=" in node) == (network != "regtest")
    mint = run_script("mint/start.sh", tmp_path, NETWORK=network)
    backend = re.findall(r"^MINT_BACKEND_BOLT11_SAT=(.*)$", mint, re.MULTILINE)
    assert backend == ["FakeWallet" if network == "regtest" else "LndRPCWallet"]


def test_the_macaroon_is_for_what_the_rail_does() -> None:
    text = (DEPLOY / "lnd" / "door.sh").read_text()
    assert sorted(re.findall(r"uri:(\S+)", text)) == sorted(PERMISSIONS)


# -- the image -------------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, whole."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(name, " ".join(rest.split())) for name, rest in lines]


def test_the_image_is_built_in_stages_and_runs_as_nobody() -> None:
    found = instructions()
    stages = [number for number, (name, _) in enumerate(found) if name == "FROM"]
    assert len(stages) == 2
    last = found[stages[-1] :]
    assert [rest for name, rest in last if name == "USER"] == ["10001:10001"]
    kinds = [name for name, _ in last]
    assert kinds.index("USER") > max(number for number, name in enumerate(kinds) if name in ("RUN", "COPY"))
    assert not any("pip" in rest for name, rest in last if name == "RUN"), "nothing is built where it runs"
    (health,) = [rest for name, rest in last if name == "HEALTHCHECK"]
    assert health.endswith(SERVICES["arbstr"]["healthcheck"]["test"][-1] + '"]')
    assert ("ENTRYPOINT", '["arbstr"]') in last
    assert "ADD" not in {name for name, _ in found}


def test_what_is_copied_into_it_is_there_and_sent() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sent = [line[1:] for line in ignored if line.startswith("!")]
    assert "*" in ignored, "nothing is sent but what is named"
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert any(fnmatch(source, each) for each in sent), source


IN_SLIM = {"libc", "libm", "libdl", "librt", "libpthread", "libresolv", "libgcc_s", "libstdc++", "libz", "linux-vdso"}
"""libraries that Debian's smallest images have: apt needs them"""


def test_what_compiled_packages_are_linked_with_is_in_it() -> None:
    """A wheel brings most of what it needs; where this machine's own library is taken, the image must have it."""
    if shutil.which("ldd"):
        needed = {library for name in _installed() for library in _system_libraries(name)} - IN_SLIM
        last = instructions()[-1 - [name for name, _ in reversed(instructions())].index("FROM") :]
        (installing,) = [rest for name, rest in last if name == "RUN"]
        assert needed == {"libgomp"}, "its package belongs into the image, and its name here"
        assert " libgomp1 " in installing


def _installed() -> set[str]:
    """The distributions that the image has: ours, with all they require, and PostgreSQL's driver."""
    found: set[str] = set()
    left = ["psycopg-binary", "psycopg", *(path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml"))]
    left = [name if name.startswith("psycopg") else f"arbstr-{name}" for name in left]
    while left:
        name = re.sub("[-_.]+", "-", left.pop()).lower()
        try:
            wanted = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # required on other machines
        if name not in found:
            found.add(name)
            left += [re.split(r"[^\w.-]", each)[0] for each in wanted if "extra ==" not in each]
    return found


def _system_libraries(name: str) -> set[str]:
    """What the compiled files of a distribution are linked with that it does not bring along."""
    files = [str(file.locate()) for file in distribution(name).files or [] if ".so" in file.name]
    said = subprocess.run(["ldd", *files], capture_output=True, text=True).stdout if files else ""
    lines = [line.split()[0] for line in said.splitlines() if line.startswith("\t") and "site-packages" not in line]
    return {Path(each).name.partition(".so")[0] for each in lines if not Path(each).name.startswith("ld-linux")}


# -- systemd ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_takes_the_units(unit: Path, tmp_path: Path) -> None:
    sections: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if line.startswith("["):
            sections[line] = []
        elif line and not line.startswith("#"):
            assert re.match(r"[A-Z]\w+=", line), line
            list(sections.values())[-1].append(line)
    assert "[Unit]" in sections
    if unit.suffix == ".service":
        guards = ("NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "CapabilityBoundingSet=")
        assert set(guards) <= set(sections["[Service]"])
    if shutil.which("systemd-analyze"):
        _analyzed(unit, tmp_path)


def test_both_parts_are_guarded_alike() -> None:
    one, other = ((DEPLOY / "systemd" / f"{name}.service").read_text() for name in ("arbstr", "arbstr-treasury"))
    guards = one[one.index("UMask=") : one.index("[Install]")]
    assert len(guards.splitlines()) > 20
    assert guards in other


def _analyzed(unit: Path, folder: Path) -> None:
    """What systemd says of it, once its programs and its user are there."""
    for each in UNITS:
        text = each.read_text().replace("/opt/arbstr/bin/arbstr", "/bin/true")
        (folder / each.name).write_text(re.sub(r"^(User|Group)=arbstr.*$", r"\1=daemon", text, flags=re.MULTILINE))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", folder / unit.name], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if str(folder) in line]
    assert (done.returncode, said) == (0, []), done.stderr
