# Sourced by the steps: where the tools are, and which.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export MQT_TOOLS=${MQT_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/mqt-tools}
export PATH=$MQT_TOOLS/bin:/usr/sbin:$PATH
export NODE_PATH=$MQT_TOOLS/node_modules

# verdict LOG shows the log of "go test -v" without what passed, and fails on a skipped test: in CI everything is there
# that a test can need.
verdict() {
  grep -vE '^(=== |PASS$)|^ *--- PASS' "$1" || true
  if grep -E '^ *--- SKIP' "$1" >&2; then
    echo "skipped tests do not count as passed here" >&2
    return 1
  fi
}
