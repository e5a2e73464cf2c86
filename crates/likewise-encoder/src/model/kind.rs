//! What a model computes: vectors, or scores of pairs.

use super::PerInputType;

/// What a model computes.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelKind {
    /// One vector per text.
    Embedding,
    /// One score per pair of a query and a document, which the model reads together. The sentence-transformers library
    /// calls such a model a `CrossEncoder`.
    CrossEncoder(CrossEncoderConfig),
    /// One sparse vector per text, with a value for each token of the vocabulary (SPLADE).
    Sparse(SparseConfig),
    /// One vector per token of a text, with which the model scores pairs of a query and a document (ColBERT). The
    /// sentence-transformers library calls such a model a `MultiVectorEncoder`.
    LateInteraction(Box<LateInteractionConfig>),
}

/// The settings of a model with late interaction (Khattab and Zaharia 2020, "ColBERT").
#[derive(Debug, Clone, PartialEq)]
pub struct LateInteractionConfig {
    /// Maximum number of tokens of a query and of a document, special tokens included.
    pub max_lengths: PerInputType<usize>,
    /// How queries are filled up with tokens. `None`: they are not.
    pub expansion: Option<QueryExpansion>,
    /// Texts that tokenizer.json must treat as one token, although its own settings split them: the markers `[unused0]`
    /// and `[unused1]` of older models.
    pub markers: Vec<String>,
    /// Tokens whose vectors are left out, such as punctuation.
    pub skipped: Vec<String>,
    /// Whether these tokens are left out of queries and of documents.
    pub skips: PerInputType<bool>,
    /// Whether the score is divided by the number of the query's tokens.
    pub is_mean: bool,
}

/// How a query is filled up with tokens, which the model has learned to use for terms that the query lacks (Khattab and
/// Zaharia 2020, section 3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryExpansion {
    /// Number of tokens of a query that was filled up.
    pub length: usize,
    /// The token that is added, such as `[MASK]`.
    pub token: String,
    /// Whether tokens attend to the added tokens.
    pub is_attended: bool,
}

/// How the predictions for the tokens of a text become one sparse vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SparseConfig {
    /// How the predictions for several tokens are combined.
    pub pooling: SparsePooling,
    /// The function that is applied to a prediction.
    pub activation: SparseActivation,
}

/// How the predictions for several tokens are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SparsePooling {
    /// Their maximum.
    Max,
    /// Their sum.
    Sum,
}

/// The function that is applied to a prediction `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SparseActivation {
    /// `log(1 + max(x, 0))`.
    Log,
    /// `log(1 + log(1 + max(x, 0)))`.
    LogLog,
}

/// The settings of a cross-encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEncoderConfig {
    /// How a query and a document become one input.
    pub input: PairInput,
    /// How the score is computed from the network's output.
    pub scoring: Scoring,
    /// The function that is applied to the logit.
    pub activation: ScoreActivation,
}

/// How a query and a document become the input of a cross-encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairInput {
    /// As two texts, joined by the template for pairs in tokenizer.json.
    TwoTexts {
        /// Whether the network distinguishes the two texts by token types, if it has any.
        token_types: bool,
    },
    /// As one text, the prompt of Qwen3-Reranker, with an instruction.
    Instruction,
}

/// How a cross-encoder computes the logit of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scoring {
    /// By a classification head with one label.
    Classifier,
    /// The logit of an answer token of a language model, such as `yes`, minus the logit of another answer, such as `no`.
    TokenLogit {
        /// The id of the token that means that the document is relevant.
        token: u32,
        /// The id of the token that means the opposite. `None`: the logit of `token` alone is the score.
        other: Option<u32>,
    },
}

/// The function that turns a logit into a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreActivation {
    /// The logit is the score.
    Identity,
    /// `1 / (1 + exp(-logit))`: scores are between 0 and 1.
    Sigmoid,
}

impl ScoreActivation {
    /// The score of a logit.
    pub fn apply(self, logit: f32) -> f32 {
        match self {
            ScoreActivation::Identity => logit,
            ScoreActivation::Sigmoid => sigmoid(logit),
        }
    }
}

/// Limit of [`logit`]: the sigmoid function of larger values is 1 in single precision.
const MAX_LOGIT: f32 = 16.0;

/// The inverse of [`sigmoid`], between -16 and 16.
pub fn logit(probability: f32) -> f32 {
    (probability / (1.0 - probability)).ln().clamp(-MAX_LOGIT, MAX_LOGIT)
}

/// `1 / (1 + exp(-x))`.
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logit_is_the_inverse_of_sigmoid_within_its_limits() {
        for x in [-15.0, -3.0, 0.0, 0.5, 6.0] {
            assert!((logit(sigmoid(x)) - x).abs() < 1e-2, "{x}");
        }
        assert_eq!((logit(1.0), logit(0.0)), (16.0, -16.0));
    }
}
