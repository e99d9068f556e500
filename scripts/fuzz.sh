#!/usr/bin/env bash
# Runs each fuzz test for a while, one after the other. What it finds is left in testdata/fuzz: commit
# it with the fix.
#
#	scripts/fuzz.sh [TIME]
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-10s}
count=0
for package in $(go list ./...); do
  list=$(go test -list '^Fuzz' "$package")
  for name in $(grep '^Fuzz' <<<"$list" || true); do
    echo "$package $name"
    go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "$package"
    count=$((count + 1))
  done
done
[ "$count" -gt 0 ] || { echo "no fuzz tests found" >&2; exit 1; }
echo "$count fuzz tests, $time each"
