"""The machine: any order of what can be done to money, one at a time or at once; and after each the model's sums."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from vault.model import HOUR, MINUTE, SLOT, Model, day

START = 1_792_879_200_000 - 3 * HOUR
"""Three hours before a day of twenty-five hours begins in Berlin"""
ROOTS = (("ann", "sim", 3_000), ("bob", "sim", 1_200), ("cat", "regtest", 600))
"""name, realm, first money"""
CHILDREN = ("ann-amy", "ann-ben")
MOST_AGENTS = 9
VERIFIED_EVERY = 15

amounts = st.integers(0, 1_200)
some = st.integers(1, 1_200)
picks = st.integers(0, 60)
limits = st.fixed_dictionaries(
    {"max_charge_msat": st.integers(300, 1_500), "daily_msat": st.integers(500, 4_000)},
    optional={
        "zone": st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata"]),
        "hourly_msat": st.integers(0, 2_000),
        "per_minute": st.integers(0, 3),
        "concurrent": st.integers(0, 3),
        "models": st.sampled_from([("m",), ("n",), ("m", "n"), ()]),
        "expires_ms": st.integers(START, START + 48 * HOUR),
        "approval_seconds": st.sampled_from([1, 60, 7_200]),
        "pending_approvals": st.integers(0, 2),
        "payouts_unapproved_msat": st.integers(0, 1_500),
        "max_fee_msat": st.integers(0, 20),
        "attempts_msat": st.integers(0, 2_000),
        "alert_floor_msat": st.integers(0, 2_000),
    },
) | st.sampled_from([{}, {"max_charge_msat": 1_000}, {"daily_msat": 1_000}])


def tight(**one):
    """Limits of which mostly one is in the way."""
    asked = {"approval_seconds": st.sampled_from([1, 3_600]), "payouts_unapproved_msat": st.just(600)}
    return st.fixed_dictionaries({"max_charge_msat": st.just(800), "daily_msat": st.just(20_000), **one, **asked})


roomy = st.one_of(
    tight(daily_msat=st.integers(900, 3_000)),
    tight(daily_msat=st.integers(900, 3_000), zone=st.sampled_from(["Europe/Berlin", "Asia/Kolkata"])),
    tight(hourly_msat=st.integers(800, 2_500)),
    tight(per_minute=st.integers(1, 3)),
    tight(concurrent=st.integers(1, 2)),
    tight(pending_approvals=st.integers(1, 2)),
    tight(attempts_msat=st.integers(0, 2_000)),
)
costs = st.lists(
    st.tuples(st.sampled_from(["groq", "routstr"]), amounts, st.booleans(), st.sampled_from([None, "n"])), max_size=3
).map(tuple)

HOLD = st.tuples(
    st.just("hold"),
    picks,
    st.lists(st.integers(0, 800) | amounts, min_size=1, max_size=3).map(tuple),
    st.sampled_from("mmmn"),
    st.sampled_from(["call", "call", "payout"]),
    amounts,
    st.booleans(),
    st.sampled_from([b"1", b"1", b"2", b""]),
    st.integers(0, 20),
)
SETTLE = st.tuples(st.just("settle"), picks, st.integers(0, 300) | amounts, st.just(()) | costs, st.none() | amounts)
RELEASE = st.tuples(st.just("release"), picks)
PAID = st.tuples(st.just("paid"), picks, st.integers(0, 30))
CANCEL = st.tuples(st.just("cancel"), picks)
POST = st.one_of(
    st.tuples(st.just("deposit"), st.none() | picks, st.integers(2, 1_200), st.just(0) | st.integers(0, 1)),
    st.tuples(st.just("agent_transfer"), picks, picks, some),
    st.tuples(st.just("top_up"), some, st.integers(0, 9)),
    st.tuples(st.just("capital"), some),
)
BEAT = st.tuples(st.just("beat"), st.lists(st.tuples(picks, amounts), max_size=3), st.lists(picks, max_size=3))
CORRECT = st.tuples(st.just("correct"), picks, amounts)
SWITCH = st.tuples(st.just("switch"), picks, st.sampled_from([True, True, False]))
LIMIT = st.tuples(st.just("limit"), picks, roomy | limits)
FUND = st.tuples(st.just("fund"), picks, some)
realms = st.sampled_from(["sim", "regtest"])
LOSS = st.tuples(st.just("write_off"), realms, st.sampled_from(["asset:prepaid:n", "asset:lnd"]), some)
CHILD = st.tuples(st.just("child"), picks, roomy | limits)
AGAIN = st.tuples(st.just("again"), picks)
CLASH = st.tuples(st.just("clash"), picks, some)
ONE = st.one_of(
    *(HOLD, HOLD, SETTLE, RELEASE, PAID, CANCEL, CORRECT, POST, SWITCH, LIMIT, CHILD, LOSS, AGAIN, AGAIN, CLASH)
)


class Machine(RuleBasedStateMachine):
    """Subclasses say where: `worlds`."""

    worlds = None
    steps = 0

    def __init__(self):
        super().__init__()
        self.world = self.worlds.fresh()
        self.model = Model(START, shared=self.worlds.shared)
        self.done = []
        self.made = 0
        self.since = 0

    @initialize(given=st.tuples(roomy, roomy, roomy))
    def roots(self, given):
        """Three roots in two realms, with some money; and some of the operator's on a rail and at a node."""
        self.tell(START)
        money = [("post", f"capital-{realm}", realm, "capital", 100_000) for realm in ("sim", "regtest")]
        nodes = [("post", f"node-{realm}", realm, "top_up", 1_000, 0) for realm in ("sim", "regtest")]
        self.do(
            *[("create", name, None, realm, own) for (name, realm, _), own in zip(ROOTS, given, strict=True)], *money
        )
        self.do(*nodes, *[("create", child, "ann", "sim", own) for child, own in zip(CHILDREN, given, strict=False)])
        self.do(*[("fund", f"first-{name}", name, msat) for name, _, msat in ROOTS])

    # Rules

    @rule(raw=HOLD)
    def hold(self, raw):
        self.play([self.meant(raw)])

    @rule(raws=st.lists(HOLD, min_size=2, max_size=6), who=picks)
    def many_of_one(self, raws, who):
        """Most calls are of agents that call all the time."""
        for raw in raws:
            self.play([self.meant(("hold", who, *raw[2:]))])

    @rule(raws=st.lists(HOLD, min_size=2, max_size=9), who=picks)
    def many_of_one_at_once(self, raws, who):
        self.play([self.meant(("hold", who, *raw[2:])) for raw in raws])

    @rule(raws=st.lists(HOLD | HOLD | SETTLE | RELEASE, min_size=3, max_size=9))
    def rush(self, raws):
        """What comes together gives what it gives one after the other."""
        self.play([self.meant(raw) for raw in raws])

    @rule(raws=st.lists(ONE, min_size=2, max_size=9))
    def at_once(self, raws):
        """So does anything else."""
        self.play([self.meant(raw) for raw in raws])

    @precondition(lambda self: self.model.holds)
    @rule(raws=st.lists(SETTLE | RELEASE | PAID | CANCEL, min_size=1, max_size=4))
    def end(self, raws):
        self.play([self.meant(raw) for raw in raws])

    @rule(raw=CORRECT | BEAT)
    def afterwards(self, raw):
        self.play([self.meant(raw)])

    @rule(raw=POST | SWITCH | LIMIT | CHILD | FUND | LOSS)
    def other(self, raw):
        self.play([self.meant(raw)])

    @rule(realm=realms, msat=st.integers(95_000, 110_000))
    def ruin(self, realm, msat):
        """All that is the operator's is gone, or more: then more is brought."""
        self.play([self.meant(("write_off", realm, "asset:lnd", msat))])
        self.do(("post", self.new("capital"), realm, "capital", msat))

    @precondition(lambda self: self.done)
    @rule(raws=st.lists(AGAIN | CLASH, min_size=1, max_size=4))
    def twice(self, raws):
        for raw in raws:
            self.play([self.meant(raw)])

    @precondition(lambda self: self.model.grants)
    @rule(pick=picks, yes=st.sampled_from([True, True, False]), actor=st.sampled_from(["olga", "olga", "omar"]))
    def decide(self, pick, yes, actor):
        """Most often on what was asked for last; and then it is asked for again."""
        asked = list(self.model.grants)
        self.do(("decide", asked[-1] if pick % 3 else asked[pick % len(asked)], yes, actor))

    @precondition(lambda self: self.model.grants)
    @rule(pick=picks, less=st.sampled_from([0, 0, 0, -1, 1]), by=st.sampled_from([0, 0, 1_000, HOUR]))
    def ask_again(self, pick, less, by):
        """For what an operator was asked, as another call with the same body; soon, or too late."""
        self.tell(self.model.now + by)
        asked = list(self.model.grants)[-1 - pick % 3 % len(self.model.grants)]
        step = next(step for step, _ in self.done if step[:2] == ("hold", asked.partition("/")[0]))
        _, _, agent, ceilings, *rest = step
        least = int(rest[1] == "payout")
        first = max(least, ceilings[0] + less)
        again = ("hold", self.new("hold"), agent, (first, *ceilings[1:]), *rest[:2], min(rest[2], first), *rest[3:5])
        self.do((*again, min(rest[5], first - least)))

    @rule(by=st.sampled_from([1, SLOT - 1, SLOT, MINUTE - SLOT, MINUTE, HOUR, HOUR + MINUTE]) | st.integers(0, HOUR))
    def wait(self, by):
        self.tell(self.model.now + by)

    @rule(jump=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "back"]), by=st.sampled_from([-1, 0, 1, SLOT]))
    def jump(self, jump, by):
        """To the next midnight, or just before or after it; and clocks are set back, too."""
        now = self.model.now
        self.tell(max(START, now - HOUR + by) if jump == "back" else day(jump, now)[1] + by)

    @rule(how=st.sampled_from(["sweep", "sweep", "sweep", "lapse_all", "crash", "leave"]))
    def process(self, how):
        """What is done now and then; or the process ends, and another begins."""
        self.do(("crash", how == "leave") if how in ("crash", "leave") else (how,))

    # How they are played

    def new(self, what):
        self.made += 1
        return f"{what}-{self.made}"

    def agent(self, pick):
        return sorted(self.model.agents)[pick % len(self.model.agents)]

    def some_hold(self, pick, *, ended=False):
        """Most often one that is open, or one that has ended."""
        likely = [id for id, hold in self.model.holds.items() if (hold["state"] != "held") == ended]
        known = likely if pick % 4 and likely else list(self.model.holds)
        return known[pick // 4 % len(known)] if known else "hold-0"

    def meant(self, raw):
        """The operation that was drawn, with the names that there are now; known to the model from then on."""
        step = self._meant(*raw)
        if step is not None:
            self.done.append((step, getattr(self.model, step[0])(*step[1:])))
        return step

    def _meant(self, name, *details):
        if name == "hold":
            return self._call(*details)
        if name == "beat":
            return self._beat(*details)
        if name == "correct":
            return "correct", self.new("fault"), self.some_hold(details[0], ended=True), details[1]
        if name == "settle":
            pick, charge, costs, seller = details
            return "settle", self.some_hold(pick), charge, costs, seller
        if name == "release":
            return "release", self.some_hold(*details)
        if name == "paid":
            return "paid", self.some_hold(details[0]), details[1]
        if name == "cancel":
            return "cancel", self.some_hold(*details)
        if name == "fund":
            return "fund", self.new("fund"), self.agent(details[0]), details[1]
        if name == "child":
            return self._child(*details)
        if name == "write_off":
            return "write_off", self.new("loss"), *details
        if name in ("switch", "limit"):
            return name, self.agent(details[0]), details[1]
        if name in ("again", "clash"):
            return self._repeated(name, *details)
        return self._event(name, *details)

    def _call(self, pick, ceilings, model, kind, seen, sent, digest, fee):
        agent = self.agent(pick) if pick else "nobody"
        if kind == "payout":
            ceilings, model, digest = (max(1, ceilings[0]),), "", b"payout" + digest
            fee = min(fee, ceilings[0] - 1)
        first = ceilings[0]
        return "hold", self.new("hold"), agent, ceilings, model, kind, min(seen, first), sent, digest, min(fee, first)

    def _beat(self, seen, forgotten):
        named = {self.some_hold(pick): msat for pick, msat in seen}
        seen = tuple((id, msat) for id, msat in named.items() if id in self.model.holds)
        lost = {self.some_hold(pick) for pick in forgotten} - set(named)
        return "beat", seen, tuple(sorted(lost))

    def _child(self, pick, own):
        if len(self.model.agents) >= MOST_AGENTS:
            return None
        parent = self.agent(pick)
        return "create", self.new(f"{parent[:3]}-child"), parent, self.model.realm(parent), own

    def _event(self, name, *details):
        realm = "sim"
        if name == "deposit" and details[0] is not None:
            agent = self.agent(details[0])
            realm, details = self.model.realm(agent), (self.model.root(agent), *details[1:])
        elif name == "agent_transfer":
            payer, payee = (self.model.root(self.agent(pick)) for pick in details[:2])
            realm, details = self.model.realm(payer), (payer, payee, details[2])
        return "post", self.new(name), realm, name, *details

    def _repeated(self, name, pick, by=0):
        if not self.done:
            return None
        # What was done lately is likelier to matter.
        latest = self.done if pick % 3 == 0 else self.done[-9:]
        step = latest[pick % len(latest)][0]
        if step[0] not in ("hold", "settle", "release", "paid", "cancel", "correct", "post", "create", "write_off"):
            return None
        if name == "clash" and step[0] == "hold":
            return *step[:3], (step[3][0] + by, *step[3][1:]), *step[4:]
        if name == "clash" and step[3:4] == ("deposit",):
            return *step[:5], step[5] + by, step[6]
        if name == "clash" and step[0] in ("post", "correct", "write_off"):
            return *step[:-1], step[-1] + by
        return step

    def do(self, *steps):
        """What needs no name looked up."""
        self.done += [(step, getattr(self.model, step[0])(*step[1:])) for step in steps]
        self.play(steps)

    def play(self, steps):
        """Do what the model knows already, and compare."""
        steps = [step for step in steps if step is not None]
        expected = self.done[len(self.done) - len(steps) :]
        for (step, must), did in zip(expected, self.world.play(steps), strict=True):
            assert did == must, f"{step} gave {did}, and not {must}"

    def tell(self, now):
        self.model.now = now
        self.world.tell(now)

    @invariant()
    def sums(self):
        """After each step."""
        type(self).steps += 1
        self.world.compare(self.model)
        self.since += 1
        if self.since % VERIFIED_EVERY == 0:
            self.world.verified(self.model)

    def teardown(self):
        try:
            self.world.verified(self.model)
        finally:
            self.world.close()
