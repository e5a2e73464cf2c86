"""Makes test collections from conference abstracts: development sets (dev) for tuning and test sets for reporting.

No relevance was judged by hand; the judgements are derived from the keywords and titles of authors and from conference
tracks.

There are five kinds of collections, each with a dev set and a test set, in the layout of BEIR:

- keywords-*: The query is a paper. Relevant papers share at least two of its keywords: grade 1 for two, grade 2 for
  three or more. One of the shared keywords must belong to at most 2 % of the papers, because common keywords like "deep
  learning" and "theory" do not make papers similar.
- titles-*: The query is a title, and its abstract is relevant. The corpus has abstracts without titles.
- lists-*: The query is a reading list: some papers of one, two or three keywords, its subjects. The other papers of
  these keywords are relevant.
- tracks-*: The query is a paper with a pool of a hundred papers of the same conference, to be ranked within the pool.
  The twenty papers of its own track are relevant.
- asked-*: The pools of tracks-*, with short queries: a title, the first sentence of an abstract, or a keyword. The
  calibration for texts is fitted to these sets.

Meetings (one conference in one year each), in the order of their names, belong to dev and test alternately. So dev and
test have no common papers and no common meetings.

Known biases: Most papers with keywords are from IJCAI, whose keywords are chosen from a list; they describe the field,
like tracks, rather than the subject. Similar papers with other keywords count as not relevant, so absolute values are
low and only differences are meaningful. Keywords and titles share words with the abstracts, because the same people
wrote them; this favours lexical search compared with a reader's judgement, most of all in titles-*. All papers are in
English, about computer science, from 2016 to 2025, and mostly about machine learning and robots. No set has queries for
papers of another field with the same idea.

`--tiny` makes the same sets from 24 papers of the sample, with their categories as keywords and tracks. They only serve
to check that the benchmarks run; results for these sets mean nothing.
"""

import argparse
import collections
import dataclasses
import gzip
import itertools
import json
import pathlib
import random
import re

from options import SAMPLE

# Number of keywords that two papers must share.
MIN_SHARED_KEYWORDS = 2


@dataclasses.dataclass
class Sizes:
    """The sizes of the sets. The defaults are those of the reported sets."""

    # Maximum share of the papers that have a keyword, if this keyword is to make two papers similar.
    max_keyword_share: float = 0.02
    # Numbers of queries and abstracts of titles-*.
    titles: int = 2000
    abstracts: int = 6000
    # Number of pools of tracks-*, papers per pool, and relevant papers per pool.
    pools: int = 1000
    pool_size: int = 100
    relevant_in_pool: int = 20
    # Number of reading lists, range of the number of papers with a subject, and range of the number of a subject's
    # papers on a list.
    lists: int = 600
    papers_of_subject: tuple[int, int] = (20, 150)
    papers_on_list: tuple[int, int] = (3, 17)


TINY = Sizes(
    max_keyword_share=1, titles=6, abstracts=10, pools=4, pool_size=8, relevant_in_pool=2, lists=6, papers_of_subject=(2, 150), papers_on_list=(1, 2)
)
TINY_PAPERS = 24


def sample():
    """Papers of the sample, in the form of records of the conference dump and assigned to two meetings. Only every
    second paper is used, so that the papers are from many fields."""
    lines = SAMPLE.read_text().splitlines()[::2][:TINY_PAPERS]
    for number, paper in enumerate(map(json.loads, lines)):
        field = paper["categories"][0].split(".")[0]
        labels = {"keywords": f"{paper['categories'][0]};{field} papers", "primary_area": field}
        yield {"id": paper["id"], "title": paper["title"], "abstract": paper["abstract"], "venue": "sample", "year": number % 2, **labels}


def keywords(record):
    """The set of keywords in lower case, without IJCAI's abbreviations of fields (`Machine Learning: ML:
    Clustering`)."""
    words = (re.sub(r": [A-Z&]{2,6}(?=: )", "", word.strip()) for word in record["keywords"].split(";"))
    return {re.sub(r"\W+", " ", word).strip().lower() for word in words} - {""}


def track(record):
    """The track without a Roman numeral: `Computer Vision II` is a part of `Computer Vision`."""
    return re.sub(r" I+$", "", record["primary_area"].strip())


def meeting(record):
    return f"{record['venue']}{record['year']}"


def split(records):
    """The records of dev and of test: meetings are assigned alternately."""
    meetings = sorted({meeting(record) for record in records})
    part = {name: ("dev", "test")[index % 2] for index, name in enumerate(meetings)}
    return {name: [record for record in records if part[meeting(record)] == name] for name in ("dev", "test")}


def write(folder, corpus, queries, judged, pooled=False):
    """Writes a set. A query without a text is the paper with the query's id. `judged` has the grades by query and
    paper."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = lambda rows: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)  # noqa: E731
    (folder / "corpus.jsonl").write_text(lines(corpus))
    (folder / "queries.jsonl").write_text(lines(queries))
    if pooled:
        (folder / "pools.json").write_text(json.dumps(judged, ensure_ascii=False))
    else:
        rows = [f"{query}\t{paper}\t{grade}" for query, grades in judged.items() for paper, grade in grades.items()]
        (folder / "qrels").mkdir(exist_ok=True)
        (folder / "qrels/test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n")
    print(f"{folder}: {len(queries)} queries over {len(corpus)} papers, {sum(map(len, judged.values()))} judgements")


def document(record, with_title=True):
    return {"_id": record["id"], "title": record["title"] if with_title else "", "text": record["abstract"]}


def by_keywords(records, sizes):
    keywords_of = {record["id"]: keywords(record) for record in records}
    papers = collections.defaultdict(list)
    for paper, words in keywords_of.items():
        for word in words:
            papers[word].append(paper)
    max_papers = sizes.max_keyword_share * len(keywords_of)
    pairs = {pair for with_word in papers.values() if len(with_word) <= max_papers for pair in itertools.combinations(with_word, 2)}
    judged = collections.defaultdict(dict)
    for one, other in sorted(pairs):
        shared = len(keywords_of[one] & keywords_of[other])
        if shared >= MIN_SHARED_KEYWORDS:
            judged[one][other] = judged[other][one] = min(shared, MIN_SHARED_KEYWORDS + 1) - 1
    return [document(record) for record in records], [{"_id": paper} for paper in judged], judged


def by_list(records, random, sizes):
    """Reading lists: a third of the lists have one subject, a third two, and a third three. A list has a random number
    of papers of each subject, at most half of the subject's papers."""
    papers_with = collections.defaultdict(list)
    for record in records:
        for word in keywords(record):
            papers_with[word].append(record["id"])
    smallest, largest = sizes.papers_of_subject
    subjects = sorted(word for word, papers in papers_with.items() if smallest <= len(papers) <= largest)
    queries, judged = [], {}
    for number in range(sizes.lists):
        chosen, papers = random.sample(subjects, number % 3 + 1), []
        for word in chosen:
            papers += random.sample(papers_with[word], min(random.randint(*sizes.papers_on_list), len(papers_with[word]) // 2))
        name = f"list:{number}:{' / '.join(chosen)}"
        queries.append({"_id": name, "papers": list(dict.fromkeys(papers))})
        judged[name] = {paper: 1 for word in chosen for paper in papers_with[word] if paper not in papers}
    return [document(record) for record in records], queries, judged


def by_title(records, random, sizes):
    corpus = random.sample(records, min(sizes.abstracts, len(records)))
    queries = [{"_id": f"title:{record['id']}", "text": record["title"]} for record in corpus[:sizes.titles]]
    judged = {f"title:{record['id']}": {record["id"]: 1} for record in corpus[:sizes.titles]}
    return [document(record, with_title=False) for record in corpus], queries, judged


def by_track(records, random, sizes):
    tracks = collections.defaultdict(list)
    for record in records:
        tracks[meeting(record), track(record)].append(record["id"])
    judged = {}
    for record in random.sample(records, len(records)):
        same_track = [paper for paper in tracks[meeting(record), track(record)] if paper != record["id"]]
        others = [paper for (name, area), papers in tracks.items() for paper in papers if name == meeting(record) and area != track(record)]
        irrelevant = sizes.pool_size - sizes.relevant_in_pool
        if len(same_track) >= sizes.relevant_in_pool and len(others) >= irrelevant and len(judged) < sizes.pools:
            pool = [(paper, 1) for paper in random.sample(same_track, sizes.relevant_in_pool)]
            pool += [(paper, 0) for paper in random.sample(others, irrelevant)]
            judged[record["id"]] = dict(sorted(pool))
    return [document(record) for record in records], [{"_id": paper} for paper in judged], judged


def by_short_text(records, random, sizes):
    """Up to three short queries for each paper that has a pool."""
    corpus, queries, judged = by_track(records, random, sizes)
    record_of, short_queries, pools = {record["id"]: record for record in records}, [], {}
    for paper in [query["_id"] for query in queries]:
        record = record_of[paper]
        keyword = record["keywords"].split(";")[0].strip() if record["keywords"] else ""
        for kind, text in [("title", record["title"]), ("sentence", record["abstract"].split(". ")[0]), ("keyword", keyword)]:
            if text:
                short_queries.append({"_id": f"{kind}:{paper}", "text": text})
                pools[f"{kind}:{paper}"] = judged[paper]
    return corpus, short_queries, pools


def make(records, to, sizes):
    """Writes every set to its own folder."""
    for part, chosen in split([record for record in records if record["keywords"]]).items():
        write(to / f"keywords-{part}", *by_keywords(chosen, sizes))
        write(to / f"lists-{part}", *by_list(chosen, random.Random(1), sizes))
    for part, chosen in split(records).items():
        write(to / f"titles-{part}", *by_title(chosen, random.Random(1), sizes))
    for part, chosen in split([record for record in records if record["primary_area"]]).items():
        write(to / f"tracks-{part}", *by_track(chosen, random.Random(1), sizes), pooled=True)
        write(to / f"asked-{part}", *by_short_text(chosen, random.Random(1), sizes), pooled=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dump", default="../shared/data/conferences.jsonl.gz", help="papers with keywords and primary_area, as JSON Lines, gzip")
    parser.add_argument("--to", default="data/judged", type=pathlib.Path, help="the folder for the sets")
    parser.add_argument("--tiny", action="store_true", help="make small sets from the sample")
    options = parser.parse_args()
    if options.tiny:
        make(list(sample()), options.to, TINY)
        return
    with gzip.open(options.dump, "rt") as dump:
        make([json.loads(line) for line in dump], options.to, Sizes())


if __name__ == "__main__":
    main()
