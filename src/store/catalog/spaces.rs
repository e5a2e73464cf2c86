//! The embedding spaces of the papers: the one in use, and the next one, whose vector store is being filled to replace
//! it.
//!
//! An embedding space is identified by its model's fingerprint. The catalog records them so that the switch from one to
//! the other is a single transaction.

use super::{Catalog, transaction::begin};
use crate::error::Result;
use rusqlite::OptionalExtension;

const USED_KEY: &str = "space";
const NEXT_KEY: &str = "next_space";

const SET_VALUE: &str =
    "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";

impl Catalog {
    /// The fingerprint of the space in use. `None` if none has been set.
    pub fn space(&self) -> Result<Option<String>> {
        self.meta(USED_KEY)
    }

    /// Sets the space in use, for a catalog that has none.
    pub fn set_space(&self, fingerprint: &str) -> Result<()> {
        self.set_meta(USED_KEY, fingerprint)
    }

    /// The fingerprint of the next space. `None` if there is none.
    pub fn next_space(&self) -> Result<Option<String>> {
        self.meta(NEXT_KEY)
    }

    /// Sets the next space.
    pub fn set_next_space(&self, fingerprint: &str) -> Result<()> {
        self.set_meta(NEXT_KEY, fingerprint)
    }

    /// Removes the next space.
    pub fn remove_next_space(&self) -> Result<()> {
        self.lock().execute("DELETE FROM meta WHERE key = ?1", [NEXT_KEY])?;
        Ok(())
    }

    /// Makes a space the one in use, and removes the next space, in one transaction.
    pub fn switch_space(&self, fingerprint: &str) -> Result<()> {
        let mut connection = self.lock();
        let transaction = begin(&mut connection)?;
        transaction.execute(SET_VALUE, [USED_KEY, fingerprint])?;
        transaction.execute("DELETE FROM meta WHERE key = ?1", [NEXT_KEY])?;
        Ok(transaction.commit()?)
    }

    /// The recorded description of the model with this fingerprint; for stores whose own description is missing.
    pub fn model_of(&self, fingerprint: &str) -> Result<Option<String>> {
        self.meta(&format!("model {fingerprint}"))
    }

    /// Records the description of the model with this fingerprint.
    pub fn set_model_of(&self, fingerprint: &str, description: &str) -> Result<()> {
        let key = format!("model {fingerprint}");
        if self.meta(&key)?.as_deref() == Some(description) {
            Ok(())
        } else {
            self.set_meta(&key, description)
        }
    }

    fn meta(&self, key: &str) -> Result<Option<String>> {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        Ok(self.lock().prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()?)
    }

    fn set_meta(&self, key: &str, value: &str) -> Result<()> {
        self.lock().execute(SET_VALUE, [key, value])?;
        Ok(())
    }
}
