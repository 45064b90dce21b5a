"""Rails against the ledger in a served arbstr: over the API and the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from house import Served, run, serving, until, write

PLUGINS = ("providers_mock", "policy_price", "wallet_simulated")
QUICK = "[vault]\ncheck_seconds = 1\n"


async def realm(served: Served, name: str = "sim", **asked: str) -> Any:
    said = (await served.admin.get("/admin/solvency", params=asked)).json()
    return next((row for row in said["realms"] if row["realm"] == name), None)


def test_the_operator_sees_freezes_and_thaws(tmp_path: Path) -> None:
    setup = write(tmp_path, QUICK, plugins=PLUGINS)

    async def story() -> None:
        async with serving(setup) as served:
            await served.agent(fund=50_000)

            async def covered() -> Any:
                found = await realm(served)
                return found if found and found["owed_msat"] == 50_000 else None

            found = await until(covered)
            assert (found["state"], found["made_msat"], found["below"]) == ("covered", 50_000, 0)
            rail = found["rails"][0]
            assert (rail["name"], rail["state"], rail["ledger_msat"]) == ("wallet_simulated", "ready", 50_000)
            assert (await realm(served, now="true"))["least_msat"] == 100_000_000_000 + 50_000

            wrong = await served.admin.post("/admin/freeze", json={"realm": "mars"})
            assert wrong.status_code == 400
            assert "realm:sim" in wrong.text
            done = await served.admin.post("/admin/freeze", json={"realm": "sim", "reason": "looking"})
            assert done.json() == {"scope": "realm:sim", "frozen": True, "changed": True}
            assert (await realm(served))["state"] == "frozen"
            shown = await served.admin.get("/admin/audit", params={"action": "frozen.on"})
            assert shown.json()["data"][0]["actor"] == "operator"
            done = await served.admin.post("/admin/thaw", json={"realm": "sim", "reason": "it is well"})
            assert done.json()["changed"] is True

            booked = await served.admin.post("/admin/capital", json={"rail": "wallet_simulated", "amount_msat": 7_000})
            assert booked.status_code in (200, 409), booked.text

    run(story())
    ended = setup.command("solvency")
    assert ended.returncode == 0, ended
    assert "wallet_simulated" in ended.stdout
    assert "looking" not in ended.stdout
    assert "frozen" in setup.arbstr("freeze", "--rail", "wallet_simulated", "--reason", "a look at it")
    ended = setup.command("solvency")
    assert ended.returncode == 1
    assert "rail:wallet_simulated is frozen since" in ended.stdout
    assert "not frozen" in setup.arbstr("thaw", "--rail", "wallet_simulated")
    assert setup.json("solvency")["frozen"] == []
    for asked in (["solvency", "--now"], ["capital", "wallet_simulated"]):
        ended = setup.command(*asked)
        assert ended.returncode == 1
        assert "arbstr serve" in ended.stderr
