//! `likewise delete`: deletes papers from a data folder or a collection.

use super::location::LocationOptions;
use super::print_line;
use clap::Args;
use likewise_papers::PaperId;
use std::process::ExitCode;

/// Options of `likewise delete`.
#[derive(Args)]
pub struct Options {
    /// Ids of the papers to delete, in any of the usual notations, such as arXiv:2101.00001v2 or the address of a DOI.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    location: LocationOptions,
}

/// Runs the command. Exit status: 0, or 1 if a paper was not found. The papers that were found are deleted in both
/// cases.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let ids = options.ids.iter().map(|id| PaperId::parse(id)).collect::<Result<Vec<_>, _>>();
    let ids = ids.map_err(anyhow::Error::msg)?;
    let were_present = options.location.location()?.delete(&ids)?;
    for (id, _) in ids.iter().zip(&were_present).filter(|(_, was_present)| !**was_present) {
        eprintln!("paper {:?} is not in the library", id.as_str());
    }
    let deleted = were_present.iter().filter(|was_present| **was_present).count();
    print_line(&format!("deleted {deleted}"))?;
    Ok(if deleted == ids.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
