//! Asks a data folder from Rust: `cargo run --release --example ask -- DATA "TEXT"`

use likewise::search::{Examples, Query};
use likewise::{Encoder, Library, Result};
use std::path::Path;
use std::sync::Arc;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, text] = &arguments[..] else {
        eprintln!("usage: ask DATA TEXT");
        return Ok(());
    };
    let encoder = Arc::new(Encoder::from_pretrained("all-MiniLM-L6-v2")?);
    let library = Library::open(Path::new(data), encoder)?;
    let query = Query { k: 3, ..Query::of(Examples::text(text.clone())) };
    for hit in library.search(&query)?.hits {
        println!("{:.2} {}", hit.score, hit.paper.title);
    }
    Ok(())
}
