//! `GET /metrics`: metrics in Prometheus's text format.
//!
//! Each [`App`] has its own registry instead of a global one.

use super::problem::Problem;
use super::queue::BatchStats;
use super::stages::Stage;
use super::{App, blocking};
use crate::search::Stats;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Content type of Prometheus's text format, with its version.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

const METADATA: Metadata<'static> = Metadata::new("likewise", Level::INFO, None);

/// Upper bounds of the histogram buckets for durations, in seconds.
const DURATION_BUCKETS: [f64; 14] =
    [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0];

/// Upper bounds of the histogram buckets for batch sizes, in tokens.
const TOKEN_BUCKETS: [f64; 9] = [16.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 16384.0];

const COUNTERS: [(&str, &str); 4] = [
    ("likewise_requests_total", "Responses, by route, method and status."),
    ("likewise_tokens_total", "Tokens that were encoded."),
    ("likewise_cache_hits_total", "Cache hits, by cache."),
    ("likewise_cache_misses_total", "Cache misses, by cache."),
];

const HISTOGRAMS: [(&str, &str); 4] = [
    (
        "likewise_request_seconds",
        "Time from receiving a request's headers to sending the response's headers, by route.",
    ),
    ("likewise_stage_seconds", "Time spent in each stage of a request."),
    ("likewise_batch_tokens", "Tokens per batch."),
    ("likewise_batch_seconds", "Time to encode a batch."),
];

const GAUGES: [(&str, &str); 11] = [
    ("likewise_papers", "Papers in the catalog."),
    ("likewise_vectors", "Stored vectors, one for each distinct text."),
    ("likewise_papers_without_vector", "Papers without a vector."),
    ("likewise_index_segments", "Index segments."),
    ("likewise_index_vectors", "Vectors in index segments."),
    ("likewise_index_waiting", "Vectors that are not in an index segment yet."),
    ("likewise_index_repaired", "Vectors that graph search could not reach and that were linked again."),
    (
        "likewise_index_unreachable",
        "Vectors that graph search cannot reach and that are compared with every query.",
    ),
    (
        "likewise_recall_at_10",
        "Recall at 10 of graph search against an exact scan, at the last probe, with stored vectors as queries.",
    ),
    ("likewise_queue_tokens", "Tokens waiting to be encoded."),
    ("likewise_searches", "Searches running or waiting."),
];

/// The result of a lookup in a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheLookup {
    /// The cache had the value.
    Hit,
    /// The cache did not have the value.
    Miss,
}

/// The metrics of one server.
pub struct Metrics {
    recorder: PrometheusRecorder,
    /// The value set by [`Metrics::set_recall`], kept here because a gauge cannot be read.
    recall: Mutex<Option<f64>>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let buckets = |builder: PrometheusBuilder, suffix: &str, ends: &[f64]| {
            builder
                .set_buckets_for_metric(Matcher::Suffix(suffix.into()), ends)
                .expect("the buckets are not empty")
        };
        let builder = buckets(PrometheusBuilder::new(), "_seconds", &DURATION_BUCKETS);
        let recorder = buckets(builder, "_tokens", &TOKEN_BUCKETS).build_recorder();
        for (name, description) in COUNTERS {
            recorder.describe_counter(KeyName::from(name), None, description.into());
        }
        for (name, description) in HISTOGRAMS {
            recorder.describe_histogram(KeyName::from(name), None, description.into());
        }
        for (name, description) in GAUGES {
            recorder.describe_gauge(KeyName::from(name), None, description.into());
        }
        Metrics { recorder, recall: Mutex::default() }
    }
}

impl Metrics {
    /// Increases a counter by `amount`.
    pub fn count(&self, name: &'static str, labels: Vec<Label>, amount: u64) {
        self.counter(name, labels).increment(amount);
    }

    fn counter(&self, name: &'static str, labels: Vec<Label>) -> Counter {
        self.recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
    }

    fn gauge(&self, name: &'static str, labels: Vec<Label>) -> Gauge {
        self.recorder.register_gauge(&Key::from_parts(name, labels), &METADATA)
    }

    fn histogram(&self, name: &'static str, labels: Vec<Label>) -> Histogram {
        self.recorder.register_histogram(&Key::from_parts(name, labels), &METADATA)
    }

    /// Records a response and the time that its stages took.
    pub fn record_response(
        &self,
        route: &str,
        method: &str,
        status: u16,
        took: Duration,
        stages: &[(Stage, Duration)],
    ) {
        let label = |name: &'static str, value: &str| Label::new(name, value.to_string());
        let route = || label("route", route);
        let status = label("status", &status.to_string());
        self.count("likewise_requests_total", vec![route(), label("method", method), status], 1);
        self.histogram("likewise_request_seconds", vec![route()]).record(took.as_secs_f64());
        for (stage, took) in stages {
            let labels = vec![Label::new("stage", stage.name())];
            self.histogram("likewise_stage_seconds", labels).record(took.as_secs_f64());
        }
    }

    /// Records a batch that was encoded.
    pub fn record_batch(&self, batch: &BatchStats) {
        self.count("likewise_tokens_total", Vec::new(), batch.tokens as u64);
        self.histogram("likewise_batch_tokens", Vec::new()).record(batch.tokens as f64);
        self.histogram("likewise_batch_seconds", Vec::new()).record(batch.took.as_secs_f64());
    }

    /// Counts a lookup in a cache. `cache` is the cache's name.
    pub fn record_lookup(&self, cache: &'static str, result: CacheLookup) {
        let name = match result {
            CacheLookup::Hit => "likewise_cache_hits_total",
            CacheLookup::Miss => "likewise_cache_misses_total",
        };
        self.count(name, vec![Label::new("cache", cache)], 1);
    }

    /// Sets recall@10 of graph search.
    pub fn set_recall(&self, recall: f64) {
        self.gauge("likewise_recall_at_10", Vec::new()).set(recall);
        *self.recall.lock().unwrap_or_else(PoisonError::into_inner) = Some(recall);
    }

    /// Returns recall@10 of graph search. `None`: not measured yet.
    pub fn recall(&self) -> Option<f64> {
        *self.recall.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the gauges: the statistics of the library, the number of tokens that wait for the encoder, and the number
    /// of searches that run or wait.
    fn set_gauges(&self, stats: &Stats, waiting_tokens: usize, searches: usize) {
        let index = &stats.index;
        let library = [
            ("likewise_papers", stats.papers),
            ("likewise_vectors", stats.vectors),
            ("likewise_papers_without_vector", stats.without_vector),
            ("likewise_index_segments", index.segments),
            ("likewise_index_vectors", index.indexed),
            ("likewise_index_waiting", index.waiting),
            ("likewise_index_repaired", index.repaired),
            ("likewise_index_unreachable", index.unreachable),
        ];
        for (name, value) in library {
            self.gauge(name, vec![Label::new("model", stats.model.clone())]).set(value as f64);
        }
        self.gauge("likewise_queue_tokens", Vec::new()).set(waiting_tokens as f64);
        self.gauge("likewise_searches", Vec::new()).set(searches as f64);
    }

    /// Moves the values recorded since the last call into the histograms' buckets. Must be called regularly: while
    /// `/metrics` is not read, recorded values use more and more memory.
    pub fn run_upkeep(&self) {
        self.recorder.handle().run_upkeep();
    }
}

/// Returns the server's metrics in Prometheus's text format.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses(
    (status = 200, description = "Counters, gauges and histograms", body = String, content_type = "text/plain"),
    (status = 503, description = "The model or the index is being loaded", body = super::error_format::ErrorBody),
))]
pub async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    let service = app.service()?;
    let library = Arc::clone(&service.library);
    let stats = blocking(move || Ok(library.stats())).await?;
    app.metrics().set_gauges(&stats, service.queue.waiting_tokens(), service.searches.in_flight());
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], app.metrics().recorder.handle().render()))
}
