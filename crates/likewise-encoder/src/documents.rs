//! Encodes documents that have a title and a body.
//!
//! In the mean over the tokens of a paper, a title of ten words has about a twentieth of the total weight, although the
//! title says what the paper is about. If the model's settings or options give titles a weight above 0, the title of
//! each document that also has a body is encoded a second time, on its own. With `e` for the encoded vector of a text,
//! the document's vector is then `normalize(e(text) + weight * e(title))`.

use crate::encoder::{Embedding, Encoder, encode_readable};
use crate::error::{Error, Result, UnreadableText};
use crate::model::{Document, InputType, ModelFolder};
use crate::pooling::normalized;

/// The texts that have to be encoded for a list of documents.
pub struct DocumentTexts {
    /// One text per document, followed by the titles that are encoded separately.
    texts: Vec<String>,
    /// Index of the document of each title that is encoded separately.
    titled: Vec<usize>,
    title_weight: f32,
}

impl DocumentTexts {
    /// Collects the texts that a model has to encode for these documents.
    pub fn of<'a>(model: &ModelFolder, documents: impl IntoIterator<Item = Document<'a>>) -> DocumentTexts {
        let title_weight = model.title_weight();
        let (mut texts, mut titles, mut titled) = (Vec::new(), Vec::new(), Vec::new());
        for (index, document) in documents.into_iter().enumerate() {
            texts.push(model.text_of(document));
            if title_weight > 0.0 && has_separate_title(document) {
                titles.push(document.title.to_string());
                titled.push(index);
            }
        }
        texts.extend(titles);
        DocumentTexts { texts, titled, title_weight }
    }

    /// Returns all texts to encode.
    pub fn texts(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).collect()
    }

    /// Encodes the documents. Returns one result per document, in the order of the documents: the document's embedding,
    /// or the reason why the model cannot read the document. `encode` encodes texts, as in [`encode_readable`].
    ///
    /// # Errors
    /// Returns every error of `encode` other than [`Error::Texts`].
    pub fn encode(
        &self,
        encode: impl Fn(&[&str]) -> Result<Vec<Embedding>>,
    ) -> Result<Vec<Result<Embedding, String>>> {
        Ok(self.combine(encode_readable(&self.texts(), encode)?))
    }

    /// Combines the embeddings of all texts into the embeddings of the documents. The token count of a document
    /// includes the tokens of a separately encoded title. The `truncated` flag of a document ignores that title.
    fn combine(&self, mut embeddings: Vec<Result<Embedding, String>>) -> Vec<Result<Embedding, String>> {
        let titles = embeddings.split_off(self.texts.len() - self.titled.len());
        for (index, title) in self.titled.iter().zip(titles) {
            let document = &mut embeddings[*index];
            match (&mut *document, title) {
                (Ok(document), Ok(title)) => self.add_title(document, &title),
                (Ok(_), Err(reason)) => *document = Err(reason),
                (Err(_), _) => {}
            }
        }
        embeddings
    }

    fn add_title(&self, document: &mut Embedding, title: &Embedding) {
        let sum =
            document.vector.iter().zip(&title.vector).map(|(text, title)| text + self.title_weight * title);
        document.vector = normalized(sum.collect());
        document.tokens += title.tokens;
    }
}

/// Whether a document has both a title and a body. If there is no body, the document's text is already the title alone.
fn has_separate_title(document: Document) -> bool {
    !document.title.is_empty() && !document.body.is_empty()
}

impl Encoder {
    /// Encodes documents with titles. Returns one embedding per document, in the order of `documents`.
    ///
    /// # Errors
    /// [`Error::Texts`] lists all documents that the model cannot read.
    pub fn encode_titled<'a>(
        &self,
        documents: impl IntoIterator<Item = Document<'a>>,
    ) -> Result<Vec<Embedding>> {
        let texts = DocumentTexts::of(self.model(), documents);
        let (mut embeddings, mut unreadable) = (Vec::new(), Vec::new());
        let results = texts.encode(|texts| self.encode(texts, InputType::Document))?;
        for (index, result) in results.into_iter().enumerate() {
            match result {
                Ok(embedding) => embeddings.push(embedding),
                Err(reason) => unreadable.push(UnreadableText { index, reason }),
            }
        }
        if unreadable.is_empty() { Ok(embeddings) } else { Err(Error::Texts(unreadable)) }
    }

    /// Returns one vector per document: the vector of the title that is part of the document's vector, without the
    /// title weight. `None`: no title is added to the document's vector, or the model cannot read the title.
    pub fn encode_titles<'a>(
        &self,
        documents: impl Iterator<Item = Document<'a>>,
    ) -> Result<Vec<Option<Vec<f32>>>> {
        let uses_titles = self.model().title_weight() > 0.0;
        let documents: Vec<Option<Document>> = documents
            .map(|document| Some(document).filter(|document| uses_titles && has_separate_title(*document)))
            .collect();
        let titles: Vec<&str> = documents.iter().flatten().map(|document| document.title).collect();
        let encoded = encode_readable(&titles, |texts| self.encode(texts, InputType::Document))?.into_iter();
        let mut vectors = encoded.map(|encoded| encoded.ok().map(|embedding| embedding.vector));
        Ok(documents.into_iter().map(|document| document.and_then(|_| vectors.next().flatten())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelOptions;

    #[test]
    fn titles_are_added_to_the_vectors_of_documents_with_a_body() {
        let document = |title, body| Document { title, body };
        let documents = [document("Bees", "They count."), document("Knots", ""), document("", "Untitled.")];
        let without_title = ModelFolder::without_files(2);
        assert_eq!(DocumentTexts::of(&without_title, documents).texts().len(), 3);
        let options = ModelOptions { title: Some(50), ..ModelOptions::default() };
        let with_title = without_title.with_options(options).unwrap();
        let texts = DocumentTexts::of(&with_title, documents);
        assert_eq!(texts.texts(), ["Bees. They count.", "Knots", ". Untitled.", "Bees"]);
        let embedding =
            |vector: [f32; 2], tokens| Embedding { vector: vector.into(), tokens, truncated: false };
        let [x, y] = [[1.0, 0.0], [0.0, 1.0]];
        let all = [embedding(x, 5), embedding(x, 3), embedding(y, 4), embedding(y, 3)];
        let vectors = texts.combine(all.clone().map(Ok).into());
        let length = 1.25_f32.sqrt();
        assert_eq!(vectors[0], Ok(embedding([1.0 / length, 0.5 / length], 8)));
        assert_eq!(vectors[1..], [Ok(embedding(x, 3)), Ok(embedding(y, 4))]);
        let [first, second, third, _] = all;
        let vectors = texts.combine(vec![Ok(first), Ok(second.clone()), Ok(third), Err("no".into())]);
        assert_eq!(
            vectors[..2],
            [Err("no".into()), Ok(second)],
            "an unreadable title fails its document only"
        );
    }

    #[test]
    fn encode_readable_encodes_all_other_texts() {
        let embedding = |text: &str| Embedding { vector: vec![0.0], tokens: text.len(), truncated: false };
        // Returns an error for one unreadable text per call. An encoder on a GPU is similar: it tokenises texts in
        // chunks, and returns only the unreadable texts of the first chunk that has any.
        let encode = |texts: &[&str]| {
            let (index, _) = match texts.iter().enumerate().find(|(_, text)| text.starts_with('!')) {
                None => return Ok(texts.iter().map(|text| embedding(text)).collect()),
                Some(unreadable) => unreadable,
            };
            Err(Error::Texts(vec![UnreadableText { index, reason: texts[index].into() }]))
        };
        let results = encode_readable(&["a", "!b", "ccc", "!d", "!e"], encode).unwrap();
        let unreadable = |reason: &str| Err(reason.into());
        assert_eq!(
            results,
            [Ok(embedding("a")), unreadable("!b"), Ok(embedding("ccc")), unreadable("!d"), unreadable("!e")]
        );
    }
}
