#!/usr/bin/env bash
# Installs what boots and builds whole systems for `make deploy-test` (Debian, root).
set -euo pipefail

declare -A package_of=(
  [debootstrap]=debootstrap [systemd-nspawn]=systemd-container [buildah]=buildah [crun]=crun [strace]=strace
  [storescu]=dcmtk [Orthanc]=orthanc
)
missing=()
for command in "${!package_of[@]}"; do
  command -v "$command" >/dev/null || missing+=("${package_of[$command]}")
done
[ "${#missing[@]}" -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "The tests of installations need root on Debian, and these packages: ${missing[*]}" >&2
  exit 1
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
