//! `GET /openapi.json`: every route and its shapes, as the handlers' own types say them. `GET /docs`: the same for
//! people, to be tried in a browser; its files are in the program.

use super::App;
use super::access::{Keys, Right};
use super::dialect::{CohereError, Dialect, ErrorBody, PlainError, TeiError};
use super::options::ServerOptions;
use super::papers::Similar;
use super::shapes;
use crate::search::Mode;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Json, Router};
use likewise_encoder::model::ModelFolder;
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::openapi::path::{HttpMethod, Operation, ParameterIn, Paths};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa::{OpenApi as _, ToSchema};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// Swagger UI sets styles and shows pictures by itself; nothing is loaded from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "likewise",
        description = "Which papers are like this one? Papers are found by what they are about, given a text, papers, or a \
                       vector.\n\nOur own routes are under `/v1`. The others speak the APIs whose clients people have: \
                       OpenAI's, text-embeddings-inference's, Semantic Scholar's, Hugging Face papers', Cohere's. An MCP \
                       server is at `/mcp`.\n\nAnswers have `x-request-id` and `Server-Timing` headers. Every route may \
                       answer 429 and 503 with `Retry-After`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "search", description = "Which papers are like this one?"),
        (name = "papers", description = "What is here"),
        (name = "pages", description = "For people"),
        (name = "operations", description = "How the server is"),
        (name = "OpenAI", description = "For OpenAI's clients"),
        (name = "text-embeddings-inference", description = "For clients of text-embeddings-inference and Hugging Face's"),
        (name = "Cohere", description = "For Cohere's clients"),
        (name = "Semantic Scholar", description = "For Semantic Scholar's clients"),
        (name = "Hugging Face papers", description = "For Hugging Face's"),
    ),
    components(schemas(ErrorBody, TeiError, CohereError, PlainError))
)]
struct About;

/// What `/openapi.json` begins with.
pub fn about() -> OpenApi {
    About::openapi()
}

/// The routes, for an API that is known by now.
pub fn router(api: OpenApi, options: &ServerOptions) -> Router<App> {
    let api = json!(finished(api, &options.keys));
    let config = Config::from("/openapi.json").validator_url("none");
    let pages: Router<App> = SwaggerUi::new("/docs").config(config).into();
    let pages = pages.layer(axum::middleware::map_response(async |mut response: Response| {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        response
    }));
    let document = async |State(app): State<App>, Extension(api): Extension<Arc<Value>>| {
        let served = app.service().ok();
        let model = served.as_ref().map(|service| service.library.encoder().model());
        Json(with_questions((*api).clone(), model))
    };
    let document = get(document).layer(Extension(Arc::new(api)));
    pages.route("/openapi.json", document)
}

/// Adds what is true of every route, and writes paths as OpenAPI does.
fn finished(mut api: OpenApi, keys: &Keys) -> OpenApi {
    api.merge(Similar::openapi());
    let paths = std::mem::replace(&mut api.paths, Paths::new());
    for (path, mut item) in paths.paths {
        let path = path.replace("{*", "{");
        let operations = [
            (HttpMethod::Get, &mut item.get),
            (HttpMethod::Post, &mut item.post),
            (HttpMethod::Delete, &mut item.delete),
        ];
        for (method, operation) in operations {
            operation.iter_mut().for_each(|operation| finish(operation, &path, &method, keys));
        }
        api.paths.paths.insert(path, item);
    }
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A key of this server; `x-api-key` is taken, too"))
        .build();
    api.components.get_or_insert_default().add_security_scheme("key", SecurityScheme::Http(key));
    api
}

/// What every route may answer, and which of them ask for a key here.
fn finish(operation: &mut Operation, path: &str, method: &HttpMethod, keys: &Keys) {
    let is_open = ["/health", "/ready", "/metrics"].contains(&path);
    let is_page = path == "/" && *method == HttpMethod::Get;
    let is_write = path.starts_with("/v1/papers") && *method != HttpMethod::Get;
    let needs_key = !is_open && keys.has(if is_write { Right::Write } else { Right::Read });
    let mut more = vec![("503", "Loading, or it took too long")];
    if !is_open {
        more.push(("429", "Too much is waiting, or the key was used too often"));
    }
    if *method == HttpMethod::Post {
        more.push(("408", "The body came too slowly"));
        more.push(("413", "The body is too long"));
        more.push(("415", "The body is packed"));
    }
    if needs_key {
        more.push(("401", "The key is missing or not known"));
    }
    for (status, what) in more.into_iter().filter(|_| path != "/health") {
        operation.responses.responses.entry(status.into()).or_insert_with(|| {
            // A page says what is wrong as a page.
            let (media_type, schema) = match is_page {
                true => (
                    "text/html",
                    RefOr::T(Schema::Object(ObjectBuilder::new().schema_type(Type::String).build())),
                ),
                false => ("application/json", schema_of(Dialect::of_api(path)).into()),
            };
            let content = ContentBuilder::new().schema(Some(schema)).build();
            ResponseBuilder::new().description(what).content(media_type, content).build().into()
        });
    }
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && matches!(parameter.parameter_in, ParameterIn::Path)
        {
            parameter.schema = Some(shapes::id().into());
        }
    }
    if needs_key {
        let whole: [&str; 0] = [];
        operation.security = Some(vec![SecurityRequirement::new("key", whole)]);
    }
}

fn schema_of(dialect: Dialect) -> Ref {
    let name = match dialect {
        Dialect::Own | Dialect::Page => ErrorBody::name(),
        Dialect::Tei => TeiError::name(),
        Dialect::Cohere => CohereError::name(),
        Dialect::Plain => PlainError::name(),
    };
    Ref::from_schema_name(name)
}

/// What the field is for.
const PROMPT_NAME: &str = "The model's prompt of this name goes before each text: `query`, if they are to be compared with \
                           papers. Left out, they are read as papers are.";

/// Says what a Rust type cannot: a question has at least one of three fields, and a vector the model's length.
fn with_questions(mut api: Value, model: Option<&ModelFolder>) -> Value {
    let dimension = model.map(ModelFolder::dimension);
    let schemas = &mut api["components"]["schemas"];
    if let Some(dimension) = dimension {
        for name in ["EmbeddingsRequest", "EmbedRequest"] {
            schemas[name]["properties"]["dimensions"]["maximum"] = json!(dimension);
        }
    }
    if let Some(model) = model {
        let names: Vec<&str> = model.prompt_names().into_iter().chain([""]).collect();
        for name in ["EmbeddingsRequest", "EmbedRequest"] {
            schemas[name]["properties"]["prompt_name"] = json!({
                "type": ["string", "null"],
                "enum": names.iter().map(|name| json!(name)).chain([Value::Null]).collect::<Vec<_>>(),
                "description": PROMPT_NAME,
            });
        }
    }
    let filter = &mut schemas["Filter"]["properties"];
    filter["ids"]["items"] = json!(shapes::id());
    filter["authors"]["items"] = json!(shapes::name());
    for end in ["from", "to"] {
        schemas["DateRange"]["properties"][end]["pattern"] = json!(shapes::date().pattern);
    }
    let whole = schemas["SearchRequest"].take();
    let mut names = Vec::new();
    let kinds = ["text", "like", "vector"];
    for (place, name) in ["SearchByText", "SearchByExamples", "SearchByVector"].into_iter().enumerate() {
        let own = kinds[place];
        let mut one = whole.clone();
        for other in &kinds[..place] {
            one["properties"][other] = json!({ "type": "null" });
        }
        one["properties"]["vector"] = match own {
            "vector" => vector(dimension),
            _ => json!({ "oneOf": [vector(dimension), { "type": "null" }] }),
        };
        one["required"] = json!([own]);
        one["description"] = json!(format!("A question by `{own}`."));
        if own != "text" {
            one.as_object_mut().map(|one| one.remove("example"));
        }
        if own == "text" {
            one["properties"]["like"] = json!({ "oneOf": [one["properties"]["like"], { "type": "null" }] });
        }
        if own == "vector" {
            // A vector has no words that papers could share, and no sentences.
            one["properties"]["mode"] = json!({
                "type": ["string", "null"],
                "enum": [json!(Mode::Semantic), json!(Mode::Hybrid), Value::Null],
                "description": one["properties"]["mode"]["description"],
            });
            one["properties"]["rescore"]["enum"] = json!([false]);
        }
        schemas[name] = one;
        names.push(json!({ "$ref": format!("#/components/schemas/{name}") }));
    }
    schemas["SearchRequest"] =
        json!({ "description": whole["description"], "oneOf": names, "example": whole["example"] });
    api
}

/// A direction: not all values are 0.
fn vector(dimension: Option<usize>) -> Value {
    let mut vector = json!({
        "type": "array",
        "description": "A vector of the model that is served, of any length but 0.",
        "items": { "type": "number", "minimum": -1e30, "maximum": 1e30 },
        "contains": { "anyOf": [{ "minimum": 1e-30 }, { "maximum": -1e-30 }] },
    });
    if let Some(dimension) = dimension {
        vector["minItems"] = json!(dimension);
        vector["maxItems"] = json!(dimension);
    }
    vector
}
