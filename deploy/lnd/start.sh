#!/bin/sh
# Starts LND on $NETWORK, with a light client for the chain. Only on regtest does its wallet make itself, without a seed;
# on a real network it waits until you have made one, and opens it from then on with $LND_WALLET_PASSWORD:
#
#     docker compose exec lnd lncli --lnddir=/lnd --network=NETWORK create
set -eu
set -- --lnddir=/lnd "--bitcoin.$NETWORK" --bitcoin.node=neutrino --norest \
    --rpclisten="0.0.0.0:$LND_PORT" --listen=0.0.0.0:9735 --tlsextradomain="$LND_NAME"
if [ "$NETWORK" = regtest ]; then
    set -- "$@" --noseedbackup --neutrino.connect=bitcoind
else
    password="${TMPDIR:-/tmp}/password"
    (umask 077 && printf %s "$LND_WALLET_PASSWORD" >"$password")
    set -- "$@" "--wallet-unlock-password-file=$password" --wallet-unlock-allow-create
fi
if [ "$NETWORK" = mainnet ]; then
    # A light client sees no mempool, so it asks what others pay.
    set -- "$@" --fee.url=https://nodes.lightning.computer/fees/v1/btc-fee-estimates.json
fi
exec lnd "$@"
