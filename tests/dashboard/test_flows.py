"""The operator's day, in a real browser: what is done there is done, and what happens is seen."""

from __future__ import annotations

import re

import httpx
from looking import House, Open, row
from playwright.sync_api import expect
from upstream import Act

HUNDRED_SAT = 100_000


def test_the_way_in_and_out(house: House, look: Open) -> None:
    page = look("agents", log_in=False)
    token = page.get_by_label("Operator’s token")
    token.fill("adm_wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).not_to_be_empty()
    token.fill(house.setup.token())
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Agents")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Agents")
    page.get_by_role("button", name="Log out").click()
    expect(token).to_be_focused()
    page.reload()
    expect(token).to_be_visible()


def test_a_session_that_is_ended_elsewhere(house: House, look: Open) -> None:
    """An operator of its own, who is revoked while the page is open."""
    made = house.admin.post("/admin/operators", json={"name": "dana"}).raise_for_status().json()
    page = look("house", log_in=False)
    page.get_by_label("Operator’s token").fill(made["token"])
    page.keyboard.press("Enter")
    expect(page.get_by_text("dana").first).to_be_visible()
    house.admin.post("/admin/operators/dana/revoke").raise_for_status()
    expect(page.get_by_role("alert")).to_have_text("Your session has ended: log in again.")


def test_an_agent_is_made_and_may_call(house: House, look: Open) -> None:
    page = look("agents")
    page.get_by_role("button", name="New agent").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_role("alert")).to_have_text("Give it a name")
    dialog.get_by_label("Name").fill("made here")
    dialog.get_by_label("Money (sat)").fill("1,000.5")
    dialog.get_by_label("Largest charge (sat)").fill("hundred")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_role("alert")).to_contain_text("no amount of sats")
    dialog.get_by_label("Largest charge (sat)").fill("100")
    dialog.get_by_role("button", name="Create").click()
    token = dialog.locator(".token code")
    expect(token).to_have_text(re.compile(r"^arb_\S{30,}"))
    assert house.call(token.inner_text(), "m").result().status_code == 200
    dialog.get_by_role("button", name="Done").click()
    expect(row(page, "Agents", "made here")).to_contain_text("100 sat")
    made = house.got("agents/made here")
    assert (made["limits"]["max_charge_msat"], made["limits"]["daily_msat"]) == (HUNDRED_SAT, 10_000_000)
    assert 0 < 1_000_500 - made["posted_msat"] < HUNDRED_SAT


def test_a_call_is_seen_live_and_leaves_its_receipt(house: House, look: Open) -> None:
    house.upstream.script("gated", Act(how="gate", words=30))
    agent = house.agent("seen live")
    page = look("calls")
    calling = house.call(agent["token"], "gated", stream=True)
    open_call = row(page, "Open calls", "seen live")
    expect(open_call).to_contain_text("asking")
    expect(open_call).to_contain_text("gated")
    house.upstream.open_gate()
    assert calling.result().status_code == 200
    past = row(page, "Receipts", "seen live")
    expect(past).to_contain_text("settled")
    charged = house.got("receipts", agent="seen live")["data"][0]["charged_msat"]
    past.get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Receipt")
    expect(page.get_by_text("is expected to cost").first).to_be_visible()
    expect(page.locator(".figures data").first).to_have_attribute("title", f"{charged:,} msat")
    expect(row(page, "Attempts", "providers_openai.x")).to_contain_text("served")
    page.get_by_text("The receipt as JSON").click()
    expect(page.locator("pre")).to_contain_text(f'"charged_msat": {charged}')


def test_a_grant_lets_a_waiting_call_through(house: House, look: Open) -> None:
    agent = house.agent("asks first", max_charge_msat=1, approval_seconds=300)
    page = look()
    calling = house.call(agent["token"], "m", prefer="wait=60", max_tokens=50)
    expect(page.get_by_role("link", name="Approvals 1 pending")).to_be_visible()
    expect(row(page, "Open calls", "asks first")).to_contain_text("approval")
    page.get_by_role("button", name="Grant to asks first").click()
    answer = calling.result()
    assert answer.status_code == 200, answer.text
    expect(page.get_by_role("status")).to_have_text("Granted to asks first")
    expect(page.get_by_role("button", name="Grant to asks first")).to_have_count(0)

    page.get_by_role("link", name="Approvals").click()
    again = house.call(agent["token"], "m", prefer="wait=60", max_tokens=51)
    page.get_by_role("button", name="Deny to asks first").click()
    assert (again.result().status_code, again.result().json()["error"]["code"]) == (403, "approval_denied")
    expect(row(page, "Approvals", "denied")).to_contain_text("operator")
    expect(row(page, "Approvals", "used")).to_contain_text("receipt")


def test_limits_are_changed(house: House, look: Open) -> None:
    agent = house.agent("limited", per_minute=5)
    page = look(f"agents/{agent['id']}")
    page.get_by_role("button", name="Change limits").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Largest charge (sat)")).to_have_value("100000")
    dialog.get_by_label("Largest charge (sat)").fill("0.5")
    dialog.get_by_text("More limits").click()
    dialog.get_by_label("Calls in any minute").fill("")
    dialog.get_by_label("Models", exact=True).fill("m, gated")
    dialog.get_by_label("Whose day it is").fill("Mars/Olympus")
    dialog.get_by_role("button", name="Change").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Mars/Olympus")
    dialog.get_by_label("Whose day it is").fill("Europe/Berlin")
    dialog.get_by_role("button", name="Change").click()
    expect(page.get_by_role("status")).to_have_text("limited has new limits")
    limits = house.got(f"agents/{agent['id']}")["limits"]
    wanted = {"max_charge_msat": 500, "per_minute": None, "models": ["m", "gated"], "zone": "Europe/Berlin"}
    assert {name: limits[name] for name in wanted} == wanted
    assert limits["daily_msat"] == 10**9
    refused = house.call(agent["token"], "m", max_tokens=50).result()
    assert (refused.status_code, "max_charge" in refused.text or "largest charge" in refused.text) == (403, True)


def test_an_agent_is_switched_off_and_gets_another_token(house: House, look: Open) -> None:
    agent = house.agent("switched")
    page = look(f"agents/{agent['id']}")
    expect(page.get_by_role("heading", level=1)).to_have_text("switched")
    page.get_by_role("button", name="New token").click()
    page.get_by_role("button", name="Make a new token").click()
    token = page.locator(".token code").inner_text()
    page.get_by_role("button", name="Done").click()
    assert house.call(agent["token"], "m").result().status_code == 401
    assert house.call(token, "m").result().status_code == 200
    page.get_by_role("button", name="Add money").click()
    page.get_by_label("How much (sat)").fill("5")
    page.get_by_role("dialog").get_by_role("button", name="Add").click()
    expect(page.get_by_role("status")).to_have_text("switched has more money")
    page.get_by_role("button", name="Child key").click()
    page.get_by_label("Name").fill("below it")
    page.get_by_role("dialog").get_by_role("button", name="Create").click()
    expect(page.locator(".token code")).to_have_text(re.compile("^arb_"))
    page.get_by_role("button", name="Done").click()
    expect(row(page, "Agents", "below it")).to_be_visible()
    page.get_by_role("button", name="Disable").click()
    page.get_by_role("dialog").get_by_role("button", name="Disable").click()
    expect(page.get_by_role("button", name="Enable")).to_be_visible()
    assert house.call(token, "m").result().status_code == 403
    page.get_by_role("button", name="Enable").click()
    expect(page.get_by_role("button", name="Disable")).to_be_visible()
    assert house.call(token, "m").result().status_code == 200


def test_what_was_spent_is_what_was_charged(house: House, look: Open) -> None:
    agent = house.agent("spender")
    for _ in range(3):
        assert house.call(agent["token"], "m").result().status_code == 200
    page = look("spend")
    page.get_by_role("button", name="Agent", exact=True).click()
    charged = 10**9 - house.got("agents/spender")["posted_msat"]
    spent = row(page, "Spending by agent", "spender")
    expect(spent.locator("data").first).to_have_attribute("value", str(charged))
    expect(page.get_by_role("img", name=re.compile("Charged in the last 24 hours"))).to_be_visible()
    page.get_by_role("button", name="Provider", exact=True).click()
    expect(row(page, "Spending by provider", "providers_openai.x")).to_be_visible()
    page.get_by_role("button", name="30 days").click()
    expect(page.get_by_role("img", name=re.compile("Charged in the last 30 days"))).to_be_visible()


def test_the_market_its_breakers_and_a_plan(house: House, look: Open) -> None:
    house.upstream.script("bad", Act(how="status", status=503, body=b"{}"))
    agent = house.agent("unlucky")
    for _ in range(6):
        assert house.call(agent["token"], "bad").result().status_code >= 500
    page = look("market")
    expect(row(page, "Breakers of providers_openai.x", "bad")).to_contain_text("open")
    page.get_by_role("button", name="Close its breakers").click()
    expect(row(page, "Breakers of providers_openai.x", "bad")).to_contain_text("closed")
    page.get_by_label("Filter by model or provider").fill("providers_openai.y")
    expect(page.get_by_role("table", name="Offers", exact=True).get_by_role("row")).to_have_count(2)
    page.get_by_label("Model", exact=True).fill("m")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("table", name="Candidates").get_by_role("row").nth(1)).to_contain_text("providers_openai.x")


def test_the_ledger_proves_itself(house: House, look: Open) -> None:
    page = look("audit")
    page.get_by_role("button", name="Verify now").click()
    expect(page.get_by_text("The ledger is well")).to_be_visible()
    page.get_by_role("button", name="Sign now").click()
    expect(page.get_by_role("status")).to_contain_text("is signed")
    page.get_by_role("link", name="Money").click()
    owed = house.got("money")["realms"][0]["liabilities_msat"]
    expect(page.locator(f'.figures data[value="{owed}"]')).to_be_visible()


def test_a_payout_is_let_and_a_realm_frozen(house: House, look: Open) -> None:
    def outside(name: str, **said: str) -> dict[str, str]:
        answer = house.admin.post(f"/admin/plugins/wallet_simulated/{name}", json=said).raise_for_status()
        return dict(answer.json())

    agent = house.agent("pays out")
    own = {"authorization": f"Bearer {agent['token']}"}

    def wallet(path: str, **said: object) -> dict[str, object]:
        answer = httpx.post(f"{house.setup.url}/wallet/{path}", json=said, headers=own, trust_env=False, timeout=60)
        return dict(answer.json())

    wallet("payouts", to=outside("make-invoice", amount="7sat")["invoice"])
    outside("settle-invoice", invoice=str(wallet("deposits", amount_msat=5_000)["invoice"]))
    page = look("money")
    out = row(page, "Payments", "pays out")
    expect(out).to_contain_text("7 sat")
    out.get_by_role("button", name="Approve").click()
    expect(out).to_contain_text("succeeded")
    expect(row(page, "Deposits", "pays out")).to_contain_text("5 sat")
    page.get_by_role("button", name="Freeze what goes out").click()
    page.get_by_role("dialog").get_by_label("Why").fill("a look at the rail")
    page.get_by_role("dialog").get_by_role("button", name="Freeze").click()
    expect(page.get_by_text("a look at the rail")).to_be_visible()
    payee = outside("make-invoice", amount="8sat")["invoice"]
    wallet("payouts", to=payee)
    page.get_by_role("link", name="Approvals").click()
    expect(page.get_by_title(payee)).to_have_text(f"{payee[:12]}…{payee[-8:]}")
    page.get_by_role("button", name="Grant to pays out").click()
    page.get_by_role("link", name="Money").click()
    waiting = row(page, "Payments", "8 sat")
    expect(waiting).to_contain_text("reserved")
    page.get_by_role("link", name="Approvals").click()
    row(page, "Approvals", "used").filter(has_text="pays out").get_by_role("link", name="receipt").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Receipt")
    expect(page.locator(".figures data").first).to_have_attribute("value", "7000")
    page.get_by_role("link", name="Money").click()
    page.get_by_role("button", name="Thaw").click()
    page.get_by_role("dialog").get_by_label("Why").fill("all is well")
    page.get_by_role("dialog").get_by_role("button", name="Thaw").click()
    expect(waiting).to_contain_text("succeeded")


def test_arbstr_that_goes_away_is_said_to_and_comes_back(house: House, look: Open) -> None:
    page = look("money")
    expect(page.get_by_role("table", name="Rails of sim")).to_be_visible()
    page.route("**/admin/**", lambda route: route.abort())
    page.get_by_role("link", name="House").click()
    expect(page.get_by_role("alert").first).to_contain_text("arbstr does not answer")
    page.unroute("**/admin/**")
    page.get_by_role("button", name="Try again").first.click()
    expect(
        page.get_by_role("table", name="Operators").or_(page.get_by_text("Only the file’s own token")).first
    ).to_be_visible()


def test_no_door_of_the_api_takes_the_cookie_alone(house: House, look: Open) -> None:
    """What another page on this machine could send: the cookie, and not the page's key."""
    page = look()
    cookies = "; ".join(f"{c['name']}={c['value']}" for c in page.context.cookies())
    assert cookies
    answer = httpx.get(f"{house.setup.url}/admin/agents", headers={"cookie": cookies}, trust_env=False, timeout=60)
    assert answer.status_code in (401, 403)
