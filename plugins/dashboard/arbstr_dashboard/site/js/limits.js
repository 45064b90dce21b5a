// An agent's limits: as fields to change, and as facts to read.

import { number, sats, text, when, words } from "./forms.js";
import { amount, at } from "./parts.js";
import { count, lasting, satInput } from "./words.js";

const MORE = [
  ["hourly_msat", sats, "In any sixty minutes"],
  ["per_minute", number, "Calls in any minute"],
  ["concurrent", number, "Open calls at one time"],
  ["models", words, "Models", "With commas between them"],
  ["approval_seconds", number, "Seconds to wait for you", "What is above the largest charge waits so long for an operator; none: it is refused"],
  ["pending_approvals", number, "How many may wait"],
  ["expires_ms", when, "Nothing is spent from"],
  ["zone", text, "Whose day it is", "An IANA name, as Europe/Berlin; none: UTC"],
  ["alert_floor_msat", sats, "Tell me below"],
  ["alert_cooldown_seconds", number, "Seconds until I am told again"],
  ["attempts_msat", sats, "Failed attempts an hour", "What they may cost you, the operator"],
  ["max_fee_msat", sats, "Largest fee of a payout"],
  ["payouts_unapproved_msat", sats, "Payouts without approval up to"],
];

/** Fields of all limits but the two that everyone has. `limits` are those to begin with. */
export function moreLimits(limits = {}) {
  return MORE.map(([name, field, label, help]) => {
    const value = limits[name] ?? null;
    return field(name, label, { value: field === sats ? satInput(value) : field === text ? (value ?? "") : value, help });
  });
}

/** All of them. */
export function limitFields(limits) {
  return [
    sats("max_charge_msat", "Largest charge", { value: satInput(limits.max_charge_msat), help: "For one call. None: nothing may be spent" }),
    sats("daily_msat", "Daily limit", { value: satInput(limits.daily_msat), help: "None: nothing may be spent" }),
  ];
}

/** Those of `values` that are other than in `limits`. */
export function changed(limits, values) {
  return Object.fromEntries(Object.entries(values).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(limits[name] ?? null)));
}

/** Limits as pairs of a name and a value, those that are not set left out. */
export function limitFacts(limits) {
  if (!limits) return [];
  return [
    ["Largest charge", amount(limits.max_charge_msat)],
    ["A day", amount(limits.daily_msat)],
    ...MORE.map(([name, field, label]) => [label, shown(name, field, limits[name])]),
  ];
}

function shown(name, field, value) {
  if (value === null || value === undefined) return null;
  if (field === sats) return amount(value);
  if (field === when) return at(value);
  if (field === words) return value.join(", ");
  if (name === "approval_seconds") return lasting(value * 1000);
  return field === number ? count(value) : value;
}
