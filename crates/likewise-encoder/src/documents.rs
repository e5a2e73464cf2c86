//! Documents → the texts that are read of each, and their vectors → one vector a document.
//!
//! Its own file because a document may be more than one text: a title says in ten words what two hundred go on about, and is
//! a twentieth of the mean over their tokens. Where a model's folder says so, it is read once more by itself, and the
//! document's vector is `normalize(e(text) + share · e(title))`.

use crate::encoder::{Embedding, Encoder, encode_readable};
use crate::error::{Error, Result, UnreadableText};
use crate::model::{Document, ModelFolder, Side};
use crate::pooling::normalized;

/// What is read of some documents.
pub struct DocumentTexts {
    /// The documents' texts in their order, then the titles of some.
    texts: Vec<String>,
    /// Whose titles those are.
    titled: Vec<usize>,
    share: f32,
}

impl DocumentTexts {
    /// What a model reads of documents.
    pub fn of<'a>(model: &ModelFolder, documents: impl IntoIterator<Item = Document<'a>>) -> DocumentTexts {
        let share = model.title_share();
        let (mut texts, mut titles, mut titled) = (Vec::new(), Vec::new(), Vec::new());
        for (place, document) in documents.into_iter().enumerate() {
            texts.push(model.text_of(document));
            if share > 0.0 && has_title(document) {
                titles.push(document.title.to_string());
                titled.push(place);
            }
        }
        texts.extend(titles);
        DocumentTexts { texts, titled, share }
    }

    /// All of them, to be encoded.
    pub fn texts(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).collect()
    }

    /// The documents' embeddings, by what encodes texts; of a document that the model cannot read, what is wrong with it.
    ///
    /// # Errors
    /// What `encode` fails with, but for [`Error::Texts`].
    pub fn encode(
        &self,
        encode: impl Fn(&[&str]) -> Result<Vec<Embedding>>,
    ) -> Result<Vec<Result<Embedding, String>>> {
        Ok(self.join(encode_readable(&self.texts(), encode)?))
    }

    /// The documents' embeddings, from all texts': tokens are of both, and what is cut is the text.
    fn join(&self, mut embeddings: Vec<Result<Embedding, String>>) -> Vec<Result<Embedding, String>> {
        let titles = embeddings.split_off(self.texts.len() - self.titled.len());
        for (place, title) in self.titled.iter().zip(titles) {
            let document = &mut embeddings[*place];
            match (&mut *document, title) {
                (Ok(document), Ok(title)) => self.add_title(document, &title),
                (Ok(_), Err(reason)) => *document = Err(reason),
                (Err(_), _) => {}
            }
        }
        embeddings
    }

    fn add_title(&self, document: &mut Embedding, title: &Embedding) {
        let both = document.vector.iter().zip(&title.vector).map(|(text, title)| text + self.share * title);
        document.vector = normalized(both.collect());
        document.tokens += title.tokens;
    }
}

/// Whether a document's title is not all of its text.
fn has_title(document: Document) -> bool {
    !document.title.is_empty() && !document.body.is_empty()
}

impl Encoder {
    /// Encodes documents that have titles; the answer has their order.
    ///
    /// # Errors
    /// [`Error::Texts`] names the documents that the model cannot read.
    pub fn encode_titled<'a>(
        &self,
        documents: impl IntoIterator<Item = Document<'a>>,
    ) -> Result<Vec<Embedding>> {
        let read = DocumentTexts::of(self.model(), documents);
        let (mut embeddings, mut unreadable) = (Vec::new(), Vec::new());
        let encoded = read.encode(|texts| self.encode(texts, Side::Paper))?;
        for (index, encoded) in encoded.into_iter().enumerate() {
            match encoded {
                Ok(embedding) => embeddings.push(embedding),
                Err(reason) => unreadable.push(UnreadableText { index, reason }),
            }
        }
        if unreadable.is_empty() { Ok(embeddings) } else { Err(Error::Texts(unreadable)) }
    }

    /// The vectors of documents' titles, which count by themselves in those of the documents; `None` where they do not, or
    /// cannot be read.
    pub fn encode_titles<'a>(
        &self,
        documents: impl Iterator<Item = Document<'a>>,
    ) -> Result<Vec<Option<Vec<f32>>>> {
        let counts = self.model().title_share() > 0.0;
        let documents: Vec<Option<Document>> = documents
            .map(|document| Some(document).filter(|document| counts && has_title(*document)))
            .collect();
        let titles: Vec<&str> = documents.iter().flatten().map(|document| document.title).collect();
        let encoded = encode_readable(&titles, |texts| self.encode(texts, Side::Paper))?.into_iter();
        let mut vectors = encoded.map(|encoded| encoded.ok().map(|embedding| embedding.vector));
        Ok(documents.into_iter().map(|document| document.and_then(|_| vectors.next().flatten())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelOptions;

    #[test]
    fn titles_are_read_beside_texts_that_have_more() {
        let document = |title, body| Document { title, body };
        let documents = [document("Bees", "They count."), document("Knots", ""), document("", "Untitled.")];
        let plain = ModelFolder::without_files(2);
        assert_eq!(DocumentTexts::of(&plain, documents).texts().len(), 3);
        let titled = plain.with_options(ModelOptions { title: Some(50), ..ModelOptions::default() }).unwrap();
        let read = DocumentTexts::of(&titled, documents);
        assert_eq!(read.texts(), ["Bees. They count.", "Knots", ". Untitled.", "Bees"]);
        let embedding =
            |vector: [f32; 2], tokens| Embedding { vector: vector.into(), tokens, truncated: false };
        let [across, up] = [[1.0, 0.0], [0.0, 1.0]];
        let all = [embedding(across, 5), embedding(across, 3), embedding(up, 4), embedding(up, 3)];
        let vectors = read.join(all.clone().map(Ok).into());
        let length = 1.25_f32.sqrt();
        assert_eq!(vectors[0], Ok(embedding([1.0 / length, 0.5 / length], 8)));
        assert_eq!(vectors[1..], [Ok(embedding(across, 3)), Ok(embedding(up, 4))]);
        let [text, second, third, _] = all;
        let vectors = read.join(vec![Ok(text), Ok(second.clone()), Ok(third), Err("no".into())]);
        assert_eq!(vectors[..2], [Err("no".into()), Ok(second)], "a title that cannot be read");
    }

    #[test]
    fn a_text_that_cannot_be_read_keeps_no_other_from_its_vector() {
        let embedding = |text: &str| Embedding { vector: vec![0.0], tokens: text.len(), truncated: false };
        let encode = |texts: &[&str]| {
            // As a GPU is given texts: some are found to be unreadable only when the ones before are read.
            let (index, _) = match texts.iter().enumerate().find(|(_, text)| text.starts_with('!')) {
                None => return Ok(texts.iter().map(|text| embedding(text)).collect()),
                Some(found) => found,
            };
            Err(Error::Texts(vec![UnreadableText { index, reason: texts[index].into() }]))
        };
        let read = encode_readable(&["a", "!b", "ccc", "!d", "!e"], encode).unwrap();
        let bad = |reason: &str| Err(reason.into());
        assert_eq!(read, [Ok(embedding("a")), bad("!b"), Ok(embedding("ccc")), bad("!d"), bad("!e")]);
    }
}
