#!/bin/sh
# Prints where Chromium is, and installs it first where there is none (Debian). Everything else it
# has to say goes to stderr.
set -eu

find_chromium() {
  for name in chromium google-chrome google-chrome-stable; do
    if command -v "$name"; then return 0; fi
  done
  return 1
}

if [ -n "${LIVEFN_CHROMIUM:-}" ]; then
  [ -x "$LIVEFN_CHROMIUM" ] || { echo "LIVEFN_CHROMIUM=$LIVEFN_CHROMIUM is not a program" >&2; exit 1; }
  echo "$LIVEFN_CHROMIUM"
  exit 0
fi
find_chromium && exit 0
echo "no Chromium here, installing it" >&2
"$(dirname "$0")/install-debian.sh" chromium
find_chromium || { echo "chromium was installed, but is not in the PATH" >&2; exit 1; }
