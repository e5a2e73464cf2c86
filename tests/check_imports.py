"""Checks the imports and module docs of all crates. Fails in three cases:

- A module imports a module that the crate's lib.rs declares further down.
- The files of a crate import each other in a cycle.
- A .rs file does not start with `//!`.

The check for cycles compares files, regardless of folders. An import from a parent module to one of its submodules is
not counted, because a parent declares and re-exports its submodules. An import from a submodule to its parent is
counted.
"""

import pathlib
import re
import sys
from collections import defaultdict

SOURCES = [pathlib.Path("src"), *sorted(pathlib.Path("crates").glob("*/src"))]
USE = re.compile(r"(pub(?:\([^)]*\))?\s+)?\buse\s+([^;]+);")

Module = tuple[str, ...]


def code_of(path: pathlib.Path) -> str:
    """Returns the code of a file without comments and without unit tests. Unit tests may import any module."""
    text = re.sub(r"//[^\n]*", "", path.read_text())
    return re.split(r"#\[cfg\(test\)\]\s*mod tests", text)[0]


def paths_in(tree: str) -> list[str]:
    """Returns the paths of a `use` tree: `a::{b, c::{d}}` gives `a::b` and `a::c::d`."""
    match = re.match(r"^([\w:]*?)(?:::)?\{(.*)\}$", tree.strip(), re.DOTALL)
    if not match:
        return [re.sub(r"\s+as\s+\w+$", "", tree.strip())]
    head, body = match.groups()
    parts, depth, part = [], 0, ""
    for character in body:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += character
    parts += [part] if part.strip() else []
    return [f"{head}::{path}" if head else path for part in parts for path in paths_in(part)]


class Crate:
    """The modules of a crate and the imports between them."""

    def __init__(self, source: pathlib.Path):
        self.files = {module_of(path.relative_to(source)): path for path in source.rglob("*.rs") if path.name != "main.rs"}
        code = {module: code_of(path) for module, path in self.files.items()}
        self.exported: dict[Module, dict[str, str]] = defaultdict(dict)
        for module, text in code.items():
            for public, tree in USE.findall(text):
                if public:
                    self.exported[module].update({path.split("::")[-1]: path for path in paths_in(tree)})
        self.imports = {module: self.imported(module, text) for module, text in code.items()}

    def imported(self, module: Module, text: str) -> set[Module]:
        paths = [path for _, tree in USE.findall(text) for path in paths_in(tree)]
        paths += re.findall(r"\b((?:crate|super|self)(?:::\w+)+)", USE.sub("", text))
        found = {self.resolve(module, path) for path in paths}
        return {other for other in found if other is not None and other != module and other[: len(module)] != module}

    def resolve(self, module: Module, path: str, depth: int = 0) -> Module | None:
        """Returns the module that a path refers to, directly or through a `pub use`; `None` if the path leads
        outside the crate."""
        names = path.split("::")
        if names[0] == "crate":
            current, names = (), names[1:]
        elif names[0] in ("self", "super"):
            current = module
            while names and names[0] in ("self", "super"):
                current, names = (current[:-1] if names[0] == "super" else current), names[1:]
        elif (*module, names[0]) in self.files:
            current = module
        else:
            return None
        while names and (*current, names[0]) in self.files:
            current, names = (*current, names[0]), names[1:]
        if names and depth < 5 and names[0] in self.exported[current]:
            return self.resolve(current, self.exported[current][names[0]], depth + 1) or current
        return current

    def cycles(self) -> list[list[Module]]:
        """Returns the sets of modules that all import each other, directly or indirectly."""
        reached = {module: self.reach(module) for module in self.files}
        cycles = {frozenset(other for other in reached[module] if module in reached[other]) for module in self.files}
        return sorted(sorted(cycle) for cycle in cycles if len(cycle) > 1)

    def reach(self, module: Module) -> set[Module]:
        """Returns the modules that a module imports, directly and indirectly."""
        seen, pending = set(), [module]
        while pending:
            new = self.imports.get(pending.pop(), set()) - seen
            seen |= new
            pending += new
        return seen


def module_of(path: pathlib.Path) -> Module:
    parts = path.with_suffix("").parts
    return parts[:-1] if parts[-1] in ("mod", "lib") else parts


def upward_imports(source: pathlib.Path) -> list[str]:
    """Returns a message for each import of a module that lib.rs declares below the importing module."""
    order = re.findall(r"^(?:pub )?mod (\w+);", (source / "lib.rs").read_text(), re.MULTILINE)
    problems = []
    for path in sorted(source.rglob("*.rs")):
        module = path.relative_to(source).parts[0].removesuffix(".rs")
        if module not in order:
            continue
        for used in re.findall(r"\bcrate::(\w+)", code_of(path)):
            if used in order and order.index(used) > order.index(module):
                problems.append(f"{path}: the file must not import crate::{used}, because {source}/lib.rs declares {used} below {module}")
    return problems


def main() -> int:
    problems = []
    for path in sorted([*(file for source in SOURCES for file in source.rglob("*.rs")), *pathlib.Path("tests").glob("*.rs"),
                        *pathlib.Path("benches").glob("*.rs"), *pathlib.Path("crates").glob("*/examples/*.rs")]):
        if not path.read_text().startswith("//!"):
            problems.append(f"{path}: the file must start with a //! comment that says what the file is for")
    for source in SOURCES:
        # likewise-index declares its modules in alphabetical order, so only the check for cycles applies to it.
        if source.parent.name != "likewise-index":
            problems += upward_imports(source)
        for cycle in Crate(source).cycles():
            problems.append(f"{source}: these modules import each other in a cycle: {', '.join('/'.join(module) for module in cycle)}")
    print("\n".join(problems))
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
