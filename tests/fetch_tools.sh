#!/usr/bin/env bash
# Brings the programs that some tests drive (Prometheus and promtool) into FOLDER where the machine lacks them.
# Debian's package is unpacked, not installed: no service starts and nothing outside FOLDER changes.
set -euo pipefail
folder=$1
if command -v prometheus >/dev/null && command -v promtool >/dev/null; then exit 0; fi
if [ -x "$folder/usr/bin/promtool" ]; then exit 0; fi
if ! command -v apt-get >/dev/null; then
  echo "prometheus and promtool are not here and this is no Debian: their tests will be skipped" >&2
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# a new machine has no package lists yet
apt-get download prometheus >/dev/null 2>&1 || { [ "$(id -u)" = 0 ] && apt-get update -qq >/dev/null && apt-get download prometheus >/dev/null 2>&1; } ||
  { echo "prometheus cannot be downloaded: its tests will be skipped" >&2; exit 0; }
mkdir -p "$folder"
dpkg -x prometheus_*.deb "$folder"
