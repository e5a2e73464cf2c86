//! `POST /v1/search`: papers like texts, like papers, or near a vector. `POST /v1/search/batch`: many such questions.

use super::App;
use super::body::{Body, Params};
use super::dialect::{ErrorBody, ErrorDetail};
use super::examples::{Example, examples, examples_or_none, like};
use super::filter::Filter;
use super::options::{EACH, LARGE, SLOW};
use super::problem::Problem;
use super::ranking::{Examples, Mode};
use super::service::Service;
use super::shapes;
use super::view::{Field, Fields, FormatParam, Found, shown_answer};
use crate::json::{Object, object, whole, whole_if_there};
use crate::search::{DEFAULT_K, Query};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use utoipa::ToSchema;

/// A question: at least one of `text`, `like` and `vector`; together, all of them are examples.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"text": "superconductivity in twisted graphene", "k": 3}))]
pub struct SearchRequest {
    /// A title, an abstract, a question.
    #[schema(schema_with = shapes::text, required = false)]
    text: Option<String>,
    /// Ids of papers, which are no answers themselves, and texts, `{"text": …}`.
    #[schema(schema_with = examples, required = false)]
    like: Option<Vec<Example>>,
    /// A vector of the model that is served, of any length but 0.
    #[schema(required = false, value_type = Vec<f32>)]
    vector: Option<Vec<f32>>,
    /// How several examples make one question: by their mean, by the best of them, or by clusters, which take turns. Left out: by their mean, and from 8 on by clusters.
    examples: Option<Examples>,
    /// Papers and texts that the answers should be unlike.
    #[serde(default)]
    #[schema(schema_with = examples_or_none, required = false)]
    unlike: Vec<Example>,
    /// How many answers.
    #[serde(default, deserialize_with = "whole_if_there")]
    #[schema(schema_with = shapes::k, required = false)]
    k: Option<usize>,
    /// How many of the best are passed over. Where pages meet, a paper may come twice or not at all, unless `exact` is true; with words, even then beyond the first 1000.
    #[serde(default, deserialize_with = "whole")]
    #[schema(schema_with = shapes::offset, required = false)]
    offset: usize,
    /// Answers of a lower chance are left out or, where the model's are not known, of a lower score, before age counts. With the default model and mode, no chance is above 0.76, or 0.64 where short texts ask. Left out: none is, unless nothing at all is like what was asked.
    #[schema(minimum = 0, maximum = 1)]
    min_score: Option<f32>,
    /// Compare with every paper instead of walking the graph.
    #[serde(default)]
    exact: bool,
    /// By what papers are alike: semantic, lexical or hybrid. Left out: hybrid, or semantic where there are no words to compare, in a collection and of a vector.
    mode: Option<Mode>,
    /// How much the difference from hits before counts beside nearness; above 0, papers that say nearly the same as a nearer one stand behind it, as `nearly_the_same`. Beyond the nearest 1000 the order is the plain one.
    #[schema(minimum = 0, maximum = 1)]
    diversity: Option<f32>,
    /// Years after which a score is worth half; a paper of unknown age is taken to be two such times old. As with `diversity`, the nearest 200 are put in another order, or 1000 if more than 100 are asked for.
    #[schema(minimum = 0.01, maximum = 1000)]
    half_life: Option<f32>,
    /// Score the first 30 once more, by how near their sentences are to the question's, too: they are read with the model, which takes some 0.4 s on two cores.
    #[serde(default)]
    rescore: bool,
    /// Say of the first 100 answers why they are: what its score comes from, the terms it shares, the sentences they stand in.
    #[serde(default)]
    explain: bool,
    /// Which papers may be answers.
    #[serde(default, deserialize_with = "object")]
    filter: Filter,
    /// Which fields of papers are shown; all but the embedding, if none is named.
    fields: Option<Vec<Field>>,
}

impl SearchRequest {
    /// Refuses texts that are too long or have no words, by their places.
    fn check_texts(&self, service: &Service) -> Result<(), Problem> {
        self.text.iter().try_for_each(|text| service.check_text("text", text))?;
        for (name, examples) in [("like", self.like.as_deref().unwrap_or_default()), ("unlike", &self.unlike)]
        {
            for (index, example) in examples.iter().enumerate() {
                if let Example::Text(text) = example {
                    service.check_text(&format!("{name}[{index}].text"), text)?;
                }
            }
        }
        Ok(())
    }

    fn query(self, service: &Service) -> Result<(Query, Fields), Problem> {
        if self.text.is_none() && self.like.is_none() && self.vector.is_none() {
            return Err(Problem::invalid("body: wanted at least one of \"text\", \"like\" and \"vector\""));
        }
        if self.like.as_ref().is_some_and(Vec::is_empty) {
            return Err(Problem::invalid("like: got an empty list, wanted at least one example"));
        }
        self.check_texts(service)?;
        let mut like = like(self.like.unwrap_or_default());
        like.texts.splice(0..0, self.text);
        like.vectors.extend(self.vector);
        let SearchRequest { examples, k, offset, min_score, exact, mode, .. } = self;
        let SearchRequest { diversity, half_life, rescore, explain, filter, .. } = self;
        let unlike = super::examples::like(self.unlike);
        let k = k.unwrap_or_else(|| service.default_k(DEFAULT_K));
        let diversity = diversity.unwrap_or_default();
        let query = Query {
            like,
            examples: examples.map(Into::into),
            unlike,
            k,
            offset,
            min_score,
            exact,
            mode: mode.map(Into::into),
            diversity,
            half_life,
            rescore,
            explain,
            filter: filter.into(),
        };
        Ok((query, Fields::of(self.fields)))
    }
}

/// Papers like texts, like papers, or near a vector.
#[utoipa::path(post, path = "/v1/search", tag = "search", params(FormatParam), request_body = SearchRequest, responses(
    (status = 200, description = "The nearest papers, best first", content(
        (Found = "application/json"), (String = "application/x-bibtex"),
        (String = "application/x-research-info-systems"), (String = "text/csv"), (String = "application/x-ndjson"),
    )),
    (status = 400, description = "The body is no JSON", body = ErrorBody),
    (status = 404, description = "A paper that was named is not here", body = ErrorBody),
    (status = 422, description = "It does not ask for something that can be", body = ErrorBody),
))]
pub async fn search(
    State(app): State<App>,
    format: Params<FormatParam>,
    Body(request): Body<SearchRequest>,
) -> Result<Response, Problem> {
    let started = Instant::now();
    let service = app.service()?;
    let (query, fields) = request.query(&service)?;
    let answer = service.search(query).await?;
    Ok(shown_answer(format, service.found(answer, &fields, started).await?))
}

/// Many questions.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"queries": [{"text": "knots", "k": 2}, {"text": "bees that count", "k": 2}]}))]
pub struct SearchBatch {
    #[schema(value_type = Vec<SearchRequest>, min_items = 1, max_items = 2048)]
    queries: Vec<Object<SearchRequest>>,
}

/// The answers to many questions, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchFound {
    answers: Vec<BatchAnswer>,
}

/// What was found, or that a paper that was named is not here, which does not keep the others from their answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum BatchAnswer {
    /// What was found.
    Found(Found),
    /// What is wrong.
    Wrong {
        /// As in an answer of its own.
        error: ErrorDetail,
    },
}

/// Many questions at once; their texts are encoded together.
#[utoipa::path(post, path = "/v1/search/batch", tag = "search", request_body = SearchBatch, responses(
    (status = 200, description = "An answer for each, in their order", body = BatchFound),
    (status = 400, description = "The body is no JSON", body = ErrorBody),
    (status = 422, description = "It has no questions, or too many, or they have other fields", body = ErrorBody),
))]
pub async fn batch(
    State(app): State<App>,
    Body(request): Body<SearchBatch>,
) -> Result<Json<BatchFound>, Problem> {
    let started = Instant::now();
    let service = app.service()?;
    let count = request.queries.len();
    service.check_count("queries", count)?;
    let (mut queries, mut fields, mut hits) = (Vec::with_capacity(count), Vec::with_capacity(count), 0_usize);
    for (place, request) in request.queries.into_iter().enumerate() {
        let (query, shown) = request.0.query(&service).map_err(|problem| problem.of(place))?;
        let is_large = shown.have(Field::Embedding) || query.explain;
        hits += query.k.saturating_mul(if is_large { LARGE } else { 1 });
        hits += if query.rescore { SLOW } else { 0 } + EACH * (query.searches() - 1);
        queries.push(query);
        fields.push(shown);
    }
    let _turn = service.batch_turn(hits).await?;
    let mut answers = Vec::with_capacity(count);
    for (place, answer) in service.search_all(queries).await?.into_iter().enumerate() {
        answers.push(match answer {
            Ok(answer) => BatchAnswer::Found(service.found(answer, &fields[place], started).await?),
            Err(problem) if problem.status == StatusCode::NOT_FOUND => {
                BatchAnswer::Wrong { error: ErrorDetail::of(&problem) }
            }
            Err(problem) => return Err(problem.of(place)),
        });
    }
    Ok(Json(BatchFound { answers }))
}
