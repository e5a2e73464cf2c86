//! The stylesheet and the script of the pages, which are compiled into the program.
//!
//! Their names contain a hash of their content, so that browsers may cache them without expiry.

use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// A file that pages load.
pub struct StaticFile {
    /// Its name, with the first 6 bytes of its SHA-256 in it.
    pub name: String,
    /// Its media type.
    pub media_type: &'static str,
    /// Its content.
    pub text: &'static str,
}

impl StaticFile {
    /// Its path on the server.
    pub fn path(&self) -> String {
        format!("/static/{}", self.name)
    }
}

/// The stylesheet.
pub static STYLE: LazyLock<StaticFile> =
    LazyLock::new(|| named("style", "css", "text/css; charset=utf-8", include_str!("style.css")));

/// The script. Pages work without it, too.
pub static SCRIPT: LazyLock<StaticFile> =
    LazyLock::new(|| named("script", "js", "text/javascript; charset=utf-8", include_str!("script.js")));

fn named(name: &str, extension: &str, media_type: &'static str, text: &'static str) -> StaticFile {
    let digest = Sha256::digest(text.as_bytes());
    let hash: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    StaticFile { name: format!("{name}-{hash}.{extension}"), media_type, text }
}

/// The file with this name; `None` if there is none.
pub fn static_file(name: &str) -> Option<&'static StaticFile> {
    [&*STYLE, &*SCRIPT].into_iter().find(|file| file.name == name)
}
