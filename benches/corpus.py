"""Papers to encode, and the text of each: the same for likewise and for every peer.

Only papers that likewise's reader leaves as they are: it makes LaTeX and typographic characters readable, which a
peer does not, and then the two would encode different texts. Two of three conference papers pass.
"""

import gzip
import json
import pathlib
import string

PLAIN = set(string.ascii_letters + string.digits + " .,;:()-/?'")


def papers(dump: str) -> list[dict]:
    """Those of a JSON Lines dump with a plain title and abstract, in single spaces."""
    tidy = lambda text: " ".join(text.split())  # noqa: E731
    with gzip.open(dump, "rt") if str(dump).endswith(".gz") else open(dump) as lines:
        every = [paper for paper in map(json.loads, lines) if paper.get("title") and paper.get("abstract")]
    tidied = [{"title": tidy(paper["title"]), "abstract": tidy(paper["abstract"])} for paper in every]
    return [{"id": f"p{i}", **paper} for i, paper in enumerate(tidied) if is_plain(paper["title"] + paper["abstract"])]


def is_plain(text: str) -> bool:
    return set(text) <= PLAIN and "--" not in text


def spread(papers: list[dict], count: int) -> list[dict]:
    """COUNT papers, evenly spread."""
    return papers[:: max(1, len(papers) // count)][:count]


def write(path: pathlib.Path, papers: list[dict]) -> None:
    path.write_text("".join(json.dumps(paper) + "\n" for paper in papers))


def text_of(paper: dict) -> str:
    """What likewise encodes of a paper with `--title 0`."""
    return f"{paper['title']}{' ' if paper['title'].endswith(('.', '?', '!', ':')) else '. '}{paper['abstract']}"
