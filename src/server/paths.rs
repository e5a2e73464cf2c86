//! Corrects paths that clients often get wrong: `//embed`, `/v1/v1/search`, `/embeddings`, a trailing slash.
//!
//! Paths are corrected before routing, so access control, limits and metrics see the corrected path.

use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{Method, Uri};
use std::sync::Arc;
use utoipa::openapi::OpenApi;

/// Routes that the OpenAPI document does not list, but that paths are corrected to and that are suggested.
const UNDOCUMENTED_PATHS: [&str; 4] = ["/map", "/status", "/date", "/mcp"];

/// Maximum edit distance between the last segment of a requested path and the last segment of the route that is
/// suggested for it. The distance must also be at most a third of the length of the requested segment.
const MAX_EDITS: usize = 3;

/// The paths that requested paths are corrected to: those of the OpenAPI document and of [`UNDOCUMENTED_PATHS`].
#[derive(Debug, Clone)]
pub struct Paths(Arc<[Route]>);

#[derive(Debug)]
struct Route {
    /// The route's path. If the route has an id, only the part before the id.
    path: String,
    /// Whether an id, which can contain slashes, follows the path.
    has_id: bool,
    /// Method and path for messages, such as `POST /v1/search`.
    label: String,
}

impl Route {
    /// Returns two edit distances between the route's path and a requested path, given as its segments: the distance
    /// between the last segments, then the distance between the whole paths. `None`: the route is too different to be
    /// suggested.
    fn distance(&self, requested: &[&str]) -> Option<(usize, usize)> {
        let segments: Vec<&str> = self.path.split('/').filter(|segment| !segment.is_empty()).collect();
        let requested = if self.has_id { requested.get(..segments.len())? } else { requested };
        let (name, own_name) = (requested.last()?, segments.last()?);
        let edits = strsim::levenshtein(name, own_name);
        let is_likely = edits <= MAX_EDITS.min(name.len() / 3);
        is_likely.then(|| (edits, strsim::levenshtein(&requested.join("/"), &segments.join("/"))))
    }
}

impl Paths {
    /// Returns the paths of the OpenAPI document and of [`UNDOCUMENTED_PATHS`].
    pub fn of(api: &OpenApi) -> Paths {
        let documented = api.paths.paths.iter().map(|(path, item)| {
            let method = if item.get.is_some() { Method::GET } else { Method::POST };
            let label = format!("{method} {}", path.replace("{*", "{"));
            let (path, has_id) =
                path.split_once('{').map_or((path.as_str(), false), |(path, _)| (path, true));
            Route { path: path.into(), has_id, label }
        });
        let undocumented =
            |path: &str| Route { path: path.into(), has_id: false, label: format!("GET {path}") };
        Paths(documented.chain(UNDOCUMENTED_PATHS.into_iter().map(undocumented)).collect())
    }

    /// Returns the path without extra slashes, and with `/v1` added, removed or no longer repeated, if that leads to a
    /// route. `None`: the path needs no correction, or no correction leads to a route. Upper and lower case are kept.
    fn corrected(&self, path: &str) -> Option<String> {
        if self.has(path) {
            return None;
        }
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let versions = segments.iter().take_while(|segment| **segment == "v1").count();
        let without = format!("/{}", segments[versions..].join("/"));
        let spellings = [format!("/{}", segments.join("/")), format!("/v1{without}"), without];
        let mut candidates = spellings.into_iter().filter(|path| path != "/" || segments.is_empty());
        candidates.find(|path| self.has(path)).or_else(|| self.corrected_with_id(path))
    }

    fn has(&self, path: &str) -> bool {
        self.0.iter().any(|route| !route.has_id && route.path == path)
    }

    /// Returns the corrected path for a route with an id. Before the id, extra slashes at the start and a repeated `v1`
    /// are removed. The id is left unchanged.
    fn corrected_with_id(&self, path: &str) -> Option<String> {
        let mut rest = path.trim_start_matches('/');
        while let Some(after) =
            rest.strip_prefix("v1/").filter(|after| after.trim_start_matches('/').starts_with("v1/"))
        {
            rest = after.trim_start_matches('/');
        }
        let corrected = format!("/{rest}");
        let is_known = self.0.iter().any(|route| route.has_id && corrected.starts_with(&route.path));
        (is_known && corrected != path).then_some(corrected)
    }

    /// Returns the label of the route that the client most likely meant. `None`: no route is similar enough.
    pub fn nearest(&self, path: &str) -> Option<&str> {
        let path = path.to_ascii_lowercase();
        let requested: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let named = self.0.iter().filter(|route| route.path != "/");
        let candidates = named.filter_map(|route| Some((route.distance(&requested)?, route)));
        candidates.min_by_key(|(distance, _)| *distance).map(|(_, route)| &*route.label)
    }

    /// Returns the request with its path corrected, if it needs a correction.
    pub fn correct(&self, mut request: Request) -> Request {
        let Some(path) = self.corrected(request.uri().path()) else { return request };
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let Ok(path) = PathAndQuery::try_from(format!("{path}{query}")) else { return request };
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(path);
        // If the result is not a valid URI, the request keeps its path.
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
    fn misspelt_paths_are_corrected_and_others_left_alone() {
        let paths = paths();
        for (requested, corrected) in [
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
            assert_eq!(paths.corrected(requested).as_deref(), Some(corrected), "{requested}");
        }
        for requested in [
            "/",
            "/embed",
            "/v1/search",
            "/v1/papers/10.1000//x",
            "/v1",
            "/nothing/here",
            "/docs/",
            "/static/x.css",
        ] {
            assert_eq!(paths.corrected(requested), None, "{requested}");
        }
    }

    #[test]
    fn nearest_suggests_the_most_similar_route() {
        let paths = paths();
        for (requested, nearest) in [
            ("/api/v1/search", "POST /v1/search"),
            ("/openai/embeddings", "POST /v1/embeddings"),
            ("/v1/embedings", "POST /v1/embeddings"),
            ("/v1/searchs", "POST /v1/search"),
            ("/v1/paper/1", "GET /v1/papers/{id}"),
            ("/helth", "GET /health"),
        ] {
            assert_eq!(paths.nearest(requested), Some(nearest), "{requested}");
        }
        for requested in ["/v1/nothing", "/wp-login.php", "/x"] {
            assert_eq!(paths.nearest(requested), None, "{requested}");
        }
    }
}
