#!/usr/bin/env bash
# The main job on the embedded default: sets everything up, tunes prompts of the shipped source
# model to handwritten digits, prints a table and draws what it generates.
#   bash launch/demo.sh                          about five minutes on two cores
#   bash launch/demo.sh --workdir=runs/short --config.num_steps=200    or another one
# Ctrl-C stops it; the same command goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
bash launch/setup.sh demo
exec "${VPT_GEN_VENV:-.venv}/bin/python" -m vpt_gen.main --config=configs/demo.py --workdir=runs/demo "$@"
