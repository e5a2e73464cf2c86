//! Sources of the server's settings besides the options: the config file, and the environment variables with keys.
//!
//! `serve` reads these sources, and `config` prints them.

use crate::server::Permission;
use clap::Args;
use std::path::PathBuf;

/// Environment variables with keys, and what these keys permit. There are no options for these keys, because other
/// users of the machine can see the arguments of a process.
pub const KEYS: [(&str, Permission); 2] =
    [("LIKEWISE_READ_KEY", Permission::Read), ("LIKEWISE_WRITE_KEY", Permission::Write)];

/// The option that names a config file.
#[derive(Args)]
pub struct FileOption {
    /// Config file, in TOML. It sets options by their names without the leading dashes, such as listen =
    /// "0.0.0.0:8080". Arguments and environment variables override the values in the file. By default, no config file
    /// is read.
    #[arg(long, value_name = "FILE", env = "LIKEWISE_CONFIG")]
    pub config: Option<PathBuf>,
}
