#!/usr/bin/env bash
# What tpu.sh, kubernetes.sh and slurm.sh share: flags, errors, dry runs. Sourced, not run; it also
# serves the bash 3.2 of macOS.

fail() {
  echo "error: $*" >&2
  exit 2
}

# need COMMAND CURE: a dry run needs no command.
need() {
  [ -n "$dry_run" ] || command -v "$1" >/dev/null || fail "$1 is missing; $2"
}

# The comment at the head of the script is its help.
show_help() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
  exit 0
}

dry_run=
training=() # flags of vpt_gen.main

# parse_flags KNOWN SWITCHES ARGUMENT...: sets the variables named in KNOWN (--name=value) and in
# SWITCHES (--name) from the arguments; --config=, --config.field= and --workdir= are the training's.
parse_flags() {
  local known=" $1 " switches=" $2 dry_run " argument key # no flag may be called so
  shift 2
  for argument in "$@"; do
    key="${argument%%=*}"
    key="${key#--}"
    case "$argument" in
      --help | -h) show_help ;;
      --config=* | --config.*=* | --workdir=*) training+=("$argument") ;;
      --*=*)
        case "$known" in
          *" $key "*) printf -v "$key" '%s' "${argument#*=}" ;;
          *) fail "no flag --$key; see bash $0 --help." ;;
        esac
        ;;
      --*)
        case "$switches" in
          *" $key "*) printf -v "$key" yes ;;
          *) fail "no switch --$key (values are given as --$key=VALUE); see bash $0 --help." ;;
        esac
        ;;
      *) fail "unexpected argument '$argument'; see bash $0 --help." ;;
    esac
  done
}

# value_of FLAG: the last value of a flag of the training; nothing where it is not given.
value_of() {
  local argument value=
  for argument in ${training[@]+"${training[@]}"}; do
    case "$argument" in "$1"=*) value="${argument#*=}" ;; esac
  done
  echo "$value"
}

# check_training: a config that is there and a workdir; both are needed to train.
check_training() {
  local config
  config="$(value_of --config)"
  [ -n "$config" ] || fail "no --config given; name a file of configs/, such as configs/folder.py."
  [ -f "${config%%:*}" ] || fail "config file $config does not exist; configs/ holds those there are."
  [ -n "$(value_of --workdir)" ] || fail "no --workdir given; name one that all machines share."
}

# check_shared_workdir SHARED: what /shared is, or nothing. Many machines need one workdir.
check_shared_workdir() {
  local workdir
  workdir="$(value_of --workdir)"
  case "$1" in gs://*/*) fail "--shared=$1 is no whole bucket; use gs://NAME." ;; esac
  case "$workdir" in
    gs://?*) ;;
    /shared/?*)
      case "$1" in
        "") fail "--workdir=$workdir needs --shared, which says what /shared is." ;;
        # Renaming a folder of a bucket takes one object after the other: a checkpoint could be
        # half there under its final name.
        gs://*) fail "checkpoints need --workdir=gs://..., as a mounted bucket renames no folder at once." ;;
      esac
      ;;
    *) fail "--workdir=$workdir is on one machine only; use gs://BUCKET/RUN or /shared/RUN." ;;
  esac
}

# quoted WORD...: one line that a shell reads back as the same words.
quoted() {
  local word line='' quote="'\\''"
  for word in "$@"; do
    case "$word" in
      '' | *[!A-Za-z0-9_./:=,@%+-]*) word=\'${word//\'/$quote}\' ;;
    esac
    line+="${line:+ }$word"
  done
  printf '%s\n' "$line"
}

# run COMMAND...: a dry run prints it instead.
run() {
  if [ -n "$dry_run" ]; then quoted "$@"; else "$@"; fi
}

# note TEXT: what happens now; a comment among the commands of a dry run.
note() {
  if [ -n "$dry_run" ]; then echo "# $*"; else echo "$*"; fi
}
