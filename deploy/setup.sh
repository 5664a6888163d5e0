#!/bin/bash
# Bring this machine to where `make demo` and `make test` work. Does only what is missing; a second run takes no time.
#
#   deploy/setup.sh          Debian packages, .venv with requirements.txt, this project in it
#   deploy/setup.sh --dev    the same with requirements-dev.txt, Chromium for the tests that look at
#                            pages, the servers of metrics that tests write to, and Grafana's types
#
# PYTHON names another interpreter than python3 (3.11 or later).
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGES=(openvswitch-switch mininet iputils-ping ethtool iperf3 nmap hping3 tcpdump tcpreplay iproute2 procps python3-venv)
LOCK=requirements.txt
case "${1:-}" in
    "") ;;
    --dev)
        PACKAGES+=(chromium influxdb prometheus victoria-metrics)
        LOCK=requirements-dev.txt
        # An npm that did not come as this package (NodeSource's comes with nodejs) does as well.
        command -v npm >/dev/null || PACKAGES+=(npm)
        ;;
    *) echo "usage: deploy/setup.sh [--dev]" >&2; exit 2 ;;
esac
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

# Run a command that takes its time: a line of what it is for, the time it took, its own words only if it fails.
step() {
    local what=$1 start=$SECONDS next=10 pid status=0
    shift
    say "$what ..."
    "$@" </dev/null >"$LOG" 2>&1 &
    pid=$!
    # A command in the background does not hear Ctrl-C by itself.
    trap 'kill "$pid" 2>/dev/null; wait "$pid"; exit 130' INT TERM
    while sleep 0.2; kill -0 "$pid" 2>/dev/null; do
        if [ $((SECONDS - start)) -ge "$next" ]; then
            say "  still at it, $((SECONDS - start)) s: $(tail -n 1 "$LOG" | cut -c 1-90)"
            next=$((next + 10))
        fi
    done
    wait "$pid" || status=$?
    trap - INT TERM
    if [ "$status" -ne 0 ]; then
        cat "$LOG" >&2
        fail "failed (exit $status): $*"
    fi
    say "  done in $((SECONDS - start)) s"
}

missing_packages() {
    local package
    for package in "${PACKAGES[@]}"; do
        dpkg-query --show --showformat='${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || echo "$package"
    done
}

install_packages() {
    command -v dpkg-query >/dev/null || fail "this is not a Debian system; install by hand what corresponds to: ${PACKAGES[*]}"
    local missing
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || fail "not root, and these packages are missing: run as root: apt-get install --no-install-recommends ${missing[*]}"
    step "reading the list of Debian packages" apt-get update
    step "installing ${missing[*]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}"
}

# What a part of the environment was made from: when this text changes the part is brought up to date.
fingerprint() {
    cat "$@" | sha256sum
    pwd
    .venv/bin/python -c 'import sys; print(sys.version)'
}

lock_fingerprint() { fingerprint requirements.txt "$1" deploy/ryu/{pyproject.toml,sdist.txt,backend.py}; }

# Compare with, or write, .venv/.installed-NAME
is_current() { [ "$(cat ".venv/.installed-$1" 2>/dev/null)" = "$2" ]; }
mark_current() { echo "$2" >".venv/.installed-$1"; }

install_python() {
    local python=${PYTHON:-python3}
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        fail "$python is missing or older than 3.11; name a newer one: make ... PYTHON=/path/to/python3.12"
    if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
        step "making .venv with $("$python" --version)" "$python" -m venv --clear .venv
    fi
    if ! is_current "$LOCK" "$(lock_fingerprint "$LOCK")"; then
        step "installing Python packages of $LOCK (a minute or so)" \
            .venv/bin/python -m pip install --disable-pip-version-check --progress-bar off -r "$LOCK"
        mark_current "$LOCK" "$(lock_fingerprint "$LOCK")"
        # The development lock holds the other one.
        mark_current requirements.txt "$(lock_fingerprint requirements.txt)"
    fi
    if ! is_current pyproject.toml "$(fingerprint pyproject.toml)"; then
        # The lock holds setuptools, so that this needs no network.
        step "installing dynseg into .venv" \
            .venv/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
        mark_current pyproject.toml "$(fingerprint pyproject.toml)"
    fi
    local loops
    loops=$(fingerprint requirements.txt analyzer/{compiled,keytable,attribute,pairing}.py)
    if ! is_current loops "$loops"; then
        step "compiling the analyzer's loops" .venv/bin/python -m analyzer.warm
        mark_current loops "$loops"
    fi
}

# What dashboards are type-checked against.
install_types() {
    local wanted
    wanted=$(fingerprint deploy/grafana/package-lock.json)
    if ! is_current types "$wanted" || [ ! -d deploy/grafana/node_modules ]; then
        step "installing Grafana's types" npm ci --prefix deploy/grafana --ignore-scripts --no-fund --no-audit
        mark_current types "$wanted"
    fi
}

install_packages
install_python
if [ "$LOCK" = requirements-dev.txt ]; then install_types; fi
