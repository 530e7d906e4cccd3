#!/usr/bin/env bash
# Retrains the color source: fetches its images, trains its nets, packs them for shipping, and tunes
# prompts to image sets that they have never seen.
#   bash launch/color.sh            hours on two cores; the same command resumes
#   bash launch/color.sh --quick    25 minutes on one core: every step, too short for good results
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/launcher.sh
. launch/launcher.sh
check_arguments "$@"

quick=
[ "${1:-}" = --quick ] && quick=yes && shift
[ $# -eq 0 ] || fail "unknown argument $1; color.sh takes only --quick."

runs=runs assets=vpt_gen/assets/color samples=10 shots=(2 5 10 20)
tokenizer=() transformer=() tuning=()
if [ "$quick" ]; then
  runs=runs/quick assets=runs/quick/color samples=2 shots=(5)
  short=(--config.eval_every=0 --config.checkpoint_every=0 --config.data.cache_views=1)
  tokenizer=("${short[@]}" --config.num_steps=60 --config.losses.quantizer_start=20
    --config.losses.adversarial_start=50)
  transformer=("${short[@]}" --config.num_steps=60 --config.optimizer.warmup_steps=20)
  tuning=("${short[@]}" --config.num_steps=30 --config.evaluation.num_samples=50)
fi

bash launch/setup.sh demo
bash launch/fetch.sh color downloads
bash launch/fetch.sh targets downloads
python="${VPT_GEN_VENV:-.venv}/bin/python"
run() { echo "== python -m $*" && "$python" -m "$@"; }

run vpt_gen.main --config=configs/color_tokenizer.py --workdir="$runs/color_tokenizer" "${tokenizer[@]}"
for net in transformer transformer_ar; do
  run vpt_gen.main --config="configs/color_$net.py" --workdir="$runs/color_$net" \
    --config.backbone.tokenizer="$runs/color_tokenizer/net" \
    --config.data.cache_dir="$runs/color_tokens" "${transformer[@]}"
done
run vpt_gen.packing.ship --family=color --runs="$runs" --output="$assets"

# Reconstructions of the tokenizer, and samples of the transformers without prompts.
run vpt_gen.reconstruct --config=configs/color_tokenizer.py --tokenizer="$assets/tokenizer" \
  --output="$runs/color_shown/source"
for set in stamps cifar10 fashion; do
  run vpt_gen.reconstruct --images="downloads/targets/$set" --image_size=64 \
    --tokenizer="$assets/tokenizer" --output="$runs/color_shown/$set"
done
for net in transformer transformer_ar; do
  run vpt_gen.preview --tokenizer="$assets/tokenizer" --transformer="$assets/$net" --classes=all \
    --num="$samples" --set=batch_size=50 --output="$runs/color_shown/$net.png" \
    --folder="$runs/color_shown/$net"
  run vpt_gen.evaluate --images="$runs/color_shown/$net" --config="configs/color_$net.py" \
    --config.backbone.tokenizer="$assets/tokenizer" --features=tokenizer
done

# Prompts for image sets that the source has never seen.
for set in stamps cifar10 fashion; do
  for few in "${shots[@]}"; do
    for family in nar ar; do
      run vpt_gen.main --config="configs/fewshot_$set.py:$family" --config.data.shots="$few" \
        --workdir="$runs/${set}_${family}_$few" --config.backbone.tokenizer="$assets/tokenizer" \
        --config.backbone.transformer="$assets/$([ $family = nar ] && echo transformer || echo transformer_ar)" \
        "${tuning[@]}"
    done
  done
done
