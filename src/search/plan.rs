//! Chooses how the nearest vectors are found: by a graph search or by a scan.
//!
//! The choice decides how fast a query is and whether the answer is complete: a graph search can miss vectors, a scan
//! cannot.

use likewise_index::ef_search;

/// Number of quantized vectors that a scan compares in the time that a graph search needs for one candidate.
const SCANNED_PER_CANDIDATE: u64 = 30;

/// A way to find the nearest vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Compare the query with every allowed vector.
    Scan,
    /// Search the graph.
    GraphSearch,
}

impl Plan {
    /// Chooses the faster plan for finding the `k` nearest vectors. A filter allows `allowed` of the `total` vectors;
    /// `None`: all vectors are allowed. A stricter filter makes a scan shorter and a graph search longer, because the
    /// graph search meets more vectors that are not allowed.
    pub fn choose(k: usize, allowed: Option<u64>, total: usize) -> Plan {
        let allowed = allowed.unwrap_or(total as u64);
        let candidates = ef_search(k, allowed as f64 / total.max(1) as f64) as u64;
        if allowed <= SCANNED_PER_CANDIDATE.saturating_mul(candidates) {
            Plan::Scan
        } else {
            Plan::GraphSearch
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_or_selective_sets_are_scanned() {
        let choose = |allowed, total| Plan::choose(10, allowed, total);
        assert_eq!(choose(None, 1_000_000), Plan::GraphSearch);
        assert_eq!(choose(None, 317), Plan::Scan);
        assert_eq!(choose(None, 0), Plan::Scan);
        assert_eq!(choose(Some(1500), 10_000), Plan::Scan);
        assert_eq!(choose(Some(20_000), 1_000_000), Plan::Scan);
        assert_eq!(choose(Some(30_000), 1_000_000), Plan::GraphSearch);
        assert_eq!(choose(Some(500_000), 1_000_000), Plan::GraphSearch);
        assert_eq!(choose(Some(0), 1_000_000), Plan::Scan);
        assert_eq!(Plan::choose(1000, Some(30_000), 1_000_000), Plan::Scan);
    }
}
