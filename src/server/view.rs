//! Answers as they are shown: which fields of each paper, and in which format.
//!
//! Its own file because every route of ours that answers with papers shows them alike.

use super::body::Params;
use super::problem::Problem;
use super::ranking::{Diversity, Parts, TextRead, Why};
use super::service::Service;
use crate::search::{self, Answer, Hit};
use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use likewise_papers::{Paper, PaperId, cite};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use std::time::Instant;
use utoipa::{IntoParams, ToSchema};

/// A field of a paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    Id,
    Title,
    Abstract,
    Authors,
    Published,
    Categories,
    Venue,
    Source,
    Url,
    Also,
    Withdrawn,
    /// Its vector, which no answer has unless it is named.
    Embedding,
}

const ALL: [Field; 11] = [
    Field::Id,
    Field::Title,
    Field::Abstract,
    Field::Authors,
    Field::Published,
    Field::Categories,
    Field::Venue,
    Field::Source,
    Field::Url,
    Field::Also,
    Field::Withdrawn,
];

/// The fields of papers that are wanted; all, if none is named.
#[derive(Debug, Clone, Default)]
pub struct Fields(Vec<Field>);

impl Fields {
    /// Those that are named.
    pub fn of(named: Option<Vec<Field>>) -> Fields {
        let mut fields: Vec<Field> = Vec::new();
        for field in named.unwrap_or_default() {
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
        Fields(if fields.is_empty() { ALL.into() } else { fields })
    }

    /// Whether a field is one of them.
    pub fn have(&self, field: Field) -> bool {
        self.0.contains(&field)
    }
}

/// A paper, with the fields that were asked for.
#[derive(Debug)]
pub struct View {
    paper: Paper,
    fields: Vec<Field>,
    embedding: Option<Vec<f32>>,
}

impl Serialize for View {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        let paper = &self.paper;
        for field in &self.fields {
            match field {
                Field::Id => map.serialize_entry("id", &paper.id)?,
                Field::Title => map.serialize_entry("title", &paper.title)?,
                Field::Abstract => map.serialize_entry("abstract", &paper.r#abstract)?,
                Field::Authors => map.serialize_entry("authors", &paper.authors)?,
                Field::Published => map.serialize_entry("published", &paper.published)?,
                Field::Categories => map.serialize_entry("categories", &paper.categories)?,
                Field::Venue => map.serialize_entry("venue", &paper.venue)?,
                Field::Source => map.serialize_entry("source", &paper.source)?,
                Field::Url => map.serialize_entry("url", &paper.url)?,
                Field::Also => map.serialize_entry("also", &paper.also)?,
                Field::Withdrawn => map.serialize_entry("withdrawn", &paper.withdrawn)?,
                Field::Embedding => map.serialize_entry("embedding", &self.embedding)?,
            }
        }
        map.end()
    }
}

/// A paper; fields that were not asked for are absent.
#[derive(ToSchema)]
#[schema(as = PaperView)]
#[expect(dead_code, reason = "it is the schema of `View`, which writes itself")]
pub struct ViewSchema {
    /// Normalised id.
    #[schema(example = "9901.00001")]
    id: Option<String>,
    /// Title.
    title: Option<String>,
    /// Abstract.
    r#abstract: Option<String>,
    /// Authors, in order.
    authors: Option<Vec<String>>,
    /// `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
    #[schema(example = "2021-01-11")]
    published: Option<String>,
    /// Categories and keywords.
    categories: Option<Vec<String>>,
    /// Conference or journal.
    venue: Option<String>,
    /// Which dump it is from.
    source: Option<String>,
    /// Where to read it.
    url: Option<String>,
    /// Other ids of the same paper.
    also: Option<Vec<String>>,
    /// Whether it was taken back.
    withdrawn: Option<bool>,
    /// Its vector, of length 1.
    embedding: Option<Vec<f32>>,
}

impl Service {
    /// Shows papers.
    pub async fn views(&self, papers: Vec<Paper>, fields: &Fields) -> Result<Vec<View>, Problem> {
        let embeddings = if fields.have(Field::Embedding) {
            self.vectors(&papers).await?
        } else {
            vec![None; papers.len()]
        };
        let view = |(paper, embedding)| View { paper, embedding, fields: fields.0.clone() };
        Ok(papers.into_iter().zip(embeddings).map(view).collect())
    }

    /// Shows an answer.
    pub async fn found(
        &self,
        mut answer: Answer,
        fields: &Fields,
        started: Instant,
    ) -> Result<Found, Problem> {
        let papers = answer.hits.iter_mut().map(|hit| std::mem::take(&mut hit.paper)).collect();
        let views = self.views(papers, fields).await?;
        let hit = |(hit, paper): (Hit, View)| {
            let Hit { rank, score, chance, parts, nearly_the_same, why, .. } = hit;
            let (parts, why) = (parts.map(Into::into), why.map(Into::into));
            FoundHit { rank, score, chance, parts, nearly_the_same, why, paper }
        };
        Ok(Found {
            model: self.model().into(),
            took_ms: (started.elapsed().as_secs_f64() * 1e6).round() / 1e3,
            hits: answer.hits.into_iter().zip(views).map(hit).collect(),
            nothing_like_it: answer.nothing_like_it,
            diversity: answer.diversity.map(Into::into),
            text: search::TextRead::together(&answer.texts).map(Into::into),
        })
    }
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct Found {
    /// The model whose vectors were compared.
    #[schema(example = "all-MiniLM-L6-v2")]
    model: String,
    /// Milliseconds from the query to the answer.
    took_ms: f64,
    /// Best first; of equal scores, by id. With diversity, in its order.
    hits: Vec<FoundHit>,
    /// Whether there are none because nothing here is like what was asked. `min_score` 0 gives the nearest all the same; where there is a filter, they are given, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    nothing_like_it: bool,
    /// How different the hits are, if diversity was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    diversity: Option<Diversity>,
    /// Of a query by text, how much of it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<TextRead>,
}

impl Found {
    /// Its papers, without their scores.
    pub fn papers(&self) -> impl Iterator<Item = &Paper> {
        self.hits.iter().map(|hit| &hit.paper.paper)
    }
}

/// One answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct FoundHit {
    /// From 1, or from one more than `offset`.
    rank: usize,
    /// What hits are ranked by, -1 to 1: the cosine, or what the parts come to.
    score: f32,
    /// The chance that the paper is related, 0 to 1, if the model's are known: comparable between questions.
    #[serde(skip_serializing_if = "Option::is_none")]
    chance: Option<f32>,
    /// What the score is made of, if that is more than the cosine.
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<Parts>,
    /// Where diversity was asked for, papers that say nearly the same, and are no hits therefore.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    nearly_the_same: Vec<PaperId>,
    /// Why it is an answer, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<Why>,
    /// The paper.
    #[schema(value_type = ViewSchema)]
    paper: View,
}

/// A format of reference managers, spreadsheets and scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// BibTeX.
    Bibtex,
    /// RIS, as EndNote, Zotero and Mendeley read it.
    Ris,
    /// Comma-separated values, with a heading.
    Csv,
    /// JSON Lines, as `likewise ingest` reads them.
    Jsonl,
}

impl Format {
    /// Papers in this format.
    pub fn show<'a>(self, papers: impl Iterator<Item = &'a Paper>) -> Response {
        let format = match self {
            Format::Bibtex => cite::Format::Bibtex,
            Format::Ris => cite::Format::Ris,
            Format::Csv => cite::Format::Csv,
            Format::Jsonl => cite::Format::Jsonl,
        };
        ([(header::CONTENT_TYPE, format.media_type())], format.write(papers)).into_response()
    }
}

/// In which format papers are wanted.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FormatParam {
    /// `bibtex`, `ris`, `csv` or `jsonl`, in place of JSON; each has fields of its own.
    #[param(inline)]
    pub format: Option<Format>,
}

/// What was found, in the format that was asked for, or else as JSON.
pub fn shown_answer(Params(FormatParam { format }): Params<FormatParam>, found: Found) -> Response {
    match format {
        Some(format) => format.show(found.papers()),
        None => Json(found).into_response(),
    }
}
