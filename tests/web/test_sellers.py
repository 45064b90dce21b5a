"""A seller's row in the configuration: his account grows with each call, and is paid out over the simulated rail."""

from __future__ import annotations

import asyncio

from house import instance, run, serving, until, write
from upstream import Upstream

CHARGE = 31
"""what a call of the script costs without a margin: 11 tokens in and 5 out, in msat"""


def test_a_seller_earns_his_price_and_the_operator_the_margin(tmp_path):
    async def story():
        with Upstream() as upstream:
            rows = instance("bob", upstream.url, more='seller = "bob"') + '[vault]\nmargin = "100000 ppm"\n'
            async with serving(write(tmp_path, rows)) as served:
                agent = await served.agent()
                added = {"name": "bob", "destination": "ecash", "threshold_msat": 1_000}
                assert (await served.admin.post("/admin/sellers", json=added)).json()["balance_msat"] == 0
                for _ in range(50):
                    answer = await served.call(agent)
                    assert answer.status_code == 200, answer.text
                charged = int(answer.headers["x-arbstr-cost-msat"])
                await served.ended(answer.headers["x-request-id"])
                (bob,) = (await served.admin.get("/admin/sellers")).json()["data"]
                assert (bob["balance_msat"], charged) == (50 * CHARGE, 35)
                kinds = dict(served.setup.rows("SELECT name, posted_msat FROM account WHERE kind IN ('seller')"))
                assert kinds == {"seller:bob": 50 * CHARGE}

                paid = (await served.admin.post("/admin/sellers/bob/pay")).json()
                assert (paid["kind"], paid["owner"], paid["amount_msat"]) == ("seller", "bob", 1_000)

                async def token():
                    answer = await served.admin.get(f"/admin/payments/{paid['id']}/token")
                    return answer.json() if answer.is_success else None

                shown = await until(token)
                claimed = await served.admin.post(
                    "/admin/plugins/wallet_simulated/claim-token", json={"token": shown["token"]}
                )
                assert claimed.json()["amount_msat"] == 1_000
                listed = await asyncio.to_thread(served.setup.run, "seller", "list", "--json")
                assert '"balance_msat": 550' in listed.stdout
                again = await served.admin.post("/admin/sellers/bob/pay")
                assert again.status_code == 409, again.text
                own = {"authorization": f"Bearer {agent['token']}"}
                taken = await served.http.post("/wallet/payouts", json={"to": "ecash", "amount_msat": 5}, headers=own)
                id = taken.json()["error"]["payout"]
                assert (await served.admin.get(f"/admin/payments/{id}/token")).status_code == 404
                await served.admin.post(f"/admin/payments/{id}/deny")
                await served.verified()

    run(story())
