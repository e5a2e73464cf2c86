//! ELECTRA (Clark et al.): BERT whose word embeddings can be narrower than its token vectors. A linear layer widens them.

/// The name of the layer that widens the embeddings.
pub const PROJECTION: &str = "embeddings_project";
