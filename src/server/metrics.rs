//! `GET /metrics`: what is served and how, as Prometheus reads it.
//!
//! Its own file because it says what `/v1/stats` says in another language, and to another reader: a person looks at
//! one, an alarm at the other. Each [`App`] has a registry of its own, so nothing is global.

use super::problem::Problem;
use super::queue::BatchSeen;
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

/// The version of the format that is written.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

const METADATA: Metadata<'static> = Metadata::new("likewise", Level::INFO, None);

/// Upper ends of the buckets of durations, in seconds.
const SECONDS: [f64; 14] =
    [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0];

/// The same of tokens.
const TOKENS: [f64; 9] = [16.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 16384.0];

const COUNTERS: [(&str, &str); 4] = [
    ("likewise_requests_total", "Answers, by route, method and status."),
    ("likewise_tokens_total", "Tokens that were encoded."),
    ("likewise_cache_hits_total", "What was asked for and known from before."),
    ("likewise_cache_misses_total", "What was asked for and had to be made."),
];

const HISTOGRAMS: [(&str, &str); 4] = [
    ("likewise_request_seconds", "From a request's head to its answer's, by route."),
    ("likewise_stage_seconds", "Parts of requests."),
    ("likewise_batch_tokens", "Tokens encoded at once."),
    ("likewise_batch_seconds", "What encoding them took."),
];

const GAUGES: [(&str, &str); 11] = [
    ("likewise_papers", "Papers in the catalog."),
    ("likewise_vectors", "Vectors in the space, one a distinct text."),
    ("likewise_papers_without_vector", "Papers that have no vector yet."),
    ("likewise_index_segments", "Segments of the index."),
    ("likewise_index_vectors", "Vectors in segments."),
    ("likewise_index_waiting", "Vectors in no segment yet."),
    ("likewise_index_repaired", "Vectors that a walk lost, and finds since they were linked again."),
    ("likewise_index_stragglers", "Vectors that walks do not find, compared with every query."),
    ("likewise_recall_at_10", "Of walks against the exact scan, for stored vectors, when last looked at."),
    ("likewise_queue_tokens", "Tokens that wait to be encoded."),
    ("likewise_searches", "Searches that run or wait."),
];

/// What one server counts.
pub struct Metrics {
    recorder: PrometheusRecorder,
    /// See [`Metrics::set_recall`]; a gauge cannot be read.
    recall: Mutex<Option<f64>>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let buckets = |builder: PrometheusBuilder, suffix: &str, ends: &[f64]| {
            builder.set_buckets_for_metric(Matcher::Suffix(suffix.into()), ends).expect("there are buckets")
        };
        let builder = buckets(PrometheusBuilder::new(), "_seconds", &SECONDS);
        let recorder = buckets(builder, "_tokens", &TOKENS).build_recorder();
        for (name, what) in COUNTERS {
            recorder.describe_counter(KeyName::from(name), None, what.into());
        }
        for (name, what) in HISTOGRAMS {
            recorder.describe_histogram(KeyName::from(name), None, what.into());
        }
        for (name, what) in GAUGES {
            recorder.describe_gauge(KeyName::from(name), None, what.into());
        }
        Metrics { recorder, recall: Mutex::default() }
    }
}

impl Metrics {
    /// One more of something.
    pub fn count(&self, name: &'static str, labels: Vec<Label>, more: u64) {
        self.counter(name, labels).increment(more);
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

    /// An answer.
    pub fn answered(
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

    /// A batch.
    pub fn encoded(&self, batch: &BatchSeen) {
        self.count("likewise_tokens_total", Vec::new(), batch.tokens as u64);
        self.histogram("likewise_batch_tokens", Vec::new()).record(batch.tokens as f64);
        self.histogram("likewise_batch_seconds", Vec::new()).record(batch.took.as_secs_f64());
    }

    /// Something that may have been known from before.
    pub fn looked_up(&self, cache: &'static str, known: bool) {
        let name = if known { "likewise_cache_hits_total" } else { "likewise_cache_misses_total" };
        self.count(name, vec![Label::new("cache", cache)], 1);
    }

    /// recall@10 of walks.
    pub fn set_recall(&self, recall: f64) {
        self.gauge("likewise_recall_at_10", Vec::new()).set(recall);
        *self.recall.lock().unwrap_or_else(PoisonError::into_inner) = Some(recall);
    }

    /// The same, if somebody has looked.
    pub fn recall(&self) -> Option<f64> {
        *self.recall.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is held, as of now, and what waits.
    fn set_gauges(&self, stats: &Stats, waiting: usize, searches: usize) {
        let index = &stats.index;
        let held = [
            ("likewise_papers", stats.papers),
            ("likewise_vectors", stats.vectors),
            ("likewise_papers_without_vector", stats.without_vector),
            ("likewise_index_segments", index.segments),
            ("likewise_index_vectors", index.indexed),
            ("likewise_index_waiting", index.waiting),
            ("likewise_index_repaired", index.repaired),
            ("likewise_index_stragglers", index.stragglers),
        ];
        for (name, value) in held {
            self.gauge(name, vec![Label::new("model", stats.model.clone())]).set(value as f64);
        }
        self.gauge("likewise_queue_tokens", Vec::new()).set(waiting as f64);
        self.gauge("likewise_searches", Vec::new()).set(searches as f64);
    }

    /// Durations since the last call are put into their buckets: somebody has to, even if nobody reads them.
    pub fn tidy(&self) {
        self.recorder.handle().run_upkeep();
    }
}

/// What is served and how, as Prometheus reads it.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses(
    (status = 200, description = "Counters, gauges and histograms", body = String, content_type = "text/plain"),
    (status = 503, description = "The model or the index is being loaded", body = super::dialect::ErrorBody),
))]
pub async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    let service = app.service()?;
    let library = Arc::clone(&service.library);
    let stats = blocking(move || Ok(library.stats())).await?;
    app.metrics().set_gauges(&stats, service.queue.waiting(), service.searches.busy());
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], app.metrics().recorder.handle().render()))
}
