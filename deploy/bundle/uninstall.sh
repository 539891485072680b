#!/bin/sh
# Removes what install.sh has installed. Studies, results and configuration stay, unless --purge says otherwise.
#
#   uninstall.sh [--prefix /opt/dokuei] [--purge]
set -eu

prefix=/opt/dokuei
purge=no
while [ $# -gt 0 ]; do
  case $1 in
    --prefix) prefix=${2:?--prefix needs a folder}; shift 2 ;;
    --purge) purge=yes; shift ;;
    *) echo "uninstall.sh: option $1 is not known; known: --prefix, --purge" >&2; exit 2 ;;
  esac
done
[ "$(id -u)" -eq 0 ] || { echo "uninstall.sh: run it as root" >&2; exit 1; }
case $prefix in
  /*/*) ;;
  *) echo "uninstall.sh: $prefix is no folder of Dokuei's own; the default is /opt/dokuei" >&2; exit 2 ;;
esac

lib=/usr/local/lib
[ ! -d /run/systemd/system ] || systemctl disable --now dokuei.service 2>/dev/null || true
rm -f $lib/systemd/system/dokuei.service $lib/systemd/system/dokuei.service.d/gpu.conf /usr/local/bin/dokuei
rm -f $lib/sysusers.d/dokuei.conf $lib/tmpfiles.d/dokuei.conf
rmdir $lib/systemd/system/dokuei.service.d 2>/dev/null || true
[ ! -d /run/systemd/system ] || systemctl daemon-reload
rm -rf "$prefix"
if [ "$purge" = yes ]; then
  rm -rf /var/lib/dokuei /etc/dokuei
  userdel dokuei 2>/dev/null || true
  echo "Dokuei, its configuration and all its studies and results are gone."
else
  echo "Dokuei is gone. /etc/dokuei and /var/lib/dokuei stay; --purge removes them and the user dokuei too."
fi
