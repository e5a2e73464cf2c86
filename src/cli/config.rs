//! `likewise config`: prints the options of `serve` and where each value comes from. Also reads the config file of
//! `--config`.
//!
//! The values in the config file become the defaults of the options. So the config file has the same names and the same
//! checks as the options, and arguments and environment variables override the values in the file.

use super::settings::KEYS;
use super::{print_line, renamed, serve};
use anyhow::{Context, bail};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use toml::Value;

/// The commands that read a config file.
const COMMANDS: [&str; 2] = ["serve", "config"];

/// Options of `likewise config`: the same as those of `likewise serve`.
#[derive(Args)]
#[group(skip)]
pub struct Options {
    #[command(flatten)]
    serve: serve::Options,
}

/// Parses the arguments, and the config file if one is given.
pub fn matches(command: Command) -> anyhow::Result<ArgMatches> {
    let matches = renamed::get_matches(command.clone());
    if let Some(subcommand) = matches.subcommand_name().and_then(|name| command.find_subcommand(name)) {
        renamed::check_environment(subcommand)?;
    }
    let path = matches.subcommand().and_then(|(name, matches)| {
        COMMANDS.contains(&name).then(|| matches.get_one::<PathBuf>("config").cloned()).flatten()
    });
    let Some(path) = path else { return Ok(matches) };
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let values: BTreeMap<String, Value> =
        toml::from_str(&text).with_context(|| format!("{}: the config file must be TOML", path.display()))?;
    let command = COMMANDS.iter().try_fold(command, |command, name| {
        let mut subcommand =
            command.find_subcommand(name).cloned().expect("COMMANDS has names of subcommands");
        for (key, value) in &values {
            subcommand = with_default(subcommand, key, value).with_context(|| path.display().to_string())?;
        }
        anyhow::Ok(command.mut_subcommand(name, |_| subcommand))
    })?;
    Ok(command.get_matches())
}

/// Sets the default of an option to the value of a key of the config file.
fn with_default(command: Command, key: &str, value: &Value) -> anyhow::Result<Command> {
    let has_key = |arg: &&Arg| arg.get_long().is_some_and(|long| long == key) && can_be_set(arg);
    let Some(id) = command.get_arguments().find(has_key).map(|arg| arg.get_id().clone()) else {
        let known: Vec<&str> =
            command.get_arguments().filter(|arg| can_be_set(arg)).filter_map(Arg::get_long).collect();
        if let Some(new) = renamed::new_name(&command, key) {
            bail!("{key} is now called {new}");
        }
        bail!("unknown option {key}; the options are {}", known.join(", "));
    };
    let values = match value {
        Value::Array(list) => {
            list.iter().map(|value| text(key, value)).collect::<anyhow::Result<Vec<_>>>()?
        }
        other => vec![text(key, other)?],
    };
    Ok(command.mut_arg(id, |arg| arg.default_values(values)))
}

/// Whether a config file can set the option.
fn can_be_set(arg: &Arg) -> bool {
    let is_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append | ArgAction::SetTrue);
    is_value && arg.get_id() != "config"
}

/// Converts the value of a key in the config file to the text of a command-line argument.
fn text(key: &str, value: &Value) -> anyhow::Result<String> {
    Ok(match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(boolean) => boolean.to_string(),
        _ => {
            bail!("{key} must be a string, a number, true, false, or a list of these (got a table or a date)")
        }
    })
}

/// Prints every option of `serve` that a config file can set, in the format of a config file, with the source of its
/// value as a comment. Then prints the number of keys in each environment variable for keys.
pub fn run(options: &Options, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let file = matches.get_one::<PathBuf>("config");
    let from_file: BTreeMap<String, Value> = match file {
        Some(path) => toml::from_str(&std::fs::read_to_string(path)?)?,
        None => BTreeMap::new(),
    };
    let command = super::command();
    let subcommand = command.find_subcommand("config").context("the command config is missing")?;
    for arg in subcommand.get_arguments().filter(|arg| can_be_set(arg)) {
        let (Some(long), id) = (arg.get_long(), arg.get_id().as_str()) else { continue };
        let source = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => format!("--{long}"),
            Some(ValueSource::EnvVariable) => {
                arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
            }
            _ if from_file.contains_key(long) => {
                file.map(|path| path.display().to_string()).unwrap_or_default()
            }
            _ => "default".into(),
        };
        let values: Vec<String> = matches
            .get_raw(id)
            .map(|values| values.map(|value| shown(long, &value.to_string_lossy())).collect())
            .unwrap_or_default();
        let is_list = matches!(arg.get_action(), ArgAction::Append);
        let line = match &values[..] {
            [] if is_list => format!("{long} = []"),
            [] => format!("# {long} ="),
            values if is_list => format!(
                "{long} = [{}]",
                values.iter().map(|value| toml_value(value)).collect::<Vec<_>>().join(", ")
            ),
            [value, ..] => format!("{long} = {}", toml_value(value)),
        };
        print_line(&format!("{line:<46} # {source}"))?;
    }
    for (name, _) in KEYS {
        let count =
            std::env::var(name).unwrap_or_default().split(',').filter(|key| !key.trim().is_empty()).count();
        print_line(&format!("# {count} keys in {name}"))?;
    }
    options.serve.check()?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the value of an option for display, without secrets.
fn shown(long: &str, value: &str) -> String {
    if long == "index" {
        #[cfg(feature = "milvus")]
        return crate::milvus::without_secrets(value);
        // The value can contain a password. A build without Milvus cannot find the password in it, so it hides the
        // whole value.
        #[cfg(not(feature = "milvus"))]
        return "…".into();
    }
    let _ = long;
    value.into()
}

/// Formats a value for TOML: without quotes if the value is a boolean or a number in canonical form, otherwise as a
/// string.
fn toml_value(value: &str) -> String {
    let is_number =
        value.parse::<f64>().is_ok_and(|number| number.is_finite() && number.to_string() == value);
    let is_bare = is_number || ["true", "false"].contains(&value);
    if is_bare { value.into() } else { Value::String(value.into()).to_string() }
}
