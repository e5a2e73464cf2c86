//! Options that were renamed. If an old name is used on the command line, in a config file or as an environment
//! variable, the error message gives the new name.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command, Error};

/// Old names of options, with their new names.
const RENAMED: [(&str, &str); 4] = [
    ("examples", "aggregation"),
    ("queue-tokens-flooded", "queue-tokens-overloaded"),
    ("rescore", "rerank-sentences"),
    ("walk", "hnsw"),
];

/// Returns the new name of the option of `command` that was called `old`. `None`: `command` has no such option.
pub fn new_name(command: &Command, old: &str) -> Option<&'static str> {
    let (_, new) = RENAMED.iter().find(|(name, _)| *name == old)?;
    command.get_arguments().any(|arg| arg.get_long() == Some(new)).then_some(*new)
}

/// Parses the program's arguments with `command`. Prints an error and exits if the arguments are invalid.
pub fn get_matches(mut command: Command) -> ArgMatches {
    command.try_get_matches_from_mut(std::env::args_os()).unwrap_or_else(|error| {
        let name = std::env::args_os().nth(1).unwrap_or_default();
        match command.find_subcommand(name) {
            Some(subcommand) => with_new_name(subcommand.clone(), error),
            None => error,
        }
        .exit()
    })
}

/// If `error` is about an unknown option that has a new name in `command`, returns an error that gives the new name.
/// Otherwise returns `error`.
fn with_new_name(mut command: Command, error: Error) -> Error {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return error };
    let new = argument.strip_prefix("--").and_then(|old| new_name(&command, old));
    match new {
        Some(new) if error.kind() == ErrorKind::UnknownArgument => {
            command.error(ErrorKind::UnknownArgument, format!("{argument} is now called --{new}"))
        }
        _ => error,
    }
}

/// Fails if an environment variable is set that has the old name of an option of `command`.
pub fn check_environment(command: &Command) -> anyhow::Result<()> {
    for (old, new) in RENAMED {
        let variable = format!("LIKEWISE_{}", old.to_uppercase().replace('-', "_"));
        let mut arguments = command.get_arguments();
        let Some(new) = arguments.find(|arg| arg.get_long() == Some(new)).and_then(|arg| arg.get_env())
        else {
            continue;
        };
        anyhow::ensure!(
            std::env::var_os(&variable).is_none(),
            "{variable} is now called {}",
            new.to_string_lossy()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    #[test]
    fn old_names_are_known_only_to_commands_with_the_new_option() {
        let command = Command::new("search").arg(Arg::new("aggregation").long("aggregation"));
        assert_eq!(new_name(&command, "examples"), Some("aggregation"));
        assert_eq!(new_name(&command, "rescore"), None);
        assert_eq!(new_name(&command, "aggregation"), None);
    }

    #[test]
    fn errors_for_old_names_give_the_new_ones() {
        let command = Command::new("search").arg(Arg::new("aggregation").long("aggregation"));
        let message = |argument: &str| {
            let error = command.clone().try_get_matches_from(["search", argument]).unwrap_err();
            with_new_name(command.clone(), error).to_string()
        };
        for argument in ["--examples", "--examples=mean"] {
            assert!(message(argument).contains("--examples is now called --aggregation"));
        }
        assert!(message("--rescore").contains("unexpected argument '--rescore'"));
    }
}
