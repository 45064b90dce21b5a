"""The headers of a reply: what arbstr says of a call beside it. See docs/receipts.md."""

from __future__ import annotations

from arbstr_core.metering import Bill
from arbstr_core.types import Plan, Quote
from arbstr_core.vault import Granted

RETRY_HEADERS = ("x-arbstr-retry", "x-arbstr-original-request-id")


def reply_headers(
    quote: Quote,
    plan: Plan,
    granted: Granted | None,
    bill: Bill | None,
    attempts: int,
    overhead_ms: int,
    limited: bool,
    first: str,
) -> list[tuple[str, str]]:
    """What is known so far. `limited` where the output was limited to what can be afforded; `first` is the call that
    this one is charged in addition to."""
    said = [
        ("x-arbstr-provider", quote.offer.provider),
        ("x-arbstr-model", quote.offer.model),
        ("x-arbstr-tier", quote.offer.tier),
        ("x-arbstr-attempts", str(attempts)),
        ("x-arbstr-overhead-ms", str(max(overhead_ms, 0))),
    ]
    if plan.policy:
        said.append(("x-arbstr-policy", plan.policy))
    if granted is not None:
        said.append(("x-arbstr-reserved-msat", str(granted.amount_msat)))
    if limited:
        said.append(("x-arbstr-output-limit", str(quote.output_limit)))
    if bill is not None:
        said.append(("x-arbstr-cost-msat", str(bill.charge_msat)))
    if first:
        said += retry_headers("recharged", first)
    return said


def retry_headers(what: str, first: str) -> list[tuple[str, str]]:
    """That a request was a retry, of which call, and what became of it: `replayed` or `recharged`."""
    return list(zip(RETRY_HEADERS, (what, first), strict=True))
