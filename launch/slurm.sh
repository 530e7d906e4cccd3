#!/usr/bin/env bash
# Trains on GPUs of a Slurm cluster, with one process a GPU. Call it where sbatch is, in this folder,
# which all nodes must see (as your home, mostly):
#   bash launch/slurm.sh --nodes=2 --gpus=8 --time=24:00:00 --partition=gpu \
#     --config=configs/maskgit256.py --workdir=runs/mine --config.data.path=my_images
# Before the time is over, and when the job is preempted, the training saves (SIGTERM) and the job
# queues again, to go on from there. Its log is runs/NAME-JOB.log; `scancel JOB` ends it for good.
#
# Flags
#   --nodes=NUMBER           of the job (1)
#   --gpus=NUMBER            of a node (1)
#   --cpus=NUMBER            CPU cores for each of them (8)
#   --time=[DAYS-]HH:MM:SS   after which the job queues again (24:00:00)
#   --lead=SECONDS           before that, to save in (120)
#   --partition=, --account=, --qos=, --constraint=, --mem=    of sbatch, where your cluster asks for them
#   --name=NAME              of the job (vpt-gen)
#   --dry_run                print the commands, do nothing
#   --config=, --workdir=, --config.FIELD=    the training's own; the workdir is on a disk all nodes share

# shellcheck disable=SC2034  # Flags are looked up by their names.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/launcher.sh
. launch/launcher.sh

nodes=1
gpus=1
cpus=8
time=24:00:00
lead=120
partition=
account=
qos=
constraint=
mem=
name=vpt-gen

check_submission() {
  local flag
  check_training
  for flag in nodes gpus cpus lead; do
    [[ "${!flag}" =~ ^[1-9][0-9]*$ ]] || fail "--$flag=${!flag} is no positive number."
  done
  for flag in time partition account qos constraint mem name; do
    [[ "${!flag}" =~ ^[^[:space:]]*$ ]] || fail "--$flag=${!flag} has a space in it."
  done
}

batch_script() {
  local flag python="${VPT_GEN_VENV:-.venv}/bin/python"
  cat <<EOF
#!/usr/bin/env bash
#SBATCH --job-name=$name
#SBATCH --nodes=$nodes
#SBATCH --ntasks-per-node=$gpus
#SBATCH --gpus-per-node=$gpus
#SBATCH --cpus-per-task=$cpus
#SBATCH --time=$time
#SBATCH --signal=TERM@$lead
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=runs/%x-%j.log
EOF
  for flag in partition account qos constraint mem; do
    if [ -n "${!flag}" ]; then echo "#SBATCH --$flag=${!flag}"; fi
  done
  cat <<EOF
# All processes of a node see all of its GPUs and take their own. When one has ended, the others
# have time to save before they are ended too.
srun --cpus-per-task=$cpus --kill-on-bad-exit=0 --wait=$lead \\
  $(quoted "$python" -m vpt_gen.main "${training[@]}" --distributed)
code=\$?
# 128 + SIGTERM: it has saved. A job that is cancelled, or queued again by Slurm, is not RUNNING.
state="\$(squeue --noheader --jobs="\$SLURM_JOB_ID" --format=%T)"
if [ "\$code" = 143 ] && [ "\$state" = RUNNING ]; then
  scontrol requeue "\$SLURM_JOB_ID"
fi
exit "\$code"
EOF
}

parse_flags "nodes gpus cpus time lead partition account qos constraint mem name" "" "$@"
check_submission
need sbatch "call this on a login node of your Slurm cluster."
run mkdir -p runs
run bash launch/setup.sh cuda
if [ -n "$dry_run" ]; then
  echo "sbatch <<'END'"
  batch_script
  echo END
else
  batch_script | sbatch
fi
