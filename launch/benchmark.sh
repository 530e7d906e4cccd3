#!/usr/bin/env bash
# Measures all that docs/benchmark.md has a table of, on this machine's GPU or TPU: published sizes with random
# weights, in bfloat16, and the time from git clone to the first image.
#   bash launch/benchmark.sh --extra=cuda    on a GPU; --extra=tpu on a TPU
#   bash launch/benchmark.sh --small         the demo's sizes in float32, on any machine: to try the command
#   --output=FOLDER                          for tables and measurements (benchmarks)
#   --dry_run                                prints the commands
# Stop it with Ctrl-C; the same command resumes with the next table.

set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/launcher.sh
. launch/launcher.sh
check_arguments "$@"
extra=demo output=benchmarks small=
parse_flags "extra output" small "$@"
[ -n "$small" ] || [ "$extra" != demo ] || fail "name what to measure: --extra=cuda, --extra=tpu, or --small for a CPU."
venv="${VPT_GEN_VENV:-.venv}"

# table NAME FLAG...: writes NAME.txt and NAME.json, unless they exist.
table() {
  local name="$output/$1" shown=/dev/null
  shift
  if [ -z "$dry_run" ]; then
    [ ! -e "$name.json" ] || return 0
    shown="$name.txt"
  fi
  note "$name.txt"
  run "$venv/bin/python" -m vpt_gen.benchmark "$@" --output="$name.json" | tee "$shown"
}

# first_image: clones this repository, runs its demo, and writes how long the first picture took.
first_image() {
  local file="$output/first_image.txt" clone start
  [ -n "$dry_run" ] || [ ! -e "$file" ] || return 0
  note "$file: from git clone to the demo's first picture"
  [ -z "$dry_run" ] || return 0
  clone="$(mktemp -d)/vpt_gen"
  start=$SECONDS
  git clone --quiet . "$clone"
  (unset VPT_GEN_VENV && cd "$clone" && bash launch/setup.sh "$extra" && exec bash launch/demo.sh) >"$output/first_image.log" 2>&1 &
  until compgen -G "$clone/runs/demo/pictures/*.png" >/dev/null; do
    kill -0 $! 2>/dev/null || fail "the demo ended without a picture; see $output/first_image.log."
    sleep 1
  done
  echo "first picture after $((SECONDS - start)) s" >"$file.partial"
  wait $!
  echo "the demo's end after $((SECONDS - start)) s" >>"$file.partial"
  mv "$file.partial" "$file" && cat "$file" && rm -rf "${clone%/vpt_gen}"
}

run bash launch/setup.sh "$extra"
run mkdir -p "$output"
if [ -n "$small" ]; then
  table steps --size=demo --what=tune,gradient,forward,tokenize,detokenize --batch=8 --repeat=3
  table decoding --size=demo --what=decode --decoders=confidence,masked,frontier --batch=8 --repeat=3
  table autoregressive --size=demo_ar --what=decode --batch=8 --repeat=3
  table edits --size=demo --what=edit --repeat=3
  table growth --size=demo --what=growth --repeat=3
else
  table steps --size=maskgit256 --what=tune,gradient,forward,tokenize,detokenize --batch=64 --dtype=bfloat16
  table decoding --size=maskgit256 --what=decode --decoders=confidence,masked,frontier --batch=64 --dtype=bfloat16
  table titok --size=titok_l32 --what=tune,decode --alone --batch=64 --dtype=bfloat16
  table halton --size=halton_base --what=decode --decoders=halton_released --num_iterations=32 --guidance=0.7 --batch=64 --dtype=bfloat16
  for size in taming24x1024 cin; do
    table "$size" --size="$size" --what=decode --alone --dtype=bfloat16
  done
  for batch in 1 8 64; do
    table "llamagen_l_$batch" --size=llamagen_l --what=decode --guidance=1 --batch="$batch" --dtype=bfloat16
  done
  table edits --size=maskgit256 --what=edit --batch=8 --dtype=bfloat16
  table growth --size=demo --what=growth --dtype=bfloat16
fi
first_image
