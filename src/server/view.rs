//! Papers and search results in responses: the requested fields of each paper, as JSON or in an export format.
//!
//! All routes under `/v1` that return papers use this module.

use super::body::Params;
use super::problem::Problem;
use super::ranking::{Diversity, Explanation, ScoreDetails, TextUsage};
use super::service::Service;
use crate::search::{self, Answer, Hit};
use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use likewise_papers::cite::CitationFormat;
use likewise_papers::{Paper, PaperId};
use serde::de::value::StrDeserializer;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::Instant;
use utoipa::{IntoParams, ToSchema};

/// A field of a paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaperField {
    Id,
    Title,
    Abstract,
    Authors,
    Published,
    Categories,
    Venue,
    Source,
    Url,
    AlternateIds,
    Withdrawn,
    /// The embedding. It is in the response only if it is requested.
    Embedding,
}

/// Deserialises the query parameter `fields`, whose values are names or lists of names separated by commas; for
/// `deserialize_with`, together with `default`.
///
/// # Errors
/// Returns serde's error about an unknown variant if a name is not that of a field.
pub fn field_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<PaperField>>, D::Error> {
    let values = Vec::<String>::deserialize(deserializer)?;
    let names = values.iter().flat_map(|value| value.split(','));
    names.map(|name| PaperField::deserialize(StrDeserializer::new(name))).collect::<Result<_, _>>().map(Some)
}

/// The fields in the response to a request that names no fields: all except the embedding.
const DEFAULT_FIELDS: [PaperField; 11] = [
    PaperField::Id,
    PaperField::Title,
    PaperField::Abstract,
    PaperField::Authors,
    PaperField::Published,
    PaperField::Categories,
    PaperField::Venue,
    PaperField::Source,
    PaperField::Url,
    PaperField::AlternateIds,
    PaperField::Withdrawn,
];

/// The fields of papers in a response.
#[derive(Debug, Clone, Default)]
pub struct PaperFields(Vec<PaperField>);

impl PaperFields {
    /// Returns the requested fields, without repetitions. `None` or empty: the default fields.
    pub fn of(requested: Option<Vec<PaperField>>) -> PaperFields {
        let mut fields: Vec<PaperField> = Vec::new();
        for field in requested.unwrap_or_default() {
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
        PaperFields(if fields.is_empty() { DEFAULT_FIELDS.into() } else { fields })
    }

    /// Whether the response has this field.
    pub fn contains(&self, field: PaperField) -> bool {
        self.0.contains(&field)
    }
}

/// A paper, with the list of its fields to serialise.
#[derive(Debug)]
pub struct View {
    paper: Paper,
    fields: Vec<PaperField>,
    embedding: Option<Vec<f32>>,
}

impl Serialize for View {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        let paper = &self.paper;
        for field in &self.fields {
            match field {
                PaperField::Id => map.serialize_entry("id", &paper.id)?,
                PaperField::Title => map.serialize_entry("title", &paper.title)?,
                PaperField::Abstract => map.serialize_entry("abstract", &paper.r#abstract)?,
                PaperField::Authors => map.serialize_entry("authors", &paper.authors)?,
                PaperField::Published => map.serialize_entry("published", &paper.published)?,
                PaperField::Categories => map.serialize_entry("categories", &paper.categories)?,
                PaperField::Venue => map.serialize_entry("venue", &paper.venue)?,
                PaperField::Source => map.serialize_entry("source", &paper.source)?,
                PaperField::Url => map.serialize_entry("url", &paper.url)?,
                PaperField::AlternateIds => map.serialize_entry("alternate_ids", &paper.alternate_ids)?,
                PaperField::Withdrawn => map.serialize_entry("withdrawn", &paper.withdrawn)?,
                PaperField::Embedding => map.serialize_entry("embedding", &self.embedding)?,
            }
        }
        map.end()
    }
}

/// A paper. Fields that were not requested are absent.
#[derive(ToSchema)]
#[schema(as = PaperView)]
#[expect(dead_code, reason = "it is the schema of `View`, which has its own `Serialize`")]
pub struct ViewSchema {
    /// The paper's id, normalised.
    #[schema(example = "9901.00001")]
    id: Option<String>,
    /// Title.
    title: Option<String>,
    /// Abstract.
    r#abstract: Option<String>,
    /// Authors, in order.
    authors: Option<Vec<String>>,
    /// Date of publication: `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
    #[schema(example = "2021-01-11")]
    published: Option<String>,
    /// Categories and keywords.
    categories: Option<Vec<String>>,
    /// Conference or journal.
    venue: Option<String>,
    /// The source (dump) that the paper comes from.
    source: Option<String>,
    /// Address of the paper.
    url: Option<String>,
    /// Other ids of the same paper.
    alternate_ids: Option<Vec<String>>,
    /// Whether the paper was withdrawn.
    withdrawn: Option<bool>,
    /// The embedding, a vector of norm 1; null if the paper is not embedded yet or the model cannot encode its text.
    embedding: Option<Vec<f32>>,
}

impl Service {
    /// Prepares papers for a response, with their embeddings if `fields` contains the embedding.
    pub async fn views(&self, papers: Vec<Paper>, fields: &PaperFields) -> Result<Vec<View>, Problem> {
        let embeddings = if fields.contains(PaperField::Embedding) {
            self.vectors(&papers).await?
        } else {
            vec![None; papers.len()]
        };
        let view = |(paper, embedding)| View { paper, embedding, fields: fields.0.clone() };
        Ok(papers.into_iter().zip(embeddings).map(view).collect())
    }

    /// Converts hits of the search to hits of a response.
    pub async fn search_hits(
        &self,
        mut hits: Vec<Hit>,
        fields: &PaperFields,
    ) -> Result<Vec<SearchHit>, Problem> {
        let papers = hits.iter_mut().map(|hit| std::mem::take(&mut hit.paper)).collect();
        let views = self.views(papers, fields).await?;
        let hit = |(hit, paper): (Hit, View)| {
            let Hit { rank, score, probability, parts, near_duplicates, explanation, .. } = hit;
            let (parts, explanation) = (parts.map(Into::into), explanation.map(Into::into));
            SearchHit { rank, score, probability, parts, near_duplicates, explanation, paper }
        };
        Ok(hits.into_iter().zip(views).map(hit).collect())
    }

    /// Converts an answer of the search to a response. `started` is the time at which the request began.
    pub async fn search_response(
        &self,
        answer: Answer,
        fields: &PaperFields,
        started: Instant,
    ) -> Result<SearchResponse, Problem> {
        Ok(SearchResponse {
            model: self.model().into(),
            took_ms: (started.elapsed().as_secs_f64() * 1e6).round() / 1e3,
            hits: self.search_hits(answer.hits, fields).await?,
            no_match: answer.no_match,
            diversity: answer.diversity.map(Into::into),
            text: search::TextUsage::total(&answer.texts).map(Into::into),
        })
    }
}

/// The result of a search.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchResponse {
    /// Name of the model.
    #[schema(example = "all-MiniLM-L6-v2")]
    model: String,
    /// Time in milliseconds that the server took to answer the request after receiving it. In a batch, it is the time
    /// for all queries of the batch.
    took_ms: f64,
    /// The hits, by score, best first. Hits with equal scores are ordered by id. If `aggregation` is `best` and the
    /// model has a calibration, the hits are ordered by probability. If `aggregation` is `clusters`, the hits of the
    /// clusters are interleaved. With `diversity`, diversification determines the order.
    hits: Vec<SearchHit>,
    /// True if there are no hits because nothing in the library is related to the query; left out otherwise. A request
    /// with a filter or with `min_score` 0 gets the nearest papers even if none is related.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    no_match: bool,
    /// Diversity of the hits; left out unless `diversity` was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    diversity: Option<Diversity>,
    /// How much of the texts in `text` and `like` was encoded; left out for a query without such texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<TextUsage>,
}

impl SearchResponse {
    /// Returns the papers of the hits.
    pub fn papers(&self) -> impl Iterator<Item = &Paper> {
        self.hits.iter().map(|hit| &hit.paper.paper)
    }
}

/// A hit of a search.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchHit {
    /// Position in the whole ranking: the first hit has rank `offset` + 1.
    rank: usize,
    /// Score of the hit, -1 to 1: the cosine similarity, or the combination of the values in `parts`.
    score: f32,
    /// Probability that the paper is related to the query, 0 to 1; left out if the model has no calibration.
    /// Probabilities of different queries can be compared, scores of different queries cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f32>,
    /// The values that the score is computed from; left out if the score is the cosine similarity itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<ScoreDetails>,
    /// Ids of near duplicates of this paper. The near duplicates are not hits themselves. Only with `diversity`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    near_duplicates: Vec<PaperId>,
    /// The reasons why the paper is a hit; only with `explain`, for the first 100 hits of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation>,
    /// The paper.
    #[schema(value_type = ViewSchema)]
    paper: View,
}

/// An export format for reference managers, spreadsheets and scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// BibTeX.
    Bibtex,
    /// RIS, the format that EndNote, Zotero and Mendeley read.
    Ris,
    /// Comma-separated values with a header line.
    Csv,
    /// JSON Lines that `likewise ingest` can read.
    Jsonl,
}

impl From<ExportFormat> for CitationFormat {
    fn from(format: ExportFormat) -> Self {
        match format {
            ExportFormat::Bibtex => CitationFormat::Bibtex,
            ExportFormat::Ris => CitationFormat::Ris,
            ExportFormat::Csv => CitationFormat::Csv,
            ExportFormat::Jsonl => CitationFormat::Jsonl,
        }
    }
}

impl ExportFormat {
    /// Returns a response with papers in this format.
    pub fn response<'a>(self, papers: impl Iterator<Item = &'a Paper>) -> Response {
        let format = CitationFormat::from(self);
        ([(header::CONTENT_TYPE, format.media_type())], format.write(papers)).into_response()
    }
}

/// Query parameter that sets the format of the response.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FormatParam {
    /// Format of the response: `bibtex`, `ris`, `csv` or `jsonl`. Default: JSON. Each of the four formats has a fixed
    /// set of fields and ignores `fields`.
    #[param(inline)]
    pub format: Option<ExportFormat>,
}

/// Returns the result of a search in the requested format, by default as JSON.
pub fn in_format(Params(FormatParam { format }): Params<FormatParam>, result: SearchResponse) -> Response {
    match format {
        Some(format) => format.response(result.papers()),
        None => Json(result).into_response(),
    }
}
