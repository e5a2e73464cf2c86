//! The stylesheet and the script of the pages, which are compiled into the program.
//!
//! The names of these files contain a hash of the content, so that browsers can keep the files in their caches for
//! ever.

use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// A file that pages load.
pub struct StaticFile {
    /// Name of the file. It contains the first 6 bytes of the content's SHA-256 in hexadecimal.
    pub name: String,
    /// Media type of the content.
    pub media_type: &'static str,
    /// Content of the file.
    pub text: &'static str,
}

impl StaticFile {
    /// Returns the path of the file on the server.
    pub fn path(&self) -> String {
        format!("/static/{}", self.name)
    }
}

/// The stylesheet.
pub static STYLE: LazyLock<StaticFile> =
    LazyLock::new(|| named("style", "css", "text/css; charset=utf-8", include_str!("style.css")));

/// The script. All pages work without the script, too.
pub static SCRIPT: LazyLock<StaticFile> =
    LazyLock::new(|| named("script", "js", "text/javascript; charset=utf-8", include_str!("script.js")));

fn named(name: &str, extension: &str, media_type: &'static str, text: &'static str) -> StaticFile {
    let digest = Sha256::digest(text.as_bytes());
    let hash: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    StaticFile { name: format!("{name}-{hash}.{extension}"), media_type, text }
}

/// Returns the file with this name; `None` if there is no such file.
pub fn static_file(name: &str) -> Option<&'static StaticFile> {
    [&*STYLE, &*SCRIPT].into_iter().find(|file| file.name == name)
}
