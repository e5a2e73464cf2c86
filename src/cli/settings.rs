//! Settings of the server that are not options: the config file, and the keys in the environment.
//!
//! Used by `serve`, which reads them, and by `config`, which prints them.

use crate::server::Permission;
use clap::Args;
use std::path::PathBuf;

/// Environment variables with keys, and what these keys permit. There are no such options, because other users of the machine
/// can see the arguments of a process.
pub const KEYS: [(&str, Permission); 2] =
    [("LIKEWISE_READ_KEY", Permission::Read), ("LIKEWISE_WRITE_KEY", Permission::Write)];

/// The option that names a config file.
#[derive(Args)]
pub struct FileOption {
    /// Config file, in TOML. Its keys are the names of options without the dashes, such as listen = "0.0.0.0:8080". Arguments
    /// and environment variables override it. By default, none is read.
    #[arg(long, value_name = "FILE", env = "LIKEWISE_CONFIG")]
    pub config: Option<PathBuf>,
}
