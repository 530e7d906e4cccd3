#!/usr/bin/env bash
# Runs the demo: sets up the environment, tunes prompts of the shipped source model to handwritten
# digits, prints a table of metrics and saves pictures of samples.
#   bash launch/demo.sh                                                about five minutes on two cores
#   bash launch/demo.sh --workdir=runs/short --config.num_steps=200    with other settings
# Stop it with Ctrl-C; the same command resumes.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/launcher.sh
. launch/launcher.sh
check_arguments "$@"
bash launch/setup.sh demo
exec "${VPT_GEN_VENV:-.venv}/bin/python" -m vpt_gen.main --config=configs/demo.py --workdir=runs/demo "$@"
