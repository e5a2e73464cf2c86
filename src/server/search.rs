//! `POST /v1/search`: papers similar to texts, to papers or to a vector. `POST /v1/search/batch`: several such queries.

use super::App;
use super::above;
use super::body::{Body, Params};
use super::error_format::{ErrorBody, ErrorDetail};
use super::examples::{ExampleItem, any_list_schema, non_empty_list_schema, to_examples};
use super::filter::Filter;
use super::options::{LARGE_HIT_COST, RERANK_COST, SUB_QUERY_COST};
use super::problem::Problem;
use super::ranking::{Aggregation, Mode, Rerank};
use super::schemas;
use super::service::Service;
use super::view::{ExportFormat, FormatParam, PaperField, PaperFields, SearchResponse, in_format};
use crate::json::{StrictObject, object, some_whole_number, whole_number};
use crate::search::{AboveQuery, DEFAULT_K, Examples, Query};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use utoipa::ToSchema;

/// A query. At least one of `text`, `like` and `vector` is required. If several are given, each of them is an example
/// of the papers to find.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"text": "superconductivity in twisted graphene", "k": 3}))]
pub struct SearchRequest {
    /// A title, an abstract or a question.
    #[schema(schema_with = schemas::text, required = false)]
    text: Option<String>,
    /// Examples of the papers to find: ids of papers, and texts as `{"text": …}`. Papers in `like` are not returned
    /// as hits.
    #[schema(schema_with = non_empty_list_schema, required = false)]
    like: Option<Vec<ExampleItem>>,
    /// A vector from the model of this server. It can have any norm except 0.
    #[schema(required = false, value_type = Vec<f32>)]
    vector: Option<Vec<f32>>,
    /// How several examples are combined: by the `mean` of their embeddings, by the `best` example for each paper, or
    /// by `clusters` of examples, whose hits are interleaved. Default: `mean` for up to 7 examples, `clusters` for 8 or
    /// more.
    aggregation: Option<Aggregation>,
    /// Papers and texts that the hits should not be similar to. Papers in `unlike` are not returned as hits.
    #[serde(default)]
    #[schema(schema_with = any_list_schema, required = false)]
    unlike: Vec<ExampleItem>,
    /// Maximum number of hits.
    #[serde(default, deserialize_with = "some_whole_number")]
    #[schema(schema_with = schemas::k, required = false)]
    k: Option<usize>,
    /// Number of hits to skip, best first. Unless `exact` is true, consecutive pages can repeat or miss a paper. Even
    /// if `exact` is true, pages after the first 3000 hits can do so in lexical and hybrid mode, and pages after the
    /// first 100 hits can do so with `diversity` or `half_life`.
    #[serde(default, deserialize_with = "whole_number")]
    #[schema(schema_with = schemas::offset, required = false)]
    offset: usize,
    /// Minimum probability, 0 to 1, that a hit is related to the query; hits below the minimum are left out. If the
    /// model has no calibration, `min_score` is the minimum score, before `half_life` and `rerank_sentences` change the
    /// score. With the default model and mode, no probability is above 0.76, or above 0.64 for short texts. Default: no
    /// minimum. But if the request has neither `min_score` nor a filter, and nothing in the library is related to the
    /// query, no hits are returned.
    #[schema(minimum = 0, maximum = 1)]
    min_score: Option<f32>,
    /// Return all papers whose score is at least this, -1 to 1, best first, without a limit on their number. The score is
    /// the cosine similarity, and every paper is compared. The response is streamed as JSON Lines, one hit per line, or
    /// as `format=csv`, `ris` or `bibtex`. Of the other fields, only `text`, `like`, `vector`, `unlike`, `filter` and
    /// `fields` can be used. Not for a Milvus collection.
    #[schema(minimum = -1, maximum = 1)]
    above: Option<f32>,
    /// Compare the query with every paper instead of searching the graph of the index. In a Milvus collection, such a
    /// query is refused if more than 250,000 papers pass the filter.
    #[serde(default)]
    exact: bool,
    /// How papers are compared: `semantic`, `lexical` or `hybrid`. Default: `hybrid`, but `semantic` if there are no
    /// terms to compare, that is, if the only example is `vector`, or in a Milvus collection.
    mode: Option<Mode>,
    /// Weight, 0 to 1, of a hit's difference from the hits before it; the similarity to the query has the remaining
    /// weight. If `diversity` is above 0, a near duplicate of a better hit is not a hit of its own: it is listed in the
    /// better hit's `near_duplicates`. The hits are chosen from the best 200 papers, or from the best 1000 if
    /// `offset` + `k` is over 100. Papers after the best 1000 are neither reordered nor merged.
    #[schema(minimum = 0, maximum = 1)]
    diversity: Option<f32>,
    /// Age in years at which a paper's score is halved. A paper without a date counts as two half-lives old. The hits
    /// are chosen from the papers that are best without `half_life`: the best 200 or, if `offset` + `k` is over 100,
    /// the best 1000 or, if `offset` + `k` is over 1000, the best `offset` + `k`.
    #[schema(minimum = 0.01, maximum = 1000)]
    half_life: Option<f32>,
    /// Rerank the first 30 hits of the ranking: add to a hit's score how similar the hit's sentences are to the
    /// sentences of the query. The model encodes these sentences, which takes about 0.4 s on two cores.
    #[serde(default)]
    rerank_sentences: bool,
    /// Whether and how many hits are reranked; see [`schemas::rerank`].
    #[serde(default)]
    #[schema(schema_with = schemas::rerank, required = false)]
    rerank: Rerank,
    /// Explain the first 100 hits of the response: return the parts of each score, up to 10 terms that the paper shares
    /// with the query, and up to 3 pairs of sentences that share terms.
    #[serde(default)]
    explain: bool,
    /// Only papers that match this filter.
    #[serde(default, deserialize_with = "object")]
    filter: Filter,
    /// Fields of each paper in the response. Default: all except `embedding`.
    fields: Option<Vec<PaperField>>,
}

impl SearchRequest {
    /// Refuses texts that are too long or blank. The message names the field of the text and, for a list, the text's
    /// position in the list.
    fn check_texts(&self, service: &Service) -> Result<(), Problem> {
        self.text.iter().try_for_each(|text| service.check_text("text", text))?;
        for (name, examples) in [("like", self.like.as_deref().unwrap_or_default()), ("unlike", &self.unlike)]
        {
            for (index, example) in examples.iter().enumerate() {
                if let ExampleItem::Text(text) = example {
                    service.check_text(&format!("{name}[{index}].text"), text)?;
                }
            }
        }
        Ok(())
    }

    /// Checks the examples, and returns `like` and `unlike`.
    fn take_examples(&mut self, service: &Service) -> Result<(Examples, Examples), Problem> {
        if self.text.is_none() && self.like.is_none() && self.vector.is_none() {
            return Err(Problem::invalid("body must have at least one of \"text\", \"like\" and \"vector\""));
        }
        if self.like.as_ref().is_some_and(Vec::is_empty) {
            return Err(Problem::invalid("like must have at least one example (got an empty list)"));
        }
        self.check_texts(service)?;
        let mut like = to_examples(self.like.take().unwrap_or_default());
        like.texts.splice(0..0, self.text.take());
        like.vectors.extend(self.vector.take());
        Ok((like, to_examples(std::mem::take(&mut self.unlike))))
    }

    /// The query of a request with `above`.
    fn above_query(mut self, above: f32, service: &Service) -> Result<(AboveQuery, PaperFields), Problem> {
        if let Some(name) = self.fields_of_other_searches().next() {
            return Err(Problem::invalid(format!(
                "{name} must be left out of a search with above, which returns all papers above a cosine"
            )));
        }
        let (like, unlike) = self.take_examples(service)?;
        Ok((AboveQuery::new(above, like, unlike, self.filter.into()), PaperFields::of(self.fields)))
    }

    /// The names of the fields in this request that a search with `above` cannot have.
    fn fields_of_other_searches(&self) -> impl Iterator<Item = &'static str> {
        let is_mean = self.aggregation.is_none_or(|aggregation| matches!(aggregation, Aggregation::Mean));
        let is_semantic = self.mode.is_none_or(|mode| mode == Mode::Semantic);
        let given = [
            ("k", self.k.is_some()),
            ("offset", self.offset > 0),
            ("min_score", self.min_score.is_some()),
            ("aggregation", !is_mean),
            ("mode", !is_semantic),
            ("diversity", self.diversity.is_some_and(|weight| weight > 0.0)),
            ("half_life", self.half_life.is_some()),
            ("rerank_sentences", self.rerank_sentences),
            ("rerank", self.rerank.top().is_some()),
            ("explain", self.explain),
        ];
        given.into_iter().filter_map(|(name, is_given)| is_given.then_some(name))
    }

    fn query(mut self, service: &Service) -> Result<(Query, PaperFields), Problem> {
        if self.above.is_some() {
            return Err(Problem::invalid("above must be left out of a batch; send it to /v1/search"));
        }
        let (like, unlike) = self.take_examples(service)?;
        let SearchRequest { aggregation, k, offset, min_score, exact, mode, .. } = self;
        let SearchRequest { diversity, half_life, rerank_sentences, rerank, explain, filter, .. } = self;
        let k = k.unwrap_or_else(|| service.default_k(DEFAULT_K));
        let diversity = diversity.unwrap_or_default();
        let query = Query {
            like,
            aggregation: aggregation.map(Into::into),
            unlike,
            k,
            offset,
            min_score,
            exact,
            mode: mode.map(Into::into),
            diversity,
            half_life,
            rerank_sentences,
            rerank: rerank.top(),
            explain,
            filter: filter.into(),
        };
        Ok((query, PaperFields::of(self.fields)))
    }
}

/// Finds the papers that are most similar to texts, to papers, or to a vector. With `above`, finds all papers above a
/// score.
#[utoipa::path(post, path = "/v1/search", tag = "search", params(FormatParam), request_body = SearchRequest, responses(
    (status = 200, description = "The most similar papers, best first", content(
        (SearchResponse = "application/json"), (String = "application/x-bibtex"),
        (String = "application/x-research-info-systems"), (String = "text/csv"), (String = "application/x-ndjson"),
    )),
    (status = 400, description = "The body is not valid JSON, or the request uses the old name of a field", body = ErrorBody),
    (status = 404, description = "A paper in the request is not in the library", body = ErrorBody),
    (status = 422, description = "A field is missing or invalid", body = ErrorBody),
))]
pub async fn search(
    State(app): State<App>,
    format: Params<FormatParam>,
    Body(request): Body<SearchRequest>,
) -> Result<Response, Problem> {
    let started = Instant::now();
    let service = app.service()?;
    if let Some(above) = request.above {
        let format = format.0.format.unwrap_or(ExportFormat::Jsonl);
        let (query, fields) = request.above_query(above, &service)?;
        return above::stream(service, query, format, fields).await;
    }
    let (query, fields) = request.query(&service)?;
    let answer = service.search(query).await?;
    Ok(in_format(format, service.search_response(answer, &fields, started).await?))
}

/// Several queries.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"queries": [{"text": "knots", "k": 2}, {"text": "bees that count", "k": 2}]}))]
pub struct SearchBatchRequest {
    #[schema(value_type = Vec<SearchRequest>, min_items = 1, max_items = 2048)]
    queries: Vec<StrictObject<SearchRequest>>,
}

/// The results of several queries, in the order of the queries.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchBatchResponse {
    answers: Vec<SearchBatchItem>,
}

/// The result of one query in a batch: its hits, or an error if one of the query's papers is not in the library. That
/// error does not affect the other queries of the batch. After any other error of a query, the whole batch fails.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum SearchBatchItem {
    /// The hits.
    Found(SearchResponse),
    /// The error.
    Error {
        /// The error object, as in an error response.
        error: ErrorDetail,
    },
}

/// Runs several queries, one after the other; their texts are encoded together.
#[utoipa::path(post, path = "/v1/search/batch", tag = "search", request_body = SearchBatchRequest, responses(
    (status = 200, description = "A result for each query, in the order of the queries", body = SearchBatchResponse),
    (status = 400, description = "The body is not valid JSON, or the request uses the old name of a field", body = ErrorBody),
    (status = 422, description = "There are no queries or too many queries, or a query is invalid", body = ErrorBody),
))]
pub async fn batch(
    State(app): State<App>,
    Body(request): Body<SearchBatchRequest>,
) -> Result<Json<SearchBatchResponse>, Problem> {
    let started = Instant::now();
    let service = app.service()?;
    let count = request.queries.len();
    service.check_count("queries", count)?;
    let (mut queries, mut fields, mut hits) = (Vec::with_capacity(count), Vec::with_capacity(count), 0_usize);
    for (index, request) in request.queries.into_iter().enumerate() {
        let (query, query_fields) = request.0.query(&service).map_err(|problem| problem.in_query(index))?;
        let is_large = query_fields.contains(PaperField::Embedding) || query.explain;
        hits += query.k.saturating_mul(if is_large { LARGE_HIT_COST } else { 1 });
        hits += if query.is_reranked() { RERANK_COST } else { 0 }
            + SUB_QUERY_COST * (query.max_sub_queries() - 1);
        queries.push(query);
        fields.push(query_fields);
    }
    let _permit = service.batch_permit(hits).await?;
    let mut answers = Vec::with_capacity(count);
    for (index, answer) in service.search_all(queries).await?.into_iter().enumerate() {
        answers.push(match answer {
            Ok(answer) => {
                SearchBatchItem::Found(service.search_response(answer, &fields[index], started).await?)
            }
            Err(problem) if problem.status == StatusCode::NOT_FOUND => {
                SearchBatchItem::Error { error: ErrorDetail::of(&problem) }
            }
            Err(problem) => return Err(problem.in_query(index)),
        });
    }
    Ok(Json(SearchBatchResponse { answers }))
}
