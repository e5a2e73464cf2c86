//! How a query is answered: by walking the graph, or by scanning.
//!
//! Its own file because this choice decides both a filtered query's speed and whether it is complete.

use likewise_index::ef_search;

/// Codes that a scan compares in the time that a walk takes for one of its candidates.
const SCANNED_A_CANDIDATE: u64 = 30;

/// A way to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Compare the query with every vector that may be an answer.
    Scan,
    /// Walk the graph.
    Walk,
}

impl Plan {
    /// Chooses for the `k` nearest of `allowed` of `all` vectors (`None`: of all). The fewer are allowed, the less
    /// there is to scan, and the more a walk meets that is not allowed.
    pub fn choose(exact: bool, k: usize, allowed: Option<u64>, all: usize) -> Plan {
        let allowed = allowed.unwrap_or(all as u64);
        let candidates = ef_search(k, allowed as f64 / all.max(1) as f64) as u64;
        if exact || allowed <= SCANNED_A_CANDIDATE.saturating_mul(candidates) {
            Plan::Scan
        } else {
            Plan::Walk
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_or_selective_sets_are_scanned() {
        let choose = |exact, allowed, all| Plan::choose(exact, 10, allowed, all);
        assert_eq!(choose(false, None, 1_000_000), Plan::Walk);
        assert_eq!(choose(true, None, 1_000_000), Plan::Scan);
        assert_eq!(choose(false, None, 317), Plan::Scan);
        assert_eq!(choose(false, None, 0), Plan::Scan);
        assert_eq!(choose(false, Some(1500), 10_000), Plan::Scan);
        assert_eq!(choose(false, Some(20_000), 1_000_000), Plan::Scan);
        assert_eq!(choose(false, Some(30_000), 1_000_000), Plan::Walk);
        assert_eq!(choose(false, Some(500_000), 1_000_000), Plan::Walk);
        assert_eq!(choose(false, Some(0), 1_000_000), Plan::Scan);
        assert_eq!(Plan::choose(false, 1000, Some(30_000), 1_000_000), Plan::Scan);
    }
}
