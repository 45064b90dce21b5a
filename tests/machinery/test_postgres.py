"""The server that the tests start: as durable as it ships, on loopback only, and gone after them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import postgres as machinery
import psycopg
import pytest
from postgres import Cluster, database


def one(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def test_it_is_durable_and_small(postgres: Cluster) -> None:
    expected = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "max_connections": "60"}
    assert {name: one(postgres.url(), f"SHOW {name}") for name in expected} == expected


def test_it_listens_on_loopback_and_on_its_socket(postgres: Cluster) -> None:
    assert one(postgres.url(), "SHOW listen_addresses") == "127.0.0.1"
    assert one(postgres.url(), "SELECT host(inet_server_addr())") == "127.0.0.1"
    assert one(postgres.socket_url(), "SELECT inet_server_addr()") is None
    assert one(postgres.socket_url(), "SELECT current_database()") == "postgres"


def test_each_database_is_fresh(postgres: Cluster, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE mine (x int)")
    with database(postgres) as other:
        assert one(other, "SELECT to_regclass('mine')") is None
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        one(other, "SELECT 1")


def test_a_database_is_the_copy_of_another(postgres: Cluster, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 7 AS x")
    copy = postgres.create_database(template=postgres_url.rsplit("/", 1)[1])
    assert one(copy, "SELECT x FROM mine") == 7
    with psycopg.connect(copy):
        postgres.drop_database(copy)  # who is still connected does not keep it


def test_another_has_settings_of_its_own_and_leaves_nothing_behind() -> None:
    with Cluster(max_connections="7", log_statement="all") as cluster:
        pid = cluster.pid
        assert pid is not None
        assert one(cluster.url(), "SHOW max_connections") == "7"
        assert "SHOW max_connections" in cluster.log.read_text()
        port = cluster.port
        cluster.restart()
        assert (cluster.port, cluster.pid != pid) == (port, True)
    assert not cluster.folder.exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_bad_setting_is_said_and_leaves_nothing_behind() -> None:
    cluster = Cluster(shared_buffers="much")
    with pytest.raises(RuntimeError, match='invalid value for parameter "shared_buffers"'), cluster:
        pass
    assert not cluster.folder.exists()


def test_a_missing_server_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machinery, "DEBIAN", tmp_path)
    with pytest.raises(RuntimeError, match=r"install it \(Debian: apt-get install postgresql\)\Z"):
        Cluster()


@pytest.mark.parametrize("how", ["pg_config", "initdb"])
def test_it_is_found_by_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str) -> None:
    real = machinery.programs()
    monkeypatch.setattr(machinery, "DEBIAN", tmp_path)
    (tmp_path / how).symlink_to(real / how)
    monkeypatch.setenv("PATH", os.pathsep.join((str(tmp_path), "/usr/bin") if how == "pg_config" else (str(tmp_path),)))
    assert machinery.programs() == real
