#!/bin/bash
# Installs the Debian packages that the testbed and its images need on this machine, and those that are named. Safe to repeat; does
# nothing where all is there.
set -eu
packages=(python3-venv postgresql chromium prometheus mmdebstrap iproute2 util-linux mount procps squashfs-tools ca-certificates "$@")
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

fail() { echo "setup: $1" >&2; exit 3; }
command -v apt-get >/dev/null || fail "this machine is no Debian: install the equivalents of ${missing[*]} yourself and run again."
[ "$(id -u)" = 0 ] || fail "the packages ${missing[*]} are missing and installing them needs root: sudo apt-get install ${missing[*]}"
echo "setup: installing ${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 && exit 0
tail -n 5 "$log" >&2
fail "apt-get could not install ${missing[*]}: see the lines above; check the package mirror and the disk, then run again."
