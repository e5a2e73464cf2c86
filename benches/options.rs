//! Reads the options of a benchmark: `--name VALUE`. Options that `cargo bench` adds are ignored.

/// The value of an option. `None`: it is not given.
pub fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)
}
