"""Parsing speed of every dump format in MB/s, and memory for a small and for a large file. Nothing is encoded.

    make bench-dumps            # installs pyarrow, runs, writes benches/results/dumps.md
    .venv-peers/bin/python benches/dumps.py --dump FILE.jsonl.gz --megabytes 50 2000

Corpus: 5,000 real papers of a dump, written in each format as the source of the format writes it, and repeated until
the file has the given size. An XML file is one document, and a JSON file that is not JSON Lines is one array.

Measured: `likewise inspect`, which reads the whole file and builds every paper: it normalises ids, dates, LaTeX and
white space. The rate is the size of the uncompressed file divided by the time of the whole process. The peak is the
maximum of the process's resident memory. The process uses one core. Decompressing .gz, .zst, .bz2 or .zip files takes
additional time.

Fair: no other program is measured. Repeated papers compress better than different papers. This affects only Parquet,
whose rate is computed from the size of the compressed file.
"""

import csv
import gzip
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from xml.sax.saxutils import escape

import results
from options import SAMPLE, has, parse, parser
from program import version

PAPERS = 5000


def read_papers(path):
    """The first papers of a JSON Lines dump, with ids of arXiv's form, a list of authors and a year."""
    opened = gzip.open(path, "rt") if str(path).endswith(".gz") else open(path)
    with opened as lines:
        for number, line in zip(range(PAPERS), lines):
            paper = json.loads(line)
            paper["id"] = f"{2000 + number // 90000:04}.{10000 + number:05}"
            authors = paper.get("authors") or ""
            authors = authors.split(";") if isinstance(authors, str) else authors
            paper["authors"] = [name.strip() for name in authors if name.strip()]
            paper["year"] = str(paper.get("year") or 2020)
            yield paper


def first_and_last(author):
    first, _, last = author.rpartition(" ")
    return first, last


# The following functions return a writer: a function from papers to the head, the repeatable block and the end of a
# file.


def jsonl(make):
    return lambda all: ("", "".join(json.dumps(make(paper)) + "\n" for paper in all), "")


def array(make):
    # The end of the file is one more element, because the repeated block ends with a comma.
    return lambda all: ("[", "".join(json.dumps(make(paper)) + ",\n" for paper in all), json.dumps(make(all[0])) + "]")


def xml(head, make, foot):
    return lambda all: (head, "".join(make(paper) + "\n" for paper in all), foot)


def authors(paper, element):
    return "".join(element(*(escape(name) for name in first_and_last(author))) for author in paper["authors"])


def arxiv(paper):
    return {
        "id": paper["id"], "submitter": "S", "authors": ", ".join(paper["authors"]), "title": paper["title"], "comments": "9 pages",
        "journal-ref": None, "doi": None, "report-no": None, "categories": "cs.LG stat.ML", "license": None,
        "abstract": "  " + paper["abstract"] + "\n", "versions": [{"version": "v1", "created": "Mon, 11 Jan 2021 20:31:27 GMT"}],
        "update_date": "2021-01-12", "authors_parsed": [[first_and_last(author)[1], first_and_last(author)[0], ""] for author in paper["authors"]],
    }  # fmt: skip


def oai(paper):
    people = authors(paper, lambda first, last: f"<author><keyname>{last}</keyname><forenames>{first}</forenames></author>")
    return (
        f"<record><header><identifier>oai:arXiv.org:{paper['id']}</identifier><datestamp>2021-02-01</datestamp></header><metadata>"
        f'<arXiv xmlns="http://arxiv.org/OAI/arXiv/"><id>{paper["id"]}</id><created>2021-01-11</created><authors>{people}</authors>'
        f"<title>{escape(paper['title'])}</title><categories>cs.LG</categories><abstract>{escape(paper['abstract'])}</abstract></arXiv></metadata></record>"
    )


def atom(paper):
    people = "".join(f"<author><name>{escape(author)}</name></author>" for author in paper["authors"])
    return (
        f"<entry><id>http://arxiv.org/abs/{paper['id']}v1</id><published>2021-01-11T00:00:00Z</published><title>{escape(paper['title'])}</title>"
        f'<summary>{escape(paper["abstract"])}</summary>{people}<category term="cs.LG"/></entry>'
    )


def openalex(paper):
    index = {}
    for position, word in enumerate(paper["abstract"].split()):
        index.setdefault(word, []).append(position)
    return {
        "id": f"https://openalex.org/W{paper['id'].replace('.', '')}", "doi": None, "title": paper["title"], "display_name": paper["title"],
        "publication_date": f"{paper['year']}-01-01", "ids": {}, "abstract_inverted_index": index,
        "authorships": [{"author": {"id": "https://openalex.org/A1", "display_name": author}} for author in paper["authors"]],
        "primary_topic": {"display_name": "Learning"}, "topics": [{"display_name": "Learning"}],
        "primary_location": {"landing_page_url": "https://example.org", "source": {"display_name": "J"}},
    }  # fmt: skip


def scholar(paper):
    return {
        "corpusid": int(paper["id"].replace(".", "")), "externalids": {"ArXiv": paper["id"], "DOI": None}, "title": paper["title"],
        "authors": [{"authorId": "1", "name": author} for author in paper["authors"]], "venue": "J", "year": int(paper["year"]),
        "s2fieldsofstudy": [{"category": "Computer Science", "source": "x"}], "publicationdate": None, "abstract": paper["abstract"],
    }  # fmt: skip


def pubmed(paper):
    people = authors(paper, lambda first, last: f"<Author><LastName>{last}</LastName><ForeName>{first}</ForeName></Author>")
    return (
        f"<PubmedArticle><MedlineCitation><PMID>{paper['id'].replace('.', '')}</PMID><Article><Journal><JournalIssue><PubDate><Year>{paper['year']}</Year>"
        f"</PubDate></JournalIssue><Title>J</Title></Journal><ArticleTitle>{escape(paper['title'])}.</ArticleTitle><Abstract><AbstractText>"
        f"{escape(paper['abstract'])}</AbstractText></Abstract><AuthorList>{people}</AuthorList></Article></MedlineCitation></PubmedArticle>"
    )


def acl(paper):
    people = authors(paper, lambda first, last: f"<author><first>{first}</first><last>{last}</last></author>")
    number = paper["id"].split(".")[1]
    return f'<paper id="{number}"><title>{escape(paper["title"])}</title>{people}<abstract>{escape(paper["abstract"])}</abstract></paper>'


def daily(paper):
    return {
        "paper": {"id": paper["id"], "authors": [{"name": author, "hidden": False} for author in paper["authors"]],
                  "publishedAt": "2021-01-11T00:00:00.000Z", "title": paper["title"], "summary": paper["abstract"]},
        "publishedAt": "2021-01-12T00:00:00.000Z", "title": paper["title"], "summary": paper["abstract"],
    }  # fmt: skip


def papercopilot(paper):
    return {"title": paper["title"], "status": "Poster", "track": "main", "site": "https://example.org", "id": paper["id"],
            "author": "; ".join(paper["authors"]), "abstract": paper["abstract"], "keywords": "a;b"}  # fmt: skip


def page(all):
    head = "Daily Papers\n\nby AK and the research community\n\n"
    flat = lambda text: " ".join(text.split())  # noqa: E731
    return head, "".join(f"{flat(paper['title'])}\n\n{flat(paper['abstract'])}\n\n" for paper in all), ""


def table(separator):
    def write(all):
        out = io.StringIO()
        rows = csv.writer(out, delimiter=separator)
        for paper in all:
            rows.writerow([paper["id"], paper["title"], paper["abstract"], "; ".join(paper["authors"]), paper["year"]])
        return separator.join(["id", "title", "abstract", "authors", "year"]) + "\n", out.getvalue(), ""

    return write


XML = '<?xml version="1.0"?>\n'
FORMATS = {
    "arXiv snapshot": ("a.json", jsonl(arxiv)),
    "arXiv OAI-PMH": ("a.xml", xml(XML + "<OAI-PMH><ListRecords>", oai, "</ListRecords></OAI-PMH>")),
    "arXiv API Atom": ("a.atom", xml(XML + "<feed>", atom, "</feed>")),
    "Semantic Scholar": ("s2.jsonl", jsonl(scholar)),
    "OpenAlex": ("works.jsonl", jsonl(openalex)),
    "PubMed": ("pubmed.xml", xml(XML + "<PubmedArticleSet>", pubmed, "</PubmedArticleSet>")),
    "ACL Anthology": ("acl.xml", xml(XML + '<collection id="2020.x"><volume id="v">', acl, "</volume></collection>")),
    "daily papers JSON": ("daily.json", array(daily)),
    "Daily Papers page": ("page.txt", page),
    "papercopilot": ("nips2020.json", array(papercopilot)),
    "BEIR": ("corpus.jsonl", jsonl(lambda paper: {"_id": paper["id"], "title": paper["title"], "text": paper["abstract"], "metadata": {}})),
    "plain JSON Lines": ("p.jsonl", jsonl(lambda paper: paper)),
    "CSV": ("t.csv", table(",")),
    "TSV": ("t.tsv", table("\t")),
}  # fmt: skip


def write(path, make, all, size):
    head, block, foot = (text.encode() for text in make(all))
    with open(path, "wb") as out:
        out.write(head)
        while out.tell() < size:
            out.write(block)
        out.write(foot)


def write_parquet(path, _make, all, size):
    import pyarrow
    import pyarrow.parquet

    columns = {name: [paper[name] for paper in all] for name in ("id", "title", "abstract", "authors", "year")}
    block = pyarrow.table(columns)
    with pyarrow.parquet.ParquetWriter(path, block.schema, compression="zstd") as out:
        while path.stat().st_size < size:
            out.write_table(block)


def inspect(program, path):
    """Runs `likewise inspect`. Returns the number of papers, seconds, and the peak memory in MB."""
    started = time.monotonic()
    process = subprocess.Popen([program, "inspect", path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    status = pathlib.Path(f"/proc/{process.pid}/status")
    peak = 0
    # The maximum that the system reports at the end would include the memory of the Python process before exec.
    while process.poll() is None:
        peak = max([peak, *(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))])
        time.sleep(0.002)
    seconds = time.monotonic() - started
    log = process.stderr.read()
    assert process.returncode == 0, log
    return int(log.split("papers ")[1].split(",")[0]), seconds, peak / 1024


def measure(program, folder, name, all, sizes):
    """A row of the table: the rates for the larger file, and the peaks for both files."""
    file, make = FORMATS.get(name, ("t.parquet", None))
    path, peaks = folder / file, []
    for megabytes in sizes:
        (write if make else write_parquet)(path, make, all, megabytes * 1_000_000)
        size = path.stat().st_size
        count, seconds, peak = inspect(program, path)
        assert count > 0, f"{name}: no paper was read"
        peaks.append(f"{peak:.0f}")
        path.unlink()
    return [name, f"{size / 1e6 / seconds:.0f}", f"{count / seconds:,.0f}", *peaks]


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--dump", default=str(SAMPLE))
    arguments.add_argument("--megabytes", type=int, nargs=2, default=[50, 2000])
    options = parse(arguments, megabytes=[1, 2])
    all = list(read_papers(options.dump))
    names = [*FORMATS, *(["Parquet, zstd"] if has("Parquet", "pyarrow", tiny=options.tiny) else [])]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            rows.append(measure(options.likewise, pathlib.Path(folder), name, all, options.megabytes))
            print(rows[-1], file=sys.stderr, flush=True)
    small, large = options.megabytes
    columns = ["format", "MB/s", "papers/s", f"peak MB, {small} MB file", f"peak MB, {large:,} MB file"]
    head = f"{results.today()}, {results.machine()}; {version(options.likewise)}; {len(all):,} papers of {pathlib.Path(options.dump).name}, repeated."
    results.report(options, "dumps", "Parsing of dumps", "make bench-dumps", "dumps.py", f"{head}\n\n{results.table(columns, rows)}")


if __name__ == "__main__":
    main()
