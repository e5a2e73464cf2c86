//! `GET /graph/v1/paper/{id}` and `POST /graph/v1/paper/batch` of Semantic Scholar's Graph API, and the conversion of
//! papers to the format of that API.
//!
//! Fields that a library never has, such as citations, are left out of responses even if they are requested: an empty
//! list of citations would mean that the paper has no citations.

use crate::server::App;
use crate::server::body::{Body, Params, WildcardPath};
use crate::server::error_format::PlainError;
use crate::server::problem::Problem;
use crate::server::service::Service;
use axum::Json;
use axum::extract::State;
use likewise_papers::paper::{IdKind, Paper};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};

/// Maximum number of ids in a batch, as in Semantic Scholar's API.
const MAX_BATCH_IDS: usize = 500;

/// Fields that clients can request. For a nested field such as `authors.name`, the list has only the first part.
pub const KNOWN_FIELDS: [&str; 25] = [
    "paperId",
    "corpusId",
    "externalIds",
    "url",
    "title",
    "abstract",
    "venue",
    "publicationVenue",
    "year",
    "publicationDate",
    "referenceCount",
    "citationCount",
    "influentialCitationCount",
    "isOpenAccess",
    "openAccessPdf",
    "fieldsOfStudy",
    "s2FieldsOfStudy",
    "publicationTypes",
    "journal",
    "citationStyles",
    "authors",
    "embedding",
    "tldr",
    "citations",
    "references",
];

/// Known fields that a library never has.
const UNAVAILABLE_FIELDS: [&str; 11] = [
    "publicationVenue",
    "referenceCount",
    "citationCount",
    "influentialCitationCount",
    "isOpenAccess",
    "openAccessPdf",
    "publicationTypes",
    "citationStyles",
    "tldr",
    "citations",
    "references",
];

/// The fields of a paper that a request asks for, under Semantic Scholar's names.
pub struct RequestedFields(Vec<&'static str>);

impl RequestedFields {
    /// Parses a list of names separated by commas. The result always includes `paperId`, and never the fields that a
    /// library never has. `None`: `paperId` and `title`.
    ///
    /// # Errors
    /// Returns 400 if a name is unknown.
    pub fn parse(fields: Option<&str>) -> Result<RequestedFields, Problem> {
        let mut requested = vec!["paperId"];
        let mut unknown = Vec::new();
        for field in fields.unwrap_or("title").split(',').map(str::trim).filter(|field| !field.is_empty()) {
            let head = field.split('.').next().unwrap_or_default();
            match KNOWN_FIELDS.iter().find(|known| **known == head) {
                Some(known) if !requested.contains(known) => requested.push(known),
                Some(_) => {}
                None => unknown.push(field),
            }
        }
        requested.retain(|name| !UNAVAILABLE_FIELDS.contains(name));
        if unknown.is_empty() {
            return Ok(RequestedFields(requested));
        }
        Err(Problem::bad_request(format!("Unrecognized or unsupported fields: [{}]", unknown.join(", "))))
    }

    fn contains(&self, field: &str) -> bool {
        self.0.contains(&field)
    }
}

/// Returns the schema of a list of fields separated by commas.
pub fn fields_schema() -> Object {
    let one = format!("\\s*(({})(\\.[^,]*)?)?\\s*", KNOWN_FIELDS.join("|"));
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(format!("^{one}(,{one})*$")))
        .examples(["title,year,authors"])
        .build()
}

/// Strips the prefix `URL:` that Semantic Scholar's clients write before a URL.
pub fn plain_id(id: &str) -> &str {
    id.strip_prefix("URL:").or_else(|| id.strip_prefix("url:")).unwrap_or(id)
}

impl Service {
    /// Converts papers to Semantic Scholar's format, with the requested fields. Keeps the order of the papers.
    pub async fn s2_papers(
        &self,
        papers: Vec<Paper>,
        requested: &RequestedFields,
    ) -> Result<Vec<Value>, Problem> {
        let vectors = if requested.contains("embedding") {
            self.vectors(&papers).await?
        } else {
            vec![None; papers.len()]
        };
        let model = self.model();
        let convert = |(paper, vector): (&Paper, Option<Vec<f32>>)| {
            let field = |name: &&'static str| {
                let value = match *name {
                    "embedding" => vector
                        .as_ref()
                        .map_or(Value::Null, |vector| json!({ "model": model, "vector": vector })),
                    name => field(paper, name),
                };
                (name.to_string(), value)
            };
            Value::Object(requested.0.iter().map(field).collect::<Map<_, _>>())
        };
        Ok(papers.iter().zip(vectors).map(convert).collect())
    }
}

/// Returns the value of a field. If the paper does not have the field, returns null, or an empty text for `venue`, or
/// an empty list or object for a list or for `externalIds`.
fn field(paper: &Paper, name: &str) -> Value {
    match name {
        "paperId" => json!(paper.id),
        "title" => json!(paper.title),
        "abstract" => json!(Some(&paper.r#abstract).filter(|text| !text.is_empty())),
        "url" => json!(paper.url),
        "venue" => json!(paper.venue.as_deref().unwrap_or_default()),
        "year" => json!(paper.published.as_deref().and_then(|date| date.get(..4)?.parse::<u16>().ok())),
        "publicationDate" => json!(paper.published.as_deref().filter(|date| date.len() == 10)),
        "externalIds" => json!(external_ids(paper)),
        "corpusId" => external_ids(paper).remove("CorpusId").unwrap_or(Value::Null),
        "authors" => {
            let author = |name: &String| json!({ "authorId": null, "name": name });
            paper.authors.iter().map(author).collect()
        }
        "fieldsOfStudy" => json!(paper.categories),
        "s2FieldsOfStudy" => {
            let field = |category: &String| json!({ "category": category, "source": paper.source.as_deref().unwrap_or("dump") });
            paper.categories.iter().map(field).collect()
        }
        "journal" => json!(paper.venue.as_ref().map(|venue| json!({ "name": venue }))),
        _ => Value::Null,
    }
}

fn external_ids(paper: &Paper) -> Map<String, Value> {
    let mut ids = Map::new();
    for id in paper.ids() {
        let text = id.as_str();
        let (name, value) = match (id.kind(), text.split_once(':')) {
            (IdKind::Arxiv, _) => ("ArXiv", json!(text)),
            (IdKind::Doi, _) => ("DOI", json!(text)),
            (IdKind::Acl, _) => ("ACL", json!(text)),
            (_, Some(("pmid", number))) => ("PubMed", json!(number)),
            (_, Some(("corpusid", number))) => ("CorpusId", json!(number.parse::<u64>().ok())),
            _ if text.starts_with("PMC") => ("PubMedCentral", json!(&text[3..])),
            _ => continue,
        };
        ids.entry(name).or_insert(value);
    }
    ids
}

/// A paper in Semantic Scholar's format: `paperId` and the requested fields.
#[derive(ToSchema)]
#[schema(as = SemanticScholarPaper)]
#[expect(dead_code, reason = "it is the schema of the objects that `s2_papers` returns")]
pub struct S2PaperSchema {
    #[serde(rename = "paperId")]
    #[schema(example = "9901.00001", rename = "paperId")]
    paper_id: String,
    title: Option<String>,
    r#abstract: Option<String>,
    url: Option<String>,
    venue: Option<String>,
    year: Option<u16>,
}

/// Query parameter that chooses the fields of papers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FieldsParam {
    /// Names of the fields of each paper in the response, separated by commas. Default: `paperId` and `title`. This
    /// server does not have `citations`, `references`, `citationCount`, `referenceCount`, `influentialCitationCount`,
    /// `tldr`, `openAccessPdf`, `isOpenAccess`, `publicationTypes`, `publicationVenue` and `citationStyles`, and leaves
    /// them out of the response.
    #[param(schema_with = fields_schema)]
    fields: Option<String>,
}

/// Returns a paper in Semantic Scholar's format.
#[utoipa::path(get, path = "/graph/v1/paper/{*id}", tag = "Semantic Scholar",
    params(("id" = String, Path, description = "An id in Semantic Scholar's syntax: `ARXIV:…`, `DOI:…`, `CorpusId:…`, `PMID:…`, `ACL:…`, `URL:…`", example = "ARXIV:9901.00001"), FieldsParam),
    responses(
        (status = 200, description = "The paper", body = S2PaperSchema),
        (status = 400, description = "A field is unknown, or the path is not valid UTF-8", body = PlainError),
        (status = 404, description = "No paper has this id", body = PlainError),
        (status = 422, description = "The id or a parameter is invalid", body = PlainError),
    ))]
pub async fn paper(
    State(app): State<App>,
    WildcardPath(id): WildcardPath,
    params: Result<Params<FieldsParam>, Problem>,
) -> Result<Json<Value>, Problem> {
    // Semantic Scholar's API has these routes; this server does not have them.
    if id.starts_with("search")
        || ["/citations", "/references", "/authors"].iter().any(|end| id.ends_with(end))
    {
        let nearest = "GET /graph/v1/paper/{id} (this server has no citation data)";
        return Err(Problem::no_route(&format!("/graph/v1/paper/{id}"), Some(nearest)));
    }
    let (service, Params(params)) = (app.service()?, params?);
    let fields = RequestedFields::parse(params.fields.as_deref())?;
    let library = Arc::clone(&service.library);
    let paper = service.searches.run(move || library.paper(plain_id(&id))).await?;
    Ok(Json(service.s2_papers(vec![paper], &fields).await?.remove(0)))
}

/// Ids of papers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"ids": ["ARXIV:9901.00001"]}))]
pub struct PaperIds {
    #[schema(min_items = 1, max_items = 500)]
    ids: Vec<String>,
}

/// Returns papers in Semantic Scholar's format. The item for an id is null if no paper in the library has the id or the
/// id is invalid.
#[utoipa::path(post, path = "/graph/v1/paper/batch", tag = "Semantic Scholar", params(FieldsParam),
    request_body = PaperIds,
    responses(
        (status = 200, description = "The papers, in the order of the ids in the request", body = Vec<Option<S2PaperSchema>>),
        (status = 400, description = "A field is unknown, or the body is not valid JSON", body = PlainError),
        (status = 422, description = "There are no ids or too many ids, or an id or a parameter is invalid", body = PlainError),
    ))]
pub async fn batch(
    State(app): State<App>,
    Params(params): Params<FieldsParam>,
    Body(request): Body<PaperIds>,
) -> Result<Json<Vec<Value>>, Problem> {
    let service = app.service()?;
    let fields = RequestedFields::parse(params.fields.as_deref())?;
    let count = request.ids.len();
    if !(1..=MAX_BATCH_IDS).contains(&count) {
        return Err(Problem::invalid(format!(
            "ids must have between 1 and {MAX_BATCH_IDS} items (got {count})"
        )));
    }
    let library = Arc::clone(&service.library);
    let find = move |id: &String| library.find_paper(plain_id(id));
    let found =
        service.searches.run(move || request.ids.iter().map(find).collect::<crate::Result<Vec<_>>>()).await?;
    let exists: Vec<bool> = found.iter().map(Option::is_some).collect();
    let mut papers = service.s2_papers(found.into_iter().flatten().collect(), &fields).await?.into_iter();
    let item = |exists: bool| if exists { papers.next().unwrap_or_default() } else { Value::Null };
    Ok(Json(exists.into_iter().map(item).collect()))
}
