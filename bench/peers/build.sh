#!/usr/bin/env bash
# Builds every peer. Paths come from the environment, with relative defaults:
#   PEERS_BUILD  build and install directory   (default: target/peers of the checkout)
# usage: build.sh [limits] [torch] [candle] [burn-flex] [burn-flex-x86v4] [burn-wgpu] [burn-vulkan] [meganeura]
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
B="${PEERS_BUILD:-$here/../../target/peers}"
mkdir -p "$B/bin"
B="$(cd "$B" && pwd)"
what=("$@")
[ ${#what[@]} -gt 0 ] || what=(limits torch candle burn-flex burn-flex-x86v4 burn-wgpu burn-vulkan meganeura)

cargo_build() { # name dir target-dir extra...
  local name=$1 dir=$2 td=$3; shift 3
  local t0=$SECONDS
  (cd "$here/$dir" && cargo build --release --locked --target-dir "$B/$td" "$@")
  cp "$B/$td/release/$dir" "$B/bin/$name"
  local plain; plain=$(stat -c %s "$B/bin/$name")
  strip -o "$B/bin/$name.stripped" "$B/bin/$name" && \
    echo "BUILT $name in $((SECONDS - t0)) s, $plain bytes, stripped $(stat -c %s "$B/bin/$name.stripped") bytes"
  rm -f "$B/bin/$name.stripped"
}

for w in "${what[@]}"; do
  case "$w" in
    limits)      cargo_build limits limits target-limits ;;
    candle)      cargo_build candle-peer candle-peer target-candle ;;
    burn-flex)   cargo_build burn-peer-flex burn-peer target-flex --no-default-features --features flex ;;
    burn-flex-x86v4) cargo_build burn-peer-flex-x86v4 burn-peer target-flex --no-default-features --features flex,burn/x86-v4 ;;
    burn-wgpu)   cargo_build burn-peer-wgpu burn-peer target-wgpu --no-default-features --features wgpu ;;
    burn-vulkan) cargo_build burn-peer-vulkan burn-peer target-vulkan --no-default-features --features vulkan ;;
    meganeura)   cargo_build meganeura-peer meganeura-peer target-meganeura ;;
    torch)
      # The PyPI wheel for Linux x86-64 is the CUDA build: without the CUDA
      # libraries (--no-deps) the import fails, so all of them are installed
      # (about 2.7 GB to download, 5.4 GB on disk). It runs on the CPU alone.
      python3 -m venv "$B/venv"
      "$B/venv/bin/pip" install -q -r "$here/torch-peer/requirements.txt"
      "$B/venv/bin/python" -c 'import torch; print("BUILT torch", torch.__version__, torch.get_num_threads(), "threads")' ;;
    *) echo "unknown peer $w" >&2; exit 1 ;;
  esac
done
