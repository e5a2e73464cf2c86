//! How long the parts of a request took.
//!
//! Its own file because handlers, the queue and the layer around all routes meet here: a stage is recorded where it
//! ends, and told in the answer's `Server-Timing` header and in the metrics.

use std::cell::RefCell;
use std::fmt::Write;
use std::time::Duration;

tokio::task_local! {
    static TIMES: RefCell<Vec<(Stage, Duration)>>;
}

/// A part of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Text to tokens.
    Tokenize,
    /// Waiting for the encoder.
    Queue,
    /// Tokens to vectors, together with the others of a batch.
    Encode,
    /// Waiting for a thread that searches.
    Wait,
    /// Vectors to papers.
    Search,
}

impl Stage {
    /// As it is called in headers and metrics.
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

/// Notes a stage of the request that this task answers; elsewhere, nothing.
pub fn record(stage: Stage, took: Duration) {
    let _ = TIMES.try_with(|times| times.borrow_mut().push((stage, took)));
}

/// Runs a request; gives also its stages, in the order in which they first ended.
pub async fn gather<T>(request: impl Future<Output = T>) -> (T, Vec<(Stage, Duration)>) {
    let run = async {
        let answer = request.await;
        (answer, TIMES.with(RefCell::take))
    };
    let (answer, times) = TIMES.scope(RefCell::default(), run).await;
    // Of many questions in one request, together: a header has only so much room.
    let mut stages: Vec<(Stage, Duration)> = Vec::new();
    for (stage, took) in times {
        match stages.iter_mut().find(|(other, _)| *other == stage) {
            Some((_, sum)) => *sum += took,
            None => stages.push((stage, took)),
        }
    }
    (answer, stages)
}

/// The value of a `Server-Timing` header (W3C), in milliseconds.
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
    async fn stages_are_those_of_the_request_they_belong_to() {
        let request = |stage| async move {
            record(stage, Duration::from_micros(500));
            tokio::task::yield_now().await;
            record(stage, Duration::from_millis(1));
        };
        let (((), one), ((), other)) =
            tokio::join!(gather(request(Stage::Queue)), gather(request(Stage::Search)));
        assert_eq!((one[0].0, other[0].0), (Stage::Queue, Stage::Search));
        assert_eq!(server_timing(&one, Duration::from_millis(2)), "queue;dur=1.500, total;dur=2.000");
        record(Stage::Encode, Duration::ZERO);
    }
}
