//! The same five papers in every format, packed in every way, give the same five papers.

use crate::support::data;
use likewise::dump::{self, Format};
use likewise::paper::{Paper, PaperId};
use std::io::Write;
use std::path::Path;

fn read(path: &Path, format: Option<Format>) -> Vec<Paper> {
    let (papers, _) = dump::read(path, format).unwrap();
    papers.map(|paper| paper.unwrap()).collect()
}

#[test]
fn every_format_gives_the_same_five_papers() {
    let wanted = read(&data("five/plain.jsonl"), None);
    assert_eq!(wanted.len(), 5);
    assert_eq!(wanted[2].id.as_str(), "math/0309136");
    assert_eq!(wanted[0].url.as_deref(), Some("https://arxiv.org/abs/2101.00001"));
    assert_eq!(read(&data("five/arxiv.jsonl"), None), wanted);
    for page in ["five/daily-dated.txt", "five/daily-undated.txt"] {
        // A page has titles and abstracts only; ids come from the titles.
        let bare = wanted.iter().map(|paper| Paper {
            id: PaperId::from_title(&paper.title).unwrap(),
            title: paper.title.clone(),
            r#abstract: paper.r#abstract.clone(),
            source: Some("daily-papers".into()),
            ..Paper::default()
        });
        assert_eq!(read(&data(page), None), bare.collect::<Vec<_>>(), "{page}");
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
    for (name, bytes) in [("a", [gz(head), gz(tail)].concat()), ("b", [zst(head), zst(tail)].concat())] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read(&path, None), wanted, "{name}");
    }
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
    let entries: Vec<_> = dump::read(&path, None).unwrap().0.collect();
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
    let message = dump::read(folder.path(), None).err().unwrap().to_string();
    assert!(message.contains("got a folder"), "{message}");
    std::fs::write(&path, "").unwrap();
    assert!(read(&path, None).is_empty(), "an empty file has no papers, and nothing wrong with it");
}
