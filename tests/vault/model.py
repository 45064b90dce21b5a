"""What must be true of money, in plain dictionaries: written from the promises, and from nothing that keeps them.

It knows no tables, batches or buckets. Every sum is made anew from the list of holds and of entries. Amounts are msat,
times Unix milliseconds; an outcome is a tuple, or the name of the exception.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

MINUTE, HOUR = 60_000, 3_600_000
SLOT = 6_000
LEASE = 30_000
DEPTH = 4


def day(zone, now):
    """The midnights around `now`."""
    there = ZoneInfo(zone or "UTC")
    date = datetime.fromtimestamp(now / 1000, there).date()
    ends = (datetime.combine(each, time.min, there) for each in (date, date + timedelta(days=1)))
    return tuple(int(end.timestamp() * 1000) for end in ends)


class Model:
    """An operation has the name and the arguments that it has in `world.World`, and gives what that must give."""

    def __init__(self, now, *, shared):
        self.now = now
        self.boot = 0
        self.shared = shared
        self.agents = {}
        self.holds = {}
        self.grants = {}
        """by the request that asked, and how often it had"""
        self.leases = {}
        """until when each process lives; None where it has left"""
        self.balances = Counter()
        """debits less credits, by (realm, account)"""
        self.keys = {}

    # What can be seen

    def chain(self, agent):
        """The agent and those above it."""
        while agent is not None:
            yield agent
            agent = self.agents[agent]["parent"]

    def root(self, agent):
        return list(self.chain(agent))[-1]

    def realm(self, agent):
        return self.agents[agent]["realm"]

    def posted(self, agent):
        return -self.balances[self.realm(agent), f"agent:{self.root(agent)}"]

    def open(self):
        return {id: hold for id, hold in self.holds.items() if hold["state"] == "held"}

    def held(self, agent):
        root = self.root(agent)
        return sum(hold["amount"] for hold in self.open().values() if self.root(hold["agent"]) == root)

    def tally(self, agent, kind, since=None):
        """What counts in the windows of a kind, by where they begin: what is held, or what was charged in the end."""
        found = Counter()
        for hold in self.holds.values():
            for whose, what, start in hold["windows"]:
                if (whose, what) == (agent, kind) and (since is None or start >= since):
                    found[start] += {"requests": 1, "attempts": hold["failed"]}.get(kind, cost(hold))
        for grant in self.grants.values():
            # Who asks an operator has asked.
            found.update(
                start
                for whose, start in grant["requests"]
                if (whose, "requests") == (agent, kind) and (since is None or start >= since)
            )
        return found

    # Holds

    def hold(self, id, agent, ceilings, model, kind, seen, sent, digest, fee):
        asked = (agent, model, kind)
        if (before := self.holds.get(id)) is not None:
            return self.again(before, asked, ceilings)
        if agent not in self.agents:
            return refused("unknown_agent", agent, 0, None, 0)
        needed, payout = ceilings[0], kind == "payout"
        bounds = list(self.bounds(agent, model, payout, fee))
        tight = [bound for bound in bounds if bound[2] < needed or bound[4]]
        held, grant = self.held(agent), None
        if tight:
            others = [bound for bound in tight if bound[0] != "max_charge"]
            waits = self.patience(agent, needed, payout) if tight[0][0] == "max_charge" else None
            if waits is None:
                return refused(*tight[0][:4], held)
            if others or not digest:
                return refused(*(others or tight)[0][:4], held, approvable=not others)
            grant = self.live(agent, ceilings, model, payout, digest)
            if grant is not None and payout:
                return refused("conflict", agent, 0, None, held)
            if grant is None or grant["state"] != "granted":
                fresh = grant is None
                if fresh and (full := next(filter(self.full, self.chain(agent)), None)) is not None:
                    return refused("approvals", full, 0, None, held)
                grant = grant or self.ask(id, agent, ceilings, model, payout, digest, waits)
                if fresh and payout:
                    grant["hold"] = id
                    self.open_hold(id, asked, needed, 1, seen, sent, grant, fee)
                return needs(grant, needed, tight[0][2])
            grant |= {"state": "held", "hold": id}
        lefts = [bound[2] for bound in bounds if grant is None or bound[0] != "max_charge"]
        room = min(lefts if grant is None else [*lefts, grant["ceiling"]])
        covered = next((n for n, ceiling in enumerate(ceilings) if ceiling > room), len(ceilings))
        attempts = [left for left in map(self.attempts, self.chain(agent)) if left is not None]
        self.open_hold(id, asked, max(ceilings[:covered]), covered, seen, sent, grant, fee)
        return "granted", max(ceilings[:covered]), covered, min(attempts, default=None)

    def again(self, hold, asked, ceilings):
        """The same id once more."""
        if hold["state"] == "held" and hold["asked"] == asked and hold["amount"] == max(ceilings[: hold["covered"]]):
            waiting = hold["grant"]
            if waiting is not None and waiting["payout"] and waiting["state"] == "pending":
                return needs(waiting, ceilings[0], 0)
            return "granted", hold["amount"], hold["covered"], None
        return refused("conflict", asked[0], 0, None, 0)

    def open_hold(self, id, asked, amount, covered, seen, sent, grant, fee):
        self.holds[id] = {
            "agent": asked[0],
            "asked": asked,
            "amount": amount,
            "covered": covered,
            "boot": self.boot,
            "payout": asked[2] == "payout",
            "fee": fee,
            "cancelled": False,
            "windows": list(self.windows(*asked[::2])),
            "grant": grant,
            "state": "held",
            "charged": 0,
            "net": 0,
            "failed": 0,
            "swept": False,
            "seen": seen,
            "sent": sent,
            "at": self.now,
            "seen_at": 0,
        }

    def bounds(self, agent, model, payout, fee):
        """(reason, whose, what it leaves, when it leaves more, whether it refuses what is free, too), in the order of
        the reasons."""
        for name in self.chain(agent):
            if reason := self.forbidden(name, model, payout, fee):
                yield reason[0], name, reason[2], reason[1], True
                return
        for name in self.chain(agent):
            yield "max_charge", name, self.unapproved(name, payout), None, False
        for name in self.chain(agent):
            limits = self.agents[name]["limits"]
            start, end = day(limits.get("zone"), self.now)
            yield "daily", name, max(0, limits["daily_msat"] - self.tally(name, "day")[start]), end, False
            if (hourly := limits.get("hourly_msat")) is not None:
                used = self.tally(name, "minute", self.now - self.now % MINUTE - HOUR)
                busy = [window for window, amount in used.items() if amount]
                resets = min(busy) + HOUR + MINUTE if busy else None
                yield "hourly", name, max(0, hourly - used.total()), resets, False
        yield "insufficient", agent, self.posted(agent) - self.held(agent), None, False

    def forbidden(self, name, model, payout, fee):
        """(reason, when it ends, what it leaves) for what is refused whatever it costs."""
        limits = self.agents[name]["limits"]
        if not self.agents[name]["enabled"]:
            return "disabled", None, 0
        if limits.get("max_charge_msat") is None or limits.get("daily_msat") is None:
            return "no_limits", None, 0
        if self.now >= limits.get("expires_ms", self.now + 1):
            return "expired", None, 0
        if not payout and model not in limits.get("models", (model,)):
            return "model", None, 0
        if fee > limits.get("max_fee_msat", fee):
            return "fee", None, limits["max_fee_msat"]
        below = [hold for hold in self.open().values() if name in self.chain(hold["agent"])]
        if len(below) >= limits.get("concurrent", len(below) + 1):
            return "concurrent", None, 0
        since = self.now - self.now % SLOT - MINUTE
        recent = self.tally(name, "requests", since)
        if recent.total() >= limits.get("per_minute", recent.total() + 1):
            return "rate", min(recent, default=since) + MINUTE + SLOT, 0
        return None

    def unapproved(self, name, payout):
        """The most that needs no operator."""
        limits = self.agents[name]["limits"]
        own = limits["max_charge_msat"]
        return own if not payout else min(own, limits.get("payouts_unapproved_msat", -1))

    def attempts(self, name):
        """What failed attempts may cost in this hour, where that is limited."""
        limit = self.agents[name]["limits"].get("attempts_msat")
        start = self.now - self.now % HOUR
        return None if limit is None else max(0, limit - self.tally(name, "attempts")[start])

    def windows(self, agent, kind):
        """Where a hold counts, for ever."""
        for name in self.chain(agent):
            limits = self.agents[name]["limits"]
            yield name, "day", day(limits.get("zone"), self.now)[0]
            if "hourly_msat" in limits:
                yield name, "minute", self.now - self.now % MINUTE
            if "per_minute" in limits and kind != "payout":
                yield name, "requests", self.now - self.now % SLOT
            if "attempts_msat" in limits:
                yield name, "attempts", self.now - self.now % HOUR

    def settle(self, id, charge, costs, seller):
        if id not in self.holds:
            return "NotFound"
        hold = self.holds[id]
        if hold["state"] != "held":
            return self.late(hold, id, charge, costs)
        if hold["payout"]:
            return "ValueError"
        if charge > hold["amount"]:
            return "AssertionError"
        realm, agent = self.realm(hold["agent"]), f"agent:{self.root(hold['agent'])}"
        share = min(seller, charge) if seller is not None else 0
        own = "income:sales" if seller is None else "income:margin"
        self.book(realm, {agent: charge, "seller:dave": -share, own: share - charge})
        self.bills(realm, charge, costs)
        hold["failed"] = sum(msat for _, msat, served, _ in costs if not served)
        return self.end(hold, "settled", charge)

    def bills(self, realm, charge, costs):
        """What providers took, or will: a node from what is there."""
        for provider, msat, served, node in costs:
            within = min(msat, charge) if served else 0
            attempt = "cost:overage" if served else "cost:attempt"
            taken = min(msat, self.balances[realm, f"asset:prepaid:{node}"]) if node else 0
            self.book(
                realm,
                {
                    "cost:provider": within,
                    attempt: msat - within,
                    f"asset:prepaid:{node}": -taken,
                    f"payable:{provider}": taken - msat,
                },
            )

    def release(self, id):
        if id not in self.holds:
            return "NotFound"
        hold = self.holds[id]
        if hold["state"] != "held":
            return self.late(hold, id, 0, ())
        return "ValueError" if hold["payout"] else self.end(hold, "released", 0)

    def cancel(self, id):
        """Before it was sent, a payout may be given up."""
        hold = self.holds.get(id)
        if hold is None or not hold["payout"]:
            return "NotFound"
        if hold["state"] != "held":
            return "cancelled" if hold["cancelled"] else "Conflict"
        hold["cancelled"] = True
        self.end(hold, "released", 0)
        return "cancelled"

    def paid(self, id, fee):
        if id not in self.holds:
            return "NotFound"
        hold = self.holds[id]
        if hold["state"] != "held":
            return "closed", hold["state"], hold["charged"], False
        if not hold["payout"]:
            return "ValueError"
        if hold["grant"] is not None and hold["grant"]["state"] == "pending":
            return "Conflict"
        realm = self.realm(hold["agent"])
        there = self.balances[realm, "asset:lnd"]
        if there < hold["amount"] or not all(self.agents[name]["enabled"] for name in self.chain(hold["agent"])):
            return "Conflict"
        left = hold["amount"] - hold["fee"] + fee
        charge, found = min(left, hold["amount"]), max(0, left - there)
        agent = f"agent:{self.root(hold['agent'])}"
        moved = {agent: charge, "cost:rail_fee": left - charge, "asset:lnd": found - left, "suspense": -found}
        self.book(realm, moved)
        return self.end(hold, "settled", charge)

    def end(self, hold, state, charge, *, swept=False):
        hold |= {"state": state, "charged": charge, "net": charge, "swept": swept}
        grant = hold["grant"]
        if grant is not None:
            given_back = "expired" if grant["payout"] else "granted"
            grant["state"] = "used" if state == "settled" else given_back
        return "closed", state, charge, True

    # What ends without its process, and what is known later

    def crash(self, leaves):
        """The process ends as it is; the next one ends what is known to be nobody's."""
        if leaves and self.boot in self.leases:
            self.leases[self.boot] = None
        self.boot += 1
        return self.sweep()

    def sweep(self):
        orphans = [hold for hold in self.open().values() if not hold["payout"] and not self.lives(hold["boot"])]
        for hold in orphans:
            self.end_orphan(hold)
        return len(orphans)

    def lives(self, boot):
        """Where others may work, a process lives until its lease ran out as long ago as a lease is long."""
        lease = self.leases.get(boot) if self.shared else None
        return boot == self.boot or (lease is not None and lease >= self.now - LEASE)

    def end_orphan(self, hold):
        """What was not sent is free; else what was seen of it is charged."""
        charge = hold["seen"] if hold["sent"] else 0
        agent = f"agent:{self.root(hold['agent'])}"
        self.book(self.realm(hold["agent"]), {agent: charge, "income:sales": -charge})
        self.end(hold, "settled" if hold["sent"] else "released", charge, swept=True)

    def beat(self, seen, forgotten):
        """The process lives, says what its calls have used, and ends those that it has forgotten for a minute."""
        lapsed = self.leases.get(self.boot, self.now) < self.now
        self.leases[self.boot] = self.now + LEASE
        ended = 0
        for id, hold in self.open().items():
            old = max(hold["at"], hold["seen_at"]) <= self.now - MINUTE
            if id in forgotten and hold["boot"] == self.boot and not hold["payout"] and old:
                self.end_orphan(hold)
                ended += 1
        for id, msat in seen:
            hold = self.holds[id]
            if hold["state"] == "held":
                hold |= {"seen": max(hold["seen"], min(msat, hold["amount"])), "seen_at": self.now, "sent": True}
        return "beat", lapsed, ended

    def late(self, hold, id, charge, costs):
        """What is known now corrects what was guessed, and nothing else."""
        if not hold["swept"]:
            return "closed", hold["state"], hold["charged"], False
        if f"late:{id}" not in self.keys:
            # What its owner says counts once, also where it changes nothing.
            self.keys[f"late:{id}"] = None
            more = self.more(hold, charge)
            self.bills(self.realm(hold["agent"]), charge, costs)
            self.adjust(hold, more)
        return "closed", hold["state"], hold["net"], False

    def correct(self, key, id, charge):
        if id not in self.holds:
            return "NotFound"
        hold = self.holds[id]
        if hold["state"] == "held":
            return "Conflict"
        what = ("correct", id, charge)
        if (before := self.keys.get(f"correct:{key}")) is not None and before != what:
            return "Conflict"
        if before is None and (more := self.more(hold, charge)):
            self.keys[f"correct:{key}"] = what
            self.adjust(hold, more)
        return "closed", hold["state"], hold["net"], False

    def adjust(self, hold, more):
        agent = f"agent:{self.root(hold['agent'])}"
        self.book(self.realm(hold["agent"]), {agent: more, "income:sales": -more})
        hold["net"] += more

    def more(self, hold, charge):
        """Never above the old hold, the balance and the limits of its windows, as they are today."""
        more = min(charge, hold["amount"]) - hold["net"]
        rooms = [self.posted(hold["agent"]) - self.held(hold["agent"])]
        for name, kind, start in hold["windows"]:
            limits = self.agents[name]["limits"]
            if kind == "day":
                rooms.append((limits.get("daily_msat") or 0) - self.tally(name, "day")[start])
                if limits.get("daily_msat") is None:
                    rooms.append(0)
            if kind == "minute" and "hourly_msat" in limits:
                near = self.tally(name, "minute", start - HOUR)
                rooms.append(limits["hourly_msat"] - sum(used for at, used in near.items() if at <= start + HOUR))
        return more if more < 0 else max(0, min(more, *rooms))

    # Approvals

    def patience(self, agent, needed, payout):
        """How long an operator is waited for; None where nobody is asked."""
        waits = []
        for name in self.chain(agent):
            if self.unapproved(name, payout) < needed:
                waits.append(self.agents[name]["limits"].get("approval_seconds", 86_400 if payout else None))
        return None if None in waits else min(waits, default=None)

    def versions(self, agent):
        return [self.agents[name]["version"] for name in self.chain(agent)]

    def live(self, agent, ceilings, model, payout, digest):
        """What has been asked for the same body; what is void by now is over."""
        root = self.root(agent)
        for grant in self.grants.values():
            if (grant["root"], grant["digest"]) == (root, digest) and grant["state"] in ("pending", "granted", "held"):
                good = (
                    self.now < grant["expires"]
                    and ceilings[0] <= grant["ceiling"]
                    and model == grant["model"]
                    and self.versions(grant["agent"]) == grant["versions"]
                )
                if good or grant["state"] == "held" or payout:
                    return grant
                grant["state"] = "expired"
        return None

    def full(self, agent):
        """Whether as much waits for an operator as may, of this key and those below it."""
        waits = sum(
            grant["state"] == "pending" and agent in self.chain(grant["agent"]) for grant in self.grants.values()
        )
        return waits >= self.agents[agent]["limits"].get("pending_approvals", 16)

    def ask(self, id, agent, ceilings, model, payout, digest, seconds):
        name = f"{id}/{sum(each['by_request'] == id for each in self.grants.values())}"
        grant = self.grants[name] = {
            "id": name,
            "by_request": id,
            "agent": agent,
            "root": self.root(agent),
            "digest": digest,
            "payout": payout,
            "hold": None,
            "ceiling": max(ceilings),
            "model": model,
            "versions": self.versions(agent),
            "state": "pending",
            "created": self.now,
            "expires": self.now + seconds * 1000,
            "by": None,
            "requests": [
                (name, start)
                for name, kind, start in self.windows(agent, "payout" if payout else "call")
                if kind == "requests"
            ],
        }
        return grant

    def decide(self, asked, yes, actor):
        grant = self.grants[asked]
        other_limits = self.versions(grant["agent"]) != grant["versions"]
        if grant["state"] == "pending" and (self.now >= grant["expires"] or other_limits):
            self.lapse(grant)
        if grant["state"] == "pending":
            grant |= {"state": "granted" if yes else "denied", "by": (actor, yes)}
            if yes:
                grant["expires"] += self.now - grant["created"]
            else:
                self.let_go(grant)
        elif grant["by"] != (actor, yes) or grant["state"] == "expired":
            return "Conflict"
        return "decided", grant["state"]

    def lapse_all(self):
        """What waited too long is over; a payout that was granted is its rail's to end."""
        over = [
            grant
            for grant in self.grants.values()
            if self.now >= grant["expires"]
            and (grant["state"] == "pending" or (grant["state"] == "granted" and not grant["payout"]))
        ]
        for grant in over:
            self.lapse(grant)
        return len(over)

    def lapse(self, grant):
        grant["state"] = "expired"
        self.let_go(grant)

    def let_go(self, grant):
        """Nothing is held for what is denied, or over."""
        if grant["payout"] and self.holds[grant["hold"]]["state"] == "held":
            state = grant["state"]
            self.end(self.holds[grant["hold"]], "released", 0)
            grant["state"] = state

    # Agents

    def create(self, id, parent, realm, limits):
        if id in self.agents:
            return "Conflict"
        if parent is not None and len(list(self.chain(parent))) >= DEPTH:
            return "BadRequest"
        own = self.realm(parent) if parent is not None else realm
        self.agents[id] = {"parent": parent, "realm": own, "enabled": True, "limits": limits, "version": 1}
        return "done"

    def limit(self, agent, limits):
        self.agents[agent]["version"] += self.agents[agent]["limits"] != limits
        self.agents[agent]["limits"] = limits
        return "done"

    def switch(self, agent, on):
        self.agents[agent]["enabled"] = on
        return "done"

    # Money that moves beside calls

    def book(self, realm, debits):
        assert not sum(debits.values())
        for account, msat in debits.items():
            self.balances[realm, account] += msat

    def fund(self, key, agent, msat):
        if (before := self.posted_before(key, ("fund", agent, msat))) is not None:
            return before
        realm = self.realm(agent)
        if realm == "sim":
            self.keys[f"capital:{key}"] = None
            self.book(realm, {"asset:simulated": msat, "equity:operator": -msat})
        elif min(-self.balances[realm, "equity:operator"], self.own(realm)) < msat:
            return "InsufficientFunds"
        self.keys[key] = ("fund", agent, msat)
        self.book(realm, {"equity:operator": msat, f"agent:{self.root(agent)}": -msat})
        return "done"

    def post(self, key, realm, event, *details):
        """An event of the table of entries."""
        if (before := self.posted_before(key, (realm, event, *details))) is not None:
            return before
        missing, debits = getattr(self, event)(*details)
        names = [name.removeprefix("agent:") for name in debits if name.startswith("agent:")]
        if any(name not in self.agents or self.realm(name) != realm or self.root(name) != name for name in names):
            return "NotFound"
        if any(self.free(realm, account) < msat for account, msat in missing.items()):
            return "InsufficientFunds"
        self.keys[key] = (realm, event, *details)
        self.book(realm, debits)
        return "done"

    def write_off(self, key, realm, asset, msat):
        """The operator's loss: never more than is there, and never what covers what is owed."""
        if (before := self.posted_before(f"loss:{realm}:{key}", (asset, msat))) is not None:
            return before
        if msat > self.balances[realm, asset]:
            return "BadRequest"
        if msat > self.own(realm):
            return "Conflict"
        self.keys[f"loss:{realm}:{key}"] = (asset, msat)
        self.book(realm, {"cost:loss": msat, asset: -msat})
        return "done"

    def own(self, realm):
        """What there is beyond what is owed."""
        kinds = ("asset:", "agent:", "seller:", "suspense")
        return sum(msat for (own, name), msat in self.balances.items() if own == realm and name.startswith(kinds))

    def posted_before(self, key, what):
        if key not in self.keys:
            return None
        return "done" if self.keys[key] == what else "Conflict"

    def free(self, realm, account):
        if account.startswith("agent:"):
            agent = account.removeprefix("agent:")
            return self.posted(agent) - self.held(agent)
        return self.balances[realm, account]

    def capital(self, msat):
        return {}, {"asset:lnd": msat, "equity:operator": -msat}

    def deposit(self, agent, msat, fee):
        owner = "suspense" if agent is None else f"agent:{agent}"
        return {}, {"asset:lnd": msat - fee, owner: fee - msat}

    def agent_transfer(self, payer, payee, msat):
        debits = Counter({f"agent:{payer}": msat})
        debits[f"agent:{payee}"] -= msat
        return {f"agent:{payer}": msat}, debits

    def top_up(self, msat, fee):
        spent = msat + fee
        return {"asset:lnd": spent}, {"asset:prepaid:n": msat, "cost:rail_fee": fee, "asset:lnd": -spent}


def cost(hold):
    """What a hold takes from limits."""
    return hold["amount"] if hold["state"] == "held" else hold["net"]


def refused(reason, whose, left, resets, held, *, approvable=False):
    return "refused", reason, whose, left, resets, held, approvable


def needs(grant, needed, left):
    return "approval", grant["id"], grant["expires"], needed, max(0, left)
