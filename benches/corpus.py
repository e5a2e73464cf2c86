"""The papers that encoder benchmarks encode, and the text of each paper, the same for likewise and for every peer.

Only papers that likewise's dump reader does not change are used. The reader replaces LaTeX and typographic characters.
A peer does not replace them, so likewise and the peer would encode different texts. Two thirds of the conference papers
are used.
"""

import gzip
import json
import pathlib
import string

PLAIN = set(string.ascii_letters + string.digits + " .,;:()-/?'")


def papers(dump: str) -> list[dict]:
    """The papers of a JSON Lines dump with a plain title and abstract. White space is normalised."""
    normalise = lambda text: " ".join(text.split())  # noqa: E731
    with gzip.open(dump, "rt") if str(dump).endswith(".gz") else open(dump) as lines:
        every = [paper for paper in map(json.loads, lines) if paper.get("title") and paper.get("abstract")]
    normalised = [{"title": normalise(paper["title"]), "abstract": normalise(paper["abstract"])} for paper in every]
    return [{"id": f"p{i}", **paper} for i, paper in enumerate(normalised) if is_plain(paper["title"] + paper["abstract"])]


def is_plain(text: str) -> bool:
    """Whether likewise's dump reader leaves a text unchanged."""
    return set(text) <= PLAIN and "--" not in text


def spread(papers: list[dict], count: int) -> list[dict]:
    """`count` papers, evenly spread."""
    return papers[:: max(1, len(papers) // count)][:count]


def write(path: pathlib.Path, papers: list[dict]) -> None:
    path.write_text("".join(json.dumps(paper) + "\n" for paper in papers))


def text_of(paper: dict) -> str:
    """The text of a paper that likewise encodes with `--title 0`."""
    return f"{paper['title']}{' ' if paper['title'].endswith(('.', '?', '!', ':')) else '. '}{paper['abstract']}"
