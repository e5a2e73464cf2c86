//! Sentence embeddings on the CPU or on NVIDIA GPUs. Loads a sentence-transformers model folder and returns one unit
//! vector per text. The vectors match those of the sentence-transformers library, scaled to length 1, up to rounding
//! errors. In lower precisions (bf16, int8), the rounding errors are larger.
//!
//! ```
//! use likewise_encoder::Encoder;
//!
//! # fn main() -> Result<(), likewise_encoder::Error> {
//! // The path of a model folder. The name of a model ("all-MiniLM-L6-v2") or of a repository on the Hugging Face hub
//! // ("BAAI/bge-small-en-v1.5") works as well: the model is then downloaded once.
//! let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/small-bert");
//! let encoder = Encoder::from_pretrained(model)?;
//!
//! let documents = encoder.encode_documents(&["Folding of proteins in water", "Graphs without short cycles"])?;
//! let queries = encoder.encode_queries(&["How do proteins fold?"])?;
//! assert_eq!(documents[0].vector.len(), encoder.dimension());
//! assert!(!documents[0].truncated);
//!
//! // The vectors have length 1, so their dot product is the cosine similarity.
//! let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
//! let similarity = cosine(&queries[0].vector, &documents[0].vector);
//! assert!((-1.01..=1.01).contains(&similarity));
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! Data flows from text to tokens to vectors. A module imports only modules listed above it:
//!
//! - `error`: the error types
//! - [`model`]: reads and checks model folders, and downloads models
//! - `kernels`: fast CPU kernels, for each supported instruction set
//! - `batch`: the tokens of several texts, concatenated without padding
//! - `layers`: the building blocks of networks, for CPU and GPU
//! - `tokenize`: converts texts to token ids, and packs the token ids into batches
//! - `lora`: merges LoRA adapters into weights
//! - `weights`: reads tensors from weight files
//! - `adapter`: computes SPECTER2's adapters
//! - `device`: selects the devices that encode
//! - `pooling`: combines the token vectors of a text into one vector
//! - `head`: the steps after pooling: dense layers, truncation, and scaling to length 1
//! - `network`: the interface that all architectures implement
//! - `architectures`: one file per architecture, and the list of all of them
//! - `device_model`: a model loaded on one device
//! - `runner`: runs a model on all its devices, in batches
//! - [`encoder`]: the public [`Encoder`], which combines all modules above
//! - `late_interaction`: scores pairs of texts by the vectors of their tokens
//! - `reranker`: the public [`Reranker`], which scores pairs of texts
//! - `sparse_encoder`: the public [`SparseEncoder`], which computes sparse vectors
//! - [`documents`]: encodes documents that have titles

mod error;
pub use error::{Error, Result, UnreadableText};

pub mod model;
pub use model::{Document, InputType, ModelFolder, Precision};

mod kernels;

mod batch;

mod layers;

mod tokenize;
pub use tokenize::{EncodeOptions, Tokenized, TruncationSide};

mod lora;

mod weights;

mod adapter;

mod device;
pub use device::Devices;

mod pooling;

mod head;

mod network;
pub use network::Engine;

mod architectures;

mod device_model;

mod runner;

pub mod encoder;
pub use encoder::{Embedding, Encoder, encode_readable, fastest_precision};

mod late_interaction;

mod reranker;
pub use reranker::{PairScore, Reranker};

mod sparse_encoder;
pub use sparse_encoder::{SparseEncoder, SparseVector};

pub mod documents;
pub use documents::DocumentTexts;
