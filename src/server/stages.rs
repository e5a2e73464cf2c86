//! Measures how long the stages of a request take.
//!
//! A stage is recorded where it ends, in a handler or a queue. The middleware reports all stages in the response's
//! `Server-Timing` header and in the metrics.

use std::cell::RefCell;
use std::fmt::Write;
use std::time::Duration;

tokio::task_local! {
    /// The stages that the current task's request has recorded.
    static STAGE_TIMES: RefCell<Vec<(Stage, Duration)>>;
}

/// A stage of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Tokenizing texts.
    Tokenize,
    /// Waiting for the encoder, until it begins the last batch that contains texts of the request. For a request whose
    /// texts are in several batches, this includes encoding the earlier batches.
    Queue,
    /// Encoding the last batch that contains texts of the request.
    Encode,
    /// Waiting for a search permit.
    Wait,
    /// Searching, or reading papers under a search permit.
    Search,
}

impl Stage {
    /// Name of the stage in headers and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Tokenize => "tokenize",
            Stage::Queue => "queue",
            Stage::Encode => "encode",
            Stage::Wait => "wait",
            Stage::Search => "search",
        }
    }
}

/// Records a stage of the request that the current task handles. Does nothing outside of a request.
pub fn record(stage: Stage, took: Duration) {
    let _ = STAGE_TIMES.try_with(|times| times.borrow_mut().push((stage, took)));
}

/// Runs a request. Returns the request's result and its stages, in the order in which they were first recorded. A stage
/// that was recorded several times has the sum of its durations.
pub async fn collect_stages<T>(request: impl Future<Output = T>) -> (T, Vec<(Stage, Duration)>) {
    let run = async {
        let result = request.await;
        (result, STAGE_TIMES.with(RefCell::take))
    };
    let (result, times) = STAGE_TIMES.scope(RefCell::default(), run).await;
    // A batch of queries records its search stages once per query. Their durations are summed up to keep the header
    // short.
    let mut stages: Vec<(Stage, Duration)> = Vec::new();
    for (stage, took) in times {
        match stages.iter_mut().find(|(other, _)| *other == stage) {
            Some((_, sum)) => *sum += took,
            None => stages.push((stage, took)),
        }
    }
    (result, stages)
}

/// Returns the value of a `Server-Timing` header (W3C), with durations in milliseconds.
pub fn server_timing(stages: &[(Stage, Duration)], total: Duration) -> String {
    let mut text = String::new();
    let all = stages.iter().map(|(stage, took)| (stage.name(), *took)).chain([("total", total)]);
    for (name, took) in all {
        let separator = if text.is_empty() { "" } else { ", " };
        // Writing into a String cannot fail.
        let _ = write!(text, "{separator}{name};dur={:.3}", took.as_secs_f64() * 1e3);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn concurrent_requests_record_their_own_stages() {
        let request = |stage| async move {
            record(stage, Duration::from_micros(500));
            tokio::task::yield_now().await;
            record(stage, Duration::from_millis(1));
        };
        let (((), one), ((), other)) =
            tokio::join!(collect_stages(request(Stage::Queue)), collect_stages(request(Stage::Search)));
        assert_eq!((one[0].0, other[0].0), (Stage::Queue, Stage::Search));
        assert_eq!(server_timing(&one, Duration::from_millis(2)), "queue;dur=1.500, total;dur=2.000");
        record(Stage::Encode, Duration::ZERO);
    }
}
