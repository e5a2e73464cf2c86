//! `likewise config`: what is in force and where each value came from. And the file that `--config` names.
//!
//! Its own file because a file's values are the defaults of options: whatever an option checks, defaults to or is called,
//! is written once, where the option is.

use super::settings::KEYS;
use super::{print_line, serve};
use anyhow::{Context, bail};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use toml::Value;

/// Commands whose options a file may have.
const COMMANDS: [&str; 2] = ["serve", "config"];

/// Options of `likewise config`: those of `serve`.
#[derive(Args)]
#[group(skip)]
pub struct Options {
    #[command(flatten)]
    serve: serve::Options,
}

/// Reads the arguments, and the file that they name, if they do.
pub fn matches(command: Command) -> anyhow::Result<ArgMatches> {
    let matches = command.clone().get_matches();
    let path = matches.subcommand().and_then(|(name, matches)| {
        COMMANDS.contains(&name).then(|| matches.get_one::<PathBuf>("config").cloned()).flatten()
    });
    let Some(path) = path else { return Ok(matches) };
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let values: BTreeMap<String, Value> =
        toml::from_str(&text).with_context(|| format!("{}: wanted TOML", path.display()))?;
    let command = COMMANDS.iter().try_fold(command, |command, name| {
        let mut known = command.find_subcommand(name).cloned().expect("it is a command");
        for (key, value) in &values {
            known = with_default(known, key, value).with_context(|| path.display().to_string())?;
        }
        anyhow::Ok(command.mut_subcommand(name, |_| known))
    })?;
    Ok(command.get_matches())
}

/// A command, with another default for one of its options.
fn with_default(command: Command, key: &str, value: &Value) -> anyhow::Result<Command> {
    let is_it = |arg: &&Arg| arg.get_long().is_some_and(|long| long == key) && can_be_set(arg);
    let Some(id) = command.get_arguments().find(is_it).map(|arg| arg.get_id().clone()) else {
        let known: Vec<&str> =
            command.get_arguments().filter(|arg| can_be_set(arg)).filter_map(Arg::get_long).collect();
        bail!("got {key}, wanted one of {}", known.join(", "));
    };
    let values = match value {
        Value::Array(list) => {
            list.iter().map(|value| text(key, value)).collect::<anyhow::Result<Vec<_>>>()?
        }
        other => vec![text(key, other)?],
    };
    Ok(command.mut_arg(id, |arg| arg.default_values(values)))
}

fn can_be_set(arg: &Arg) -> bool {
    let is_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append | ArgAction::SetTrue);
    is_value && arg.get_id() != "config"
}

fn text(key: &str, value: &Value) -> anyhow::Result<String> {
    Ok(match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(boolean) => boolean.to_string(),
        _ => bail!("{key}: got a table or a date, wanted a text, a number, true or false, or a list of them"),
    })
}

/// Prints every option of `serve` as a file would have it, and where its value came from.
pub fn run(options: &Options, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let file = matches.get_one::<PathBuf>("config");
    let from_file: BTreeMap<String, Value> = match file {
        Some(path) => toml::from_str(&std::fs::read_to_string(path)?)?,
        None => BTreeMap::new(),
    };
    let command = super::command();
    let known = command.find_subcommand("config").context("it is a command")?;
    for arg in known.get_arguments().filter(|arg| can_be_set(arg)) {
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
                values.iter().map(|value| written(value)).collect::<Vec<_>>().join(", ")
            ),
            [value, ..] => format!("{long} = {}", written(value)),
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

/// A value as it may be shown.
fn shown(long: &str, value: &str) -> String {
    if long == "index" {
        #[cfg(feature = "milvus")]
        return crate::milvus::without_secrets(value);
        // It may have a password in it, and nothing here can tell.
        #[cfg(not(feature = "milvus"))]
        return "…".into();
    }
    let _ = long;
    value.into()
}

/// A value as TOML has it: truths bare, and numbers that TOML writes alike.
fn written(value: &str) -> String {
    let is_number =
        value.parse::<f64>().is_ok_and(|number| number.is_finite() && number.to_string() == value);
    let is_bare = is_number || ["true", "false"].contains(&value);
    if is_bare { value.into() } else { Value::String(value.into()).to_string() }
}
