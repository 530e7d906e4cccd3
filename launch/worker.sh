#!/usr/bin/env bash
# Manages one worker of a TPU slice. launch/tpu.sh runs it on the worker, in the project's folder:
#   install              installs Python and this package for TPUs
#   mount WHAT           mounts a bucket (gs://NAME) or an NFS export (HOST:/PATH) as /shared
#   start MODULE FLAG... starts a program, such as vpt_gen.main, detached from the connection
#   status               prints running, stopped, interrupted, none, or the program's exit code
#   follow               follows the log until the program ends
#   stop                 sends SIGTERM: the program saves and ends
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=launch/launcher.sh
. launch/launcher.sh
check_arguments "$@"
log=runs/worker.log
pid=runs/worker.pid
code=runs/worker.code
stopped=runs/worker.stopped

running() {
  # Process ids are reused, in particular after a reboot.
  [ -s "$pid" ] && grep -qs worker.sh "/proc/$(cat "$pid")/cmdline"
}

install() {
  if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    # Current images are Ubuntu 22.04, which has Python 3.10.
    python3 -m pip install --quiet --user uv
    "$HOME/.local/bin/uv" python install 3.12
    PYTHON="$("$HOME/.local/bin/uv" python find --system 3.12)"
    export PYTHON
  fi
  bash launch/setup.sh tpu
}

mount_shared() {
  if mountpoint --quiet /shared; then return; fi
  sudo mkdir -p /shared
  case "$1" in
    gs://*)
      command -v gcsfuse >/dev/null || install_gcsfuse
      sudo chown "$(id -u)" /shared
      # No metadata cache, because other workers write there too.
      gcsfuse --implicit-dirs --metadata-cache-ttl-secs=0 "${1#gs://}" /shared
      ;;
    *)
      sudo apt-get install --quiet=2 nfs-common
      sudo mount -t nfs -o hard "$1" /shared
      ;;
  esac
}

install_gcsfuse() {
  local site=https://packages.cloud.google.com/apt key=/usr/share/keyrings/cloud.google.asc
  curl --fail --silent --show-error "$site/doc/apt-key.gpg" | sudo tee "$key" >/dev/null
  echo "deb [signed-by=$key] $site gcsfuse-$(lsb_release --codename --short) main" |
    sudo tee /etc/apt/sources.list.d/gcsfuse.list >/dev/null
  sudo apt-get update --quiet=2
  sudo apt-get install --quiet=2 gcsfuse
}

start() {
  if running; then
    echo "The program is already running."
    return
  fi
  mkdir -p runs
  rm -f "$code" "$stopped"
  setsid nohup bash launch/worker.sh work "$@" >>"$log" 2>&1 </dev/null &
  echo $! >"$pid"
}

work() {
  local result=0
  trap : TERM # The program handles the signal; this shell waits for its exit code.
  "${VPT_GEN_VENV:-.venv}/bin/python" -m "$@" || result=$?
  echo "$result" >"$code"
}

status() {
  if running; then
    echo running
  elif [ -e "$stopped" ]; then
    echo stopped
  elif [ -s "$code" ]; then
    cat "$code"
  elif [ -e "$pid" ]; then
    echo interrupted
  else
    echo none
  fi
}

follow() {
  [ -e "$log" ] || {
    echo "There is no log yet."
    return
  }
  if running; then
    tail -n 200 -f --pid="$(cat "$pid")" "$log"
  else
    tail -n 200 "$log"
  fi
}

stop() {
  running || return 0
  touch "$stopped"
  kill -TERM -- "-$(cat "$pid")"
}

action="$1"
shift
case "$action" in
  install | start | work | status | follow | stop) "$action" "$@" ;;
  mount) mount_shared "$@" ;;
esac
