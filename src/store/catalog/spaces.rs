//! Which embedding spaces belong to the papers: the one in use, and one that is to take its place.
//!
//! Its own file because the change from one to the other is a single transaction, here.

use super::{Catalog, transaction::begin};
use crate::error::Result;
use rusqlite::OptionalExtension;

const USED: &str = "space";
const NEXT: &str = "next_space";

const SET: &str = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";

impl Catalog {
    /// The fingerprint of the space in use, if one was set.
    pub fn space(&self) -> Result<Option<String>> {
        self.meta(USED)
    }

    /// Sets it, for papers that had none.
    pub fn set_space(&self, fingerprint: &str) -> Result<()> {
        self.set_meta(USED, fingerprint)
    }

    /// The fingerprint of the space that is being filled to take its place, if there is one.
    pub fn next_space(&self) -> Result<Option<String>> {
        self.meta(NEXT)
    }

    /// Sets it.
    pub fn set_next_space(&self, fingerprint: &str) -> Result<()> {
        self.set_meta(NEXT, fingerprint)
    }

    /// Forgets it.
    pub fn forget_next_space(&self) -> Result<()> {
        self.lock().execute("DELETE FROM meta WHERE key = ?1", [NEXT])?;
        Ok(())
    }

    /// From now on a space is the one in use, and none is to take its place: both or, on an error, neither.
    pub fn take_over(&self, fingerprint: &str) -> Result<()> {
        let mut connection = self.lock();
        let transaction = begin(&mut connection)?;
        transaction.execute(SET, [USED, fingerprint])?;
        transaction.execute("DELETE FROM meta WHERE key = ?1", [NEXT])?;
        Ok(transaction.commit()?)
    }

    /// What is known of the model whose space has a fingerprint, if its own folder does not say so any more.
    pub fn model_of(&self, fingerprint: &str) -> Result<Option<String>> {
        self.meta(&format!("model {fingerprint}"))
    }

    /// Notes it.
    pub fn set_model_of(&self, fingerprint: &str, model: &str) -> Result<()> {
        let key = format!("model {fingerprint}");
        if self.meta(&key)?.as_deref() == Some(model) { Ok(()) } else { self.set_meta(&key, model) }
    }

    fn meta(&self, key: &str) -> Result<Option<String>> {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        Ok(self.lock().prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()?)
    }

    fn set_meta(&self, key: &str, value: &str) -> Result<()> {
        self.lock().execute(SET, [key, value])?;
        Ok(())
    }
}
