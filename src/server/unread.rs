//! Answers that are written and not yet read by who asked: how much memory they take together.
//!
//! Its own file because it is the one limit on what goes out: a client that asks much and reads nothing makes a server
//! hold its answers, and many of them make it hold more than there is.

use super::problem::Problem;
use axum::body::{Body, Bytes};
use axum::response::Response;
use http_body::Body as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Smaller answers are not counted: the system's own buffers take them.
const SMALL: u64 = 16 << 10;

/// Bytes of answers that are not read.
#[derive(Default)]
pub struct Unread(Arc<AtomicUsize>);

/// An answer that is counted until it is dropped, which is when its last byte was sent.
struct Counted {
    bytes: Bytes,
    all: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

impl Unread {
    /// Counts an answer.
    ///
    /// # Errors
    /// [`Problem::busy`], if with it more than `most` bytes were not read. One alone is always let out.
    pub async fn hold(&self, response: Response, most: usize) -> Result<Response, Problem> {
        let Some(size) = response.body().size_hint().exact().filter(|size| *size > SMALL) else {
            return Ok(response);
        };
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.map_err(Problem::internal)?;
        let before = self.0.fetch_add(bytes.len(), Ordering::Relaxed);
        let counted = Counted { bytes, all: Arc::clone(&self.0) };
        if before > 0 && before.saturating_add(size as usize) > most {
            return Err(Problem::busy(format!(
                "{before} bytes of answers are not read by who asked, and {most} may (--max-unread-bytes)"
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
    async fn what_is_not_read_is_bounded_and_what_was_read_is_not_counted() {
        let unread = Unread::default();
        let answer = |size: usize| vec![b'x'; size].into_response();
        let first = unread.hold(answer(100_000), 50_000).await.unwrap();
        assert_eq!(unread.hold(answer(20_000), 50_000).await.unwrap_err().status.as_u16(), 429);
        assert!(unread.hold(answer(1000), 50_000).await.is_ok(), "small");
        let read = axum::body::to_bytes(first.into_body(), usize::MAX).await.unwrap();
        assert_eq!(read.len(), 100_000);
        drop(read);
        assert!(unread.hold(answer(20_000), 50_000).await.is_ok());
        assert_eq!(unread.0.load(Ordering::Relaxed), 0);
    }
}
