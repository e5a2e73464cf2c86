//! The two types of text: documents, which a search finds, and queries.
//!
//! Some models use different prompts or adapters for documents and for queries, so callers have to say which type a
//! text has.

use serde::{Deserialize, Serialize};

/// Whether a text is a document or a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum InputType {
    /// A text that a search finds, such as a paper's title and abstract.
    #[default]
    Document,
    /// The text of a query.
    Query,
}

/// One value for each [`InputType`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerInputType<T> {
    /// The value for documents; its key in model.toml is `paper`.
    #[serde(rename = "paper")]
    pub document: T,
    /// The value for queries.
    pub query: T,
}

impl<T> PerInputType<T> {
    /// The value for an input type.
    pub fn get(&self, input_type: InputType) -> &T {
        match input_type {
            InputType::Document => &self.document,
            InputType::Query => &self.query,
        }
    }

    /// Applies a function to both values.
    pub fn map<U>(&self, mut function: impl FnMut(&T) -> U) -> PerInputType<U> {
        PerInputType { document: function(&self.document), query: function(&self.query) }
    }
}

impl<T: Clone> PerInputType<T> {
    /// The same value for documents and queries.
    pub fn same(value: T) -> PerInputType<T> {
        PerInputType { document: value.clone(), query: value }
    }
}
