#!/usr/bin/env bash
# Shared by the other scripts: flags, errors, dry runs. Source it, do not run it. It also works in the
# bash 3.2 of macOS.

fail() {
  echo "error: $*" >&2
  exit 2
}

# check_arguments ARGUMENT...: fails for control characters and ends of lines, also those of Unicode:
# they would end a line of a batch script, a manifest or a message.
check_arguments() {
  local LC_ALL=C argument # bytes, whatever the user's locale
  for argument in "$@"; do
    case "$argument" in
      *[[:cntrl:]]* | *$'\xc2'[$'\x80'-$'\x9f']* | *$'\xe2\x80'[$'\xa8'$'\xa9']*)
        fail "the argument $(printf %q "$argument") has a control character, such as the end of a line; remove it."
        ;;
    esac
  done
}

# need COMMAND FIX: fails if the command is missing, except in a dry run.
need() {
  [ -n "$dry_run" ] || command -v "$1" >/dev/null || fail "$1 is missing; $2"
}

# show_help: prints the comment at the top of the script.
show_help() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
  exit 0
}

dry_run=
program=main # of vpt_gen, see check_program; study needs a script that sets studies
program_flags=()

# parse_flags KNOWN SWITCHES ARGUMENT...: sets the variables named in KNOWN (--name=value) and in
# SWITCHES (--name) from the arguments; --config=, --config.field=, --workdir= and all that follows
# -- go to the program.
parse_flags() {
  local known=" $1 program " switches=" $2 dry_run " argument key # no flag may have these names
  shift 2
  while [ $# -gt 0 ]; do
    argument="$1"
    shift
    key="${argument%%=*}"
    key="${key#--}"
    case "$argument" in
      --help | -h) show_help ;;
      --config=* | --config.*=* | --workdir=*) program_flags+=("$argument") ;;
      --)
        program_flags+=("$@")
        return
        ;;
      --*=*)
        case "$known" in
          *" $key "*) printf -v "$key" '%s' "${argument#*=}" ;;
          *) fail "unknown flag --$key; see bash $0 --help." ;;
        esac
        ;;
      --*)
        case "$switches" in
          *" $key "*) printf -v "$key" yes ;;
          *) fail "unknown switch --$key (to give a value, write --$key=VALUE); see bash $0 --help." ;;
        esac
        ;;
      *) fail "unexpected argument '$argument'; see bash $0 --help." ;;
    esac
  done
}

# value_of FLAG: prints the last value of a flag of the program; nothing if it is not given.
value_of() {
  local argument value=
  for argument in ${program_flags[@]+"${program_flags[@]}"}; do
    case "$argument" in "$1"=*) value="${argument#*=}" ;; esac
  done
  echo "$value"
}

# check_program: fails for an unknown program, or one without its input and output.
check_program() {
  case "$program" in
    main) check_training ;;
    study)
      [ -n "${studies:-}" ] || fail "this script starts no study; use launch/slurm.sh or launch/kubernetes.sh."
      check_training
      ;;
    sample) check_checkpoint ;;
    edit)
      check_checkpoint
      [ -n "$(value_of --image)" ] || fail "no --image given; add -- --image=FILE."
      ;;
    evaluate)
      [ -n "$(value_of --checkpoint)$(value_of --images)" ] ||
        fail "neither --checkpoint nor --images given; add -- --checkpoint=WORKDIR."
      ;;
    report) [ -n "$(value_of --workdir)" ] || fail "no --workdir given; add -- --workdir=WORKDIR." ;;
    preview)
      [ -n "$(value_of --backbone)" ] || { [ -n "$(value_of --tokenizer)" ] && [ -n "$(value_of --transformer)" ]; } ||
        fail "no nets given; add -- --backbone=NAME, or --tokenizer=FOLDER and --transformer=FOLDER."
      ;;
    *) fail "unknown program $program; use main, sample, evaluate, edit, preview, report or study." ;;
  esac
}

check_checkpoint() {
  [ -n "$(value_of --checkpoint)" ] || fail "no --checkpoint given; add -- --checkpoint=WORKDIR."
}

check_training() { # an existing config file and a workdir
  local config
  config="$(value_of --config)"
  [ -n "$config" ] || fail "no --config given; name a file of configs/, such as configs/folder.py."
  [ -f "${config%%:*}" ] || fail "config file $config does not exist; choose one in configs/."
  [ -n "$(value_of --workdir)" ] || fail "no --workdir given; name a folder that all machines share."
}

# check_shared SHARED: fails if the machines cannot share the folders that the program writes to and
# reads. SHARED is what is mounted as /shared, or empty.
check_shared() {
  local flag argument run
  case "$1" in gs://*/*) fail "--shared=$1 is a folder of a bucket; use the whole bucket, gs://NAME." ;; esac
  case "$program" in
    # Their default is a path on one machine.
    edit | preview) [ -n "$(value_of --output)" ] || fail "no --output given; add -- --output=gs://BUCKET/OUTPUT or /shared/OUTPUT." ;;
  esac
  for flag in --workdir --output --folder --checkpoint --images; do
    [ -z "$(value_of "$flag")" ] || check_shared_folder "$flag" "$(value_of "$flag")" "$1"
  done
  for argument in ${program_flags[@]+"${program_flags[@]}"}; do
    case "$argument" in # may be repeated
      --image=?* | --mask=?*) check_shared_folder "${argument%%=*}" "${argument#*=}" "$1" ;;
    esac
  done
  while IFS= read -r -d , run; do
    [ -z "$run" ] || check_shared_folder --compare "$run" "$1"
  done <<<"$(value_of --compare),"
}

check_shared_folder() { # FLAG FOLDER SHARED
  case "$1 $2" in
    --checkpoint\ hf://?*) [ -n "$(value_of --output)" ] || fail "no --output given; add one, as a run on the Hub has no folder for it." ;;
    --image\ gs://?* | --mask\ gs://?*) fail "$1=$2 is in a bucket, and images to edit are read as files; use /shared/FILE." ;;
    *\ gs://?*)
      # Locks, and runs that are read while others write.
      [ "$program" != study ] || fail "$1=$2 is in a bucket, and a study needs a folder; use /shared/STUDY on a volume claim."
      ;;
    *\ /shared/?*)
      case "$1 $3" in
        *\ ) fail "$1=$2 needs --shared, which says what to mount as /shared." ;;
        # A mounted bucket renames a folder object by object, so an incomplete checkpoint could get
        # its final name.
        --workdir\ gs://*) fail "a mounted bucket cannot rename a whole folder at once, which checkpoints need; use --workdir=gs://BUCKET/RUN." ;;
      esac
      ;;
    *) fail "$1=$2 is on one machine only; use gs://BUCKET/RUN or /shared/RUN." ;;
  esac
}

# quoted WORD...: prints one line that a shell reads back as the same words.
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

# run COMMAND...: runs it; a dry run prints it.
run() {
  if [ -n "$dry_run" ]; then quoted "$@"; else "$@"; fi
}

# note TEXT: says what happens now; in a dry run, as a comment among the commands.
note() {
  if [ -n "$dry_run" ]; then echo "# $*"; else echo "$*"; fi
}
