//! Papers → the texts that are read of each, and their vectors → one vector a paper.
//!
//! Its own file because a paper may be more than one text: a title says in ten words what two hundred go on about, and is
//! a twentieth of the mean over their tokens. Where a model's folder says so, it is read once more by itself, and the
//! paper's vector is `normalize(e(text) + share · e(title))`.

use super::pooling::normalized;
use super::{Embedding, Encoder};
use crate::error::Result;
use crate::model::{ModelFolder, Side};
use crate::paper::Paper;

/// What is read of some papers.
pub struct PaperTexts {
    /// The papers' texts in their order, then the titles of some.
    texts: Vec<String>,
    /// Whose titles those are.
    titled: Vec<usize>,
    share: f32,
}

impl PaperTexts {
    /// What a model reads of papers.
    pub fn of<'a>(model: &ModelFolder, papers: impl IntoIterator<Item = &'a Paper>) -> PaperTexts {
        let share = model.title_share();
        let (mut texts, mut titles, mut titled) = (Vec::new(), Vec::new(), Vec::new());
        for (place, paper) in papers.into_iter().enumerate() {
            texts.push(model.text_of(paper));
            if share > 0.0 && has_title(paper) {
                titles.push(paper.title.clone());
                titled.push(place);
            }
        }
        texts.extend(titles);
        PaperTexts { texts, titled, share }
    }

    /// All of them, to be encoded.
    pub fn texts(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).collect()
    }

    /// The papers' embeddings, from all texts': tokens are of both, and what is cut is the text.
    pub fn papers(&self, mut embeddings: Vec<Embedding>) -> Vec<Embedding> {
        let titles = embeddings.split_off(self.texts.len() - self.titled.len());
        for (place, title) in self.titled.iter().zip(titles) {
            let paper = &mut embeddings[*place];
            let both = paper.vector.iter().zip(&title.vector).map(|(text, title)| text + self.share * title);
            paper.vector = normalized(both.collect());
            paper.tokens += title.tokens;
        }
        embeddings
    }
}

/// Whether a paper's title is not all of its text.
fn has_title(paper: &Paper) -> bool {
    !paper.title.is_empty() && !paper.r#abstract.is_empty()
}

impl Encoder {
    /// Encodes papers; the answer has their order.
    pub fn encode_papers<'a>(&self, papers: impl IntoIterator<Item = &'a Paper>) -> Result<Vec<Embedding>> {
        let read = PaperTexts::of(self.model(), papers);
        Ok(read.papers(self.encode(&read.texts(), Side::Paper)?))
    }

    /// The vectors of papers' titles, which count by themselves in those of the papers; `None` where they do not.
    pub fn encode_titles<'a>(
        &self,
        papers: impl Iterator<Item = &'a Paper>,
    ) -> Result<Vec<Option<Vec<f32>>>> {
        let counts = self.model().title_share() > 0.0;
        let papers: Vec<Option<&Paper>> =
            papers.map(|paper| Some(paper).filter(|paper| counts && has_title(paper))).collect();
        let titles: Vec<&str> = papers.iter().flatten().map(|paper| paper.title.as_str()).collect();
        let mut vectors = self.encode(&titles, Side::Paper)?.into_iter().map(|embedding| embedding.vector);
        Ok(papers.into_iter().map(|paper| paper.and_then(|_| vectors.next())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelOptions;

    #[test]
    fn titles_are_read_beside_texts_that_have_more() {
        let paper = |title: &str, text: &str| Paper {
            title: title.into(),
            r#abstract: text.into(),
            ..Paper::default()
        };
        let papers = [paper("Bees", "They count."), paper("Knots", ""), paper("", "Untitled.")];
        let plain = ModelFolder::without_files(2);
        assert_eq!(PaperTexts::of(&plain, &papers).texts().len(), 3);
        let titled = plain.with_options(ModelOptions { title: Some(50), ..ModelOptions::default() }).unwrap();
        let read = PaperTexts::of(&titled, &papers);
        assert_eq!(read.texts(), ["Bees. They count.", "Knots", ". Untitled.", "Bees"]);
        let embedding =
            |vector: [f32; 2], tokens| Embedding { vector: vector.into(), tokens, truncated: false };
        let [across, up] = [[1.0, 0.0], [0.0, 1.0]];
        let vectors =
            read.papers(vec![embedding(across, 5), embedding(across, 3), embedding(up, 4), embedding(up, 3)]);
        let length = 1.25_f32.sqrt();
        assert_eq!(vectors[0], embedding([1.0 / length, 0.5 / length], 8));
        assert_eq!(vectors[1..], [embedding(across, 3), embedding(up, 4)]);
    }
}
