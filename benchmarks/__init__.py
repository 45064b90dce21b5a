"""arbstr's own measuring kit: what a call, the ledger and a routing decision cost, beside a bare pass-through.

`python -m benchmarks`; docs/performance.md says what the figures mean.
"""
