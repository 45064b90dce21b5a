#!/bin/sh
# Makes the role of the processes that serve calls, once the treasury has made the tables, and hands them the key that they
# share with it. Said again it changes nothing.
set -eu
arbstr db roles --apply
umask 077
cp /treasury/master.key /var/lib/arbstr/master.key
