#!/usr/bin/env bash
# Makes a Python environment of exactly the packages that a file pins: python_env.sh VENV REQUIREMENTS
#
# Does nothing if VENV holds them already. The file pins every package, those that others need and build with included:
# nothing is resolved. Packages are installed a few at a time and no download is kept, for the disk's sake.
set -euo pipefail

venv=$1 pins=$2
# Written last: an installation that was interrupted is made anew.
ready="$venv/installed-requirements.txt"
cmp --quiet "$pins" "$ready" && exit

echo "installing the packages of $pins into $venv" >&2
python3 -m venv --clear "$venv"
grep --invert-match '^#' "$pins" | xargs --max-args=4 \
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile --no-deps \
    --no-build-isolation
cp "$pins" "$ready"
