#!/usr/bin/env bash
# Sets up the environment and runs all checks: lint, format, types, tests.
#   bash launch/test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/launcher.sh
. launch/launcher.sh
check_arguments "$@"
bash launch/setup.sh test
bin="${VPT_GEN_VENV:-.venv}/bin"
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"
# Each test file runs in one process, because its tests share fixtures; tests/conftest.py orders them.
exec "$bin/python" -m pytest -n auto --maxprocesses=4 --dist loadfile --no-loadscope-reorder "$@"
