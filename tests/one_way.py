"""Fails if a module imports one that stands below it in its crate's lib.rs, if files of a crate import each other in a
circle, or if a .rs file lacks its `//!`.

A circle is looked for between files, whatever their folders. A parent may name the children that it declares (it is their
front door), so imports from a file to one below it are not counted; those from a child to its parent are.
"""

import pathlib
import re
import sys
from collections import defaultdict

SOURCES = [pathlib.Path("src"), *sorted(pathlib.Path("crates").glob("*/src"))]
USE = re.compile(r"(pub(?:\([^)]*\))?\s+)?\buse\s+([^;]+);")

Module = tuple[str, ...]


def code_of(path: pathlib.Path) -> str:
    """A file's code, without comments and without its tests, which may import anything."""
    text = re.sub(r"//[^\n]*", "", path.read_text())
    return re.split(r"#\[cfg\(test\)\]\s*mod tests", text)[0]


def paths_in(tree: str) -> list[str]:
    """The paths of a `use` tree: `a::{b, c::{d}}` names `a::b` and `a::c::d`."""
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
    """The modules of a crate, and which imports which."""

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
        """The module that a path leads to, through what modules on its way export."""
        names = path.split("::")
        if names[0] == "crate":
            here, names = (), names[1:]
        elif names[0] in ("self", "super"):
            here = module
            while names and names[0] in ("self", "super"):
                here, names = (here[:-1] if names[0] == "super" else here), names[1:]
        elif (*module, names[0]) in self.files:
            here = module
        else:
            return None
        while names and (*here, names[0]) in self.files:
            here, names = (*here, names[0]), names[1:]
        if names and depth < 5 and names[0] in self.exported[here]:
            return self.resolve(here, self.exported[here][names[0]], depth + 1) or here
        return here

    def circles(self) -> list[list[Module]]:
        """The sets of modules that can be reached from each other."""
        reached = {module: self.reach(module) for module in self.files}
        circles = {frozenset(other for other in reached[module] if module in reached[other]) for module in self.files}
        return sorted(sorted(circle) for circle in circles if len(circle) > 1)

    def reach(self, module: Module) -> set[Module]:
        seen, left = set(), [module]
        while left:
            new = self.imports.get(left.pop(), set()) - seen
            seen |= new
            left += new
        return seen


def module_of(path: pathlib.Path) -> Module:
    parts = path.with_suffix("").parts
    return parts[:-1] if parts[-1] in ("mod", "lib") else parts


def upwards(source: pathlib.Path) -> list[str]:
    """Imports of modules that stand below in lib.rs."""
    order = re.findall(r"^(?:pub )?mod (\w+);", (source / "lib.rs").read_text(), re.MULTILINE)
    wrong = []
    for path in sorted(source.rglob("*.rs")):
        module = path.relative_to(source).parts[0].removesuffix(".rs")
        if module not in order:
            continue
        for used in re.findall(r"\bcrate::(\w+)", code_of(path)):
            if used in order and order.index(used) > order.index(module):
                wrong.append(f"{path}: imports crate::{used}, which stands below {module} in {source}/lib.rs")
    return wrong


def main() -> int:
    wrong = []
    for path in sorted([*(file for source in SOURCES for file in source.rglob("*.rs")), *pathlib.Path("tests").glob("*.rs"),
                        *pathlib.Path("benches").glob("*.rs"), *pathlib.Path("crates").glob("*/examples/*.rs")]):
        if not path.read_text().startswith("//!"):
            wrong.append(f"{path}: does not open with //!: what it is, and why it is its own file")
    for source in SOURCES:
        # The index's files are told apart by what they do, not by an order: its lib.rs is a contract and its tests.
        if source.parent.name != "likewise-index":
            wrong += upwards(source)
        for circle in Crate(source).circles():
            wrong.append(f"{source}: a circle: {', '.join('/'.join(module) for module in circle)}")
    print("\n".join(wrong))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
