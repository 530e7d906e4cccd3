#!/usr/bin/env bash
# Creates the virtual environment .venv (or $VPT_GEN_VENV) and installs this package into it:
#   bash launch/setup.sh demo    with the extras named; the other scripts call it
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/launcher.sh
. launch/launcher.sh
check_arguments "$@"
venv="${VPT_GEN_VENV:-.venv}"
python="${PYTHON:-python3}"

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  fail "$("$python" --version) is too old; set PYTHON to Python 3.11 or newer."
}
stamp="$venv/.installed-$1"
if [ ! -e "$stamp" ] || [ setup.cfg -nt "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
  echo "Installing into $venv (a minute or two) ..."
  # An interrupted first run may leave an environment without pip.
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$venv" || {
    fail "$python cannot create a virtual environment; install its venv module."
  }
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e ".[$1]"
  touch "$stamp"
fi
