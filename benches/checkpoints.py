"""What benchmarks of architectures have in common: random checkpoints, and papers whose text both sides read alike."""

import gzip
import importlib.util
import json
import pathlib
from types import ModuleType

ROOT = pathlib.Path(__file__).parent.parent


def recipe(**settings: object) -> ModuleType:
    """The module that makes the tests' checkpoints, told to make others."""
    spec = importlib.util.spec_from_file_location("recipe", ROOT / "tests/golden/make_architectures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in settings.items():
        setattr(module, name, value)
    return module


def papers(dump: str) -> list[dict]:
    """Those with a title and an abstract, in single spaces, as our reader has them."""
    tidy = lambda text: " ".join(text.split())  # noqa: E731
    with gzip.open(dump, "rt") if dump.endswith(".gz") else open(dump) as lines:
        every = [paper for paper in map(json.loads, lines) if paper.get("title") and paper.get("abstract")]
    return [{"id": f"p{i}", "title": tidy(paper["title"]), "abstract": tidy(paper["abstract"])} for i, paper in enumerate(every)]


def write(path: pathlib.Path, papers: list[dict]) -> None:
    path.write_text("".join(json.dumps(paper) + "\n" for paper in papers))


def text_of(paper: dict) -> str:
    """What is encoded of a paper."""
    return f"{paper['title']}{' ' if paper['title'].endswith(('.', '?', '!', ':')) else '. '}{paper['abstract']}"
