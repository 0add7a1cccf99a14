#!/usr/bin/env bash
# Makes .venv hold what is asked for, and does nothing if it already does.
#   tools/venv.sh runtime    the product
#   tools/venv.sh dev        the product and the tools of its tests
# PYTHON=… names the interpreter; else the first of python3.13 … python3 that runs and is 3.11 or later.
set -euo pipefail
cd "$(dirname "$0")/.."

want=${1:?runtime or dev}
case $want in
    runtime) lock=requirements.lock ;;
    dev) lock=requirements-dev.lock ;;
    *) echo "tools/venv.sh: runtime or dev, not $want" >&2; exit 2 ;;
esac
stamp=.venv/installed

# One install at a time, so that two terminals do not write the same environment.
if command -v flock >/dev/null; then
    exec 9<.
    flock 9
fi

runs() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

interpreter() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        runs "$PYTHON" && { echo "$PYTHON"; return; }
        echo "PYTHON=$PYTHON does not run, or is older than 3.11" >&2
        return 1
    fi
    for candidate in python3.13 python3.12 python3.11 python3; do
        runs "$candidate" && { echo "$candidate"; return; }
    done
    echo "no Python 3.11 or later found; set PYTHON=/path/to/python3" >&2
    return 1
}

# Says what the environment was made from; PYTHON counts only when it is given.
wanted_state() {
    echo "$want ${PYTHON:-any} $PWD"
    cksum pyproject.toml "$lock" tools/venv.sh
}

satisfied() {
    [ -x .venv/bin/python ] && [ -f "$stamp" ] || return 1
    [ "$(cat "$stamp")" = "$(wanted_state)" ] && return 0
    # An environment for development holds the runtime too.
    [ "$want" = runtime ] && [ "$(cat "$stamp")" = "$(want=dev lock=requirements-dev.lock wanted_state)" ]
}

create() {
    local python=$1 minor
    rm -rf .venv
    "$python" -m venv .venv >/dev/null 2>&1 && return
    # Debian ships Python without ensurepip; its package brings it.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        minor=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        { apt-get -qq update && { apt-get -qq install -y "python$minor-venv" || apt-get -qq install -y python3-venv; }
        } >/dev/null 2>&1 || true
        rm -rf .venv
        "$python" -m venv .venv >/dev/null 2>&1 && return
    fi
    rm -rf .venv
    "$python" -m venv --without-pip .venv
    .venv/bin/python tools/fetch_pip.py
}

install() {
    local by_uv=(uv pip install --quiet --python .venv/bin/python)
    local by_pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
    # uv where it is present; pip if uv is missing or cannot reach the registry that pip is set up for.
    if command -v uv >/dev/null && "${by_uv[@]}" --require-hashes -r "$lock" && "${by_uv[@]}" --no-deps -e .; then
        return
    fi
    "${by_pip[@]}" --require-hashes -r "$lock"
    "${by_pip[@]}" --no-deps -e .
}

satisfied && exit 0
python=$(interpreter)
if [ ! -x .venv/bin/python ] || ! runs .venv/bin/python || [ "$(head -n 1 "$stamp" 2>/dev/null | cut -d' ' -f2-)" != "${PYTHON:-any} $PWD" ]; then
    echo "making .venv with $("$python" --version)" >&2
    create "$python"
fi
rm -f "$stamp"
echo "installing from $lock" >&2
install
wanted_state >"$stamp"
