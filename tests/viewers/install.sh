#!/usr/bin/env bash
# Installs the viewers that tests/viewers looks at our results with, as package-lock.json pins it, into build/viewers.
set -euo pipefail
cd "$(dirname "$0")"
target=../../build/viewers

cmp -s package-lock.json "$target/package-lock.json" && [ -e "$target/installed" ] && exit 0
if ! command -v npm >/dev/null; then
  echo "The tests of viewers need OHIF and dwv from npm, and there is no npm. Install Node.js (Debian: apt-get install npm)." >&2
  exit 1
fi
echo "Installing OHIF and dwv into build/viewers"
rm -rf "$target"
mkdir -p "$target"
cp package.json package-lock.json "$target"
if ! npm ci --prefix "$target" --ignore-scripts --no-audit --no-fund --loglevel error; then
  echo "The tests of viewers need OHIF and dwv, and npm could not fetch them: is the npm registry reached from here?" >&2
  exit 1
fi
touch "$target/installed"
