//! Lists the refused entries of dumps, each with the reason:
//! `cargo run --release -p likewise-papers --example refused -- tests/data/five`

use likewise_papers::Error;
use likewise_papers::dump::{Columns, Reader, sources};
use std::path::PathBuf;

fn main() -> Result<(), Error> {
    let paths: Vec<PathBuf> = std::env::args().skip(1).map(PathBuf::from).collect();
    let reader = Reader::new(None, Columns::default());
    for source in sources(&paths) {
        let source = source?;
        let dump = reader.read(&source)?;
        let (mut accepted, mut refused) = (0, 0);
        for entry in dump.entries {
            match entry {
                Ok(_) => accepted += 1,
                Err(entry) => {
                    refused += 1;
                    println!("{source}:{}: {}", entry.line, entry.reason);
                }
            }
        }
        println!("{source}: {}, {accepted} entries accepted, {refused} refused", dump.format.name());
    }
    Ok(())
}
