#!/usr/bin/env bash
# Installs the real peers that the tests talk to. Debian and Ubuntu; elsewhere install them by hand.
set -euo pipefail

declare -A package_of=(
  [Orthanc]=orthanc [storescu]=dcmtk [dciodvfy]=dicom3tools [zstd]=zstd [strace]=strace [promtool]=prometheus
  [amtool]=prometheus-alertmanager
  [cc]="gcc libc6-dev" [ip]=iproute2 [rsyslogd]="rsyslog rsyslog-gnutls"
  [curl]=curl [openssl]=openssl [pg_ctl]=postgresql [pdftotext]=poppler-utils [shellcheck]=shellcheck [qpdf]=qpdf [chromium]=chromium [npm]=npm
)
PATH="$PATH:$(printf '%s:' /usr/lib/postgresql/*/bin)" # Debian puts pg_ctl nowhere else
missing=()
# A plugin has no command; the node's DICOMweb side is tested against it.
[ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] || missing+=(orthanc-dicomweb)
[ -e /usr/share/orthanc/plugins/libOrthancWebViewer.so ] || missing+=(orthanc-webviewer)
# A browser without it shows Japanese as boxes in the pictures of the status page.
[ -e /usr/share/fonts/opentype/ipafont-gothic/ipag.ttf ] || missing+=(fonts-ipafont-gothic)
# The one validator that knows the templates of CAD reports; a library that Java runs.
[ -e /usr/share/java/pixelmed.jar ] || missing+=(libpixelmed-java)
command -v java >/dev/null || missing+=(default-jre-headless)
for command in "${!package_of[@]}"; do
  # shellcheck disable=SC2206  # one program may need two packages
  command -v "$command" >/dev/null || missing+=(${package_of[$command]})
done
[ "${#missing[@]}" -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "The tests need these programs, and this system has no apt-get: ${missing[*]}. Install them and try again." >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "The tests need Debian packages that are not installed: ${missing[*]}" >&2
  echo "Run once: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
echo "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# No package shall start its daemon: Orthanc's would take port 4242, where the tests' own may run.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
