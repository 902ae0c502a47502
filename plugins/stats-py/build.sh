#!/bin/sh
# Builds this plugin: build.sh OUT.wasm
#
# Ends with 69 (EX_UNAVAILABLE) and one line on stderr when the toolchain is not installed. The packages that
# requirements.txt pins are installed into .venv beside it, again only when requirements.txt has changed.
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

if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
  echo "stats-py needs Python 3.10 or newer with venv: https://python.org, or your system's packages python3 and python3-venv" >&2
  exit 69
fi

if ! cmp -s requirements.txt .venv/installed-requirements.txt; then
  echo "stats-py: installing the Python toolchain (once, about 75 MB)"
  rm -rf .venv
  python3 -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
  cp requirements.txt .venv/installed-requirements.txt
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/wit"
cp -R ../../wit/*.wit ../../wit/deps "$work/wit"

echo "stats-py: building the component (about 10 seconds)"
.venv/bin/componentize-py --quiet --wit-path "$work/wit" --world endpoint-quoting \
  componentize --python-path . app --output "$work/plugin.wasm"
# In one step, so that a host that watches the folder never sees half of it.
mkdir -p "$(dirname "$out")"
cp "$work/plugin.wasm" "$out.part"
mv "$out.part" "$out"
