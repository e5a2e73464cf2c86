//! Options of a benchmark, as `--name VALUE`; `cargo bench` adds some of its own, which are passed over.
//!
//! Its own file because every benchmark has some, and none is worth a parser.

/// The value of an option, if it was given.
pub fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)
}
