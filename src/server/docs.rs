//! `GET /openapi.json`: the OpenAPI document, made from the handlers' types. `GET /docs`: Swagger UI for that document.
//! The files of Swagger UI are compiled into the program.

use super::App;
use super::access::{Keys, Permission};
use super::error_format::{CohereError, ErrorBody, ErrorFormat, PlainError, TeiError};
use super::options::ServerOptions;
use super::papers::SimilarRoute;
use super::schemas;
use super::search_schemas::{limit_rerank, split_search_request};
use crate::search::Library;
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

/// Content security policy of `/docs`: Swagger UI needs inline styles and `data:` images; nothing is loaded from other
/// sites.
const SWAGGER_CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "likewise",
        description = "Semantic search over research papers: finds the papers that are similar to a text, to other papers, or \
                       to a vector.\n\nlikewise's own routes are under `/v1`. The other routes implement the APIs of \
                       OpenAI, text-embeddings-inference, Semantic Scholar, Hugging Face papers and Cohere, so that \
                       clients of those APIs work with this server. An MCP server is at `/mcp`.\n\nResponses have \
                       `x-request-id` and `Server-Timing` headers. Every route can return 429 and 503 with `Retry-After`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "search", description = "Similarity search"),
        (name = "papers", description = "The papers in the library"),
        (name = "pages", description = "The web page"),
        (name = "operations", description = "Health, statistics and metrics"),
        (name = "OpenAI", description = "For clients of OpenAI's API"),
        (name = "text-embeddings-inference", description = "For clients of text-embeddings-inference, and for Hugging Face's inference clients"),
        (name = "Cohere", description = "For clients of Cohere's API"),
        (name = "Semantic Scholar", description = "For clients of Semantic Scholar's API"),
        (name = "Hugging Face papers", description = "For clients of Hugging Face's papers API"),
    ),
    components(schemas(ErrorBody, TeiError, CohereError, PlainError))
)]
struct ApiInfo;

/// Returns the head of the OpenAPI document: title, description and tags.
pub fn api_info() -> OpenApi {
    ApiInfo::openapi()
}

/// Returns the routes `/docs` and `/openapi.json` for the OpenAPI document of an API.
pub fn router(api: OpenApi, options: &ServerOptions) -> Router<App> {
    let api = json!(completed(api, &options.keys));
    let config = Config::from("/openapi.json").validator_url("none");
    let pages: Router<App> = SwaggerUi::new("/docs").config(config).into();
    let pages = pages.layer(axum::middleware::map_response(async |mut response: Response| {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(SWAGGER_CSP));
        response
    }));
    let document = async |State(app): State<App>, Extension(api): Extension<Arc<Value>>| {
        let service = app.service().ok();
        let library = service.as_ref().map(|service| &*service.library);
        let model = library.map(|library| library.encoder().model());
        let mut api = with_reranker(with_model_limits((*api).clone(), model), library);
        let has_sparse = service.as_ref().is_some_and(|service| service.queue.sparse_encoder().is_some());
        if let Some(paths) = api["paths"].as_object_mut().filter(|_| !has_sparse) {
            paths.remove("/embed_sparse");
        }
        Json(api)
    };
    let document = get(document).layer(Extension(Arc::new(api)));
    pages.route("/openapi.json", document)
}

/// Completes the OpenAPI document: adds the security scheme and the responses that all routes share, and converts
/// axum's wildcards in paths to OpenAPI parameters.
fn completed(mut api: OpenApi, keys: &Keys) -> OpenApi {
    api.merge(SimilarRoute::openapi());
    let paths = std::mem::replace(&mut api.paths, Paths::new());
    for (path, mut item) in paths.paths {
        let path = path.replace("{*", "{");
        let operations = [
            (HttpMethod::Get, &mut item.get),
            (HttpMethod::Post, &mut item.post),
            (HttpMethod::Delete, &mut item.delete),
        ];
        for (method, operation) in operations {
            operation.iter_mut().for_each(|operation| complete(operation, &path, &method, keys));
        }
        api.paths.paths.insert(path, item);
    }
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A key of this server. The header `x-api-key: KEY` works too."))
        .build();
    api.components.get_or_insert_default().add_security_scheme("key", SecurityScheme::Http(key));
    api
}

/// Completes the description of one operation: adds the responses that any route can return and the schema of the id in
/// the path, and states whether a key is required.
fn complete(operation: &mut Operation, path: &str, method: &HttpMethod, keys: &Keys) {
    let is_public = ["/health", "/ready", "/metrics"].contains(&path);
    let is_page = path == "/" && *method == HttpMethod::Get;
    let is_write = path.starts_with("/v1/papers") && *method != HttpMethod::Get;
    let needs_key = !is_public && keys.has(if is_write { Permission::Write } else { Permission::Read });
    let mut added = vec![("503", "The server is loading, or the request took too long")];
    if !is_public {
        added.push(("429", "A queue is full, or the key exceeds its rate limit"));
    }
    if *method == HttpMethod::Post {
        added.push(("408", "The body arrived too slowly"));
        added.push(("413", "The body is too long"));
        added.push(("415", "The body is compressed"));
    }
    if needs_key {
        added.push(("401", "The key is missing or unknown"));
    }
    for (status, description) in added.into_iter().filter(|_| path != "/health") {
        operation.responses.responses.entry(status.into()).or_insert_with(|| {
            // A route that returns an HTML page returns its errors as HTML pages too.
            let (media_type, schema) = match is_page {
                true => (
                    "text/html",
                    RefOr::T(Schema::Object(ObjectBuilder::new().schema_type(Type::String).build())),
                ),
                false => ("application/json", schema_of(ErrorFormat::for_api_path(path)).into()),
            };
            let content = ContentBuilder::new().schema(Some(schema)).build();
            ResponseBuilder::new().description(description).content(media_type, content).build().into()
        });
    }
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && matches!(parameter.parameter_in, ParameterIn::Path)
        {
            parameter.schema = Some(schemas::id().into());
        }
    }
    if needs_key {
        let scopes: [&str; 0] = [];
        operation.security = Some(vec![SecurityRequirement::new("key", scopes)]);
    }
}

fn schema_of(format: ErrorFormat) -> Ref {
    let name = match format {
        ErrorFormat::Native | ErrorFormat::Page => ErrorBody::name(),
        ErrorFormat::Tei => TeiError::name(),
        ErrorFormat::Cohere => CohereError::name(),
        ErrorFormat::Plain => PlainError::name(),
    };
    Ref::from_schema_name(name)
}

/// Description of the field `prompt_name`.
const PROMPT_NAME: &str = "Name of the prompt to put before each text, one of the model's prompts: `query` if the \
                           texts are queries. Default: the texts are encoded as documents.";

/// Adds constraints that Rust types cannot express, such as the fields that a query can have together, the dimension of a
/// vector, and the model's prompts. `None`: no model is loaded yet, so the
/// constraints that depend on the model are left out.
fn with_model_limits(mut api: Value, model: Option<&ModelFolder>) -> Value {
    let dimension = model.map(ModelFolder::dimension);
    let components = &mut api["components"]["schemas"];
    if let Some(dimension) = dimension {
        for name in ["EmbeddingsRequest", "EmbedRequest"] {
            components[name]["properties"]["dimensions"]["maximum"] = json!(dimension);
        }
    }
    if let Some(model) = model {
        let names: Vec<&str> = model.prompt_names().into_iter().chain([""]).collect();
        for name in ["EmbeddingsRequest", "EmbedRequest"] {
            components[name]["properties"]["prompt_name"] = json!({
                "type": ["string", "null"],
                "enum": names.iter().map(|name| json!(name)).chain([Value::Null]).collect::<Vec<_>>(),
                "description": PROMPT_NAME,
            });
        }
    }
    let filter = &mut components["Filter"]["properties"];
    filter["ids"]["items"] = json!(schemas::id());
    filter["authors"]["items"] = json!(schemas::name());
    for end in ["from", "to"] {
        components["DateRange"]["properties"][end]["pattern"] = json!(schemas::date().pattern);
    }
    split_search_request(components, dimension);
    api
}

/// The routes that rank texts.
const RERANK_ROUTES: [&str; 3] = ["/rerank", "/v1/rerank", "/v2/rerank"];

/// States which model ranks texts, and whether hits can be reranked. `None`: no library is loaded yet.
fn with_reranker(mut api: Value, library: Option<&Library>) -> Value {
    let Some(library) = library else { return api };
    let name = match library.reranker() {
        Some(reranker) if reranker.is_late_interaction() => {
            format!("{}, a model with late interaction", reranker.model().name)
        }
        Some(reranker) => format!("the cross-encoder {}", reranker.model().name),
        None => format!("the embedding model {}, by cosine similarity", library.encoder().model().name),
    };
    for route in RERANK_ROUTES {
        let description = &mut api["paths"][route]["post"]["description"];
        let text = description.as_str().unwrap_or_default();
        *description = json!(format!("{text}\n\nTexts are ranked by {name}.").trim());
    }
    limit_rerank(&mut api["components"]["schemas"], library);
    api
}
