#!/bin/sh
# Sees to it that bubblewrap, which builds the walls around functions, is here: installs it where it may
# (Debian), and else says what to do.
set -eu

[ "$(uname -s)" = Linux ] || exit 0
command -v bwrap >/dev/null && exit 0
if [ "$(id -u)" = 0 ] || [ -n "${CI:-}" ]; then # nobody is asked for a password
  echo "no bubblewrap here, installing it" >&2
  "$(dirname "$0")/install-debian.sh" bubblewrap && exit 0
fi
cat >&2 <<'EOF'

bubblewrap builds the walls around functions, and is not installed. On Debian or Ubuntu:

    sudo apt-get install bubblewrap

EOF
exit 1
