"""What was tried for the ranking, and not all of it kept: titles that count more, ways to fuse, and scores of sentences.

    make bench-recipe       # installs torch and transformers into .venv-peers, runs, writes benches/results/recipe.md

Corpus: the sets keywords-* and tracks-* of benches/judged.py; what is fitted is fitted on dev.

- Titles: token vectors of the reference library (transformers, f32), since our encoder gives pooled ones only; (a) title
  tokens count w times in the mean, (b) `normalize(e(title. abstract) + a e(title))`. All by vectors alone, compared with
  every paper.
- Fusions: of the first 200 by meaning and the first 200 by words, by reciprocal rank (Cormack, Clarke & Büttcher 2009) and
  by scores between the last's and the first's, beside hybrid's, which are fractions of what they could be at most.
- Sentences: the first hits of hybrid search, put in another order by the cosines of their sentences with the question's,
  which our encoder computes of all papers beforehand.

Fair: a row is compared with the first row of its own group, which differs from it in one thing. The groups are not
comparable with each other: titles start from vectors without a title (as with `--title 0`), by the reference library;
fusions and sentences start from hybrid search as it is by default, with titles at 15 %. A sentence has no title, so
sentences are encoded with `--title 0`. No time is taken (benches/quality.py times `rescore`, which came of this).

`--tiny` makes the small sets of judged.py, and takes the dev ones; without torch and transformers it passes titles over.
"""

import collections
import itertools
import json
import pathlib
import re
import tempfile

import numpy

import program
import results
from judged import TINY, make, sample
from options import ROOT, has, parse, parser

MODEL = program.MODELS / "all-MiniLM-L6-v2"
TOKENS = 256
DISCOUNT = 1 / numpy.log2(numpy.arange(2, 12))
WEIGHTS = [2, 3, 5, 9]
SHARES = [0.15, 0.25, 0.5, 1]
SENTENCES = [0.1, 0.2, 0.4]
WORDS = [0.3, 0.5, 0.7]
DEPTH = 200
FIRST = [30, 200]
DRAWS = 4000


class Judged:
    """A set, and how good rankings of it are."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        self.papers = [json.loads(line) for line in (folder / "corpus.jsonl").open()]
        self.places = {paper["_id"]: place for place, paper in enumerate(self.papers)}
        self.queries = [json.loads(line)["_id"] for line in (folder / "queries.jsonl").open()]
        self.pooled = (folder / "pools.json").exists()
        if self.pooled:
            self.grades = json.loads((folder / "pools.json").read_text())
        else:
            self.grades = collections.defaultdict(dict)
            for line in (folder / "qrels/test.tsv").read_text().splitlines()[1:]:
                query, paper, grade = line.split("\t")
                self.grades[query][paper] = int(grade)

    def ndcg(self, query, ranked):
        grades = self.grades[query]
        gains = numpy.array([grades.get(paper, 0) for paper in ranked[:10]], float)
        ideal = numpy.array(sorted(grades.values(), reverse=True)[:10], float)
        return gains @ DISCOUNT[: len(gains)] / (ideal @ DISCOUNT[: len(ideal)])

    def by_vectors(self, vectors):
        values = []
        for query in self.queries:
            own = self.places[query]
            among = numpy.array([self.places[paper] for paper in self.grades[query]] if self.pooled else range(len(vectors)))
            scores = numpy.where(among == own, -9, vectors[among] @ vectors[own])
            values.append(self.ndcg(query, [self.papers[place]["_id"] for place in among[numpy.argsort(-scores, kind="stable")[:10]]]))
        return numpy.array(values)


def p_value(one, other):
    differences = one - other
    signs = numpy.random.default_rng(1).choice([-1, 1], (DRAWS, len(differences)))
    return (numpy.abs((signs * differences).mean(1)) >= abs(differences.mean())).mean()


def unit(vectors):
    return vectors / numpy.maximum(numpy.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def text(paper):
    stop = " " if paper["title"][-1:] in ".?!:" else ". "
    return paper["title"] + stop + paper["text"] if paper["text"] else paper["title"]


def sums(papers):
    """Sums of token vectors: over the text, over the title's tokens in it, over the title read alone."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(MODEL), AutoModel.from_pretrained(MODEL).eval()
    whole, within, alone = (numpy.zeros((len(papers), 384), numpy.float32) for _ in range(3))
    order = sorted(range(len(papers)), key=lambda place: -len(text(papers[place])))
    for start in range(0, len(order), 32):
        places = order[start : start + 32]
        for target, texts in [(whole, [text(papers[place]) for place in places]), (alone, [papers[place]["title"] or "." for place in places])]:
            read = tokenizer(texts, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt", return_offsets_mapping=True)
            ends = read.pop("offset_mapping")[:, :, 1]
            with torch.no_grad():
                hidden = model(**read).last_hidden_state
            mask = read["attention_mask"].float()
            target[places] = (hidden * mask[:, :, None]).sum(1).numpy()
            if target is whole:
                titles = torch.tensor([len(papers[place]["title"]) for place in places])[:, None]
                mask = mask * ((ends > 0) & (ends <= titles))
                within[places] = (hidden * mask[:, :, None]).sum(1).numpy()
    return whole, within, alone


def titles(judged):
    """A row a way of counting titles."""
    whole, within, alone = sums(judged.papers)
    plain = judged.by_vectors(unit(whole))
    yield "no title by itself", plain, None
    for weight in WEIGHTS:
        values = judged.by_vectors(unit(whole + (weight - 1) * within))
        yield f"(a) its tokens count {weight} times", values, p_value(values, plain)
    for share in SHARES:
        values = judged.by_vectors(unit(unit(whole) + share * unit(alone)))
        yield f"(b) read again, a = {share}", values, p_value(values, plain)


def answers(judged, mode):
    """Each query's first hits by a mode, with their scores; in a pool, all of it."""
    run = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / "asked.run"
        kept = judged.folder.parent / "kept" / judged.folder.name
        program.run(judged.binary, "eval", judged.folder, "--data", kept, "--mode", mode, "-k", DEPTH, "--save-run", path)
        for line in path.open():
            query, _, paper, _, score, _ = line.rstrip("\n").split("\t")
            run[query].append((paper, float(score)))
    return run


def by_ranks(hits):
    return {paper: 1 / (60 + rank) for rank, (paper, _) in enumerate(hits, 1)}


def by_scores(hits):
    scores = [score for _, score in hits]
    least, span = min(scores, default=0), (max(scores, default=0) - min(scores, default=0)) or 1
    return {paper: (score - least) / span for paper, score in hits}


def fusions(judged):
    """A row a way of making one list of two."""
    runs = [answers(judged, mode) for mode in ["semantic", "lexical"]]
    hybrid = answers(judged, "hybrid")
    plain = numpy.array([judged.ndcg(query, [paper for paper, _ in hybrid[query]]) for query in judged.queries])
    yield "hybrid", plain, None
    for name, told in [("reciprocal ranks", by_ranks), ("scores from last to first", by_scores)]:
        for weight in WORDS:
            values = []
            for query in judged.queries:
                one, other = (told(run[query]) for run in runs)
                # A paper that is named by one list only has nothing of the other.
                fused = {paper: (1 - weight) * one.get(paper, 0) + weight * other.get(paper, 0) for paper in {**one, **other}}
                values.append(judged.ndcg(query, sorted(fused, key=lambda paper: (-fused[paper], paper))))
            values = numpy.array(values)
            yield f"{name}, {weight} by words", values, p_value(values, plain)


def split(abstract):
    return [part.strip() for part in re.split(r'(?<=[.?!]) (?=[A-Z0-9("$])', abstract) if len(part.strip()) > 3]


def sentences(judged):
    """A row a way of scoring sentences; each query is a paper of the set."""
    parts = [(paper["_id"], part) for paper in judged.papers for part in [paper["title"], *split(paper["text"])] if part]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "s.jsonl").write_text("".join(json.dumps({"id": f"s/{place}", "title": part, "abstract": ""}) + "\n" for place, (_, part) in enumerate(parts)))
        program.run(judged.binary, "embed", scratch / "s.jsonl", "--title-only", "--title", 0, "--out", scratch / "s.npy")
        vectors = numpy.load(scratch / "s.npy")
    run = answers(judged, "hybrid")
    of = collections.defaultdict(list)
    for place, (paper, _) in enumerate(parts):
        of[paper].append(place)
    told = {}
    for query, hits in run.items():
        asked = vectors[of[query]]
        cosines = [asked @ vectors[of[paper]].T for paper, _ in hits]
        told[query] = numpy.array([(each.max(1).mean(), each.max()) for each in cosines])
    ranked = lambda query, scores: [run[query][place][0] for place in numpy.argsort(-scores, kind="stable")]  # noqa: E731
    scores = {query: numpy.array([score for _, score in hits]) for query, hits in run.items()}
    plain = numpy.array([judged.ndcg(query, ranked(query, scores[query])) for query in judged.queries])
    yield "hybrid", plain, None
    for column, name in enumerate(["each asked sentence's nearest", "the nearest pair"]):
        for first, weight in itertools.product(FIRST, SENTENCES):
            # Those beyond the first stay behind them.
            mixed = {query: scores[query] + weight * told[query][:, column] - 9 * (numpy.arange(len(scores[query])) >= first) for query in judged.queries}
            values = numpy.array([judged.ndcg(query, ranked(query, mixed[query])) for query in judged.queries])
            yield f"first {first}: + {weight} {name}", values, p_value(values, plain)


def rows(options, sets, with_titles):
    for name in options.names.split(","):
        judged = Judged(options.likewise, sets / name)
        ways = [*(titles(judged) if with_titles else []), *fusions(judged), *sentences(judged)]
        yield from ([name, way, f"{values.mean():.4f}", "–" if p is None else f"{p:.4f}"] for way, values, p in ways)


def main():
    made = parser(__doc__)
    made.add_argument("--sets", type=pathlib.Path, help="folder of benches/judged.py's sets; left out, data/judged, or in a tiny run small ones")
    made.add_argument("--names", default="keywords-dev,tracks-dev,keywords-test,tracks-test")
    options = parse(made, names="keywords-dev,tracks-dev")
    with_titles = has("titles that count more", "torch", "transformers", tiny=options.tiny)
    with tempfile.TemporaryDirectory() as scratch:
        sets = options.sets or ROOT / "data/judged"
        if options.tiny and not options.sets:
            sets = pathlib.Path(scratch)
            make(list(sample()), sets, TINY)
        table = results.table(["set", "way", "nDCG@10", "p"], list(rows(options, sets, with_titles)))
    used = ", ".join(filter(None, [program.version(options.likewise), results.versions("torch", "transformers")]))
    head = f"{results.today()}, {results.machine()}. {used}. p: beside the first row of its group, the row without it."
    results.report(options, "recipe", "Recipe", "make bench-recipe", "recipe.py", f"{head}\n\n{table}")


if __name__ == "__main__":
    main()
