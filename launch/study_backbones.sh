#!/usr/bin/env bash
# Compares kinds of nets at equal compute: trains a small TiTok, pretrains a small net of each kind on
# the demo's source, tunes prompts of each to handwritten digits, and writes docs/study_backbones.md.
#   bash launch/study_backbones.sh                          hours on one core
#   bash launch/study_backbones.sh --config.seeds='(0,)'    with flags of vpt_gen.study
# Stop it with Ctrl-C; the same command resumes.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/launcher.sh
. launch/launcher.sh
check_arguments "$@"
bash launch/setup.sh demo
bash launch/fetch.sh grey downloads
python="${VPT_GEN_VENV:-.venv}/bin/python"
run() { echo "== python -m $*" && "$python" -m "$@"; }

run vpt_gen.main --config=configs/small_tokenizer.py --workdir=runs/small/titok
for net in maskgit gpt halton_maskgit llamagen rar titok_maskgit; do
  run vpt_gen.main --config="configs/small_source.py:$net" --workdir="runs/small/$net"
done
run vpt_gen.study --config=configs/study_backbones.py --page=docs/study_backbones.md "$@"
