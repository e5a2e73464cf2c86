//! Says which entries of dumps are no papers, and why:
//! `cargo run --release -p likewise-papers --example refused -- tests/data/five`

use likewise_papers::Error;
use likewise_papers::dump::{Columns, Reader, sources};
use std::path::PathBuf;

fn main() -> Result<(), Error> {
    let named: Vec<PathBuf> = std::env::args().skip(1).map(PathBuf::from).collect();
    let reader = Reader::new(None, Columns::default());
    for source in sources(&named) {
        let source = source?;
        let dump = reader.read(&source)?;
        let (mut taken, mut refused) = (0, 0);
        for entry in dump.entries {
            match entry {
                Ok(_) => taken += 1,
                Err(wrong) => {
                    refused += 1;
                    println!("{source}:{}: {}", wrong.line, wrong.reason);
                }
            }
        }
        println!("{source}: {}, {taken} entries, {refused} refused", dump.format.name());
    }
    Ok(())
}
