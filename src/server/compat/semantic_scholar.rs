//! `GET /graph/v1/paper/{id}`, `POST /graph/v1/paper/batch`: a paper as Semantic Scholar tells of it.
//!
//! Its own file because this is where our papers become theirs, for the recommendations too. A field that is never held
//! here, as citations, is left out of answers, whether it was asked for or not: an empty list would say that there are none.

use crate::server::App;
use crate::server::body::{Body, Params, Rest};
use crate::server::dialect::PlainError;
use crate::server::problem::Problem;
use crate::server::service::Service;
use axum::Json;
use axum::extract::State;
use likewise_papers::paper::{Kind, Paper};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};

/// Most ids in a batch, as there.
const MAX_BATCH: usize = 500;

/// Fields that a client may ask for; `authors.name` and the like are taken for their beginnings.
pub const KNOWN: [&str; 25] = [
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

/// Those of them that no library here holds.
const NOT_HELD: [&str; 11] = [
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

/// Fields of a paper, in Semantic Scholar's names.
pub struct Wanted(Vec<&'static str>);

impl Wanted {
    /// Reads a list; left out, `paperId` and `title`.
    pub fn read(fields: Option<&str>) -> Result<Wanted, Problem> {
        let mut wanted = vec!["paperId"];
        let mut unknown = Vec::new();
        for field in fields.unwrap_or("title").split(',').map(str::trim).filter(|field| !field.is_empty()) {
            let head = field.split('.').next().unwrap_or_default();
            match KNOWN.iter().find(|known| **known == head) {
                Some(known) if !wanted.contains(known) => wanted.push(known),
                Some(_) => {}
                None => unknown.push(field),
            }
        }
        wanted.retain(|name| !NOT_HELD.contains(name));
        if unknown.is_empty() {
            return Ok(Wanted(wanted));
        }
        Err(Problem::refused(format!("Unrecognized or unsupported fields: [{}]", unknown.join(", "))))
    }

    fn has(&self, field: &str) -> bool {
        self.0.contains(&field)
    }
}

/// The schema of a list of fields, with commas between them.
pub fn told_fields() -> Object {
    let one = format!("\\s*(({})(\\.[^,]*)?)?\\s*", KNOWN.join("|"));
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(format!("^{one}(,{one})*$")))
        .examples(["title,year,authors"])
        .build()
}

/// An id as Semantic Scholar's clients write it: `URL:` before an address means nothing more.
pub fn plain_id(id: &str) -> &str {
    id.strip_prefix("URL:").or_else(|| id.strip_prefix("url:")).unwrap_or(id)
}

impl Service {
    /// Papers with the wanted fields, in their order.
    pub async fn told(&self, papers: Vec<Paper>, wanted: &Wanted) -> Result<Vec<Value>, Problem> {
        let vectors =
            if wanted.has("embedding") { self.vectors(&papers).await? } else { vec![None; papers.len()] };
        let model = self.model();
        let tell = |(paper, vector): (&Paper, Option<Vec<f32>>)| {
            let field = |name: &&'static str| {
                let value = match *name {
                    "embedding" => vector
                        .as_ref()
                        .map_or(Value::Null, |vector| json!({ "model": model, "vector": vector })),
                    name => field(paper, name),
                };
                (name.to_string(), value)
            };
            Value::Object(wanted.0.iter().map(field).collect::<Map<_, _>>())
        };
        Ok(papers.iter().zip(vectors).map(tell).collect())
    }
}

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
            (Kind::Arxiv, _) => ("ArXiv", json!(text)),
            (Kind::Doi, _) => ("DOI", json!(text)),
            (Kind::Acl, _) => ("ACL", json!(text)),
            (_, Some(("pmid", number))) => ("PubMed", json!(number)),
            (_, Some(("corpusid", number))) => ("CorpusId", json!(number.parse::<u64>().ok())),
            _ if text.starts_with("PMC") => ("PubMedCentral", json!(&text[3..])),
            _ => continue,
        };
        ids.entry(name).or_insert(value);
    }
    ids
}

/// A paper in Semantic Scholar's shape: `paperId`, and what else was asked for.
#[derive(ToSchema)]
#[schema(as = SemanticScholarPaper)]
#[expect(dead_code, reason = "it is the schema of what `told` makes")]
pub struct ToldSchema {
    #[serde(rename = "paperId")]
    #[schema(example = "9901.00001", rename = "paperId")]
    paper_id: String,
    title: Option<String>,
    r#abstract: Option<String>,
    url: Option<String>,
    venue: Option<String>,
    year: Option<u16>,
}

/// Which fields are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FieldsParam {
    /// Names, with commas between them. `citations`, `references`, their counts, `tldr`, `openAccessPdf`, `isOpenAccess`, `publicationTypes`, `publicationVenue` and `citationStyles` are not held here, and left out of the answer.
    #[param(schema_with = told_fields)]
    fields: Option<String>,
}

/// A paper, as Semantic Scholar tells of it.
#[utoipa::path(get, path = "/graph/v1/paper/{*id}", tag = "Semantic Scholar",
    params(("id" = String, Path, description = "An id as there: `ARXIV:…`, `DOI:…`, `CorpusId:…`, `PMID:…`, `ACL:…`, `URL:…`", example = "ARXIV:9901.00001"), FieldsParam),
    responses(
        (status = 200, description = "The paper", body = ToldSchema),
        (status = 400, description = "A field is not known, or the path is no text", body = PlainError),
        (status = 404, description = "It is not here", body = PlainError),
        (status = 422, description = "That cannot be an id, or a parameter is wrong", body = PlainError),
    ))]
pub async fn paper(
    State(app): State<App>,
    Rest(id): Rest,
    params: Result<Params<FieldsParam>, Problem>,
) -> Result<Json<Value>, Problem> {
    // Theirs, of what is not known here.
    if id.starts_with("search")
        || ["/citations", "/references", "/authors"].iter().any(|end| id.ends_with(end))
    {
        let own = "GET /graph/v1/paper/{id} (who cites whom is not held here)";
        return Err(Problem::no_route(&format!("/graph/v1/paper/{id}"), Some(own)));
    }
    let (service, Params(params)) = (app.service()?, params?);
    let wanted = Wanted::read(params.fields.as_deref())?;
    let library = Arc::clone(&service.library);
    let paper = service.searches.run(move || library.paper(plain_id(&id))).await?;
    Ok(Json(service.told(vec![paper], &wanted).await?.remove(0)))
}

/// Ids of papers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"ids": ["ARXIV:9901.00001"]}))]
pub struct PaperIds {
    #[schema(min_items = 1, max_items = 500)]
    ids: Vec<String>,
}

/// Papers, as Semantic Scholar tells of them; null for one that is not here.
#[utoipa::path(post, path = "/graph/v1/paper/batch", tag = "Semantic Scholar", params(FieldsParam),
    request_body = PaperIds,
    responses(
        (status = 200, description = "The papers, in the order of their ids", body = Vec<Option<ToldSchema>>),
        (status = 400, description = "A field is not known, or the body is no JSON", body = PlainError),
        (status = 422, description = "There are no ids, or too many, or a parameter is wrong", body = PlainError),
    ))]
pub async fn batch(
    State(app): State<App>,
    Params(params): Params<FieldsParam>,
    Body(request): Body<PaperIds>,
) -> Result<Json<Vec<Value>>, Problem> {
    let service = app.service()?;
    let wanted = Wanted::read(params.fields.as_deref())?;
    let count = request.ids.len();
    if !(1..=MAX_BATCH).contains(&count) {
        return Err(Problem::invalid(format!("ids: got {count}, wanted 1 to {MAX_BATCH}")));
    }
    let library = Arc::clone(&service.library);
    let find = move |id: &String| library.paper_if_here(plain_id(id));
    let found =
        service.searches.run(move || request.ids.iter().map(find).collect::<crate::Result<Vec<_>>>()).await?;
    let here: Vec<bool> = found.iter().map(Option::is_some).collect();
    let mut told = service.told(found.into_iter().flatten().collect(), &wanted).await?.into_iter();
    let answer = |is_here: bool| if is_here { told.next().unwrap_or_default() } else { Value::Null };
    Ok(Json(here.into_iter().map(answer).collect()))
}
