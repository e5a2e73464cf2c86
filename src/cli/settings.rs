//! Where the values of options are besides the arguments: in a file, and in the environment.
//!
//! Its own file because `serve` takes them, and `config` says which are in force.

use crate::server::Right;
use clap::Args;
use std::path::PathBuf;

/// Keys, by where they are in the environment, and what they allow. They are no options: arguments can be seen by others.
pub const KEYS: [(&str, Right); 2] =
    [("LIKEWISE_READ_KEY", Right::Read), ("LIKEWISE_WRITE_KEY", Right::Write)];

/// Where the values of other options are.
#[derive(Args)]
pub struct FileOption {
    /// File of options, in TOML, by their names without the dashes: listen = "0.0.0.0:8080". Flags and the environment
    /// count more.
    #[arg(long, value_name = "FILE", env = "LIKEWISE_CONFIG")]
    pub config: Option<PathBuf>,
}
