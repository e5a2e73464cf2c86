//! Filters as sets, and the ones that were asked for lately.
//!
//! Its own file because making a set of a filter takes longer than the search that it is for: SQLite has to
//! name every paper that passes.

use crate::error::Result;
use crate::store::catalog::{Catalog, Filter, Numbers};
use crate::store::directory::Directory;
use roaring::RoaringBitmap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Filters that are kept.
const KEPT: usize = 64;

/// What passes a filter.
pub struct Allowed {
    /// The papers.
    pub numbers: Arc<Numbers>,
    /// The slots that stand for them.
    pub slots: Arc<RoaringBitmap>,
}

/// The sets of one filter, as of a directory's last change.
struct Kept {
    filter: Filter,
    last: i64,
    numbers: Arc<Numbers>,
    /// Among so many slots.
    slots: Option<(usize, Arc<RoaringBitmap>)>,
}

/// The filters that were asked for lately.
pub struct Filters {
    /// A connection of their own: other queries need not wait until a set is made.
    catalog: Catalog,
    /// The latest last.
    kept: Mutex<Vec<Kept>>,
}

impl Filters {
    /// Of a catalog.
    pub fn new(catalog: Catalog) -> Filters {
        Filters { catalog, kept: Mutex::default() }
    }

    /// The catalog, by a connection that nobody waits for who does not filter.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The papers that pass a filter, as of a directory's last change or later. Making the set may take a while.
    pub fn numbers(&self, filter: &Filter, last: i64) -> Result<Arc<Numbers>> {
        if let Some(kept) = find(&mut self.lock(), filter, last) {
            return Ok(Arc::clone(&kept.numbers));
        }
        let numbers = Arc::new(self.catalog.matching(filter)?);
        let mut kept = self.lock();
        kept.retain(|other| other.last == last);
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(Kept { filter: filter.clone(), last, numbers: Arc::clone(&numbers), slots: None });
        Ok(numbers)
    }

    /// What passes a filter, by a directory over so many slots.
    pub fn allowed(&self, filter: &Filter, directory: &Directory, count: usize) -> Result<Allowed> {
        let numbers = self.numbers(filter, directory.last())?;
        let known = find(&mut self.lock(), filter, directory.last()).and_then(|kept| kept.slots.clone());
        if let Some((_, slots)) = known.filter(|(among, _)| *among == count) {
            return Ok(Allowed { numbers, slots });
        }
        let slots = Arc::new(directory.slots(Some(&numbers)).unwrap_or_default());
        if let Some(kept) = find(&mut self.lock(), filter, directory.last()) {
            kept.slots = Some((count, Arc::clone(&slots)));
        }
        Ok(Allowed { numbers, slots })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sets of a filter, which are the latest from now on.
fn find<'a>(kept: &'a mut Vec<Kept>, filter: &Filter, last: i64) -> Option<&'a mut Kept> {
    let place = kept.iter().position(|other| other.filter == *filter && other.last == last)?;
    let found = kept.remove(place);
    kept.push(found);
    kept.last_mut()
}
