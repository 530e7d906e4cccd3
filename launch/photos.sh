#!/usr/bin/env bash
# Retrains the photos source: fetches its images, trains its nets, packs them for shipping, and tunes
# prompts to image sets that they have never seen.
#   bash launch/photos.sh            a day on two cores; the same command resumes
#   bash launch/photos.sh --quick    half an hour on one core: every step, too short for good results
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/launcher.sh
. launch/launcher.sh
check_arguments "$@"

quick=
[ "${1:-}" = --quick ] && quick=yes && shift
[ $# -eq 0 ] || fail "unknown argument $1; photos.sh takes only --quick."

runs=runs assets=vpt_gen/assets/photos samples=10 shots=(2 5 10 20)
features=() tokenizer=() decoder=() tuning=()
# For time: held-out loss still falls after these.
transformer=(--config.num_steps=16000)
if [ "$quick" ]; then
  runs=runs/quick assets=runs/quick/photos samples=2 shots=(5)
  short=(--config.eval_every=0 --config.checkpoint_every=0 --config.num_steps=60)
  warm=(--config.optimizer.warmup_steps=20)
  features=("${short[@]}" "${warm[@]}")
  tokenizer=("${short[@]}" --config.losses.quantizer_start=20)
  decoder=("${short[@]}")
  transformer=("${short[@]}" "${warm[@]}" --config.data.cache_views=1)
  tuning=("${short[@]}" --config.num_steps=30 --config.data.cache_views=1
    --config.evaluation.num_samples=50)
fi

bash launch/setup.sh demo
bash launch/fetch.sh photos downloads
bash launch/fetch.sh targets downloads
python="${VPT_GEN_VENV:-.venv}/bin/python"
run() { echo "== python -m $*" && "$python" -m "$@"; }

# The classifier, whose features the decoder's training uses: on sharp images, then also damaged ones.
run vpt_gen.main --config=configs/photos_features.py:sharp \
  --workdir="$runs/photos_features_sharp" "${features[@]}"
run vpt_gen.main --config=configs/photos_features.py --workdir="$runs/photos_features" \
  --config.start_from="$runs/photos_features_sharp/net" "${features[@]}"

# The tokenizer, then its decoder alone: tokens stay.
run vpt_gen.main --config=configs/photos_tokenizer.py --workdir="$runs/photos_tokenizer" \
  "${tokenizer[@]}"
run vpt_gen.main --config=configs/photos_decoder.py --workdir="$runs/photos_decoder" \
  --config.losses.keep_tokens="$runs/photos_tokenizer/net" \
  --config.losses.perceptual_weights="$runs/photos_features/net" "${decoder[@]}"

for net in transformer transformer_ar; do
  run vpt_gen.main --config="configs/photos_$net.py" --workdir="$runs/photos_$net" \
    --config.backbone.tokenizer="$runs/photos_decoder/net" \
    --config.data.cache_dir="$runs/photos_tokens" "${transformer[@]}"
done
run vpt_gen.packing.ship --family=photos --runs="$runs" --output="$assets"

# Reconstructions of the tokenizer, and samples of the transformers without prompts.
run vpt_gen.reconstruct --config=configs/photos_tokenizer.py --tokenizer="$assets/tokenizer" \
  --output="$runs/photos_shown/source"
for set in stamps fashion; do
  run vpt_gen.reconstruct --images="downloads/targets/$set" --tokenizer="$assets/tokenizer" \
    --output="$runs/photos_shown/$set"
done
for net in transformer transformer_ar; do
  run vpt_gen.preview --tokenizer="$assets/tokenizer" --transformer="$assets/$net" --classes=all \
    --num="$samples" --set=batch_size=50 --set=guidance=1 \
    --output="$runs/photos_shown/$net.png" --folder="$runs/photos_shown/$net"
  run vpt_gen.evaluate --images="$runs/photos_shown/$net" --config="configs/photos_$net.py" \
    --features=photos
done

# Prompts for image sets that the source has never seen.
for set in stamps fashion; do
  for few in "${shots[@]}"; do
    for family in nar ar; do
      run vpt_gen.main --config="configs/fewshot_$set.py:$family" --config.data.shots="$few" \
        --workdir="$runs/${set}_${family}_$few" --config.backbone.tokenizer="$assets/tokenizer" \
        --config.backbone.transformer="$assets/$([ $family = nar ] && echo transformer || echo transformer_ar)" \
        "${tuning[@]}"
    done
  done
done
