//! `GET /openapi.json`: every route and its shapes, as the handlers' own types say them. `GET /docs`: the same for
//! people, to be tried in a browser; its files are in the program.

use super::App;
use super::dialect::{CohereError, Dialect, ErrorBody, PlainError, TeiError};
use super::papers::Similar;
use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::Response;
use utoipa::openapi::path::{HttpMethod, Operation, Paths};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, ResponseBuilder};
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
pub fn router(api: OpenApi) -> Router<App> {
    let api = finished(api);
    // Nothing is sent elsewhere to be validated.
    let config = Config::from("/openapi.json").validator_url("none").try_it_out_enabled(true);
    let pages: Router<App> = SwaggerUi::new("/docs").url("/openapi.json", api).config(config).into();
    pages.layer(axum::middleware::map_response(async |mut response: Response| {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        response
    }))
}

/// Adds what is true of every route, and writes paths as OpenAPI does.
fn finished(mut api: OpenApi) -> OpenApi {
    api.merge(Similar::openapi());
    let paths = std::mem::replace(&mut api.paths, Paths::new());
    for (path, mut item) in paths.paths {
        let path = path.replace("{*", "{");
        let dialect = Dialect::of(&path);
        let operations = [
            (HttpMethod::Get, &mut item.get),
            (HttpMethod::Post, &mut item.post),
            (HttpMethod::Delete, &mut item.delete),
        ];
        for (method, operation) in operations {
            operation.iter_mut().for_each(|operation| finish(operation, &path, &method, dialect));
        }
        api.paths.paths.insert(path, item);
    }
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A key of the server's, where it has some"))
        .build();
    api.components.get_or_insert_default().add_security_scheme("key", SecurityScheme::Http(key));
    api
}

/// What every route may answer. Keys are asked for only where a server has some, so they may also be left out.
fn finish(operation: &mut Operation, path: &str, method: &HttpMethod, dialect: Dialect) {
    let is_open = ["/health", "/ready", "/metrics"].contains(&path);
    let mut more = vec![
        ("429", "Too much is waiting, or the key was used too often"),
        ("503", "Loading, or it took too long"),
    ];
    if *method == HttpMethod::Post {
        more.push(("408", "The body came too slowly"));
        more.push(("413", "The body is too long"));
    }
    if !is_open {
        more.push(("401", "The key is missing or not known"));
    }
    if path == "/health" {
        more.clear();
    }
    for (status, what) in more {
        operation.responses.responses.entry(status.into()).or_insert_with(|| {
            let content = ContentBuilder::new().schema(Some(schema_of(dialect))).build();
            ResponseBuilder::new().description(what).content("application/json", content).build().into()
        });
    }
    if !is_open && operation.security.is_none() {
        let none: [&str; 0] = [];
        operation.security =
            Some(vec![SecurityRequirement::default(), SecurityRequirement::new("key", none)]);
    }
}

fn schema_of(dialect: Dialect) -> Ref {
    let name = match dialect {
        Dialect::Own => ErrorBody::name(),
        Dialect::Tei => TeiError::name(),
        Dialect::Cohere => CohereError::name(),
        Dialect::Plain => PlainError::name(),
    };
    Ref::from_schema_name(name)
}
