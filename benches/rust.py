"""The benchmarks that are Rust programs (encode.rs, ingest.rs, search.rs): runs one, and keeps what it prints.

    make bench DATA=FOLDER      # writes benches/results/precisions.md, ingest.md and filters.md
    python benches/rust.py precisions --program PROGRAM --dump DUMP

| name | program | what it measures |
|---|---|---|
| precisions | benches/encode.rs | the encoder in f32, bf16 and int8: papers/s, latency, fidelity to f32 |
| ingest | benches/ingest.rs | `ingest` beside the encoder alone, over the same papers |
| filters | benches/search.rs | recall and speed of the index over a data folder, by the share of papers that a filter lets through |

Fair: no peer is measured, only ways of this program against each other; each program's own header says what it
compares. The encoder gets texts there, `title. abstract`, and reads no title a second time.

`--tiny` takes 12 papers of the sample, and 120 in a data folder that it makes first.
"""

import pathlib
import subprocess
import tempfile

import program
import results
from options import ROOT, SAMPLE, parse, parser

# Name of the file: its title, the Rust program, and its arguments in a tiny run.
BENCHMARKS = {
    "precisions": ("The encoder, by precision", "encode", ["--count", "12", "--rounds", "1", "--repeats", "3"]),
    "ingest": ("Ingest beside the encoder alone", "ingest", ["--count", "12", "--rounds", "1"]),
    "filters": ("The index over a data folder, with filters and without", "search", ["--queries", "60"]),
}


def said(binary: pathlib.Path, arguments: list[str]) -> str:
    """What it prints; it looks for the model in the folder that it runs in."""
    done = subprocess.run([binary, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert done.returncode == 0, f"{binary}: status {done.returncode}\n{done.stdout}"
    return done.stdout.strip()


def main() -> None:
    made = parser(__doc__)
    made.add_argument("name", choices=BENCHMARKS)
    made.add_argument("--program", type=pathlib.Path, required=True, help="the Rust program, compiled")
    made.add_argument("--dump", type=pathlib.Path, default=SAMPLE)
    made.add_argument("--data", type=pathlib.Path, help="a data folder, for filters; a tiny run makes its own")
    options = parse(made)
    title, source, tiny = BENCHMARKS[options.name]
    with tempfile.TemporaryDirectory() as scratch:
        arguments = tiny if options.tiny else []
        if options.name != "filters":
            arguments = ["--dump", str(options.dump.resolve()), *arguments]
        elif options.data or options.tiny:
            data = options.data or pathlib.Path(scratch) / "data"
            if not options.data:
                program.run(options.likewise, "ingest", SAMPLE, "--data", data)
            arguments = ["--data", str(data.resolve()), *arguments]
        printed = said(options.program.resolve(), arguments)
    head = f"{results.today()}, {results.machine()}; {program.version(options.likewise)}; benches/{source}.rs {' '.join(map(short, arguments))}"
    results.report(options, options.name, title, "make bench", "rust.py", f"{head.strip()}\n\n```\n{printed}\n```")


def short(argument: str) -> str:
    """A path's last part: where a folder lies on this machine tells nobody anything."""
    return pathlib.Path(argument).name


if __name__ == "__main__":
    main()
