//! The same five papers in every format, packed in every way, give the same five papers.

use crate::support::{data, ingest, papers_of};
use likewise::search::Library;
use likewise_papers::dump::{self, Columns, Entry, Format, Reader, Source, sources};
use likewise_papers::{Paper, PaperId};
use std::io::Write;
use std::path::{Path, PathBuf};

fn read(path: &Path, format: Option<Format>) -> Vec<Paper> {
    papers_of(dump::read(path, format).unwrap())
}

/// The papers of several files, read in one run.
fn read_all(names: &[&str], columns: &str) -> Vec<Paper> {
    let named: Vec<PathBuf> = names.iter().map(|name| data(name)).collect();
    let sources: Vec<Source> = sources(&named).into_iter().map(Result::unwrap).collect();
    let columns: Columns = if columns.is_empty() { Columns::default() } else { columns.parse().unwrap() };
    let mut reader = Reader::new(None, columns);
    assert!(reader.gather(&sources).unwrap().iter().all(|(_, refused)| refused.is_empty()));
    sources.iter().flat_map(|source| papers_of(reader.read(source).unwrap())).collect()
}

fn ids(list: &[String]) -> Vec<PaperId> {
    list.iter().map(|id| PaperId::parse(id).unwrap()).collect()
}

#[test]
fn every_format_gives_the_same_five_papers() {
    let wanted = read(&data("five/plain.jsonl"), None);
    assert_eq!(wanted.len(), 5);
    assert_eq!(wanted[2].id.as_str(), "math/0309136");
    assert_eq!(wanted[0].url.as_deref(), Some("https://arxiv.org/abs/2101.00001"));
    for name in ["arxiv.jsonl", "array.json", "oai.xml", "oai-raw.xml", "atom.xml", "table.csv", "table.tsv"]
    {
        assert_eq!(read(&data(&format!("five/{name}")), None), wanted, "{name}");
    }
    assert_eq!(read_all(&["five/table.parquet"], "id=paper,abstract=body"), wanted);

    // What the others do not have, or say in their own way: where it is from, other ids, less exact dates.
    let from = |source: &str, change: fn(usize, &mut Paper)| -> Vec<Paper> {
        let paper = |(place, paper): (usize, &Paper)| {
            let mut paper = Paper { source: Some(source.into()), ..paper.clone() };
            change(place, &mut paper);
            paper
        };
        wanted.iter().enumerate().map(paper).collect()
    };
    assert_eq!(read(&data("five/daily.json"), None), from("daily-papers", |_, _| ()));
    let expected =
        from("semantic-scholar", |place, paper| paper.also = ids(&[format!("corpusid:{}", place + 1)]));
    assert_eq!(read_all(&["five/s2-papers.jsonl", "five/s2-abstracts.jsonl"], ""), expected);
    let expected = from("openalex", |place, paper| paper.also = ids(&[format!("openalex:W{}", place + 1)]));
    assert_eq!(read(&data("five/openalex.jsonl"), None), expected);
    let expected = from("pubmed", |place, paper| paper.also = ids(&[format!("pmid:{}", place + 1)]));
    assert_eq!(read(&data("five/pubmed.xml"), None), expected);
    let mut expected = from("acl", |place, paper| {
        let volume = if place == 2 { "v2.1".into() } else { format!("v1.{}", [1, 2, 0, 3, 4][place]) };
        paper.also = ids(&[format!("2021.five-{volume}")]);
        paper.published = paper.published.as_deref().map(|date| date[..7].into());
        paper.venue = Some("five".into());
        paper.categories.clear();
    });
    // A volume after the other.
    let second = expected.remove(2);
    expected.push(second);
    assert_eq!(read(&data("five/acl.xml"), None), expected);
    let expected = from("papercopilot", |place, paper| {
        paper.also = ids(&[format!("five2021/{}", place + 1)]);
        paper.published = Some("2021".into());
        paper.venue = Some("five".into());
    });
    assert_eq!(read(&data("five/five2021.json"), None), expected);
    let bare = |paper: &Paper| Paper {
        id: paper.id.clone(),
        title: paper.title.clone(),
        r#abstract: paper.r#abstract.clone(),
        url: paper.url.clone(),
        ..Paper::default()
    };
    assert_eq!(read(&data("five/corpus.jsonl"), None), wanted.iter().map(bare).collect::<Vec<_>>());
    for page in ["five/daily-dated.txt", "five/daily-undated.txt"] {
        // A page has titles and abstracts only; ids come from the titles.
        let by_title = |paper: &Paper| Paper {
            id: PaperId::from_title(&paper.title).unwrap(),
            source: Some("daily-papers".into()),
            url: None,
            ..bare(paper)
        };
        assert_eq!(read(&data(page), None), wanted.iter().map(by_title).collect::<Vec<_>>(), "{page}");
    }
}

#[test]
fn all_formats_of_five_papers_are_five_papers() {
    let folder = tempfile::tempdir().unwrap();
    let names =
        "arxiv.jsonl daily-dated.txt openalex.jsonl pubmed.xml acl.xml five2021.json daily.json corpus.jsonl";
    let files: Vec<PathBuf> = names.split(' ').map(|name| data(&format!("five/{name}"))).collect();
    let counts = ingest(folder.path(), &files);
    assert_eq!((counts.added, counts.encoded), (5, 5), "{counts:?}");
    // The corpus has no source: it speaks for whoever said it before.
    let again = ingest(folder.path(), &files[..7]);
    assert_eq!((again.added, again.encoded), (0, 0), "{again:?}");
    let library = Library::open(folder.path(), crate::support::encoder()).unwrap();
    assert_eq!(library.stats().papers, 5);
    for id in ["2101.00004", "title:bees-that-count", "openalex:W4", "PMID:4", "2021.five-v1.3", "five2021/4"]
    {
        let paper = library.paper(id).unwrap();
        assert_eq!(paper.id.as_str(), "2101.00004", "{id}");
        assert_eq!(
            (paper.also.len(), paper.authors.len(), paper.published.as_deref()),
            (5, 2, Some("2021-01-07"))
        );
    }
}

#[test]
fn packing_is_told_by_magic_bytes() {
    let plain = std::fs::read(data("five/plain.jsonl")).unwrap();
    let wanted = read(&data("five/plain.jsonl"), None);
    let folder = tempfile::tempdir().unwrap();
    // Two members, cut in the middle of a line; the names say nothing.
    let (head, tail) = plain.split_at(plain.len() / 2);
    let gz = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zst = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    let bz2 = |bytes: &[u8]| {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let packed = [
        ("a", [gz(head), gz(tail)].concat()),
        ("b", [zst(head), zst(tail)].concat()),
        ("c", [bz2(head), bz2(tail)].concat()),
    ];
    for (name, bytes) in packed {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read(&path, None), wanted, "{name}");
    }
}

/// A .zip of these members, made by Python: it is the other side's word on what one is.
fn zip(path: &Path, members: &[(&str, &Path)]) {
    let mut python = std::process::Command::new("python3");
    let script = "import sys, zipfile\n\
                  z = zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED)\n\
                  [z.write(f, n) for n, f in zip(sys.argv[2::2], sys.argv[3::2])]\nz.close()";
    python.arg("-c").arg(script).arg(path);
    members.iter().for_each(|(name, file)| {
        python.arg(name).arg(file);
    });
    assert!(python.status().unwrap().success());
}

#[test]
fn the_members_of_an_archive_are_dumps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.zip");
    let [plain, acl] = ["five/plain.jsonl", "five/acl.xml"].map(data);
    zip(
        &path,
        &[
            ("a/plain.json", &plain),
            ("b/five.xml", &acl),
            ("__MACOSX/x", &plain),
            ("README", &data("five/../../tests.rs")),
        ],
    );
    let all: Vec<Source> = sources(std::slice::from_ref(&path)).into_iter().map(Result::unwrap).collect();
    assert_eq!(all[0].to_string(), format!("{}:a/plain.json", path.display()));
    let reader = Reader::default();
    assert_eq!(papers_of(reader.read(&all[0]).unwrap()), read(&plain, None));
    assert_eq!(papers_of(reader.read(&all[1]).unwrap()), read(&acl, None));
    assert!(all.len() == 3 && reader.read(&all[2]).is_err(), "{all:?}");

    // One byte of the first member is another: that is noticed, at the latest by the checksum.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let refused = |entries: dump::Entries| entries.filter(Result::is_err).count();
    assert!(reader.read(&all[0]).map_or(1, |dump| refused(dump.entries)) > 0);
    std::fs::write(&path, b"PK\x03\x04 and no more").unwrap();
    assert!(sources(&[path]).remove(0).unwrap_err().to_string().contains("wanted a .zip"));
}

#[test]
fn a_cut_gzip_gives_what_it_has_and_then_says_so() {
    let plain = std::fs::read(data("five/plain.jsonl")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(&plain).unwrap();
    let mut packed = encoder.finish().unwrap();
    packed.truncate(packed.len() * 3 / 4);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.gz");
    std::fs::write(&path, packed).unwrap();
    let entries: Vec<_> = dump::read(&path, None).unwrap().entries.collect();
    assert!(entries.len() >= 4 && entries[..3].iter().all(Result::is_ok), "{entries:?}");
    let reason = &entries.last().unwrap().as_ref().unwrap_err().reason;
    assert!(reason.contains("ends badly"), "{reason}");
}

#[test]
fn what_looks_like_nothing_is_refused_with_the_formats() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pdf");
    std::fs::write(&path, "%PDF-1.5").unwrap();
    let message = dump::read(&path, None).err().unwrap().to_string();
    assert!(message.contains("%PDF-1.5") && message.contains("daily-papers"), "{message}");
    let message = dump::read(&data("five/s2-abstracts.jsonl"), None).err().unwrap().to_string();
    assert!(message.contains("papers in the same run"), "{message}");
    let message = dump::read(&data("five/table.parquet"), None).map(|dump| dump.entries.count());
    assert_eq!(message.unwrap(), 5, "its title is called as usual");
    std::fs::write(&path, "PAR1 and no more").unwrap();
    let message = dump::read(&path, None).err().unwrap().to_string();
    assert!(message.contains("wanted a whole Parquet file"), "{message}");
    std::fs::write(&path, "").unwrap();
    assert!(read(&path, None).is_empty(), "an empty file has no papers, and nothing wrong with it");
}

/// What is done to a dump's bytes to see whether its reader bears it.
fn spoiled(bytes: &[u8], how: &[(u8, u16, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (act, place, value) in how {
        let place = usize::from(*place) % bytes.len().max(1);
        match act % 5 {
            0 if !bytes.is_empty() => bytes[place] = *value,
            1 => bytes.truncate(place),
            2 => bytes.insert(place.min(bytes.len()), *value),
            3 => {
                let piece = bytes[place..(place + usize::from(*value)).min(bytes.len())].to_vec();
                bytes.splice(place..place, piece);
            }
            4 if !bytes.is_empty() => {
                drop(bytes.drain(place..(place + usize::from(*value)).min(bytes.len())))
            }
            _ => {}
        }
    }
    bytes
}

mod spoiled_dumps {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(
            std::env::var("LIKEWISE_FUZZ").map_or(40, |cases| cases.parse().unwrap()),
        ))]

        #[test]
        fn no_reader_panics_or_never_ends(how in proptest::collection::vec(any::<(u8, u16, u8)>(), 0..12)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("five2021.json");
            for file in std::fs::read_dir(data("five")).unwrap() {
                let bytes = spoiled(&std::fs::read(file.unwrap().path()).unwrap(), &how);
                std::fs::write(&path, &bytes).unwrap();
                // As what it looks like, and as everything else.
                let formats = Format::ALL.into_iter().map(Some);
                for format in std::iter::once(None).chain(formats) {
                    let Ok(dump) = dump::read(&path, format) else { continue };
                    let count = dump.entries.map(|entry| drop(entry.map(|entry| matches!(entry, Entry::Paper(_))))).count();
                    prop_assert!(count <= bytes.len() + 1);
                }
            }
        }
    }

    #[test]
    fn deep_and_endless_things_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep");
        let deep = |open: &str, count: usize| open.repeat(count);
        let dumps = [
            (Format::Jsonl, deep("[", 3_000_000)),
            (Format::Jsonl, format!("{{\"title\":{}", deep("[", 3_000_000))),
            (Format::Jsonl, format!("[{}", deep("{\"a\":", 1_000_000))),
            (Format::Pubmed, format!("<PubmedArticle>{}</PubmedArticle>", deep("<a>", 2_000_000))),
            (
                Format::Pubmed,
                format!("<PubmedArticle>{}{}</PubmedArticle>", deep("<a>", 100_000), deep("</a>", 100_000)),
            ),
            (Format::Acl, deep("<", 5_000_000)),
            (Format::Acl, deep("<paper ", 1_000_000)),
            (Format::Csv, format!("title,abstract\n{}", deep("\"", 3_000_001))),
            (
                Format::Jsonl,
                format!(
                    "{{\"title\":\"{}\",\"abstract\":\"{}\"}}",
                    deep("$\\\\frac{", 100_000),
                    deep("{\\\\em ", 100_000)
                ),
            ),
        ];
        for (format, text) in dumps {
            std::fs::write(&path, text).unwrap();
            let entries: Vec<_> = dump::read(&path, Some(format)).unwrap().entries.collect();
            assert!(entries.len() <= 3, "{format:?}: {}", entries.len());
        }
    }
}
