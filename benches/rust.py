"""Runs one of the benchmarks in Rust (encode.rs, ingest.rs, search.rs), and writes the benchmark's output to a file.

    make bench DATA=FOLDER      # writes benches/results/precisions.md, ingest.md and filters.md
    python benches/rust.py precisions --program PROGRAM --dump DUMP

| name | program | what it measures |
|---|---|---|
| precisions | benches/encode.rs | the encoder in f32, bf16 and int8: papers/s, latency, fidelity to f32 |
| ingest | benches/ingest.rs | `ingest` compared with the encoder alone, over the same papers |
| filters | benches/search.rs | recall and speed of the index of a data folder, by the share of papers that pass a filter |

Fair: no other program is measured, only variants of this program, which the header of each Rust file describes. The
encoder gets the texts `title. abstract` and does not encode titles separately.

`--tiny` uses 12 papers of the sample, and makes a data folder with 120 papers.
"""

import pathlib
import subprocess
import tempfile

import program
import results
from options import ROOT, SAMPLE, parse, parser

# For each name of a results file: the title, the Rust benchmark, and the arguments of a tiny run.
BENCHMARKS = {
    "precisions": ("The encoder in every precision", "encode", ["--count", "12", "--rounds", "1", "--repeats", "3"]),
    "ingest": ("Ingest compared with the encoder alone", "ingest", ["--count", "12", "--rounds", "1"]),
    "filters": ("The index of a data folder, with and without filters", "search", ["--queries", "60"]),
}


def output_of(binary: pathlib.Path, arguments: list[str]) -> str:
    """The output of a Rust benchmark, which is run in the repository's root because it needs the model there."""
    result = subprocess.run([binary, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert result.returncode == 0, f"{binary}: status {result.returncode}\n{result.stdout}"
    return result.stdout.strip()


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("name", choices=BENCHMARKS)
    arguments.add_argument("--program", type=pathlib.Path, required=True, help="the compiled Rust benchmark")
    arguments.add_argument("--dump", type=pathlib.Path, default=SAMPLE)
    arguments.add_argument("--data", type=pathlib.Path, help="the data folder for filters; a tiny run makes its own")
    options = parse(arguments)
    title, source, tiny = BENCHMARKS[options.name]
    with tempfile.TemporaryDirectory() as scratch:
        command_line = tiny if options.tiny else []
        if options.name != "filters":
            command_line = ["--dump", str(options.dump.resolve()), *command_line]
        elif options.data or options.tiny:
            data = options.data or pathlib.Path(scratch) / "data"
            if not options.data:
                program.run(options.likewise, "ingest", SAMPLE, "--data", data)
            command_line = ["--data", str(data.resolve()), *command_line]
        output = output_of(options.program.resolve(), command_line)
    head = f"{results.today()}, {results.machine()}; {program.version(options.likewise)}; benches/{source}.rs {' '.join(map(short, command_line))}"
    results.report(options, options.name, title, "make bench", "rust.py", f"{head.strip()}\n\n```\n{output}\n```")


def short(argument: str) -> str:
    """The last part of a path, because the folders of this machine are irrelevant to readers."""
    return pathlib.Path(argument).name


if __name__ == "__main__":
    main()
