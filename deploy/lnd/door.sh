#!/bin/sh
# Puts into /run/lnd what arbstr needs of LND: its certificate, and a macaroon for exactly what the rail does.
set -eu
umask 077
# What an earlier start left belongs to arbstr, and is not ours to write into.
rm -f /run/lnd/arbstr.macaroon /run/lnd/tls.cert
lncli --lnddir=/lnd --network="$NETWORK" --rpcserver="$LND_HOST:$LND_PORT" \
    bakemacaroon --root_key_id=7 --save_to=/run/lnd/arbstr.macaroon \
    uri:/lnrpc.Lightning/GetInfo uri:/lnrpc.Lightning/ChannelBalance uri:/lnrpc.Lightning/PendingChannels \
    uri:/lnrpc.Lightning/DecodePayReq uri:/lnrpc.Lightning/AddInvoice uri:/lnrpc.Lightning/LookupInvoice \
    uri:/lnrpc.Lightning/SubscribeInvoices uri:/invoicesrpc.Invoices/CancelInvoice uri:/lnrpc.Lightning/ListPayments \
    uri:/routerrpc.Router/SendPaymentV2 uri:/routerrpc.Router/TrackPaymentV2
cp /lnd/tls.cert /run/lnd/tls.cert
# The user that arbstr runs as, see the Dockerfile.
chown 10001:10001 /run/lnd/arbstr.macaroon /run/lnd/tls.cert
