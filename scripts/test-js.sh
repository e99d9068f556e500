#!/usr/bin/env bash
# Runs every JavaScript test of the repository but the browser's, which needs a hub: internal/e2e.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t tests < <(find nodebridge/js public scripts -name node_modules -prune -o \
  \( -name '*.test.js' -o -name '*.test.mjs' \) -print | sort)
[ "${#tests[@]}" -gt 0 ] || { echo "no JavaScript tests found" >&2; exit 1; }
# Node 20 prints another format where there is no terminal.
export NODE_OPTIONS="--test-reporter=spec ${NODE_OPTIONS:-}"
node --test "${tests[@]}"
node scripts/test-samples.mjs
