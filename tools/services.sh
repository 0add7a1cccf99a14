#!/usr/bin/env bash
# Makes sure that the programs outside Python which tests need are here: Debian's Chromium, for the pages, and
# PostgreSQL, for the store of several servers. Tests start both by themselves.
set -euo pipefail

wanted=()
if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null; then
    wanted+=(chromium fonts-dejavu-core)
fi
if ! command -v initdb >/dev/null && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
    wanted+=(postgresql)
fi
if [ "${#wanted[@]}" = 0 ]; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "the tests need more programs; install them: apt-get install ${wanted[*]}" >&2
    exit 0
fi
echo "installing ${wanted[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# The package would start a server of its own, which nobody needs: tests make theirs.
policy=/usr/sbin/policy-rc.d
made=
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    made=$policy
fi
trap 'rm -f "$log" ${made:+"$made"}' EXIT
if ! { apt-get -qq update && apt-get -qq install -y --no-install-recommends "${wanted[@]}"; } >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
