//! The two embedding spaces that a catalog records: the embedding space in use, and the next embedding space. The next
//! embedding space is put into use when its vector store is complete and has passed its check.
//!
//! An embedding space is identified by the fingerprint of its model. The catalog records both fingerprints, so that the
//! switch to the next embedding space is a single transaction.

use super::{Catalog, transaction::begin};
use crate::error::Result;
use rusqlite::OptionalExtension;

const USED_KEY: &str = "space";
const NEXT_KEY: &str = "next_space";

const SET_VALUE: &str =
    "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";

impl Catalog {
    /// The fingerprint of the embedding space in use. `None` if no embedding space has been set.
    pub fn space(&self) -> Result<Option<String>> {
        self.meta(USED_KEY)
    }

    /// Sets the fingerprint of the embedding space in use.
    pub fn set_space(&self, fingerprint: &str) -> Result<()> {
        self.set_meta(USED_KEY, fingerprint)
    }

    /// The fingerprint of the next embedding space. `None` if there is no next embedding space.
    pub fn next_space(&self) -> Result<Option<String>> {
        self.meta(NEXT_KEY)
    }

    /// Sets the fingerprint of the next embedding space.
    pub fn set_next_space(&self, fingerprint: &str) -> Result<()> {
        self.set_meta(NEXT_KEY, fingerprint)
    }

    /// Removes the fingerprint of the next embedding space.
    pub fn remove_next_space(&self) -> Result<()> {
        self.lock().execute("DELETE FROM meta WHERE key = ?1", [NEXT_KEY])?;
        Ok(())
    }

    /// Puts the embedding space with this fingerprint into use, and removes the fingerprint of the next embedding
    /// space, in one transaction.
    pub fn switch_space(&self, fingerprint: &str) -> Result<()> {
        let mut connection = self.lock();
        let transaction = begin(&mut connection)?;
        transaction.execute(SET_VALUE, [USED_KEY, fingerprint])?;
        transaction.execute("DELETE FROM meta WHERE key = ?1", [NEXT_KEY])?;
        Ok(transaction.commit()?)
    }

    /// The recorded description of the model with this fingerprint. `None` if none was recorded. Used if the
    /// description in the vector store is missing or damaged.
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
