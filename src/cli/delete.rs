//! `likewise delete`: papers out of wherever they are.

use super::place::PlaceOptions;
use super::print_line;
use clap::Args;
use likewise_papers::PaperId;
use std::process::ExitCode;

/// Options of `likewise delete`.
#[derive(Args)]
pub struct Options {
    /// The papers' ids, however they are written.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    place: PlaceOptions,
}

/// Runs it: exit status 0, or 1 if one of them was not there; the others are deleted all the same.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let ids = options.ids.iter().map(|id| PaperId::parse(id)).collect::<Result<Vec<_>, _>>();
    let ids = ids.map_err(anyhow::Error::msg)?;
    let were_here = options.place.place()?.delete(&ids)?;
    for (id, _) in ids.iter().zip(&were_here).filter(|(_, was_here)| !**was_here) {
        eprintln!("no paper {:?} here", id.as_str());
    }
    let deleted = were_here.iter().filter(|was_here| **was_here).count();
    print_line(&format!("deleted {deleted}"))?;
    Ok(if deleted == ids.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
