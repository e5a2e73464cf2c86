//! `/recommendations/v1/papers/…`: Semantic Scholar's recommendations, over the papers that are here.
//!
//! Their two pools, of recent papers and of all in computer science, are one here: all there are.

use super::semantic_scholar::{ToldSchema, Wanted, plain_id, told_fields};
use crate::json::given;
use crate::search::{Like, Query};
use crate::server::App;
use crate::server::body::{Body, Params, Rest};
use crate::server::dialect::PlainError;
use crate::server::problem::Problem;
use crate::server::shapes;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// A query's fields, and what they are called here.
const CALLED: [(&str, &str); 3] =
    [("like", "positivePaperIds"), ("unlike", "negativePaperIds"), ("k", "limit")];

/// Recommendations, when nobody says how many, and the most.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 500;

/// What may be said about recommendations.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wishes {
    /// Names, with commas between them.
    #[param(schema_with = told_fields)]
    fields: Option<String>,
    /// How many.
    #[serde(default, deserialize_with = "given")]
    #[param(minimum = 1, maximum = 500, default = 100)]
    limit: Option<usize>,
    /// `recent` or `all-cs`: here, both are all papers.
    #[serde(rename = "from")]
    #[param(rename = "from", inline)]
    _from: Option<Pool>,
}

/// A pool of Semantic Scholar's.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    Recent,
    AllCs,
}

/// What is recommended.
#[derive(Debug, Serialize, ToSchema)]
pub struct Recommended {
    #[serde(rename = "recommendedPapers")]
    #[schema(value_type = Vec<ToldSchema>)]
    recommended_papers: Vec<Value>,
}

/// Papers like one.
#[utoipa::path(get, path = "/recommendations/v1/papers/forpaper/{*id}", tag = "Semantic Scholar",
    params(("id" = String, Path, description = "An id as there: `ARXIV:…`, `DOI:…`, `CorpusId:…`, `PMID:…`, `ACL:…`, `URL:…`", example = "ARXIV:9901.00001"), Wishes),
    responses(
        (status = 200, description = "The nearest papers, best first", body = Recommended),
        (status = 400, description = "A field is not known, or the path is no text", body = PlainError),
        (status = 404, description = "It is not here", body = PlainError),
        (status = 422, description = "That cannot be an id, or a parameter is wrong", body = PlainError),
    ))]
pub async fn for_paper(
    State(app): State<App>,
    Rest(id): Rest,
    Params(wishes): Params<Wishes>,
) -> Result<Json<Recommended>, Problem> {
    recommend(&app, GivenPapers { positive: vec![id], negative: None }, wishes).await
}

/// Papers that those to be found are like, and unlike.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"positivePaperIds": ["ARXIV:9901.00001"], "negativePaperIds": []}))]
pub struct GivenPapers {
    #[serde(rename = "positivePaperIds")]
    #[schema(schema_with = shapes::ids)]
    positive: Vec<String>,
    #[serde(rename = "negativePaperIds")]
    #[schema(schema_with = shapes::ids_or_none)]
    negative: Option<Vec<String>>,
}

/// Papers like some, and unlike others.
#[utoipa::path(post, path = "/recommendations/v1/papers/", tag = "Semantic Scholar", params(Wishes),
    request_body = GivenPapers,
    responses(
        (status = 200, description = "The nearest papers, best first", body = Recommended),
        (status = 400, description = "A field is not known, or the body is no JSON", body = PlainError),
        (status = 404, description = "One of the papers is not here", body = PlainError),
        (status = 422, description = "There are no ids, or too many, or one cannot be one, or a parameter is wrong", body = PlainError),
    ))]
pub async fn for_papers(
    State(app): State<App>,
    Params(wishes): Params<Wishes>,
    Body(examples): Body<GivenPapers>,
) -> Result<Json<Recommended>, Problem> {
    recommend(&app, examples, wishes).await
}

async fn recommend(app: &App, examples: GivenPapers, wishes: Wishes) -> Result<Json<Recommended>, Problem> {
    let service = app.service()?;
    let wanted = Wanted::read(wishes.fields.as_deref())?;
    let limit = wishes.limit.unwrap_or_else(|| service.default_k(DEFAULT_LIMIT));
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::refused(format!("limit: got {limit}, wanted 1 to {MAX_LIMIT}")));
    }
    let ids = |ids: Vec<String>| ids.iter().map(|id| plain_id(id).to_string()).collect::<Vec<_>>();
    let like = Like::papers(ids(examples.positive));
    let unlike = Like::papers(ids(examples.negative.unwrap_or_default()));
    let answer = service.search(Query { k: limit, unlike, ..Query::of(like) }).await;
    let answer = answer.map_err(|problem| problem.named(&CALLED))?;
    let papers = answer.hits.into_iter().map(|hit| hit.paper).collect();
    Ok(Json(Recommended { recommended_papers: service.told(papers, &wanted).await? }))
}
