"""Writes the results of a benchmark to benches/results/NAME.md, one file per benchmark.

A file has a title, the command that makes it, a link to the script (which describes what is measured and how fair the
comparison is), and one section per CPU class ("AVX2", "AMX", …), because the results of different classes cannot be
compared. A section has the date, the machine, the versions and the corpus. A run replaces the section of its own class
and keeps the other sections, so a run on a machine of another class adds a section.

A run with `--tiny` only checks that the benchmark works: it writes to a temporary folder (or to the folder of
`--results`), and `check` validates the file.
"""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import re
import tempfile

# CPU classes by CPU flag, from the newest instructions to the oldest. The class of a machine is the first class whose
# flag the CPU of the machine has.
CLASSES = {
    "amx_tile": "AMX",
    "avx512_vnni": "AVX-512 with VNNI",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX2 with VNNI",
    "avx2": "AVX2",
}
FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
# If the name of a column begins with one of these words, a number at the beginning of a cell must be between 0 and 1.
FRACTIONS = ("recall", "overlap", "cosine", "ndcg", "mrr", "map")


def cpuinfo(name: str) -> str:
    """A field of the first CPU in /proc/cpuinfo; empty if there is no such field."""
    found = re.search(rf"^{name}\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else ""


def cpu_class() -> str:
    """The CPU class of this machine, which is the title of the machine's section."""
    flags = cpuinfo("flags").split()
    return next((name for flag, name in CLASSES.items() if flag in flags), f"{platform.machine()}, no AVX2")


def machine() -> str:
    """The CPU model, its relevant instruction sets and the number of cores."""
    flags = cpuinfo("flags").split()
    known = ", ".join(flag for flag in FLAGS if flag in flags)
    name = cpuinfo("model name") or platform.machine()
    return f"{name} (family {cpuinfo('cpu family')}, model {cpuinfo('model')}; {known}), {os.cpu_count()} cores"


def today() -> str:
    return datetime.date.today().isoformat()


def versions(*packages: str) -> str:
    """The names and versions of those packages that are installed."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            pass
    return ", ".join(found)


def table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_result(folder: str | pathlib.Path, name: str, title: str, command: str, script: str, text: str, section: str = "") -> pathlib.Path:
    """Writes `text` to a section of FOLDER/NAME.md: to `section` or, if that is empty, to the section of this machine's
    CPU class. Returns the path."""
    file = pathlib.Path(folder) / f"{name}.md"
    head = (
        f"# {title}\n\n`{command}` writes this file. [benches/{script}](../{script}) describes what is measured and how fair the "
        "comparison is."
    )
    _, *sections = re.split(r"(?m)^(?=## )", file.read_text()) if file.exists() else [""]
    kept = {part.splitlines()[0]: part.strip() for part in sections}
    heading = f"## {section or cpu_class()}"
    kept[heading] = f"{heading}\n\n{text.strip()}"
    measured = [kept_heading.removeprefix("## ") for kept_heading in kept]
    untried = [name for name in CLASSES.values() if not any(title == name or title.startswith(f"{name},") for title in measured)]
    # A file whose sections are not CPU classes, as that of the GPU benchmark, needs no list.
    if 0 < len(untried) < len(CLASSES):
        head += f"\n\nNot measured yet on CPUs of these classes: {'; '.join(untried)}."
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n\n".join([head, *kept.values()]) + "\n")
    return file


def report(options, name: str, title: str, command: str, script: str, text: str, section: str = "") -> None:
    """Prints the text and writes it to the folder of `--results`. The file of a tiny run is checked."""
    print(text, flush=True)
    content = (name, title, command, script, text, section)
    if options.tiny:
        with tempfile.TemporaryDirectory() as scratch:
            written = write_result(options.results or scratch, *content)
            check(written.read_text())
        print(f"{name}: the tables are valid", flush=True)
    elif options.results:
        print(f"written: {write_result(options.results, *content)}")


def tables(text: str) -> list[list[list[str]]]:
    """The cells of every Markdown table, by row. The first row has the names of the columns."""
    found, rows = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif rows:
            found.append(rows)
            rows = []
    return found


def check(text: str) -> None:
    """Checks that every table has rows, every row has all its cells, and every fraction is between 0 and 1."""
    assert tables(text) or "```" in text, f"no table and no output in\n{text}"
    for columns, _, *rows in tables(text):
        assert rows, f"a table without rows: {columns}"
        for row in rows:
            assert len(row) == len(columns) and all(row), f"a cell is missing: {row}, of {columns}"
            assert "nan" not in [cell.lower() for cell in row], f"not a number: {row}"
            for column, cell in zip(columns, row):
                number = re.match(r"-?\d+\.\d+", cell)
                if number and column.lower().startswith(FRACTIONS):
                    assert -0.00001 <= float(number[0]) <= 1.00001, f"{column}: {cell} is not between 0 and 1"
    for recall in re.findall(r"recall@\d+ (\S+\d)", text):
        assert 0 <= float(recall) <= 1, f"a recall must be between 0 and 1 (got {recall})"
