#!/usr/bin/env bash
# Owns the newer servers that tests run beside the distribution's: exact builds from npm, put into .cache/postgres.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache="$here/../../.cache/postgres"

if cmp -s "$here/package-lock.json" "$cache/package-lock.json" &&
  [ -x "$cache/node_modules/postgres-18/native/bin/postgres" ]; then
  echo 'cached'
  exit
fi
mkdir -p "$cache"
cp "$here/package.json" "$here/package-lock.json" "$cache/"
cd "$cache"
npm ci --ignore-scripts --no-audit --no-fund
# Packages of npm carry no symbolic links: these are listed beside the binaries.
for version in 17 18; do
  (cd "node_modules/postgres-$version" && node scripts/hydrate-symlinks.js && native/bin/postgres --version)
done
chmod -R a+rX node_modules
