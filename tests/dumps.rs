//! Checks that a dump of five papers gives the same papers in every format and compression, and that damaged dumps are
//! reported.

use crate::support::{data, ingest, papers_of};
use likewise::search::Library;
use likewise_papers::dump::{self, Columns, Entry, Format, Reader, Source, sources};
use likewise_papers::{Paper, PaperId};
use std::io::Write;
use std::path::{Path, PathBuf};

fn read(path: &Path, format: Option<Format>) -> Vec<Paper> {
    papers_of(dump::read(path, format).unwrap())
}

/// Returns the papers of several files, which are read in one run.
fn read_all(names: &[&str], columns: &str) -> Vec<Paper> {
    let paths: Vec<PathBuf> = names.iter().map(|name| data(name)).collect();
    let sources: Vec<Source> = sources(&paths).into_iter().map(Result::unwrap).collect();
    let columns: Columns = if columns.is_empty() { Columns::default() } else { columns.parse().unwrap() };
    let mut reader = Reader::new(None, columns);
    assert!(reader.load_abstracts(&sources).unwrap().iter().all(|(_, refused)| refused.is_empty()));
    sources.iter().flat_map(|source| papers_of(reader.read(source).unwrap())).collect()
}

fn ids(list: &[String]) -> Vec<PaperId> {
    list.iter().map(|id| PaperId::parse(id).unwrap()).collect()
}

#[test]
fn every_format_gives_the_same_five_papers() {
    let plain = read(&data("five/plain.jsonl"), None);
    assert_eq!(plain.len(), 5);
    assert_eq!(plain[2].id.as_str(), "math/0309136");
    assert_eq!(plain[0].url.as_deref(), Some("https://arxiv.org/abs/2101.00001"));
    for name in ["arxiv.jsonl", "array.json", "oai.xml", "oai-raw.xml", "atom.xml", "table.csv", "table.tsv"]
    {
        assert_eq!(read(&data(&format!("five/{name}")), None), plain, "{name}");
    }
    assert_eq!(read_all(&["five/table.parquet"], "id=paper,abstract=body"), plain);

    // The papers of the other formats have a source, some also have alternate ids, and some have less exact dates.
    let from = |source: &str, change: fn(usize, &mut Paper)| -> Vec<Paper> {
        let paper = |(index, paper): (usize, &Paper)| {
            let mut paper = Paper { source: Some(source.into()), ..paper.clone() };
            change(index, &mut paper);
            paper
        };
        plain.iter().enumerate().map(paper).collect()
    };
    assert_eq!(read(&data("five/daily.json"), None), from("daily-papers", |_, _| ()));
    let expected = from("semantic-scholar", |index, paper| {
        paper.alternate_ids = ids(&[format!("corpusid:{}", index + 1)])
    });
    assert_eq!(read_all(&["five/s2-papers.jsonl", "five/s2-abstracts.jsonl"], ""), expected);
    let expected =
        from("openalex", |index, paper| paper.alternate_ids = ids(&[format!("openalex:W{}", index + 1)]));
    assert_eq!(read(&data("five/openalex.jsonl"), None), expected);
    let expected = from("pubmed", |index, paper| paper.alternate_ids = ids(&[format!("pmid:{}", index + 1)]));
    assert_eq!(read(&data("five/pubmed.xml"), None), expected);
    let mut expected = from("acl", |index, paper| {
        let volume = if index == 2 { "v2.1".into() } else { format!("v1.{}", [1, 2, 0, 3, 4][index]) };
        paper.alternate_ids = ids(&[format!("2021.five-{volume}")]);
        paper.published = paper.published.as_deref().map(|date| date[..7].into());
        paper.venue = Some("five".into());
        paper.categories.clear();
    });
    // The file lists the papers by volume, and paper 2 is in the second volume.
    let of_second_volume = expected.remove(2);
    expected.push(of_second_volume);
    assert_eq!(read(&data("five/acl.xml"), None), expected);
    let expected = from("papercopilot", |index, paper| {
        paper.alternate_ids = ids(&[format!("five2021/{}", index + 1)]);
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
    assert_eq!(read(&data("five/corpus.jsonl"), None), plain.iter().map(bare).collect::<Vec<_>>());
    for page in ["five/daily-dated.txt", "five/daily-undated.txt"] {
        // The saved text of a Daily Papers page has only titles and abstracts, so ids are made from the titles.
        let by_title = |paper: &Paper| Paper {
            id: PaperId::from_title(&paper.title).unwrap(),
            source: Some("daily-papers".into()),
            url: None,
            ..bare(paper)
        };
        assert_eq!(read(&data(page), None), plain.iter().map(by_title).collect::<Vec<_>>(), "{page}");
    }
}

#[test]
fn five_papers_in_eight_formats_are_ingested_as_five_papers() {
    let folder = tempfile::tempdir().unwrap();
    let names =
        "arxiv.jsonl daily-dated.txt openalex.jsonl pubmed.xml acl.xml five2021.json daily.json corpus.jsonl";
    let files: Vec<PathBuf> = names.split(' ').map(|name| data(&format!("five/{name}"))).collect();
    let counts = ingest(folder.path(), &files);
    assert_eq!((counts.added, counts.encoded), (5, 5), "{counts:?}");
    // The second run leaves out corpus.jsonl: its records have no source, so each of these records would replace any
    // record with the same id.
    let again = ingest(folder.path(), &files[..7]);
    assert_eq!((again.added, again.encoded), (0, 0), "{again:?}");
    let library = Library::open(folder.path(), crate::support::encoder()).unwrap();
    assert_eq!(library.stats().papers, 5);
    for id in ["2101.00004", "title:bees-that-count", "openalex:W4", "PMID:4", "2021.five-v1.3", "five2021/4"]
    {
        let paper = library.paper(id).unwrap();
        assert_eq!(paper.id.as_str(), "2101.00004", "{id}");
        assert_eq!(
            (paper.alternate_ids.len(), paper.authors.len(), paper.published.as_deref()),
            (5, 2, Some("2021-01-07"))
        );
    }
}

#[test]
fn compression_is_detected_by_magic_bytes() {
    let plain = std::fs::read(data("five/plain.jsonl")).unwrap();
    let expected = read(&data("five/plain.jsonl"), None);
    let folder = tempfile::tempdir().unwrap();
    // Each file has no extension, and has two compressed members that are split in the middle of a line.
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
    let compressed = [
        ("a", [gz(head), gz(tail)].concat()),
        ("b", [zst(head), zst(tail)].concat()),
        ("c", [bz2(head), bz2(tail)].concat()),
    ];
    for (name, bytes) in compressed {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read(&path, None), expected, "{name}");
    }
}

/// Writes a .zip with the given members (name and file). Python writes the .zip, as an independent implementation.
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

    // A changed byte in the first member is detected, at the latest by the checksum of the member.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let refused = |entries: dump::Entries| entries.filter(Result::is_err).count();
    assert!(reader.read(&all[0]).map_or(1, |dump| refused(dump.entries)) > 0);
    std::fs::write(&path, b"PK\x03\x04 and no more").unwrap();
    assert!(sources(&[path]).remove(0).unwrap_err().to_string().contains("a .zip must be complete"));
}

#[test]
fn a_truncated_gzip_gives_its_complete_papers_and_then_an_error() {
    let plain = std::fs::read(data("five/plain.jsonl")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(&plain).unwrap();
    let mut compressed = encoder.finish().unwrap();
    compressed.truncate(compressed.len() * 3 / 4);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.gz");
    std::fs::write(&path, compressed).unwrap();
    let entries: Vec<_> = dump::read(&path, None).unwrap().entries.collect();
    assert!(entries.len() >= 4 && entries[..3].iter().all(Result::is_ok), "{entries:?}");
    let reason = &entries.last().unwrap().as_ref().unwrap_err().reason;
    assert!(reason.contains("cannot be read past this point"), "{reason}");
}

#[test]
fn an_unknown_format_is_refused_with_the_list_of_formats() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pdf");
    std::fs::write(&path, "%PDF-1.5").unwrap();
    let message = dump::read(&path, None).err().unwrap().to_string();
    assert!(message.contains("%PDF-1.5") && message.contains("daily-papers"), "{message}");
    let message = dump::read(&data("five/s2-abstracts.jsonl"), None).err().unwrap().to_string();
    assert!(message.contains("in the same run as its papers"), "{message}");
    let count = dump::read(&data("five/table.parquet"), None).map(|dump| dump.entries.count());
    assert_eq!(count.unwrap(), 5, "the title column must be found by its usual name");
    std::fs::write(&path, "PAR1 and no more").unwrap();
    let message = dump::read(&path, None).err().unwrap().to_string();
    assert!(message.contains("the Parquet file must be complete"), "{message}");
    std::fs::write(&path, "").unwrap();
    assert!(read(&path, None).is_empty(), "an empty file has no papers and is no error");
}

/// Returns the bytes after random edits. An edit consists of a kind (change, truncate, insert, duplicate, delete), a
/// position, and the new value or a length.
fn damaged(bytes: &[u8], edits: &[(u8, u16, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (kind, position, value) in edits {
        let position = usize::from(*position) % bytes.len().max(1);
        match kind % 5 {
            0 if !bytes.is_empty() => bytes[position] = *value,
            1 => bytes.truncate(position),
            2 => bytes.insert(position.min(bytes.len()), *value),
            3 => {
                let copy = bytes[position..(position + usize::from(*value)).min(bytes.len())].to_vec();
                bytes.splice(position..position, copy);
            }
            4 if !bytes.is_empty() => {
                drop(bytes.drain(position..(position + usize::from(*value)).min(bytes.len())))
            }
            _ => {}
        }
    }
    bytes
}

mod damaged_dumps {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(
            std::env::var("LIKEWISE_FUZZ").map_or(40, |cases| cases.parse().unwrap()),
        ))]

        #[test]
        fn every_reader_ends_without_panic(edits in proptest::collection::vec(any::<(u8, u16, u8)>(), 0..12)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("five2021.json");
            for file in std::fs::read_dir(data("five")).unwrap() {
                let bytes = damaged(&std::fs::read(file.unwrap().path()).unwrap(), &edits);
                std::fs::write(&path, &bytes).unwrap();
                // The file is read with the detected format, and then with each format.
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
    fn deeply_nested_input_ends_quickly() {
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
