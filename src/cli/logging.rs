//! What the program says of itself: lines for people or JSON for machines, and traces for who collects them.
//!
//! Its own file because it is set up once, before anything else, and the rest only speaks to `tracing`.

use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::time::Duration;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// How long a collector of traces may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How the program speaks of itself, on standard error. `LIKEWISE_LOG` says of what: `likewise=debug` has every request.
#[derive(Args, Default)]
#[command(next_help_heading = "Logs (LIKEWISE_LOG=likewise=debug has every request, never what it said)")]
pub struct Options {
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

/// Sends what is left of traces when it is dropped.
pub struct Traces(Option<SdkTracerProvider>);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.as_ref().map(SdkTracerProvider::shutdown) {
            eprintln!("warning: some traces were not sent: {error}");
        }
    }
}

/// Sets it up; until what it gives is dropped, traces are sent.
pub fn start(options: &Options) -> anyhow::Result<Traces> {
    let filter =
        EnvFilter::try_from_env("LIKEWISE_LOG").unwrap_or_else(|_| EnvFilter::new("warn,likewise=info"));
    // It writes down what it is sent, which is questions.
    let filter = filter.add_directive("rmcp=off".parse()?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match options.log_format {
        Format::Text => lines.with_ansi(console::colors_enabled_stderr()).with_target(false).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    let provider = options.otlp.as_deref().map(provider).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        let ours =
            tracing_subscriber::filter::filter_fn(|metadata| metadata.target().starts_with("likewise"));
        tracing_opentelemetry::layer().with_tracer(provider.tracer("likewise")).with_filter(ours)
    });
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(traces).init();
    Ok(Traces(provider))
}

fn provider(url: &str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(Client(ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build().into()))
        .with_endpoint(url)
        .build()
        .with_context(|| format!("--otlp: {url:?}; wanted such as http://localhost:4318/v1/traces"))?;
    let resource = Resource::builder().with_service_name("likewise").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// The HTTP client that fetches models sends traces too, from a thread that may block.
#[derive(Debug)]
struct Client(ureq::Agent);

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let response = self.0.run(http::Request::from_parts(parts, body.to_vec()))?;
        let (parts, mut body) = response.into_parts();
        Ok(http::Response::from_parts(parts, body.read_to_vec()?.into()))
    }
}
