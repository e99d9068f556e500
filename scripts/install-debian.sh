#!/bin/sh
# Installs Debian packages, as root or through sudo; fails with what to do where neither works.
#
#	scripts/install-debian.sh PACKAGE…
set -eu

fail() {
  echo "$1; install by hand: $packages" >&2
  exit 1
}

packages="$*"
command -v apt-get >/dev/null || fail "there is no apt-get here"
if [ "$(id -u)" = 0 ]; then
  sudo=
else
  command -v sudo >/dev/null || fail "this needs root, and there is no sudo"
  sudo=sudo
fi
export DEBIAN_FRONTEND=noninteractive
{
  $sudo apt-get update -q
  # shellcheck disable=SC2086
  $sudo apt-get install -q -y --no-install-recommends $packages
} >&2 </dev/null || fail "apt-get could not install $packages"
