"""Fails if a module imports one that stands below it in src/lib.rs, or a .rs file lacks its `//!`."""

import pathlib
import re
import sys

source = pathlib.Path("src")
order = re.findall(r"^pub mod (\w+);", (source / "lib.rs").read_text(), re.MULTILINE)
wrong = []
for path in sorted([*source.rglob("*.rs"), *pathlib.Path("tests").glob("*.rs"), *pathlib.Path("benches").glob("*.rs")]):
    text = path.read_text()
    if not text.startswith("//!"):
        wrong.append(f"{path}: does not open with //!: what it is, and why it is its own file")
    parts = path.relative_to(source).parts if path.is_relative_to(source) else ()
    module = parts[0].removesuffix(".rs") if parts else ""
    if module not in order:
        continue
    for used in re.findall(r"\bcrate::(\w+)", text):
        if used in order and order.index(used) > order.index(module):
            wrong.append(f"{path}: imports crate::{used}, which stands below {module} in src/lib.rs")
print("\n".join(wrong))
sys.exit(bool(wrong))
