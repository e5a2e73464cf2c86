//! Filters as sets, and the ones that were asked for lately.
//!
//! Its own file because making a set of a filter takes longer than the search that it is for: SQLite has to
//! name every paper that passes.

use crate::catalog::{Catalog, Filter, Numbers};
use crate::directory::Directory;
use crate::error::Result;
use roaring::RoaringBitmap;
use std::sync::{Arc, Mutex, PoisonError};

/// Filters that are kept.
const KEPT: usize = 64;

/// What passes a filter.
pub struct Allowed {
    /// The papers.
    pub numbers: Numbers,
    /// The slots that stand for them.
    pub slots: RoaringBitmap,
}

/// As of when: the last transaction of the catalog, and how many slots there are.
type Time = (i64, usize);

/// The filters that were asked for lately.
pub struct Filters {
    /// A connection of their own: other queries need not wait until a set is made.
    catalog: Catalog,
    /// The latest last.
    kept: Mutex<Vec<(Filter, Time, Arc<Allowed>)>>,
}

impl Filters {
    /// Of a catalog.
    pub fn new(catalog: Catalog) -> Filters {
        Filters { catalog, kept: Mutex::default() }
    }

    /// What passes a filter, as of a directory's last change and so many slots.
    pub fn allowed(&self, filter: &Filter, directory: &Directory, slots: usize) -> Result<Arc<Allowed>> {
        let time = (directory.last(), slots);
        if let Some(allowed) = self.find(filter, time) {
            return Ok(allowed);
        }
        let numbers = self.catalog.matching(filter)?;
        let slots = directory.slots(Some(&numbers)).unwrap_or_default();
        let allowed = Arc::new(Allowed { numbers, slots });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(_, other, _)| *other == time);
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((filter.clone(), time, Arc::clone(&allowed)));
        Ok(allowed)
    }

    fn find(&self, filter: &Filter, time: Time) -> Option<Arc<Allowed>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(other, as_of, _)| other == filter && *as_of == time)?;
        let entry = kept.remove(place);
        let allowed = Arc::clone(&entry.2);
        kept.push(entry);
        Some(allowed)
    }
}
