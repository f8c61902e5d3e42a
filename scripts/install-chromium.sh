#!/usr/bin/env bash
# Installs Chromium from the distribution's packages, unless $CHROMIUM or /usr/bin/chromium is there.
set -euo pipefail
chromium="${CHROMIUM:-/usr/bin/chromium}"
if [ -x "$chromium" ]; then
  echo "Chromium: $chromium"
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "No Chromium at $chromium and no apt-get; install it and set CHROMIUM to its path" >&2
  exit 1
fi
as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo -n"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q
$as_root apt-get install -q -y --no-install-recommends chromium
