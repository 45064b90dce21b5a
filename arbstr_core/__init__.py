"""The kernel of arbstr: what a provider, a routing policy and a wallet rail are, and the one way of a call."""
