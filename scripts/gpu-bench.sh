#!/usr/bin/env bash
# Measures the encoder and sentence-transformers on the same GPU, and writes a table to benches/results/gpu.md.
#
#     scripts/gpu-bench.sh DUMP [PAPERS]      # by default, 20,000 papers of the dump
#
# Needs an NVIDIA GPU and the GPU driver, the CUDA toolkit (nvcc) in PATH or CUDA_HOME, and Rust. Installs torch and
# sentence-transformers from PyPI. With FEATURES=cuda, the program is built without flash attention, which takes half an
# hour to compile and whose build downloads headers with git.
set -euo pipefail
cd "$(dirname "$0")/.."
dump=${1:?the first argument must be a dump in JSON Lines, whose papers both encoders encode}
papers=${2:-20000}
command -v nvidia-smi > /dev/null || { echo "nvidia-smi was not found: install the NVIDIA driver" >&2; exit 1; }
PATH="${CUDA_HOME:-/usr/local/cuda}/bin:$PATH"
command -v nvcc > /dev/null || { echo "nvcc was not found: install the CUDA toolkit, or set CUDA_HOME" >&2; exit 1; }

cargo build --release --locked --bin likewise --features "${FEATURES:-flash-attn}"
target/release/likewise pull
python3 -m venv .venv-peers
.venv-peers/bin/pip install --quiet torch sentence-transformers
.venv-peers/bin/python -B benches/gpu.py --dump "$dump" --papers "$papers" --results benches/results
