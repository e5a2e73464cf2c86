//! How a query is answered: by walking the graph, or by scanning.
//!
//! Its own file because this choice decides both a filtered query's speed and whether it is complete.

/// Sets of at most so many vectors are scanned: it takes less than a walk.
const SMALL_SET: u64 = 2000;

/// A filter that leaves less than this share is answered by a scan over what it leaves: a walk would
/// mostly meet vectors that do not pass.
const SELECTIVE_SHARE: f64 = 0.1;

/// A way to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Compare the query with every vector that may be an answer.
    Scan,
    /// Walk the graph.
    Walk,
}

impl Plan {
    /// Chooses for a query that may be answered by `allowed` of `all` vectors (`None`: by all).
    pub fn choose(exact: bool, allowed: Option<u64>, all: usize) -> Plan {
        let left = allowed.unwrap_or(all as u64);
        let selective = allowed.is_some_and(|allowed| (allowed as f64) < SELECTIVE_SHARE * all as f64);
        if exact || left <= SMALL_SET || selective { Plan::Scan } else { Plan::Walk }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_or_selective_sets_are_scanned() {
        assert_eq!(Plan::choose(false, None, 1_000_000), Plan::Walk);
        assert_eq!(Plan::choose(true, None, 1_000_000), Plan::Scan);
        assert_eq!(Plan::choose(false, None, 317), Plan::Scan);
        assert_eq!(Plan::choose(false, Some(1500), 10_000), Plan::Scan);
        assert_eq!(Plan::choose(false, Some(50_000), 1_000_000), Plan::Scan);
        assert_eq!(Plan::choose(false, Some(500_000), 1_000_000), Plan::Walk);
    }
}
