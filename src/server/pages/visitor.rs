//! What a browser keeps for its reader: which papers are followed, what was new at the last visit, a key.
//!
//! Its own file because it is in cookies and nowhere else: the server knows no readers.

use super::back;
use crate::server::App;
use crate::server::access::{COOKIE, cookie};
use crate::server::body::Form;
use crate::server::problem::Problem;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

/// Most papers that are followed: a cookie has so much room.
const MOST_FOLLOWED: usize = 40;

/// Most bytes of a cookie's value.
const MOST_BYTES: usize = 3800;

/// Stands between two ids; no id has it in it.
const BETWEEN: &str = "\n";

const FOLLOWED: &str = "followed";
const SEEN: &str = "seen";
const SINCE: &str = "since";

/// Seconds that a browser keeps what it was told: a year.
const YEAR: u32 = 31_536_000;

/// What a browser has told.
pub struct Visitor {
    /// Ids of papers that are followed.
    pub followed: Vec<String>,
    /// The largest number of a paper that was here at the last visit; `None` at the first.
    pub since: Option<i64>,
    seen: Option<i64>,
}

impl Visitor {
    /// By a request's cookies.
    pub fn of(headers: &HeaderMap) -> Visitor {
        let number = |name| cookie(headers, name).and_then(|value| value.parse().ok());
        let followed = cookie(headers, FOLLOWED).unwrap_or_default();
        let followed = followed.split(BETWEEN).filter(|id| !id.is_empty()).map(str::to_string);
        let (since, seen) = (number(SINCE), number(SEEN));
        Visitor { followed: followed.take(MOST_FOLLOWED).collect(), since: since.or(seen), seen }
    }

    /// Tells the browser which papers are here now, and for as long as it is open, which were at the visit before.
    pub fn saw(&self, response: &mut Response, last: i64) {
        // The folder may have been made anew, with smaller numbers.
        if self.seen != Some(last) {
            set(response, SEEN, &last.to_string(), Some(YEAR));
        }
        // A visit lasts until the browser is closed.
        set(response, SINCE, &self.since.unwrap_or(last).min(last).to_string(), None);
    }
}

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

/// A paper that is followed, or no more.
#[derive(Deserialize)]
pub struct Follow {
    id: String,
    follow: String,
}

/// Notes that a paper is followed.
pub async fn follow(headers: HeaderMap, Form(form): Form<Follow>) -> Result<Response, Problem> {
    let mut followed = Visitor::of(&headers).followed;
    followed.retain(|id| *id != form.id);
    if form.follow == "yes" {
        followed.insert(0, form.id);
        followed.truncate(MOST_FOLLOWED);
    }
    // A browser keeps no cookie that is longer, and says nothing.
    while encoded(&followed.join(BETWEEN)).len() > MOST_BYTES {
        followed.pop();
    }
    let mut response = back(&headers, "/").into_response();
    set(&mut response, FOLLOWED, &followed.join(BETWEEN), Some(YEAR));
    Ok(response)
}

/// The key that a reader has.
#[derive(Deserialize)]
pub struct KeyForm {
    key: String,
}

/// Notes a reader's key, where a server wants one.
pub async fn key(State(app): State<App>, Form(form): Form<KeyForm>) -> Result<Response, Problem> {
    if !app.options().keys.knows(form.key.trim()) {
        return Err(Problem::unauthorized(
            "got a key that is not known; ask whoever runs this server for one",
        ));
    }
    let mut response = Redirect::to("/").into_response();
    set(&mut response, COOKIE, form.key.trim(), None);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookies: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, cookies.parse().unwrap())])
    }

    #[test]
    fn what_is_set_is_read_again() {
        let mut response = ().into_response();
        set(&mut response, FOLLOWED, "10.1000/a;b\né | é\nx=y", Some(1));
        let told =
            response.headers()[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_string();
        assert_eq!(Visitor::of(&headers(&told)).followed, ["10.1000/a;b", "é | é", "x=y"]);
        assert!(Visitor::of(&headers("followed; =; a")).followed.is_empty());
    }

    #[test]
    fn what_came_since_the_last_visit_is_new_for_as_long_as_this_one_lasts() {
        let told = |cookies: &str, last| {
            let mut response = ().into_response();
            Visitor::of(&headers(cookies)).saw(&mut response, last);
            let told = response.headers().get_all(header::SET_COOKIE).iter();
            told.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(Visitor::of(&headers("")).since, None);
        assert_eq!(told("", 7), ["seen=7", "since=7"]);
        assert_eq!(told("seen=7", 9), ["seen=9", "since=7"]);
        assert_eq!(told("seen=9; since=7", 9), ["since=7"]);
        assert_eq!(told("seen=99", 9), ["seen=9", "since=9"], "of another folder");
        assert_eq!(Visitor::of(&headers("seen=9; since=7")).since, Some(7));
    }
}
