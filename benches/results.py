"""benches/RESULTS.md has a section for each benchmark; each writes its own and leaves the others."""

import datetime
import os
import pathlib
import re


def machine() -> str:
    """The CPU, by the names that matter here."""
    info = pathlib.Path("/proc/cpuinfo").read_text()
    field = lambda name: re.search(rf"^{name}\s*: (.*)$", info, re.MULTILINE)[1]  # noqa: E731
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
    flags = ", ".join(flag for flag in wanted if flag in field("flags").split())
    return f"{field('model name')} (family {field('cpu family')}, model {field('model')}; {flags}), {os.cpu_count()} cores"


def today() -> str:
    return datetime.date.today().isoformat()


def table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_section(path: str, title: str, text: str) -> None:
    """Puts a section where the one of the same title was, or at the end."""
    file = pathlib.Path(path)
    sections = re.split(r"(?m)^(?=# )", file.read_text() if file.exists() else "")
    kept = [section.strip() for section in sections if section.strip()]
    titles = [section.splitlines()[0] for section in kept]
    new = f"# {title}\n\n{text.strip()}"
    if f"# {title}" in titles:
        kept[titles.index(f"# {title}")] = new
    else:
        kept.append(new)
    file.write_text("\n\n".join(kept) + "\n")
