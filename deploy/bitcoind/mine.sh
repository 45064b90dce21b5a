#!/bin/sh
# A block every ten seconds: without fresh ones the Lightning node takes the chain for behind.
set -eu
while :; do
    bitcoin-cli -regtest -datadir=/data generatetodescriptor 1 'raw(51)' >/dev/null
    sleep 10
done
