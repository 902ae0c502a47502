#!/bin/sh
# Builds this plugin: build.sh OUT.wasm
#
# Ends with 69 (EX_UNAVAILABLE) and one line on stderr when Python is not installed. The tool that makes the component is
# installed into the user's cache, once.
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

if ! command -v python3 >/dev/null; then
  echo "stats-py needs Python 3.10 or newer: https://python.org, or your system's package python3" >&2
  exit 69
fi

exec python3 ../../sdk/python/build.py --source app.py --out "$out" --wit ../../wit --sdk ../../sdk/python \
  --cache "${XDG_CACHE_HOME:-$HOME/.cache}/coinslot/python"
