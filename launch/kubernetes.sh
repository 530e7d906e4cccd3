#!/usr/bin/env bash
# Trains, samples or evaluates on Kubernetes: on a TPU slice of GKE, or on nodes with NVIDIA GPUs. The
# cluster needs JobSet 0.6 or newer (https://jobset.sigs.k8s.io), and an image built from
# launch/Dockerfile:
#   bash launch/kubernetes.sh submit --tpu=v5p --topology=4x4x4 --image=REGISTRY/vpt_gen:tpu \
#     --config=configs/folder.py:maskgit256 --workdir=gs://my-bucket/runs/mine --shared=gs://my-bucket \
#     --config.data.path=/shared/images --config.data.cache_dir=/shared/tokens
#   bash launch/kubernetes.sh submit --gpus=8 --nodes=2 --image=REGISTRY/vpt_gen:cuda \
#     --program=sample -- --checkpoint=gs://my-bucket/runs/mine --num=1000
#   bash launch/kubernetes.sh submit --gpus=1 --nodes=19 --image=REGISTRY/vpt_gen:cuda --shared=CLAIM \
#     --program=study --config=configs/study_vtab.py --workdir=/shared/vtab
# A preempted pod saves its state (SIGTERM); then all pods restart and resume. Each pod of a study runs
# its share of the cells, and restarts alone (Kubernetes 1.29 or newer).
#
# Commands
#   submit     fills in launch/jobset.yaml and applies it
#   manifest   only prints the filled-in manifest
#   log        follows the log of the first pod
#   status     shows the status of the job and its pods
#   delete     deletes the job
#
# Flags
#   --tpu=TYPE               TPU type: v4, v5e, v5p or v6e; needs --topology
#   --topology=AxB[xC]       arrangement of its chips: 4x4 is 16 of v5e, 4x4x4 is 64 of v5p
#   --gpus=NUMBER            GPUs per node, instead of a TPU
#   --gpu=TYPE               GPU type on GKE: the label cloud.google.com/gke-accelerator
#   --nodes=NUMBER           number of GPU nodes (1); TPU nodes follow from the topology
#   --image=IMAGE            container image of this program
#   --name=NAME              name of the job (vpt-gen)
#   --namespace=NAMESPACE    namespace; without it, kubectl's own setting
#   --service_account=NAME   Kubernetes service account that may use the bucket (default)
#   --shared=WHAT            volume to mount as /shared, for data, token cache and weights: a bucket
#                            (gs://NAME, by GKE's Cloud Storage FUSE driver), or a volume claim that
#                            all nodes can write to
#   --spot                   use GKE's Spot nodes
#   --max_restarts=NUMBER    restarts after failures, of all pods or of each pod of a study;
#                            interruptions do not count (10)
#   --dry_run                print the commands, do nothing
#   --program=NAME           main (training), sample, evaluate, edit, preview, report or study (main)
#   --config=, --workdir=, --config.FIELD=, and all after --    flags of the program; its folders are
#                            in a bucket or /shared

# shellcheck disable=SC2034  # launch/jobset.yaml names variables.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/launcher.sh
. launch/launcher.sh
check_arguments "$@"

tpu=
topology=
gpus=
gpu=
nodes=1
image=
name=vpt-gen
namespace=
service_account=default
shared=
spot=
max_restarts=10
studies=yes
values="tpu topology gpus gpu nodes image name namespace service_account shared max_restarts"

kube() {
  run kubectl ${namespace:+--namespace="$namespace"} "$@"
}

# check_tpu: sets node_label (GKE's name of the type), chips (of a node) and nodes.
check_tpu() {
  local flat=" 1x1 2x2 2x4 4x4 4x8 8x8 8x16 16x16 " known all
  local deep=" 2x2x1 2x2x2 2x2x4 2x4x4 4x4x4 4x4x8 4x8x8 8x8x8 8x8x16 8x16x16 16x16x16 "
  case "$tpu" in
    v4) node_label=tpu-v4-podslice known=$deep ;;
    v5e) node_label=tpu-v5-lite-podslice known=$flat ;;
    v5p) node_label=tpu-v5p-slice known=$deep ;;
    v6e) node_label=tpu-v6e-slice known=$flat ;;
    *) fail "unknown TPU $tpu; use v4, v5e, v5p or v6e." ;;
  esac
  [ -n "$topology" ] || fail "no --topology given; for $tpu use one of$known."
  [[ "$known" == *" $topology "* ]] || fail "unknown topology $topology of $tpu; use one of$known."
  # A slice of several nodes has four chips per node; a single node has one, four or eight.
  all=$((${topology//x/*}))
  chips=$((all < 4 ? all : 4))
  if [ "$topology" = 2x4 ]; then chips=8; fi
  nodes=$((all / chips))
}

check_submission() {
  local flag
  check_program
  check_shared "$shared"
  [ -n "$image" ] || fail "no --image given; build one as launch/Dockerfile describes."
  for flag in $values; do
    [[ "${!flag}" =~ ^[A-Za-z0-9._/:@-]*$ ]] || fail "--$flag=${!flag} has a character that is not allowed; use letters, digits and ._/:@-."
  done
  for flag in gpus nodes; do
    [[ "${!flag:-1}" =~ ^[1-9][0-9]{0,5}$ ]] || fail "--$flag=${!flag} is not a number from 1 to 999999; give a whole number such as 2."
  done
  [[ "${max_restarts:-0}" =~ ^[0-9]{1,6}$ ]] || fail "--max_restarts=$max_restarts is not a number from 0 to 999999; give a whole number such as 2."
  case "${tpu:+tpu}${gpus:+gpus}" in
    tpu)
      [ "$program" != study ] || fail "the nodes of a TPU slice work together, and a study needs nodes that work alone; use --gpus."
      check_tpu
      ;;
    gpus) ;;
    *) fail "no hardware given, or two kinds; use either --tpu and --topology, or --gpus." ;;
  esac
}

# as_argument WORD: quotes it for YAML and for Kubernetes, which replaces $(NAME).
as_argument() {
  # shellcheck disable=SC2016
  printf '"%s"\n' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g; s/\$(/$$(/g')"
}

arguments() {
  local argument
  for argument in "${program_flags[@]}"; do as_argument "$argument"; done
  if [ "$program" = study ]; then
    echo "--shard=\$(PROCESS_ID)/$nodes"
    return
  fi
  as_argument --distributed
  if [ -n "$gpus" ]; then
    echo "--coordinator_address=$name-workers-0-0.$name:8476"
    echo "--num_processes=$nodes"
    # shellcheck disable=SC2016
    echo '--process_id=$(PROCESS_ID)'
  fi
}

# manifest: prints launch/jobset.yaml, filled in.
manifest() {
  local line part parts=" ${tpu:+tpu} ${gpus:+gpus} ${gpu:+gpu} ${spot:+spot} ${shared:+shared} "
  local claim='' bucket='' argument
  if [ "$program" = study ]; then parts+="study "; else parts+="together "; fi
  parts+="${tpu:+selected} ${gpu:+selected} ${spot:+selected} ${gpus:+volumes} ${shared:+volumes} "
  case "$shared" in
    gs://*) bucket="${shared#gs://}" parts+="bucket " ;;
    ?*) claim="$shared" parts+="claim " ;;
  esac
  while IFS= read -r line; do
    if [[ "$line" == "# "* ]]; then continue; fi
    part="${line##*#}"
    if [[ "$line" == *" #$part" && "$part" =~ ^[a-z]+$ ]]; then
      [[ "$parts" == *" $part "* ]] || continue
      line="${line% #*}"
    fi
    if [[ "$line" == *@argument@ ]]; then
      arguments | while IFS= read -r argument; do echo "${line%@argument@}$argument"; done
      continue
    fi
    if [[ "$line" =~ @([a-z_]+)@ ]]; then
      part="${BASH_REMATCH[1]}"
      line="${line%%@*}${!part}${line##*@}"
    fi
    printf '%s\n' "$line"
  done <launch/jobset.yaml
}

submit() {
  if [ -n "$dry_run" ]; then
    kube apply -f - | sed "s/\$/ <<'EOF'/"
    manifest
    echo EOF
  else
    manifest | kube apply -f -
  fi
}

log() {
  kube logs --follow --tail=200 --selector="jobset.sigs.k8s.io/jobset-name=$name,batch.kubernetes.io/job-completion-index=0"
}

status() {
  kube get jobset "$name"
  kube get pods --selector="jobset.sigs.k8s.io/jobset-name=$name"
}

delete() {
  kube delete jobset "$name"
}

action="${1:-}"
case "$action" in
  --help | -h | help) show_help ;;
  submit | manifest | log | status | delete) shift ;;
  *) fail "no command given; name one first (submit, manifest, log, status, delete), see bash $0 --help." ;;
esac
parse_flags "$values" spot "$@"
case "$action" in submit | manifest) check_submission ;; esac
[ "$action" = manifest ] || need kubectl "install it (kubernetes.io/docs/tasks/tools) and log in to your cluster."
"$action"
