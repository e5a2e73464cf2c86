//! Tokenises pairs of a query and a document, the input of cross-encoders.

use super::{Tokenized, Tokenizer, cannot_tokenize};
use crate::error::Result;
use crate::model::InputType;
use std::borrow::Cow;
use tokenizers::{EncodeInput, Encoding, InputSequence};

/// How a query and a document become the input of a cross-encoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairFormat {
    /// Two texts, joined by the template for pairs in tokenizer.json. The prompt is put before the query. `token_types`
    /// is false if the network must not distinguish the two texts by token types.
    TwoTexts { prompt: String, token_types: bool },
    /// One text, the prompt of Qwen3-Reranker: see [`with_instruction`].
    Instruction { instruction: String },
}

/// The instruction that Qwen3-Reranker gets if none is given (Zhang et al. 2025, "Qwen3 Embedding").
pub const DEFAULT_INSTRUCTION: &str =
    "Given a web search query, retrieve relevant passages that answer the query";

/// The end of the prompt of Qwen3-Reranker. The model has learned to answer `yes` or `no` after it.
const INSTRUCTION_END: &str = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";

/// Returns the prompt of Qwen3-Reranker for a pair.
fn with_instruction(instruction: &str, query: &str, document: &str) -> String {
    format!(
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct \
         provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n<|im_start|>user\n<Instruct>: \
         {instruction}\n<Query>: {query}\n<Document>: {document}{INSTRUCTION_END}"
    )
}

impl Tokenizer {
    /// Tokenises pairs of one query and each of the documents. A pair that is too long loses tokens at the end of the
    /// longer text, one at a time, as in the transformers library. With [`PairFormat::Instruction`], it loses the end of
    /// the document. A pair that has exactly the maximum number of tokens is taken for truncated.
    ///
    /// # Errors
    /// [`Error::Texts`](crate::Error::Texts) lists the documents with a token that the model has no vector for. If the
    /// query has such a token, all documents are listed. [`Error::Invalid`](crate::Error::Invalid) if the tokenizers
    /// library fails on a text.
    pub fn tokenize_pairs(
        &self,
        query: &str,
        documents: &[&str],
        format: &PairFormat,
    ) -> Result<Vec<Tokenized>> {
        let cut = |text: &str| -> usize { text.floor_char_boundary(self.max_bytes) };
        let query = self.readable_start(&query[..cut(query)])?;
        let texts = documents.iter().map(|document| &document[..cut(document)]);
        let mut encodings = match format {
            PairFormat::TwoTexts { prompt, .. } => {
                let query =
                    if prompt.is_empty() { Cow::Borrowed(query) } else { format!("{prompt}{query}").into() };
                let pair =
                    |document| EncodeInput::Dual(InputSequence::from(&*query), InputSequence::from(document));
                self.inner.encode_batch_fast(texts.map(pair).collect(), true)
            }
            PairFormat::Instruction { instruction } => {
                let prompts = texts.map(|document| with_instruction(instruction, query, document));
                self.inner.encode_batch_fast(prompts.collect::<Vec<String>>(), false)
            }
        }
        .map_err(cannot_tokenize)?;
        self.check_token_ids(encodings.iter().map(|encoding| encoding.get_ids()))?;
        let has_types = matches!(format, PairFormat::TwoTexts { token_types: true, .. });
        let end = match format {
            PairFormat::TwoTexts { .. } => Vec::new(),
            PairFormat::Instruction { .. } => self.end_of_instruction()?,
        };
        let tokenized = |(encoding, document): (Encoding, &&str)| {
            let mut ids = encoding.get_ids().to_vec();
            // Not the overflow of the encoding, which the tokenizers library drops for some templates.
            let is_full = ids.len() >= self.max_length;
            if is_full && !end.is_empty() {
                restore_end(&mut ids, &end);
            }
            Tokenized {
                second_text: if has_types { second_text(&encoding) } else { ids.len() },
                attended: ids.len(),
                truncated: is_full || document.len() > self.max_bytes,
                ids,
                input_type: InputType::Query,
            }
        };
        Ok(encodings.drain(..).zip(documents).map(tokenized).collect())
    }

    /// Cuts off the part of a query that does not fit even without a document: otherwise a long query would be tokenised
    /// as a whole for each document.
    fn readable_start<'a>(&self, query: &'a str) -> Result<&'a str> {
        if query.len() <= self.max_length {
            return Ok(query);
        }
        let encoding = self.inner.encode(query, false).map_err(cannot_tokenize)?;
        if encoding.len() < self.max_length {
            return Ok(query);
        }
        let end = encoding.get_offsets().iter().map(|(_, end)| *end).max().unwrap_or(query.len());
        Ok(&query[..query.floor_char_boundary(end)])
    }

    fn end_of_instruction(&self) -> Result<Vec<u32>> {
        Ok(self.inner.encode_fast(INSTRUCTION_END, false).map_err(cannot_tokenize)?.get_ids().to_vec())
    }
}

/// Writes `end` over the last tokens of a prompt whose end was cut off, because the model answers after this end.
fn restore_end(ids: &mut [u32], end: &[u32]) {
    let kept = end.len().min(ids.len());
    let start = ids.len() - kept;
    ids[start..].copy_from_slice(&end[end.len() - kept..]);
}

/// Index of the first token of the second text, by the token types.
fn second_text(encoding: &Encoding) -> usize {
    let types = encoding.get_type_ids();
    types.iter().position(|token_type| *token_type == 1).unwrap_or(types.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prompt_replaces_the_last_tokens() {
        let mut ids = vec![1, 2, 3, 4, 5];
        restore_end(&mut ids, &[8, 9]);
        assert_eq!(ids, [1, 2, 3, 8, 9]);
        let mut short = vec![1];
        restore_end(&mut short, &[8, 9]);
        assert_eq!(short, [9]);
    }

    #[test]
    fn the_prompt_of_qwen3_reranker_names_query_and_document() {
        let prompt = with_instruction("Find papers", "bees", "Bees count.");
        assert!(prompt.contains("<Instruct>: Find papers\n<Query>: bees\n<Document>: Bees count.<|im_end|>"));
        assert!(prompt.ends_with("<think>\n\n</think>\n\n"));
    }
}
