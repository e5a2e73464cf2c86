//! Sentence embeddings on the machine's own CPU or on NVIDIA's GPUs: a sentence-transformers folder in, unit vectors out,
//! with the same numbers as the reference library has.
//!
//! ```
//! use likewise_encoder::Encoder;
//!
//! # fn main() -> Result<(), likewise_encoder::Error> {
//! # let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/small-bert");
//! // A folder, a name ("all-MiniLM-L6-v2"), or a repository of the model hub ("BAAI/bge-small-en-v1.5"), fetched once.
//! let encoder = Encoder::from_pretrained(model)?;
//! let documents = encoder.encode_documents(&["Folding of proteins in water", "Graphs without short cycles"])?;
//! let query = encoder.encode_queries(&["How do proteins fold?"])?;
//!
//! assert_eq!(documents[0].vector.len(), encoder.dimension());
//! let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
//! let nearness = cosine(&query[0].vector, &documents[0].vector);
//! assert!((-1.01..=1.01).contains(&nearness));
//! assert!(!documents[0].truncated);
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! Data flows one way, text → tokens → vectors, and a module imports only what stands above it here:
//!
//! - `error`: got what, wanted what, do what
//! - [`model`]: what a model folder says, and where to fetch one
//! - `kernels`: the CPU's fast path, for every level of instructions
//! - `batch`: texts that are computed together, without padding
//! - `layers`: what networks are made of, on a CPU or a GPU
//! - `tokenize`: text → tokens, packed into batches
//! - `weights`, `adapter`, `device`: tensors of whatever files; SPECTER2's adapters; which devices
//! - `pooling`, `head`: a text's token vectors → one vector
//! - `network`: what an architecture is to the rest
//! - `architectures`: one file an architecture, and the list of them
//! - `loaded`: a model on one device
//! - [`encoder`]: all of it, as one [`Encoder`]
//! - [`documents`]: texts with titles

mod error;
pub use error::{Error, Result, UnreadableText};

pub mod model;
pub use model::{Document, ModelFolder, Precision, Side};

mod kernels;

mod batch;

mod layers;

mod tokenize;
pub use tokenize::{Batch, Keep, Reading, Tokenized};

mod weights;

mod adapter;

mod device;
pub use device::Devices;

mod pooling;

mod head;

mod network;
pub use network::Engine;

mod architectures;

mod loaded;

pub mod encoder;
pub use encoder::{Embedding, Encoder, encode_readable, fastest_precision};

pub mod documents;
pub use documents::DocumentTexts;
