"""What routing saves: a replay of fixed requests over a book of real list prices, past providers that fail.

`python -m benchmarks.savings`; docs/savings.md says what the figures mean. The book, the mixes, the fault rates and the
seeds are fixed, and were before the router was tuned.
"""
