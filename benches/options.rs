//! Reads the options of a benchmark: `--name VALUE`. Options that `cargo bench` adds are ignored.

/// Returns the value of an option. `None`: the option is not given.
pub fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)
}
