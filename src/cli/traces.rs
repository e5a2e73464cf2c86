//! Exports traces of requests to an OpenTelemetry collector, by OTLP over HTTP.
//!
//! Compiled only with the feature `otlp`, because OpenTelemetry has many dependencies that most users do not need.

use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::time::Duration;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

/// Timeout for a request to the collector.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends traces to a collector. When the exporter is dropped, it sends the traces that have not been sent.
pub struct TraceExporter(SdkTracerProvider);

impl Drop for TraceExporter {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            eprintln!("warning: some traces were not sent: {error}");
        }
    }
}

impl TraceExporter {
    /// Creates an exporter to the collector at `url`.
    ///
    /// # Errors
    /// Returns an error if `url` is not a valid address.
    pub fn new(url: &str) -> anyhow::Result<TraceExporter> {
        let agent = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build().into();
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(Client(agent))
            .with_endpoint(url)
            .build()
            .with_context(|| {
                format!("--otlp must be an address such as http://localhost:4318/v1/traces (got {url:?})")
            })?;
        let resource = Resource::builder().with_service_name("likewise").build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource);
        Ok(TraceExporter(provider.build()))
    }

    /// Returns the `tracing` layer that passes the spans of this crate to the exporter.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let is_own =
            tracing_subscriber::filter::filter_fn(|metadata| metadata.target().starts_with("likewise"));
        tracing_opentelemetry::layer().with_tracer(self.0.tracer("likewise")).with_filter(is_own)
    }
}

/// The HTTP client of the exporter: `ureq`, which also downloads models. The calls block, which is harmless because the
/// exporter makes them on a thread of its own.
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
