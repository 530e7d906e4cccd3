#!/usr/bin/env bash
# Trains, samples or evaluates on a Cloud TPU slice, on all of its workers (gcloud must be installed and
# logged in):
#   bash launch/tpu.sh run --zone=us-east5-a --accelerator=v5p-128 --spot --queued \
#     --config=configs/folder.py:maskgit256 --workdir=gs://my-bucket/runs/mine \
#     --shared=gs://my-bucket --config.data.path=/shared/images --config.data.cache_dir=/shared/tokens \
#     --config.backbone.tokenizer=/shared/weights/maskgit256_tokenizer \
#     --config.backbone.transformer=/shared/weights/maskgit256_transformer
#   bash launch/tpu.sh run --zone=us-east5-a --accelerator=v5p-128 --program=sample -- \
#     --checkpoint=gs://my-bucket/runs/mine --num=1000
#
# Commands
#   run        all steps: create, install, start, log; again after a preemption, until the program
#              ends. Ctrl-C leaves the program running, and the same command follows it again.
#   create, install, start, log, stop, delete    a single step; stop saves and ends the program
#   status     shows the status of the slice and of its program
#
# Flags
#   --zone=ZONE              zone of the slice (or the variable CLOUDSDK_COMPUTE_ZONE)
#   --accelerator=TYPE       v4-8, v5litepod-16, v5p-128, ...: cores of v2 to v5p, chips of v5e and v6e
#   --name=NAME              name of the slice (vpt-gen)
#   --project=PROJECT        project; without it, gcloud's own setting
#   --runtime_version=NAME   software of the slice; by default, that of the accelerator
#   --spot                   a cheaper slice that may be preempted at any time
#   --queued                 request a queued resource, which waits for capacity
#   --shared=WHAT            what to mount as /shared on every worker, for data, token cache and weights:
#                            a bucket (gs://NAME) or an NFS export (HOST:/PATH)
#   --poll=SECONDS           time between checks of a slice that is not ready or not reachable (30)
#   --dry_run                print the commands, do nothing
#   --program=NAME           main (training), sample, evaluate, edit, preview or report (main)
#   --config=, --workdir=, --config.FIELD=, and all after --    flags of the program; its folders are
#                            in a bucket or /shared

set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/launcher.sh
. launch/launcher.sh
check_arguments "$@" "${CLOUDSDK_COMPUTE_ZONE:-}"

zone="${CLOUDSDK_COMPUTE_ZONE:-}"
accelerator=
name=vpt-gen
project=
runtime_version=
spot=
queued=
shared=
poll=30
attempts=5 # failed attempts in a row to reach a slice that is READY
had_slice= # after the first slice, wait if there is no capacity

tpus() { # GROUP COMMAND ARGUMENT... of gcloud compute tpus
  run gcloud compute tpus "$@" --zone="$zone" ${project:+--project="$project"}
}

on_worker() { # WORKER COMMAND: WORKER is a number, or all
  tpus tpu-vm ssh "$name" --worker="$1" --command="$2"
}

# Runs worker.sh on the workers, in the folder that `install` created.
worker() { # WORKER ACTION ARGUMENT...
  local where="$1"
  shift
  on_worker "$where" "bash vpt_gen/launch/worker.sh $(quoted "$@")"
}

# check_accelerator: fails for unknown types, and sets the software of the slice.
check_accelerator() {
  local size="${accelerator##*-}" sizes=''
  [ -z "$runtime_version" ] || return 0 # A version given by the user may be newer than this list.
  case "$accelerator" in
    v[234]-*) runtime_version=tpu-ubuntu2204-base ;;
    v5litepod-*) runtime_version=v2-alpha-tpuv5-lite sizes=" 1 4 8 16 32 64 128 256 " ;;
    v5p-*) runtime_version=v2-alpha-tpuv5 ;;
    v6e-*) runtime_version=v2-alpha-tpuv6e sizes=" 1 4 8 16 32 64 128 256 " ;;
    v5e-*) fail "unknown accelerator $accelerator; Cloud TPU calls it v5litepod-$size." ;;
    "") fail "no --accelerator given; name a type such as v4-8, v5litepod-16 or v5p-128." ;;
    *) fail "unknown accelerator $accelerator; correct it (for example v5p-128), or add --runtime_version." ;;
  esac
  case "$sizes" in
    "") [[ "$size" =~ ^[1-9][0-9]*$ ]] && ((size % 8 == 0)) && return ;;
    *" $size "*) return ;;
  esac
  if [ -n "$sizes" ]; then sizes="one of$sizes(chips)"; fi
  fail "accelerator $accelerator has an unknown size; use ${sizes:-a multiple of 8}."
}

slice_state() { # prints nothing if there is no slice
  if [ -n "$queued" ]; then
    tpus queued-resources describe "$name" --format='value(state.state)' 2>/dev/null || true
  else
    tpus tpu-vm describe "$name" --format='value(state)' 2>/dev/null || true
  fi
}

program_state() { # see worker.sh; prints nothing if worker 0 cannot be reached
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
  note "Starting on all workers: python -m vpt_gen.$program $(quoted "${program_flags[@]}") --distributed"
  worker all start "vpt_gen.$program" "${program_flags[@]}" --distributed
}

# provide: creates a slice if there is none, and waits until it is ready.
provide() {
  local state
  while :; do
    state="$(slice_state)"
    case "$state" in
      READY | ACTIVE) return ;;
      PREEMPTED | TERMINATED | SUSPENDED)
        note "The slice was preempted (its state is $state)."
        delete || true
        ;;
      "")
        # After a preemption there may be no capacity for another slice: then ask again.
        if create; then continue; fi
        [ -n "$had_slice" ] || fail "gcloud could not create the slice; fix what its message above says, then run this again."
        ;;
      FAILED | STOPPED | STOPPING | HIDDEN | HIDING)
        fail "the slice $name is $state and cannot be used; delete it with bash launch/tpu.sh delete, then run this again."
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
    if [ "$(program_state)" = running ] || { install && start; }; then worker 0 follow || true; fi
    result="$(program_state)"
    case "$result" in
      0)
        note "Finished; delete the slice to stop its costs: bash launch/tpu.sh delete."
        return
        ;;
      stopped) fail "the program was stopped; the same command resumes from what it saved." ;;
      running) continue ;; # Only the connection was lost.
      143 | interrupted) note "The program was interrupted; it resumes from what it saved." ;;
      "" | none)
        lost=$((lost + 1))
        [ "$lost" -lt "$attempts" ] || fail "the slice $name cannot be reached; see the message of gcloud above."
        sleep "$poll"
        continue
        ;;
      *)
        echo "error: the program ended with exit code $result; see its log above." >&2
        exit "$result"
        ;;
    esac
    lost=0
  done
}

show_plan() { # dry run of run_all
  create
  note "Wait until it is READY (with --queued: ACTIVE):"
  if [ -n "$queued" ]; then
    tpus queued-resources describe "$name" --format='value(state.state)'
  else
    tpus tpu-vm describe "$name" --format='value(state)'
  fi
  install
  start
  note "Following the log, then showing how the program ended."
  worker 0 follow
  worker 0 status
  note "If the slice was PREEMPTED (with --queued: SUSPENDED), delete it and repeat everything; if only"
  note "the program was interrupted, repeat from the installation on. After it has finished:"
  delete
}

action="${1:-}"
case "$action" in
  --help | -h | help) show_help ;;
  run | create | install | start | log | stop | status | delete) shift ;;
  *) fail "no command given; name one first (run, create, install, start, log, stop, status, delete), see bash $0 --help." ;;
esac
parse_flags "zone accelerator name project runtime_version shared poll" "spot queued" "$@"
[ -n "$zone" ] || fail "no --zone given; name the zone of the slice, such as us-east5-a."
case "$action" in run | create) check_accelerator ;; esac
case "$action" in run | start) check_program && check_shared "$shared" ;; esac
need gcloud "install the Google Cloud CLI (https://cloud.google.com/sdk/docs/install)."

case "$action" in
  run) if [ -n "$dry_run" ]; then show_plan; else run_all; fi ;;
  create | install | start | delete) "$action" ;;
  log) worker 0 follow ;;
  stop) worker all stop ;;
  status)
    slice_state
    program_state
    ;;
esac
