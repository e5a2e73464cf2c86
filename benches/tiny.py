"""Runs every benchmark on the smallest input, so that none rots: `make bench-tiny`. Figures of such a run mean nothing.

    python benches/tiny.py                          # all of them, with the programs in target/release
    python benches/tiny.py encode serve             # only these
    python benches/tiny.py --likewise PROGRAM --program index=PROGRAM --program scale=PROGRAM

Needs numpy, and takes the peers that are installed (faiss-cpu, usearch, hnswlib, pyarrow, …); torch is not needed. A
benchmark passes over peers that it lacks, and says which. milvus runs by `scripts/with-milvus`; elsewhere it is skipped.

It fails if a benchmark does, if one writes no file or no section for this machine, or if one writes into benches/results.
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
SECONDS = 300
# Name of the results file: its script and arguments; {NAME} is a Rust benchmark, compiled, and {data} a data folder of the sample.
BENCHMARKS = {
    "encode": ["encode_peers.py"],
    "architectures": ["architectures.py"],
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
    """The newest Rust benchmark of that name, as cargo leaves it."""
    found = [file for file in DEPS.glob(f"{name}-*") if not file.suffix]
    return str(max(found, key=lambda file: file.stat().st_mtime)) if found else ""


def run(arguments: list[str]) -> tuple[bool, str, float]:
    """Whether a benchmark went through, what it said, and seconds."""
    started = time.monotonic()
    try:
        done = subprocess.run([sys.executable, "-B", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS)
        passed, said = done.returncode == 0, done.stdout
    except subprocess.TimeoutExpired:
        passed, said = False, f"not done within {SECONDS} s"
    return passed, said, time.monotonic() - started


def wrote(name: str, results: pathlib.Path, said: str) -> str:
    """What is wrong with the file that a benchmark wrote."""
    file = results / f"{name}.md"
    if name == "milvus" and "skipped: Milvus" in said:
        return ""
    if not file.exists():
        return f"{file.name} was not written"
    # With a card, gpu's section is the card's.
    if name != "gpu" and f"\n## {cpu_class()}\n" not in file.read_text():
        return f"{file.name} has no section for {cpu_class()}"
    return ""


def checked(name: str, common: list[str], places: dict[str, str], results: pathlib.Path) -> bool:
    """Runs one, and says how it went."""
    missing = [place for place in PROGRAMS if f"{{{place}}}" in BENCHMARKS[name] and not places[place]]
    if missing:
        print(f"{name}: FAILED, {missing[0]} is not built; `cargo build --release --bench {missing[0]}`", flush=True)
        return False
    script, *arguments = (argument.format(**places) for argument in BENCHMARKS[name])
    passed, said, seconds = run([str(HERE / script), *arguments, *common])
    wrong = wrote(name, results, said) if passed else "it stopped"
    print(f"{name}: {f'FAILED, {wrong}' if wrong else 'passed'}, {seconds:.1f} s", flush=True)
    lines = said.splitlines() if wrong else [line for line in said.splitlines() if line.startswith("skipped: ")]
    print("".join(f"    {line}\n" for line in lines), end="", flush=True)
    return not wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--likewise", type=pathlib.Path, default=ROOT / "target/release/likewise")
    parser.add_argument("--program", action="append", default=[], metavar="NAME=PATH", help=f"a compiled Rust benchmark: {', '.join(PROGRAMS)}")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"got {', '.join(unknown)}, wanted some of {', '.join(BENCHMARKS)}")
    places = {name: compiled(name) for name in PROGRAMS} | dict(given.split("=", 1) for given in options.program)
    before = {file: file.read_bytes() for file in (HERE / "results").glob("*")}
    with tempfile.TemporaryDirectory() as scratch:
        results, data = pathlib.Path(scratch) / "results", pathlib.Path(scratch) / "data"
        program.run(options.likewise.resolve(), "ingest", SAMPLE, "--data", data)
        common = ["--tiny", "--likewise", str(options.likewise), "--results", str(results)]
        names = options.names or list(BENCHMARKS)
        failed = [name for name in names if not checked(name, common, places | {"data": str(data)}, results)]
    if before != {file: file.read_bytes() for file in (HERE / "results").glob("*")}:
        failed.append("a tiny run wrote into benches/results")
    print(f"failed: {', '.join(failed)}" if failed else f"{len(names)} benchmarks run")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
