"""Options that every benchmark has.

    --tiny              a few seconds on the smallest input: does the benchmark still run? Its figures mean nothing
    --results FOLDER    where NAME.md goes; left out, it is only printed
    --likewise PROGRAM  the program that is measured
"""

import argparse
import importlib.util
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "tests/data/sample.jsonl"


def parser(doc: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=doc.splitlines()[0])
    made.add_argument("--tiny", action="store_true", help="check in seconds that the benchmark runs")
    made.add_argument("--results", type=pathlib.Path, help="folder that NAME.md goes to; left out, it is only printed")
    made.add_argument("--likewise", type=pathlib.Path, default=ROOT / "target/release/likewise", help="the program that is measured")
    return made


def parse(parser: argparse.ArgumentParser, **tiny: object) -> argparse.Namespace:
    """The options; `tiny` are other defaults for a tiny run."""
    if parser.parse_known_args()[0].tiny:
        parser.set_defaults(**tiny)
    options = parser.parse_args()
    options.likewise = options.likewise.resolve()
    if not options.likewise.exists():
        sys.exit(f"--likewise: {options.likewise} is not there; `make setup` builds it")
    return options


def has(peer: str, *packages: str, tiny: bool) -> bool:
    """Whether a peer's packages are installed. A tiny run goes on without it; a real one does not."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing and not tiny:
        sys.exit(f"{peer}: needs {', '.join(missing)}, which this Python lacks; the make target installs them")
    if missing:
        print(f"skipped: {peer}, which needs {', '.join(missing)}", flush=True)
    return not missing
