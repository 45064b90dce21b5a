#!/bin/sh
# Starts the mint. On regtest it holds nothing and plays at money; anywhere else there is a Lightning node behind it, or it
# does not start: a mint that plays at money must never be taken for one.
set -eu
if [ "$NETWORK" = regtest ]; then
    export MINT_BACKEND_BOLT11_SAT=FakeWallet
else
    export MINT_BACKEND_BOLT11_SAT=LndRPCWallet
fi
exec python3 -m cashu.mint
