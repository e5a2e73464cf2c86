//! Cookies: the papers that a visitor follows, the newest paper when the visitor last opened a day page, and the
//! visitor's key.
//!
//! The state of visitors is in cookies only; the server stores nothing about visitors.

use super::back;
use crate::server::App;
use crate::server::access::{KEY_COOKIE, cookie};
use crate::server::body::Form;
use crate::server::problem::Problem;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

/// Maximum number of followed papers, because the size of a cookie is limited.
const MAX_FOLLOWED: usize = 40;

/// Maximum length in bytes of the value of the cookie with the followed papers. Browsers ignore cookies of more than
/// 4096 bytes, including the name.
const MAX_COOKIE_BYTES: usize = 3800;

/// Separator of the ids in the cookie; an id never contains a line break.
const ID_SEPARATOR: &str = "\n";

/// Names of the cookies.
const FOLLOWED_COOKIE: &str = "followed";
const SEEN_COOKIE: &str = "seen";
const SINCE_COOKIE: &str = "since";

/// Lifetime of persistent cookies: one year in seconds.
const COOKIE_LIFETIME: u32 = 31_536_000;

/// The state in a visitor's cookies.
pub struct Visitor {
    /// Ids of the followed papers.
    pub followed: Vec<String>,
    /// The largest paper number in the library when the visitor last opened a day page during the previous visit.
    /// Papers with larger numbers are new to the visitor. `None`: the visitor has not opened a day page before.
    pub since: Option<i64>,
    /// The largest paper number in the library when the visitor last opened a day page. `None`: the visitor has not
    /// opened a day page before.
    seen: Option<i64>,
}

impl Visitor {
    /// Reads the cookies of a request.
    pub fn of(headers: &HeaderMap) -> Visitor {
        let number = |name| cookie(headers, name).and_then(|value| value.parse().ok());
        let followed = cookie(headers, FOLLOWED_COOKIE).unwrap_or_default();
        let followed = followed.split(ID_SEPARATOR).filter(|id| !id.is_empty()).map(str::to_string);
        let (since, seen) = (number(SINCE_COOKIE), number(SEEN_COOKIE));
        Visitor { followed: followed.take(MAX_FOLLOWED).collect(), since: since.or(seen), seen }
    }

    /// Sets the cookies of a visit, in the response with a day page. `seen`, which persists, is set to `last`, the
    /// largest paper number in the library now. `since`, which lasts until the browser is closed, is set to the value
    /// of `seen` at the end of the previous visit, or to `last` on the first visit.
    pub fn record_visit(&self, response: &mut Response, last: i64) {
        // `last` can be smaller than `seen` if the data folder was created again.
        if self.seen != Some(last) {
            set(response, SEEN_COOKIE, &last.to_string(), Some(COOKIE_LIFETIME));
        }
        // A cookie without a lifetime lasts until the browser is closed, which ends the visit.
        set(response, SINCE_COOKIE, &self.since.unwrap_or(last).min(last).to_string(), None);
    }
}

/// Adds a cookie to a response. The cookie lasts for `seconds`; `None`: until the browser is closed.
fn set(response: &mut Response, name: &str, value: &str, seconds: Option<u32>) {
    let value = encoded(value);
    let age = seconds.map_or(String::new(), |seconds| format!("; Max-Age={seconds}"));
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{age}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

fn encoded(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

/// The form that follows or unfollows a paper.
#[derive(Deserialize)]
pub struct FollowForm {
    id: String,
    /// `yes` follows the paper; any other value unfollows it.
    follow: String,
}

/// Follows or unfollows a paper.
pub async fn follow(headers: HeaderMap, Form(form): Form<FollowForm>) -> Result<Response, Problem> {
    let mut followed = Visitor::of(&headers).followed;
    followed.retain(|id| *id != form.id);
    if form.follow == "yes" {
        followed.insert(0, form.id);
        followed.truncate(MAX_FOLLOWED);
    }
    // Browsers silently ignore cookies that are too long, so drop the papers that have been followed for the longest
    // time.
    while encoded(&followed.join(ID_SEPARATOR)).len() > MAX_COOKIE_BYTES {
        followed.pop();
    }
    let mut response = back(&headers, "/").into_response();
    set(&mut response, FOLLOWED_COOKIE, &followed.join(ID_SEPARATOR), Some(COOKIE_LIFETIME));
    Ok(response)
}

/// The form in which a visitor enters a key.
#[derive(Deserialize)]
pub struct KeyForm {
    key: String,
}

/// Stores a visitor's key in a cookie.
///
/// # Errors
/// Returns 401 if the key is unknown.
pub async fn key(State(app): State<App>, Form(form): Form<KeyForm>) -> Result<Response, Problem> {
    if !app.options().keys.contains(form.key.trim()) {
        return Err(Problem::unauthorized("the key is unknown; ask the operator of this server for a key"));
    }
    let mut response = Redirect::to("/").into_response();
    set(&mut response, KEY_COOKIE, form.key.trim(), None);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookies: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, cookies.parse().unwrap())])
    }

    #[test]
    fn a_cookie_that_was_set_is_read_back() {
        let mut response = ().into_response();
        set(&mut response, FOLLOWED_COOKIE, "10.1000/a;b\né | é\nx=y", Some(1));
        let cookie =
            response.headers()[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_string();
        assert_eq!(Visitor::of(&headers(&cookie)).followed, ["10.1000/a;b", "é | é", "x=y"]);
        assert!(Visitor::of(&headers("followed; =; a")).followed.is_empty());
    }

    #[test]
    fn papers_since_the_previous_visit_stay_new_until_the_browser_is_closed() {
        let cookies_set = |cookies: &str, last| {
            let mut response = ().into_response();
            Visitor::of(&headers(cookies)).record_visit(&mut response, last);
            let cookies = response.headers().get_all(header::SET_COOKIE).iter();
            cookies
                .map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(Visitor::of(&headers("")).since, None);
        assert_eq!(cookies_set("", 7), ["seen=7", "since=7"]);
        assert_eq!(cookies_set("seen=7", 9), ["seen=9", "since=7"]);
        assert_eq!(cookies_set("seen=9; since=7", 9), ["since=7"]);
        assert_eq!(cookies_set("seen=99", 9), ["seen=9", "since=9"], "the data folder was created again");
        assert_eq!(Visitor::of(&headers("seen=9; since=7")).since, Some(7));
    }
}
