#!/bin/sh
# Builds this plugin: build.sh OUT.wasm
#
# Ends with 69 (EX_UNAVAILABLE) and one line on stderr when the toolchain is not installed. The packages that
# package.json pins are installed into node_modules beside it, again only when package.json has changed.
set -eu

if [ $# -ne 1 ]; then
  echo "usage: $0 OUT.wasm" >&2
  exit 64
fi
case $1 in
  /*) out=$1 ;;
  *) out=$PWD/$1 ;;
esac
case $0 in
  */*) cd "${0%/*}" ;;
esac

version=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null) || version=0
if [ "$version" -lt 20 ] || ! command -v npm >/dev/null; then
  echo "text-js needs Node.js 20 or newer with npm: https://nodejs.org, or your system's packages nodejs and npm" >&2
  exit 69
fi

if ! cmp -s package.json node_modules/.installed-package.json; then
  echo "text-js: installing the JavaScript toolchain (once, about 340 MB)"
  npm install --no-audit --no-fund --no-package-lock --loglevel=error
  cp package.json node_modules/.installed-package.json
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# StarlingMonkey serves `fetch` events through wasi:http 0.2.10, and wants that very number in the WIT. A host
# links every 0.2 version.
mkdir "$work/wit"
cp -R ../../wit/*.wit ../../wit/deps "$work/wit"
find "$work/wit" -name '*.wit' -exec sed -i.bak 's/0\.2\.12/0.2.10/g' {} +

echo "text-js: building the component (about 20 seconds)"
node_modules/.bin/jco componentize plugin.js --bundle \
  --wit "$work/wit" --world-name endpoint-quoting --out "$work/plugin.wasm"
# In one step, so that a host that watches the folder never sees half of it.
mkdir -p "$(dirname "$out")"
cp "$work/plugin.wasm" "$out.part"
mv "$out.part" "$out"
