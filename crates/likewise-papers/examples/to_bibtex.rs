//! Converts dumps in any supported format to BibTeX:
//! `cargo run --release -p likewise-papers --example to_bibtex -- tests/data/sample.jsonl`

use likewise_papers::{Error, cite, dump};
use std::path::PathBuf;

fn main() -> Result<(), Error> {
    for path in std::env::args().skip(1).map(PathBuf::from) {
        let papers: Vec<_> = dump::read(&path, None)?.papers().collect();
        print!("{}", cite::CitationFormat::Bibtex.write(papers.iter()));
    }
    Ok(())
}
