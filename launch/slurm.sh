#!/usr/bin/env bash
# Trains, samples or evaluates on GPUs of a Slurm cluster, with one process per GPU. Run it in this
# folder on a host that has sbatch. All nodes must see the folder (usually your home is visible to all):
#   bash launch/slurm.sh --nodes=2 --gpus=8 --time=24:00:00 --partition=gpu \
#     --config=configs/folder.py:maskgit256 --workdir=runs/mine --config.data.path=my_images
#   bash launch/slurm.sh --nodes=2 --gpus=8 --program=sample -- --checkpoint=runs/mine --num=1000
#   bash launch/slurm.sh --nodes=19 --program=study --config=configs/study_vtab.py --workdir=runs/vtab
# The cells of a study are shared by an array of jobs, one for each node.
# Before the time limit, and if the job is preempted, the program saves its state (SIGTERM); the job is
# then queued again and resumes. The log is runs/NAME-JOB.log; `scancel JOB` ends the job for good.
#
# Flags
#   --nodes=NUMBER           number of nodes (1)
#   --gpus=NUMBER            GPUs per node (1)
#   --cpus=NUMBER            CPU cores per GPU (8)
#   --time=[DAYS-]HH:MM:SS   time limit, after which the job is queued again (24:00:00)
#   --lead=SECONDS           time to save before the limit (120)
#   --partition=, --account=, --qos=, --constraint=, --mem=    flags of sbatch, if your cluster needs them
#   --name=NAME              name of the job (vpt-gen)
#   --dry_run                print the commands, do nothing
#   --program=NAME           main (training), sample, evaluate, edit, preview, report or study (main)
#   --config=, --workdir=, --config.FIELD=, and all after --    flags of the program; all nodes must
#                            see its folders

# shellcheck disable=SC2034  # Flags are read by name.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/launcher.sh
. launch/launcher.sh
check_arguments "$@" "${VPT_GEN_VENV:-}"

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
studies=yes

check_submission() {
  local flag
  check_program
  for flag in nodes gpus cpus lead; do
    [[ "${!flag}" =~ ^[1-9][0-9]{0,5}$ ]] || fail "--$flag=${!flag} is not a positive number; give a whole number such as 8."
  done
  for flag in time partition account qos constraint mem name; do
    [[ "${!flag}" =~ ^[^[:space:]]*$ ]] || fail "--$flag=${!flag} contains a space; remove it."
  done
}

batch_script() {
  local flag python="${VPT_GEN_VENV:-.venv}/bin/python" hosts=$nodes tasks=$gpus cores=$cpus
  local command
  command="$(quoted "$python" -m "vpt_gen.$program" ${program_flags[@]+"${program_flags[@]}"})"
  local sharing="All processes of a node see all of its GPUs, and each uses its own. If one ends, the others have
# time to save before they are killed."
  if [ "$program" = study ]; then
    sharing="One process uses all GPUs of the node, for one cell of the study after the other."
    hosts=1 tasks=1 cores=$((cpus * gpus)) command+=" --shard=\$SLURM_ARRAY_TASK_ID/$nodes"
  else
    command+=" --distributed"
  fi
  cat <<EOF
#!/usr/bin/env bash
#SBATCH --job-name=$name
#SBATCH --nodes=$hosts
#SBATCH --ntasks-per-node=$tasks
#SBATCH --gpus-per-node=$gpus
#SBATCH --cpus-per-task=$cores
#SBATCH --time=$time
#SBATCH --signal=TERM@$lead
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=runs/%x-%j.log
EOF
  if [ "$program" = study ]; then echo "#SBATCH --array=0-$((nodes - 1))"; fi
  for flag in partition account qos constraint mem; do
    if [ -n "${!flag}" ]; then echo "#SBATCH --$flag=${!flag}"; fi
  done
  cat <<EOF
# $sharing
srun --cpus-per-task=$cores --kill-on-bad-exit=0 --wait=$lead \\
  $command
code=\$?
# 143 (128 + SIGTERM): it has saved. A job that was canceled, or requeued by Slurm, is not RUNNING.
# One task of an array has the number of the whole array, so that tasks are named by their index.
job="\${SLURM_ARRAY_JOB_ID:+\${SLURM_ARRAY_JOB_ID}_\$SLURM_ARRAY_TASK_ID}"
job="\${job:-\$SLURM_JOB_ID}"
state="\$(squeue --noheader --jobs="\$job" --format=%T)"
if [ "\$code" = 143 ] && [ "\$state" = RUNNING ]; then
  scontrol requeue "\$job"
fi
exit "\$code"
EOF
}

parse_flags "nodes gpus cpus time lead partition account qos constraint mem name" "" "$@"
check_submission
need sbatch "run this on a login node of your Slurm cluster."
run mkdir -p runs
run bash launch/setup.sh cuda
if [ -n "$dry_run" ]; then
  echo "sbatch <<'END'"
  batch_script
  echo END
else
  batch_script | sbatch
fi
