"""Command-line options that every benchmark has.

    --tiny              run for seconds on the smallest input, to check that the benchmark works; results mean nothing
    --results FOLDER    the folder for NAME.md; without it the results are only printed
    --likewise PROGRAM  the program to measure
"""

import argparse
import importlib.util
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "tests/data/sample.jsonl"


def parser(doc: str) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has. The description of the parser is the first line of `doc`."""
    result = argparse.ArgumentParser(description=doc.splitlines()[0])
    result.add_argument("--tiny", action="store_true", help="check in seconds that the benchmark runs")
    result.add_argument("--results", type=pathlib.Path, help="the folder for NAME.md; without it the results are only printed")
    result.add_argument("--likewise", type=pathlib.Path, default=ROOT / "target/release/likewise", help="the program to measure")
    return result


def parse(parser: argparse.ArgumentParser, **tiny: object) -> argparse.Namespace:
    """Parses the options. `tiny` are the defaults of a tiny run."""
    if parser.parse_known_args()[0].tiny:
        parser.set_defaults(**tiny)
    options = parser.parse_args()
    options.likewise = options.likewise.resolve()
    if not options.likewise.exists():
        sys.exit(f"--likewise: {options.likewise} does not exist; `make setup` builds it")
    return options


def has(peer: str, *packages: str, tiny: bool) -> bool:
    """Whether a peer's packages are installed. If they are not, a tiny run skips the peer, and every other run ends
    with an error."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing and not tiny:
        sys.exit(f"{peer}: missing Python packages: {', '.join(missing)}; the benchmark's make target installs them")
    if missing:
        print(f"skipped: {peer}, which needs {', '.join(missing)}", flush=True)
    return not missing
