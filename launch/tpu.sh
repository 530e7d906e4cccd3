#!/usr/bin/env bash
# Trains on a Cloud TPU slice, on all of its workers (gcloud must be installed and logged in):
#   bash launch/tpu.sh run --zone=us-east5-a --accelerator=v5p-128 --spot --queued \
#     --config=configs/maskgit256.py --workdir=gs://my-bucket/runs/mine \
#     --shared=gs://my-bucket --config.data.path=/shared/images --config.data.cache_dir=/shared/tokens \
#     --config.backbone.tokenizer=/shared/weights/maskgit256_tokenizer \
#     --config.backbone.transformer=/shared/weights/maskgit256_transformer
#
# Commands
#   run        all of it: create, install, start, log; anew after a preemption, until it has finished.
#              Ctrl-C leaves the training running, and the same command follows it again.
#   create, install, start, log, stop, delete    one step of it; stop saves and ends the training
#   status     of the slice and of the training on it
#
# Flags
#   --zone=ZONE              zone of the slice (or the variable CLOUDSDK_COMPUTE_ZONE)
#   --accelerator=TYPE       v4-8, v5litepod-16, v5p-128, ...: cores of v2 to v5p, chips of v5e and v6e
#   --name=NAME              of the slice (vpt-gen)
#   --project=PROJECT        gcloud's own setting where it is not given
#   --runtime_version=NAME   software of the slice; follows from the accelerator
#   --spot                   cheaper, and may be taken away at any time
#   --queued                 ask by a queued resource, which waits until there is room
#   --shared=WHAT            mounted as /shared on every worker: a bucket (gs://NAME) or an NFS export
#                            (HOST:/PATH), for data, token cache and weights
#   --poll=SECONDS           between two looks at a slice that is not ready, or out of reach (30)
#   --dry_run                print the commands, do nothing
#   --config=, --workdir=, --config.FIELD=    the training's own; the workdir is in a bucket or /shared

set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/launcher.sh
. launch/launcher.sh

zone="${CLOUDSDK_COMPUTE_ZONE:-}"
accelerator=
name=vpt-gen
project=
runtime_version=
spot=
queued=
shared=
poll=30
attempts=5 # in a row to reach a slice that calls itself ready
had_slice= # once there was one, a lack of room is waited out

tpus() { # GROUP COMMAND ARGUMENT...: of gcloud
  run gcloud compute tpus "$@" --zone="$zone" ${project:+--project="$project"}
}

on_worker() { # WORKER COMMAND: WORKER is a number, or all
  tpus tpu-vm ssh "$name" --worker="$1" --command="$2"
}

# What the workers run is worker.sh, in the folder that `install` made.
worker() { # WORKER ACTION ARGUMENT...
  local where="$1"
  shift
  on_worker "$where" "bash vpt_gen/launch/worker.sh $(quoted "$@")"
}

# check_accelerator: a type that there is; the software of the slice follows from it.
check_accelerator() {
  local size="${accelerator##*-}" sizes=''
  [ -z "$runtime_version" ] || return 0 # Whoever names it knows what is newer than this.
  case "$accelerator" in
    v[234]-*) runtime_version=tpu-ubuntu2204-base ;;
    v5litepod-*) runtime_version=v2-alpha-tpuv5-lite sizes=" 1 4 8 16 32 64 128 256 " ;;
    v5p-*) runtime_version=v2-alpha-tpuv5 ;;
    v6e-*) runtime_version=v2-alpha-tpuv6e sizes=" 1 4 8 16 32 64 128 256 " ;;
    v5e-*) fail "no accelerator $accelerator; Cloud TPU calls it v5litepod-$size." ;;
    "") fail "no --accelerator given; name a type such as v4-8, v5litepod-16 or v5p-128." ;;
    *) fail "accelerator $accelerator is not known; mend it (v5p-128, say) or add --runtime_version." ;;
  esac
  case "$sizes" in
    "") [[ "$size" =~ ^[1-9][0-9]*$ ]] && ((size % 8 == 0)) && return ;;
    *" $size "*) return ;;
  esac
  fail "no accelerator $accelerator: its size must be ${sizes:-a multiple of 8}${sizes:+(chips)}."
}

slice_state() { # nothing where there is no slice
  if [ -n "$queued" ]; then
    tpus queued-resources describe "$name" --format='value(state.state)' 2>/dev/null || true
  else
    tpus tpu-vm describe "$name" --format='value(state)' 2>/dev/null || true
  fi
}

training_state() { # see worker.sh; nothing where worker 0 is out of reach
  worker 0 status 2>/dev/null | tail -n 1 || true
}

create() {
  note "Creating the slice $name ($accelerator in $zone)."
  if [ -n "$queued" ]; then
    tpus queued-resources create "$name" --node-id="$name" --accelerator-type="$accelerator" \
      --runtime-version="$runtime_version" ${spot:+--spot}
  else
    tpus tpu-vm create "$name" --accelerator-type="$accelerator" --version="$runtime_version" \
      ${spot:+--spot}
  fi
}

delete() {
  note "Deleting the slice $name."
  if [ -n "$queued" ]; then
    tpus queued-resources delete "$name" --force --quiet
  else
    tpus tpu-vm delete "$name" --quiet
  fi
}

install() {
  local bundle="${TMPDIR:-/tmp}/vpt_gen-$name.tar.gz"
  note "Installing on all workers."
  run tar --exclude=__pycache__ -czf "$bundle" LICENSE README.md pyproject.toml setup.cfg configs \
    launch vpt_gen &&
    tpus tpu-vm scp "$bundle" "$name:vpt_gen.tar.gz" --worker=all &&
    on_worker all "mkdir -p vpt_gen && tar -xzf vpt_gen.tar.gz -C vpt_gen" &&
    worker all install &&
    { [ -z "$shared" ] || worker all mount "$shared"; }
}

start() {
  note "Starting on all workers: python -m vpt_gen.main $(quoted "${training[@]}") --distributed"
  worker all start "${training[@]}" --distributed
}

# provide: waits until there is a slice, and makes one where there is none.
provide() {
  local state
  while :; do
    state="$(slice_state)"
    case "$state" in
      READY | ACTIVE) return ;;
      PREEMPTED | TERMINATED | SUSPENDED)
        note "The slice was taken away (it is $state)."
        delete || true
        ;;
      "")
        # There may be no room for a slice in place of one that was taken away: then it is asked again.
        if create; then continue; fi
        [ -n "$had_slice" ] || fail "gcloud could not create the slice; it says why above."
        ;;
      FAILED | STOPPED | STOPPING | HIDDEN | HIDING)
        fail "the slice $name is $state; see bash launch/tpu.sh status, then delete it."
        ;;
      *) note "The slice is $state." ;;
    esac
    sleep "$poll"
  done
}

run_all() {
  local result lost=0
  while :; do
    provide
    had_slice=yes
    if [ "$(training_state)" = running ] || { install && start; }; then worker 0 follow || true; fi
    result="$(training_state)"
    case "$result" in
      0)
        note "Finished; bash launch/tpu.sh delete ends the costs."
        return
        ;;
      stopped) fail "the training was stopped; the same command goes on from its last checkpoint." ;;
      running) continue ;; # Only the connection broke.
      143 | interrupted) note "The training was interrupted; it goes on from its last checkpoint." ;;
      "" | none)
        lost=$((lost + 1))
        [ "$lost" -lt "$attempts" ] || fail "the slice $name cannot be reached; see what gcloud says above."
        sleep "$poll"
        continue
        ;;
      *)
        echo "error: the training ended with exit code $result; its log above says why." >&2
        exit "$result"
        ;;
    esac
    lost=0
  done
}

show_plan() { # the dry run of run_all
  create
  note "When it is READY (queued: ACTIVE) by"
  if [ -n "$queued" ]; then
    tpus queued-resources describe "$name" --format='value(state.state)'
  else
    tpus tpu-vm describe "$name" --format='value(state)'
  fi
  install
  start
  note "Following the log, and then how it ended."
  worker 0 follow
  worker 0 status
  note "If the slice was PREEMPTED (queued: SUSPENDED), all of it again from here on; if only the"
  note "training was interrupted, from the installation on. When it has finished:"
  delete
}

action="${1:-}"
case "$action" in
  --help | -h | help) show_help ;;
  run | create | install | start | log | stop | status | delete) shift ;;
  *) fail "name a command first (run, create, install, start, log, stop, status, delete); see bash $0 --help." ;;
esac
parse_flags "zone accelerator name project runtime_version shared poll" "spot queued" "$@"
[ -n "$zone" ] || fail "no --zone given; name the zone of the slice, such as us-east5-a."
case "$action" in run | create) check_accelerator ;; esac
case "$action" in run | start) check_training && check_shared_workdir "$shared" ;; esac
need gcloud "install the Google Cloud CLI (https://cloud.google.com/sdk/docs/install)."

case "$action" in
  run) if [ -n "$dry_run" ]; then show_plan; else run_all; fi ;;
  create | install | start | delete) "$action" ;;
  log) worker 0 follow ;;
  stop) worker all stop ;;
  status)
    slice_state
    training_state
    ;;
esac
