//! The two files that pages load: a style and a script, in the program, under names that change with them.

use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// A file that pages load.
pub struct Static {
    /// Its name, with a part of its hash in it: it may be kept for ever.
    pub name: String,
    /// Its media type.
    pub media_type: &'static str,
    /// What is in it.
    pub text: &'static str,
}

/// How pages look.
pub static STYLE: LazyLock<Static> =
    LazyLock::new(|| named("style", "css", "text/css; charset=utf-8", include_str!("style.css")));

/// What makes them quicker to use.
pub static SCRIPT: LazyLock<Static> =
    LazyLock::new(|| named("script", "js", "text/javascript; charset=utf-8", include_str!("script.js")));

fn named(name: &str, end: &str, media_type: &'static str, text: &'static str) -> Static {
    let digest = Sha256::digest(text.as_bytes());
    let hash: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    Static { name: format!("{name}-{hash}.{end}"), media_type, text }
}

/// Where a file is.
pub fn address(file: &Static) -> String {
    format!("/static/{}", file.name)
}

/// The file of this name.
pub fn static_file(name: &str) -> Option<&'static Static> {
    [&*STYLE, &*SCRIPT].into_iter().find(|file| file.name == name)
}
