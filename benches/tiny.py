"""Runs every benchmark on the smallest input, to check that all benchmarks still work. The results mean nothing.

    python benches/tiny.py                          # all benchmarks, with the programs in target/release
    python benches/tiny.py encode serve             # only these benchmarks
    python benches/tiny.py --likewise PROGRAM --program index=PROGRAM --program scale=PROGRAM

Needs numpy. Uses the packages for comparisons that are installed (faiss-cpu, usearch, hnswlib, pyarrow, …), and skips
the comparisons whose packages are missing, and prints which. torch is not needed. The benchmark milvus is skipped if it
does not run in `scripts/with-milvus`.

Fails if a benchmark fails, if it writes no file or no section for this machine, or if it writes into benches/results.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import time

import program
from options import ROOT, SAMPLE
from results import cpu_class

HERE = pathlib.Path(__file__).resolve().parent
DEPS = ROOT / "target/release/deps"
TIMEOUT_SECONDS = 300
# For each name of a results file: the script and its arguments. {NAME} stands for the path of a compiled Rust
# benchmark, and {data} for the path of a data folder with the papers of the sample.
BENCHMARKS = {
    "encode": ["encode_peers.py"],
    "architectures": ["architectures.py"],
    "rerank": ["rerank.py"],
    "sparse": ["sparse.py"],
    "cross_encoder": ["train_cross_encoder.py"],
    "static_models": ["static_models.py"],
    "search": ["search_peers.py", "--index", "{index}", "--scale", "{scale}", "2000"],
    "dumps": ["dumps.py"],
    "serve": ["serve.py", "--data", "{data}"],
    "quality": ["quality.py", "--data", "{data}"],
    "recipe": ["recipe.py"],
    "gpu": ["gpu.py"],
    "precisions": ["rust.py", "precisions", "--program", "{encode}"],
    "ingest": ["rust.py", "ingest", "--program", "{ingest}"],
    "filters": ["rust.py", "filters", "--program", "{search}", "--data", "{data}"],
    "milvus": ["milvus.py", "--data", "{data}"],
}
PROGRAMS = ("encode", "index", "ingest", "scale", "search")


def compiled(name: str) -> str:
    """The path of the newest compiled Rust benchmark of that name; empty if there is none."""
    found = [file for file in DEPS.glob(f"{name}-*") if not file.suffix]
    return str(max(found, key=lambda file: file.stat().st_mtime)) if found else ""


def run(arguments: list[str]) -> tuple[bool, str, float]:
    """Runs a benchmark. Returns whether it succeeded, its output, and seconds."""
    started = time.monotonic()
    try:
        result = subprocess.run([sys.executable, "-B", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_SECONDS)
        passed, output = result.returncode == 0, result.stdout
    except subprocess.TimeoutExpired:
        passed, output = False, f"not finished within {TIMEOUT_SECONDS} s"
    return passed, output, time.monotonic() - started


def problem_of_file(name: str, results: pathlib.Path, output: str) -> str:
    """The problem with the file that a benchmark wrote; empty if there is none."""
    file = results / f"{name}.md"
    if name == "milvus" and "skipped: Milvus" in output:
        return ""
    if not file.exists():
        return f"{file.name} was not written"
    # The section of gpu has the name of the GPU.
    if name != "gpu" and f"\n## {cpu_class()}\n" not in file.read_text():
        return f"{file.name} has no section for {cpu_class()}"
    return ""


def check(name: str, common: list[str], paths: dict[str, str], results: pathlib.Path) -> bool:
    """Runs a benchmark and prints the result. Returns whether it passed."""
    missing = [program for program in PROGRAMS if f"{{{program}}}" in BENCHMARKS[name] and not paths[program]]
    if missing:
        print(f"{name}: FAILED, {missing[0]} is not built; `cargo build --release --bench {missing[0]}`", flush=True)
        return False
    script, *arguments = (argument.format(**paths) for argument in BENCHMARKS[name])
    passed, output, seconds = run([str(HERE / script), *arguments, *common])
    problem = problem_of_file(name, results, output) if passed else "the benchmark failed"
    print(f"{name}: {f'FAILED, {problem}' if problem else 'passed'}, {seconds:.1f} s", flush=True)
    lines = output.splitlines() if problem else [line for line in output.splitlines() if line.startswith("skipped: ")]
    print("".join(f"    {line}\n" for line in lines), end="", flush=True)
    return not problem


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--likewise", type=pathlib.Path, default=ROOT / "target/release/likewise")
    parser.add_argument("--program", action="append", default=[], metavar="NAME=PATH", help=f"a compiled Rust benchmark: {', '.join(PROGRAMS)}")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"unknown benchmark {', '.join(unknown)}; the benchmarks are {', '.join(BENCHMARKS)}")
    paths = {name: compiled(name) for name in PROGRAMS} | dict(given.split("=", 1) for given in options.program)
    before = {file: file.read_bytes() for file in (HERE / "results").glob("*")}
    with tempfile.TemporaryDirectory() as scratch:
        results, data = pathlib.Path(scratch) / "results", pathlib.Path(scratch) / "data"
        program.run(options.likewise.resolve(), "ingest", SAMPLE, "--data", data)
        common = ["--tiny", "--likewise", str(options.likewise), "--results", str(results)]
        names = options.names or list(BENCHMARKS)
        failed = [name for name in names if not check(name, common, paths | {"data": str(data)}, results)]
    if before != {file: file.read_bytes() for file in (HERE / "results").glob("*")}:
        failed.append("a tiny run wrote into benches/results")
    print(f"failed: {', '.join(failed)}" if failed else f"{len(names)} benchmarks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
