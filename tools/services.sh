#!/usr/bin/env bash
# Makes sure that the programs outside Python which tests need are here: Debian's Chromium, for the pages.
set -euo pipefail

present() { command -v chromium >/dev/null || command -v chromium-browser >/dev/null; }

if present; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "the tests of the pages need Chromium; install it: apt-get install chromium" >&2
    exit 0
fi
echo "installing chromium" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium fonts-dejavu-core; } >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
