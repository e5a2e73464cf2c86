//! What the program says of itself: lines for people or JSON for machines, and traces for who collects them.
//!
//! Its own file because it is set up once, before anything else, and the rest only speaks to `tracing`.

#[cfg(feature = "otlp")]
use super::traces::Traces;
use clap::{Args, ValueEnum};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// How the program speaks of itself, on standard error. `LIKEWISE_LOG` says of what: `likewise=debug` has every request.
#[derive(Args, Default)]
#[command(next_help_heading = "Logs (LIKEWISE_LOG=likewise=debug has every request, never what it said)")]
pub struct LogOptions {
    /// Lines for people, or a JSON object a line.
    #[arg(long, value_name = "FORMAT", env = "LIKEWISE_LOG_FORMAT", default_value = "text")]
    log_format: Format,
    /// Where traces of requests are sent to: an OpenTelemetry collector's address for OTLP over HTTP, such as
    /// http://localhost:4318/v1/traces.
    #[arg(long, value_name = "URL", env = "LIKEWISE_OTLP")]
    otlp: Option<String>,
}

/// How lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// A program that was built without them sends none.
#[cfg(not(feature = "otlp"))]
pub enum Traces {}

/// Sets it up; until what it gives is dropped, traces are sent.
pub fn start(options: &LogOptions) -> anyhow::Result<Option<Traces>> {
    let filter =
        EnvFilter::try_from_env("LIKEWISE_LOG").unwrap_or_else(|_| EnvFilter::new("warn,likewise=info"));
    // It writes down what it is sent, which is questions.
    let filter = filter.add_directive("rmcp=off".parse()?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match options.log_format {
        Format::Text => lines.with_ansi(console::colors_enabled_stderr()).with_target(false).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    let registry = tracing_subscriber::registry().with(lines.with_filter(filter));
    #[cfg(feature = "otlp")]
    let traces = options.otlp.as_deref().map(Traces::to).transpose()?;
    #[cfg(feature = "otlp")]
    let registry = registry.with(traces.as_ref().map(Traces::layer));
    #[cfg(not(feature = "otlp"))]
    let traces = match &options.otlp {
        None => None,
        Some(url) => anyhow::bail!(
            "--otlp {url}: this program was built without traces; build it with --features otlp"
        ),
    };
    registry.init();
    Ok(traces)
}
