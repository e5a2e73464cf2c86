//! Paths as programs get them wrong: `//embed`, `/v1/v1/search`, `/embeddings`, a slash at the end.
//!
//! Its own file because it comes before everything else: keys, limits and metrics are for the route that answers.

use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{Method, Uri};
use std::sync::Arc;
use utoipa::openapi::OpenApi;

/// Pages and the like, which no document lists.
const PAGES: [&str; 4] = ["/map", "/status", "/date", "/mcp"];

/// Routes whose names differ by more from what was asked for, or by more than a third of that, are not proposed.
const MOST_EDITS: usize = 3;

/// The routes that are documented.
#[derive(Debug, Clone)]
pub struct Paths(Arc<[Route]>);

#[derive(Debug)]
struct Route {
    /// What it begins with: all of it, or what is before an id.
    path: String,
    /// Whether an id follows, with slashes in it.
    has_id: bool,
    /// How it is shown: `POST /v1/search`.
    shown: String,
}

impl Route {
    /// How much it differs from what was asked for, which is a path's segments: first by its name, then by all of it. `None`
    /// if it is not likely to have been meant.
    fn distance(&self, asked: &[&str]) -> Option<(usize, usize)> {
        let own: Vec<&str> = self.path.split('/').filter(|segment| !segment.is_empty()).collect();
        let asked = if self.has_id { asked.get(..own.len())? } else { asked };
        let (name, own_name) = (asked.last()?, own.last()?);
        let edits = strsim::levenshtein(name, own_name);
        let is_likely = edits <= MOST_EDITS.min(name.len() / 3);
        is_likely.then(|| (edits, strsim::levenshtein(&asked.join("/"), &own.join("/"))))
    }
}

impl Paths {
    /// Those of a document, and the pages.
    pub fn of(api: &OpenApi) -> Paths {
        let documented = api.paths.paths.iter().map(|(path, item)| {
            let method = if item.get.is_some() { Method::GET } else { Method::POST };
            let shown = format!("{method} {}", path.replace("{*", "{"));
            let (path, has_id) =
                path.split_once('{').map_or((path.as_str(), false), |(path, _)| (path, true));
            Route { path: path.into(), has_id, shown }
        });
        let page = |path: &str| Route { path: path.into(), has_id: false, shown: format!("GET {path}") };
        Paths(documented.chain(PAGES.into_iter().map(page)).collect())
    }

    /// The path of the route that was meant, where another spelling of it was asked for.
    fn meant(&self, path: &str) -> Option<String> {
        if self.has(path) {
            return None;
        }
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let versions = segments.iter().take_while(|segment| **segment == "v1").count();
        let without = format!("/{}", segments[versions..].join("/"));
        let spelled = [format!("/{}", segments.join("/")), format!("/v1{without}"), without];
        let mut named = spelled.into_iter().filter(|path| path != "/" || segments.is_empty());
        named.find(|path| self.has(path)).or_else(|| self.with_id(path))
    }

    fn has(&self, path: &str) -> bool {
        self.0.iter().any(|route| !route.has_id && route.path == path)
    }

    /// The same of a route with an id: what is before it is mended, and the id is left as it is.
    fn with_id(&self, path: &str) -> Option<String> {
        let mut rest = path.trim_start_matches('/');
        while let Some(after) =
            rest.strip_prefix("v1/").filter(|after| after.trim_start_matches('/').starts_with("v1/"))
        {
            rest = after.trim_start_matches('/');
        }
        let mended = format!("/{rest}");
        let is_known = self.0.iter().any(|route| route.has_id && mended.starts_with(&route.path));
        (is_known && mended != path).then_some(mended)
    }

    /// The route that was most likely meant.
    pub fn nearest(&self, path: &str) -> Option<&str> {
        let path = path.to_ascii_lowercase();
        let asked: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let others = self.0.iter().filter(|route| route.path != "/");
        let nearest = others.filter_map(|route| Some((route.distance(&asked)?, route)));
        nearest.min_by_key(|(distance, _)| *distance).map(|(_, route)| &*route.shown)
    }

    /// A request for the route that was meant.
    pub fn mend(&self, mut request: Request) -> Request {
        let Some(path) = self.meant(request.uri().path()) else { return request };
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let Ok(path) = PathAndQuery::try_from(format!("{path}{query}")) else { return request };
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(path);
        // What cannot be one is answered as it came.
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> Paths {
        let (_, api) = crate::server::documented().split_for_parts();
        Paths::of(&api)
    }

    #[test]
    fn other_spellings_of_a_path_mean_its_route() {
        let paths = paths();
        for (asked, meant) in [
            ("//embed", "/embed"),
            ("/embed/", "/embed"),
            ("/v1/embed", "/embed"),
            ("/embeddings", "/v1/embeddings"),
            ("//v1//embeddings//", "/v1/embeddings"),
            ("/v1/v1/search", "/v1/search"),
            ("/v1/v1/search/batch/", "/v1/search/batch"),
            ("/search", "/v1/search"),
            ("/models/", "/v1/models"),
            ("/status/", "/status"),
            ("//", "/"),
            ("//v1/papers/https://doi.org/10.1000//x", "/v1/papers/https://doi.org/10.1000//x"),
            ("/v1/v1/papers/10.1000//x/similar", "/v1/papers/10.1000//x/similar"),
            ("//graph/v1/paper/DOI:10.1/v1/x", "/graph/v1/paper/DOI:10.1/v1/x"),
        ] {
            assert_eq!(paths.meant(asked).as_deref(), Some(meant), "{asked}");
        }
        for asked in [
            "/",
            "/embed",
            "/v1/search",
            "/v1/papers/10.1000//x",
            "/v1",
            "/nothing/here",
            "/docs/",
            "/static/x.css",
        ] {
            assert_eq!(paths.meant(asked), None, "{asked}");
        }
    }

    #[test]
    fn a_route_is_proposed_where_one_was_likely_meant() {
        let paths = paths();
        for (asked, nearest) in [
            ("/api/v1/search", "POST /v1/search"),
            ("/openai/embeddings", "POST /v1/embeddings"),
            ("/v1/embedings", "POST /v1/embeddings"),
            ("/v1/searchs", "POST /v1/search"),
            ("/v1/paper/1", "GET /v1/papers/{id}"),
            ("/helth", "GET /health"),
        ] {
            assert_eq!(paths.nearest(asked), Some(nearest), "{asked}");
        }
        for asked in ["/v1/nothing", "/wp-login.php", "/x"] {
            assert_eq!(paths.nearest(asked), None, "{asked}");
        }
    }
}
