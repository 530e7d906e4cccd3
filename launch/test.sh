#!/usr/bin/env bash
# Sets everything up and runs the checks: lint, format, types, tests.
#   bash launch/test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
bash launch/setup.sh test
bin="${VPT_GEN_VENV:-.venv}/bin"
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"
# Files go whole to one of the processes, for the sake of what their tests share.
exec "$bin/python" -m pytest -n auto --maxprocesses=4 --dist loadfile "$@"
