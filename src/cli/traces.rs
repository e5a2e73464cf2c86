//! Traces of requests, for who collects them: OTLP over HTTP.
//!
//! Its own file because it is a feature (`otlp`): it brings the whole of OpenTelemetry, which a laptop does not need.

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

/// How long a collector of traces may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends what is left of traces when it is dropped.
pub struct Traces(SdkTracerProvider);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            eprintln!("warning: some traces were not sent: {error}");
        }
    }
}

impl Traces {
    /// To a collector's address.
    ///
    /// # Errors
    /// If that is none.
    pub fn to(url: &str) -> anyhow::Result<Traces> {
        let agent = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build().into();
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(Client(agent))
            .with_endpoint(url)
            .build()
            .with_context(|| format!("--otlp: {url:?}; wanted such as http://localhost:4318/v1/traces"))?;
        let resource = Resource::builder().with_service_name("likewise").build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource);
        Ok(Traces(provider.build()))
    }

    /// What hands spans to it.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let ours =
            tracing_subscriber::filter::filter_fn(|metadata| metadata.target().starts_with("likewise"));
        tracing_opentelemetry::layer().with_tracer(self.0.tracer("likewise")).with_filter(ours)
    }
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
