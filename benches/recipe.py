"""Experiments with the ranking, not all of which were adopted: title weights, fusion methods, and scores of sentences.

    make bench-recipe       # installs torch and transformers into .venv-peers, runs, writes benches/results/recipe.md

Corpus: the sets keywords-* and tracks-* of benches/judged.py. Parameters are chosen on the dev sets.

- Titles: token vectors are computed with the reference library (transformers, f32), because likewise returns only
  pooled vectors. (a) Title tokens have the weight w in the mean. (b) The vector is
  `normalize(e(title. abstract) + a e(title))`. Exact semantic search.
- Fusion of the first 200 semantic and the first 200 lexical hits: reciprocal rank fusion (Cormack, Clarke & Büttcher
  2009), and the sum of scores that are scaled to 0 for the last and 1 for the first hit. Both methods are compared with
  hybrid search, in which scores are fractions of their maximum.
- Sentences: the first hits of hybrid search are reranked by the cosines between the sentences of the hit and the
  sentences of the query paper. likewise encodes all sentences beforehand.

Fair: a row is compared with the first row of its own group, from which it differs in one thing. The groups are not
comparable with each other: titles start from vectors without title weight (as with `--title 0`), computed with the
reference library; fusion and sentences start from hybrid search with the default title weight of 15 %. Sentences are
encoded with `--title 0`, because they have no title. No times are measured (benches/quality.py measures
`rerank_sentences`, which is the result of these experiments).

`--tiny` makes the small sets of judged.py, and uses only the dev sets. If torch or transformers is not installed, a
tiny run skips the titles.
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
TITLE_TOKEN_WEIGHTS = [2, 3, 5, 9]
TITLE_VECTOR_WEIGHTS = [0.15, 0.25, 0.5, 1]
SENTENCE_WEIGHTS = [0.1, 0.2, 0.4]
LEXICAL_WEIGHTS = [0.3, 0.5, 0.7]
# Number of hits of each mode.
DEPTH = 200
# Numbers of hits that are reranked by sentences.
RERANKED = [30, 200]
# Number of random sign flips of the randomisation test.
DRAWS = 4000


class Collection:
    """A test collection, and the nDCG@10 of rankings."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        self.papers = [json.loads(line) for line in (folder / "corpus.jsonl").open()]
        self.rows = {paper["_id"]: row for row, paper in enumerate(self.papers)}
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

    def ndcg_of_vectors(self, vectors):
        """The nDCG@10 of every query when papers are ranked by these vectors."""
        values = []
        for query in self.queries:
            query_row = self.rows[query]
            candidates = numpy.array([self.rows[paper] for paper in self.grades[query]] if self.pooled else range(len(vectors)))
            # The query paper itself is ranked last.
            scores = numpy.where(candidates == query_row, -9, vectors[candidates] @ vectors[query_row])
            values.append(self.ndcg(query, [self.papers[row]["_id"] for row in candidates[numpy.argsort(-scores, kind="stable")[:10]]]))
        return numpy.array(values)


def p_value(one, other):
    """The p value of the paired randomisation test."""
    differences = one - other
    signs = numpy.random.default_rng(1).choice([-1, 1], (DRAWS, len(differences)))
    return (numpy.abs((signs * differences).mean(1)) >= abs(differences.mean())).mean()


def unit(vectors):
    return vectors / numpy.maximum(numpy.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def text_of(paper):
    stop = " " if paper["title"][-1:] in ".?!:" else ". "
    return paper["title"] + stop + paper["text"] if paper["text"] else paper["title"]


def token_vector_sums(papers):
    """Three sums of token vectors per paper: of the text, of the title's tokens in the text, and of the title encoded
    alone."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(MODEL), AutoModel.from_pretrained(MODEL).eval()
    in_text, title_in_text, title_alone = (numpy.zeros((len(papers), 384), numpy.float32) for _ in range(3))
    order = sorted(range(len(papers)), key=lambda row: -len(text_of(papers[row])))
    for start in range(0, len(order), 32):
        rows = order[start : start + 32]
        for target, texts in [(in_text, [text_of(papers[row]) for row in rows]), (title_alone, [papers[row]["title"] or "." for row in rows])]:
            tokens = tokenizer(texts, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt", return_offsets_mapping=True)
            ends = tokens.pop("offset_mapping")[:, :, 1]
            with torch.no_grad():
                hidden = model(**tokens).last_hidden_state
            mask = tokens["attention_mask"].float()
            target[rows] = (hidden * mask[:, :, None]).sum(1).numpy()
            if target is in_text:
                title_lengths = torch.tensor([len(papers[row]["title"]) for row in rows])[:, None]
                mask = mask * ((ends > 0) & (ends <= title_lengths))
                title_in_text[rows] = (hidden * mask[:, :, None]).sum(1).numpy()
    return in_text, title_in_text, title_alone


def title_variants(collection):
    """A row per title weight: name, nDCG@10 of every query, and p value."""
    in_text, title_in_text, title_alone = token_vector_sums(collection.papers)
    baseline = collection.ndcg_of_vectors(unit(in_text))
    yield "title weight 0", baseline, None
    for weight in TITLE_TOKEN_WEIGHTS:
        values = collection.ndcg_of_vectors(unit(in_text + (weight - 1) * title_in_text))
        yield f"(a) weight {weight} for title tokens", values, p_value(values, baseline)
    for weight in TITLE_VECTOR_WEIGHTS:
        values = collection.ndcg_of_vectors(unit(unit(in_text) + weight * unit(title_alone)))
        yield f"(b) title vector added, a = {weight}", values, p_value(values, baseline)


def hits_of(collection, mode):
    """The first hits of every query in one mode, with their scores. If queries have pools, all papers of the pool."""
    run = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / "hits.run"
        kept = collection.folder.parent / "kept" / collection.folder.name
        program.run(collection.binary, "eval", collection.folder, "--data", kept, "--mode", mode, "-k", DEPTH, "--save-run", path)
        for line in path.open():
            query, _, paper, _, score, _ = line.rstrip("\n").split("\t")
            run[query].append((paper, float(score)))
    return run


def reciprocal_ranks(hits):
    return {paper: 1 / (60 + rank) for rank, (paper, _) in enumerate(hits, 1)}


def min_max_scores(hits):
    scores = [score for _, score in hits]
    lowest, span = min(scores, default=0), (max(scores, default=0) - min(scores, default=0)) or 1
    return {paper: (score - lowest) / span for paper, score in hits}


def fusion_variants(collection):
    """A row per fusion method and weight: name, nDCG@10 of every query, and p value."""
    runs = [hits_of(collection, mode) for mode in ["semantic", "lexical"]]
    hybrid = hits_of(collection, "hybrid")
    baseline = numpy.array([collection.ndcg(query, [paper for paper, _ in hybrid[query]]) for query in collection.queries])
    yield "hybrid", baseline, None
    for name, score in [("reciprocal rank fusion", reciprocal_ranks), ("min-max scores", min_max_scores)]:
        for weight in LEXICAL_WEIGHTS:
            values = []
            for query in collection.queries:
                semantic, lexical = (score(run[query]) for run in runs)
                # A paper that only one of the modes finds has the score 0 in the other mode.
                fused = {paper: (1 - weight) * semantic.get(paper, 0) + weight * lexical.get(paper, 0) for paper in {**semantic, **lexical}}
                values.append(collection.ndcg(query, sorted(fused, key=lambda paper: (-fused[paper], paper))))
            values = numpy.array(values)
            yield f"{name}, lexical weight {weight}", values, p_value(values, baseline)


def split(abstract):
    return [part.strip() for part in re.split(r'(?<=[.?!]) (?=[A-Z0-9("$])', abstract) if len(part.strip()) > 3]


def sentence_variants(collection):
    """A row per sentence score: name, nDCG@10 of every query, and p value. Every query is a paper of the set."""
    sentences = [(paper["_id"], text) for paper in collection.papers for text in [paper["title"], *split(paper["text"])] if text]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        lines = (json.dumps({"id": f"s/{row}", "title": text, "abstract": ""}) + "\n" for row, (_, text) in enumerate(sentences))
        (scratch / "s.jsonl").write_text("".join(lines))
        program.run(collection.binary, "embed", scratch / "s.jsonl", "--title-only", "--title", 0, "--out", scratch / "s.npy")
        vectors = numpy.load(scratch / "s.npy")
    run = hits_of(collection, "hybrid")
    rows_of = collections.defaultdict(list)
    for row, (paper, _) in enumerate(sentences):
        rows_of[paper].append(row)
    similarities = {}
    for query, hits in run.items():
        query_vectors = vectors[rows_of[query]]
        cosines = [query_vectors @ vectors[rows_of[paper]].T for paper, _ in hits]
        similarities[query] = numpy.array([(matrix.max(1).mean(), matrix.max()) for matrix in cosines])
    ranked = lambda query, scores: [run[query][hit][0] for hit in numpy.argsort(-scores, kind="stable")]  # noqa: E731
    scores = {query: numpy.array([score for _, score in hits]) for query, hits in run.items()}
    baseline = numpy.array([collection.ndcg(query, ranked(query, scores[query])) for query in collection.queries])
    yield "hybrid", baseline, None
    for column, name in enumerate(["mean of nearest sentences", "nearest pair of sentences"]):
        for first, weight in itertools.product(RERANKED, SENTENCE_WEIGHTS):
            # Subtracting 9 keeps the other hits behind the reranked ones.
            mixed = {query: scores[query] + weight * similarities[query][:, column] - 9 * (numpy.arange(len(scores[query])) >= first) for query in collection.queries}
            values = numpy.array([collection.ndcg(query, ranked(query, mixed[query])) for query in collection.queries])
            yield f"first {first}: + {weight} × {name}", values, p_value(values, baseline)


def rows(options, sets, with_titles):
    for name in options.names.split(","):
        collection = Collection(options.likewise, sets / name)
        variants = [*(title_variants(collection) if with_titles else []), *fusion_variants(collection), *sentence_variants(collection)]
        yield from ([name, variant, f"{values.mean():.4f}", "–" if p is None else f"{p:.4f}"] for variant, values, p in variants)


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--sets", type=pathlib.Path, help="the folder of the sets of benches/judged.py; by default data/judged, or small sets in a tiny run")
    arguments.add_argument("--names", default="keywords-dev,tracks-dev,keywords-test,tracks-test")
    options = parse(arguments, names="keywords-dev,tracks-dev")
    with_titles = has("title weights", "torch", "transformers", tiny=options.tiny)
    with tempfile.TemporaryDirectory() as scratch:
        sets = options.sets or ROOT / "data/judged"
        if options.tiny and not options.sets:
            sets = pathlib.Path(scratch)
            make(list(sample()), sets, TINY)
        table = results.table(["set", "variant", "nDCG@10", "p"], list(rows(options, sets, with_titles)))
    used = ", ".join(filter(None, [program.version(options.likewise), results.versions("torch", "transformers")]))
    head = f"{results.today()}, {results.machine()}. {used}. p: compared with the first row of the group."
    results.report(options, "recipe", "Ranking experiments", "make bench-recipe", "recipe.py", f"{head}\n\n{table}")


if __name__ == "__main__":
    main()
