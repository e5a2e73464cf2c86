//! Caches, for each filter, the set of papers that pass the filter.
//!
//! Computing such a set takes longer than the search that uses it, because SQLite has to list every paper in the set.

use crate::error::Result;
use crate::store::catalog::{Catalog, Filter, PaperSet};
use crate::store::slot_map::SlotMap;
use roaring::RoaringBitmap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Maximum number of filters that are cached.
const MAX_CACHED: usize = 64;

/// The papers that pass a filter, and their slots.
pub struct Allowed {
    /// The numbers of the papers that pass.
    pub numbers: Arc<PaperSet>,
    /// The slots of the vectors of these papers.
    pub slots: Arc<RoaringBitmap>,
}

/// The cached sets of one filter.
struct CachedFilter {
    filter: Filter,
    /// Number of the slot map's last change when the sets were requested; the sets are used for this change only.
    last: i64,
    numbers: Arc<PaperSet>,
    /// The slots of the papers, and the number of slots that the index had when the slots were computed.
    slots: Option<(usize, Arc<RoaringBitmap>)>,
}

/// The cache of filters. If it is full, the least recently used filter is dropped. When a set is added, all sets of
/// other changes of the slot map are dropped.
pub struct Filters {
    /// A separate connection to the catalog, so that queries without a filter do not wait while a set is computed.
    catalog: Catalog,
    /// The cached filters, least recently used first.
    cached: Mutex<Vec<CachedFilter>>,
}

impl Filters {
    /// An empty cache over a catalog.
    pub fn new(catalog: Catalog) -> Filters {
        Filters { catalog, cached: Mutex::default() }
    }

    /// The catalog connection with which the papers that pass a filter are computed and listed.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Returns the papers that pass a filter, as of change `last` of the slot map or later. Computing the set can take
    /// long.
    pub fn numbers(&self, filter: &Filter, last: i64) -> Result<Arc<PaperSet>> {
        if let Some(cached) = find(&mut self.lock(), filter, last) {
            return Ok(Arc::clone(&cached.numbers));
        }
        let numbers = Arc::new(self.catalog.matching(filter)?);
        let mut cached = self.lock();
        cached.retain(|other| other.last == last);
        if cached.len() >= MAX_CACHED {
            cached.remove(0);
        }
        cached.push(CachedFilter {
            filter: filter.clone(),
            last,
            numbers: Arc::clone(&numbers),
            slots: None,
        });
        Ok(numbers)
    }

    /// Returns the papers that pass a filter and their slots, for an index of `slot_count` slots.
    pub fn allowed(&self, filter: &Filter, slot_map: &SlotMap, slot_count: usize) -> Result<Allowed> {
        let numbers = self.numbers(filter, slot_map.last_change())?;
        let cached =
            find(&mut self.lock(), filter, slot_map.last_change()).and_then(|cached| cached.slots.clone());
        if let Some((_, slots)) = cached.filter(|(count, _)| *count == slot_count) {
            return Ok(Allowed { numbers, slots });
        }
        let slots = Arc::new(slot_map.slots(Some(&numbers)).unwrap_or_default());
        if let Some(cached) = find(&mut self.lock(), filter, slot_map.last_change()) {
            cached.slots = Some((slot_count, Arc::clone(&slots)));
        }
        Ok(Allowed { numbers, slots })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<CachedFilter>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the cached sets of a filter and marks them as the most recently used; `None` if the filter is not cached.
fn find<'a>(cached: &'a mut Vec<CachedFilter>, filter: &Filter, last: i64) -> Option<&'a mut CachedFilter> {
    let index = cached.iter().position(|other| other.filter == *filter && other.last == last)?;
    let found = cached.remove(index);
    cached.push(found);
    cached.last_mut()
}
