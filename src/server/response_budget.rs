//! Limits the memory that responses take until their clients have read them.
//!
//! Without a limit, clients that send many requests and do not read the responses could exhaust the server's memory.

use super::problem::Problem;
use axum::body::{Body, Bytes};
use axum::response::Response;
use http_body::Body as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Responses of up to this many bytes do not count towards the budget, because the operating system's socket buffers
/// hold them.
const MAX_UNCOUNTED_BYTES: u64 = 16 << 10;

/// Total size in bytes of the counted responses that have not been sent to their end.
#[derive(Default)]
pub struct ResponseBudget(Arc<AtomicUsize>);

/// A response body that is counted until it is dropped. It is dropped when its last byte has been sent.
struct CountedBody {
    bytes: Bytes,
    total: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for CountedBody {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

impl ResponseBudget {
    /// Counts a response until it has been sent. A response of at most [`MAX_UNCOUNTED_BYTES`] bytes, or of unknown
    /// size, is not counted.
    ///
    /// # Errors
    /// Returns [`Problem::busy`] if other responses are still unsent and the total size with this response would exceed
    /// `max` bytes.
    pub async fn count(&self, response: Response, max: usize) -> Result<Response, Problem> {
        let Some(size) = response.body().size_hint().exact().filter(|size| *size > MAX_UNCOUNTED_BYTES)
        else {
            return Ok(response);
        };
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.map_err(Problem::internal)?;
        let before = self.0.fetch_add(bytes.len(), Ordering::Relaxed);
        let counted = CountedBody { bytes, total: Arc::clone(&self.0) };
        if before > 0 && before.saturating_add(size as usize) > max {
            return Err(Problem::busy(format!(
                "clients have not read {before} bytes of responses, and at most {max} bytes can be unread \
                 (--max-unread-bytes)"
            )));
        }
        Ok(Response::from_parts(parts, Body::from(Bytes::from_owner(counted))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    #[tokio::test]
    async fn unread_responses_are_limited_and_read_ones_are_not_counted() {
        let budget = ResponseBudget::default();
        let response = |size: usize| vec![b'x'; size].into_response();
        let first = budget.count(response(100_000), 50_000).await.unwrap();
        assert_eq!(budget.count(response(20_000), 50_000).await.unwrap_err().status.as_u16(), 429);
        assert!(budget.count(response(1000), 50_000).await.is_ok(), "small");
        let read = axum::body::to_bytes(first.into_body(), usize::MAX).await.unwrap();
        assert_eq!(read.len(), 100_000);
        drop(read);
        assert!(budget.count(response(20_000), 50_000).await.is_ok());
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }
}
