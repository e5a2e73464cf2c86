#!/usr/bin/env bash
# The encoder on a GPU beside sentence-transformers, on the same card: one command, one table, benches/results/gpu.md.
#
#     scripts/gpu-bench.sh DUMP [PAPERS]      # 20,000 papers of the dump, unless another number is given
#
# Needs an NVIDIA card with its driver, the CUDA toolkit (nvcc) in PATH or CUDA_HOME, and Rust; what else it needs it
# installs from PyPI. FEATURES=cuda leaves flash attention out, which takes half an hour to compile and fetches its
# headers by git.
set -euo pipefail
cd "$(dirname "$0")/.."
dump=${1:?which dump? one of the formats that likewise ingest reads, JSON Lines for the peer}
papers=${2:-20000}
command -v nvidia-smi > /dev/null || { echo "no nvidia-smi: there is no NVIDIA driver here" >&2; exit 1; }
PATH="${CUDA_HOME:-/usr/local/cuda}/bin:$PATH"
command -v nvcc > /dev/null || { echo "no nvcc: install the CUDA toolkit, or say CUDA_HOME" >&2; exit 1; }

cargo build --release --locked --bin likewise --features "${FEATURES:-flash-attn}"
target/release/likewise pull
python3 -m venv .venv-peers
.venv-peers/bin/pip install --quiet torch sentence-transformers
.venv-peers/bin/python -B benches/gpu.py --dump "$dump" --papers "$papers" --results benches/results
