#!/bin/sh
# Installs Dokuei from the unpacked bundle, without a network. Run it as root from anywhere; it can be run again.
#
#   install.sh [--prefix /opt/dokuei] [--public-key maker.pub] [--no-service] [--verify-only]
#
# Every file is compared with SHA256SUMS before anything is written: one byte that differs, one file too many or too few,
# and nothing is installed. With --public-key the list itself must carry the maker's signature (Ed25519, PEM).
# Exit status: 0 installed, 1 something failed, 2 wrong use, 3 the bundle is not what its maker made.
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd)
prefix=/opt/dokuei
public_key=
service=yes
verify_only=no

fail() {
  echo "install.sh: $2" >&2
  exit "$1"
}

while [ $# -gt 0 ]; do
  case $1 in
    --prefix) [ $# -gt 1 ] || fail 2 "--prefix needs a folder"; prefix=$2; shift 2 ;;
    --public-key) [ $# -gt 1 ] || fail 2 "--public-key needs a file"; public_key=$2; shift 2 ;;
    --no-service) service=no; shift ;;
    --verify-only) verify_only=yes; shift ;;
    *) fail 2 "option $1 is not known; known: --prefix, --public-key, --no-service, --verify-only" ;;
  esac
done

verify_signature() {
  [ -n "$public_key" ] || return 0
  [ -e "$here/SHA256SUMS.sig" ] || fail 3 "the bundle has no SHA256SUMS.sig; get the signed bundle"
  openssl pkeyutl -verify -pubin -inkey "$public_key" -rawin -in "$here/SHA256SUMS" -sigfile "$here/SHA256SUMS.sig" \
    >/dev/null 2>&1 || fail 3 "SHA256SUMS is not signed by the key in $public_key; do not install this bundle"
}

verify_files() {
  cd "$here"
  sha256sum --check --strict --quiet SHA256SUMS ||
    fail 3 "the files above differ from SHA256SUMS; copy the bundle again and compare its own digest with the maker's"
  listed=$(cut -c 67- SHA256SUMS | LC_ALL=C sort)
  present=$(find . \( -type f -o -type l \) ! -name SHA256SUMS ! -name SHA256SUMS.sig | cut -c 3- | LC_ALL=C sort)
  [ "$listed" = "$present" ] || fail 3 "the bundle holds files that SHA256SUMS does not list; unpack it into an empty folder"
}

find_python() {
  wanted=$(cat "$here/PYTHON")
  for candidate in "python$wanted" python3; do
    found=$(command -v "$candidate" || true)
    [ -n "$found" ] || continue
    [ "$("$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" = "$wanted" ] && python=$found && return 0
  done
  fail 1 "this bundle is for Python $wanted, which is not here; install the Debian package python3 of the same release"
}

# A folder per version: the node that runs keeps its own until it is restarted, and the way back is one link.
install_node() {
  target=$prefix/$(cat "$here/VERSION")
  [ "$(id -u)" -eq 0 ] || [ -w "$(dirname "$prefix")" ] || fail 1 "cannot write $prefix; run it as root"
  rm -rf "$target.new"
  mkdir -p "$prefix"
  # Without pip, which needs another Debian package: the bundle's own installs everything, itself not among it.
  "$python" -m venv --without-pip "$target.new"
  "$python" "$(echo "$here"/wheels/pip-*.whl)/pip" --isolated --python "$target.new/bin/python" install --quiet \
    --no-input --no-index --no-cache-dir --disable-pip-version-check --root-user-action ignore \
    --find-links "$here/wheels" --only-binary :all: --require-hashes --requirement "$here/requirements.txt"
  # Programs that the node never calls, one of them with a known defect (CVE-2026-56445): not on the disk at all.
  rm -rf "$target.new"/lib/python*/site-packages/pynetdicom/apps
  mkdir -p "$target.new/share"
  cp -R "$here/share/." "$target.new/share/"
  ln -s "../lib/python$(cat "$here/PYTHON")/site-packages/service/_packages" "$target.new/share/packages"
  # The scripts of an environment name its folder: put the final one in before it takes its place.
  grep -rlIF "$target.new" "$target.new/bin" "$target.new/pyvenv.cfg" | xargs -r sed -i "s|$target\.new|$target|g"
  rm -rf "$target.old"
  [ ! -e "$target" ] || mv "$target" "$target.old"
  mv "$target.new" "$target"
  rm -rf "$target.old"
  ln -sfn "$target" "$prefix/current"
}

install_service() {
  [ "$service" = yes ] || return 0
  [ "$(id -u)" -eq 0 ] || fail 1 "the service needs root; --no-service installs the program alone"
  [ "$prefix" = /opt/dokuei ] || fail 2 "the unit names /opt/dokuei; use --no-service with another prefix"
  lib=/usr/local/lib
  install -D -m 644 "$here/share/systemd/sysusers.conf" $lib/sysusers.d/dokuei.conf
  install -D -m 644 "$here/share/systemd/tmpfiles.conf" $lib/tmpfiles.d/dokuei.conf
  install -D -m 644 "$here/share/systemd/dokuei.service" $lib/systemd/system/dokuei.service
  rm -f $lib/systemd/system/dokuei.service.d/gpu.conf
  if [ "$(cat "$here/VARIANT")" = gpu ]; then
    install -D -m 644 "$here/share/systemd/gpu.conf" $lib/systemd/system/dokuei.service.d/gpu.conf
  fi
  systemd-sysusers $lib/sysusers.d/dokuei.conf
  systemd-tmpfiles --create $lib/tmpfiles.d/dokuei.conf
  [ -e /etc/dokuei/config.yaml ] ||
    install -m 640 -o root -g dokuei "$here/share/config.yaml" /etc/dokuei/config.yaml
  install -D -m 755 "$here/share/dokuei-command" /usr/local/bin/dokuei
  # Not while a system is set up that does not run, in a container or an image.
  [ ! -d /run/systemd/system ] || systemctl daemon-reload
}

verify_signature
verify_files
[ "$verify_only" = no ] || { echo "Every file is as its maker made it."; exit 0; }
find_python
install_node
install_service
"$prefix/current/bin/dokuei" models check --quick >/dev/null ||
  fail 1 "the model packages do not give their golden results on this machine: $prefix/current/bin/dokuei models check"
echo "Dokuei $(cat "$here/VERSION") ($(cat "$here/VARIANT")) is in $prefix/current; its packages gave their golden results."
