//! Sets up logging to standard error and, with the feature `otlp`, the export of traces.
//!
//! Logging is set up once, when the program starts. All other modules log through `tracing`.

#[cfg(feature = "otlp")]
use super::traces::TraceExporter;
use clap::{Args, ValueEnum};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Options for logs and traces. The environment variable `LIKEWISE_LOG` sets which events are logged.
#[derive(Args, Default)]
#[command(next_help_heading = "Logs (LIKEWISE_LOG=likewise=debug logs every request, without its content)")]
pub struct LogOptions {
    /// Format of the log on standard error: text (for people) or json (one JSON object per line).
    #[arg(long, value_name = "FORMAT", env = "LIKEWISE_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// Address of the OpenTelemetry collector to which traces of requests are sent, by OTLP over HTTP, such as
    /// http://localhost:4318/v1/traces. By default, no traces are sent.
    #[arg(long, value_name = "URL", env = "LIKEWISE_OTLP")]
    otlp: Option<String>,
}

/// The format of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Lines of text for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The type of the exporter if the program is built without the feature `otlp`. It has no values.
#[cfg(not(feature = "otlp"))]
pub enum TraceExporter {}

/// Sets up logging. Returns the exporter of traces, which sends the last traces when it is dropped. Returns `None` if
/// `--otlp` is not given. Fails if `--otlp` is given and the program was built without the feature `otlp`.
pub fn start(options: &LogOptions) -> anyhow::Result<Option<TraceExporter>> {
    let filter =
        EnvFilter::try_from_env("LIKEWISE_LOG").unwrap_or_else(|_| EnvFilter::new("warn,likewise=info"));
    // rmcp logs the messages that it receives, which contain the users' queries.
    let filter = filter.add_directive("rmcp=off".parse()?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match options.log_format {
        LogFormat::Text => lines.with_ansi(console::colors_enabled_stderr()).with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let registry = tracing_subscriber::registry().with(lines.with_filter(filter));
    #[cfg(feature = "otlp")]
    let exporter = options.otlp.as_deref().map(TraceExporter::new).transpose()?;
    #[cfg(feature = "otlp")]
    let registry = registry.with(exporter.as_ref().map(TraceExporter::layer));
    #[cfg(not(feature = "otlp"))]
    let exporter = match &options.otlp {
        None => None,
        Some(url) => anyhow::bail!(
            "--otlp {url}: this program was built without OpenTelemetry; build it with --features otlp"
        ),
    };
    registry.init();
    Ok(exporter)
}
