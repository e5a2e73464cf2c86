//! Who may in: keys, how often each may ask, and who may write without one.
//!
//! Its own file because nothing here may be forgotten by a route: it stands before all of them.

use super::problem::Problem;
use crate::error::{Error, Result};
use axum::http::{HeaderMap, header};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Shortest key that is taken: shorter ones are guessed.
const MIN_KEY_BYTES: usize = 16;

/// What proxies add to what they pass on.
const PROXIES: [&str; 9] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "x-client-ip",
    "cf-connecting-ip",
    "true-client-ip",
];

/// The cookie that a reader's browser sends a key in. It opens what can be read, and nothing else: another site's page may
/// make a browser send it.
pub const COOKIE: &str = "key";

/// What a key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// To ask.
    Read,
    /// To ask, and to add and delete papers.
    Write,
}

/// A key, as its digest: what is not kept cannot be printed.
#[derive(Clone)]
struct Key {
    digest: [u8; 32],
    right: Right,
    limit: Option<(u32, Arc<DefaultDirectRateLimiter>)>,
}

/// The keys that are known.
#[derive(Clone, Default)]
pub struct Keys(Vec<Key>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

/// A file of keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// For people; not used.
    #[serde(rename = "name")]
    _name: Option<String>,
    key: String,
    may: Right,
    per_second: Option<NonZeroU32>,
}

impl Keys {
    /// Adds a key, which may be used so often.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is too short; the message does not have it.
    pub fn add(&mut self, key: &str, right: Right, per_second: Option<NonZeroU32>) -> Result<()> {
        let key = key.trim();
        if key.len() < MIN_KEY_BYTES {
            let got = key.len();
            return Err(Error::Invalid(format!(
                "got a key of {got} bytes, wanted at least {MIN_KEY_BYTES}; `openssl rand -hex 24` makes one"
            )));
        }
        let limit =
            per_second.map(|count| (count.get(), Arc::new(RateLimiter::direct(Quota::per_second(count)))));
        self.0.push(Key { digest: Sha256::digest(key).into(), right, limit });
        Ok(())
    }

    /// Adds the keys of a file: `[[key]]` tables of `key`, `may = "read"` or `"write"`, `per_second`, `name`.
    pub fn add_file(&mut self, path: &Path) -> Result<()> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        // Neither the parser's message nor its excerpt of the file is shown: it may have a key in it.
        let file: File = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            Error::Invalid(format!(
                "{}: line {line} is not as wanted: [[key]] tables with key = \"…\", may = \"read\" or \"write\" and, if \
                 wanted, per_second = 10 and name = \"…\"",
                path.display()
            ))
        })?;
        if file.key.is_empty() {
            return Err(Error::Invalid(format!("{}: got no key, wanted [[key]] tables", path.display())));
        }
        file.key.iter().try_for_each(|entry| {
            self.add(&entry.key, entry.may, entry.per_second)
                .map_err(|error| Error::Invalid(format!("{}: {error}", path.display())))
        })
    }

    /// How often a key may be used that does not say so itself.
    pub fn limit_others(&mut self, per_second: NonZeroU32) {
        for key in self.0.iter_mut().filter(|key| key.limit.is_none()) {
            key.limit =
                Some((per_second.get(), Arc::new(RateLimiter::direct(Quota::per_second(per_second)))));
        }
    }

    /// The key that was sent. Every known key is compared, all of each: the time says nothing of where they differ.
    fn find(&self, sent: &str) -> Option<&Key> {
        let digest: [u8; 32] = Sha256::digest(sent).into();
        let mut found = None;
        for key in &self.0 {
            if bool::from(key.digest.ct_eq(&digest)) {
                found = Some(key);
            }
        }
        found
    }

    /// Whether there is such a key.
    pub fn knows(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Whether there is a key of this right.
    pub fn has(&self, right: Right) -> bool {
        self.0.iter().any(|key| key.right == right)
    }

    /// Whether a request may go on: `peer` is where it comes from, as far as that is known.
    ///
    /// # Errors
    /// 401 without the key that is wanted, 403 where there can be none, 429 if it was used too often.
    pub fn check(&self, wanted: Right, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<(), Problem> {
        let in_cookie = if wanted == Right::Read { cookie(headers, COOKIE) } else { None };
        let sent = sent_key(headers).or(in_cookie.as_deref());
        let key = sent.and_then(|sent| self.find(sent));
        match (wanted, key) {
            (Right::Read, None) if !self.has(Right::Read) => Ok(()),
            (Right::Write, None) if !self.has(Right::Write) => {
                may_write_without_key(headers, peer).map_err(Problem::forbidden)
            }
            (_, None) => {
                let got = if sent.is_some() { "got a key that is not known" } else { "got no key" };
                Err(Problem::unauthorized(format!(
                    "{got}, wanted Authorization: Bearer KEY, or x-api-key: KEY"
                )))
            }
            (Right::Write, Some(key)) if key.right < Right::Write && !self.has(Right::Write) => {
                may_write_without_key(headers, peer).map_err(Problem::forbidden)
            }
            (Right::Write, Some(key)) if key.right < Right::Write => {
                Err(Problem::forbidden("got a key that may only read, wanted one that may write"))
            }
            (_, Some(Key { limit: Some((per_second, limiter)), .. })) => limiter.check().map_err(|early| {
                Problem::too_often(*per_second, early.wait_time_from(DefaultClock::default().now()))
            }),
            (_, Some(_)) => Ok(()),
        }
    }
}

/// The key of a request, as OpenAI's, TEI's and Cohere's clients send it, or as Semantic Scholar's.
fn sent_key(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| headers.get("x-api-key")?.to_str().ok())
}

/// A cookie's value, as it was set.
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(other, _)| *other == name)?;
    form_urlencoded::parse(format!("v={value}").as_bytes()).next().map(|(_, value)| value.into_owned())
}

/// Without any write key, whoever sits at this machine may write: not what a page in their browser sends in their name,
/// nor what a proxy on this machine brings from elsewhere, as far as it says so: some do not, and need a key.
fn may_write_without_key(headers: &HeaderMap, peer: Option<IpAddr>) -> Result<(), String> {
    let refused = |got: &str| {
        Err(format!(
            "got {got}; without a write key (--keys, LIKEWISE_WRITE_KEY) papers are written from this machine only"
        ))
    };
    if !peer.is_some_and(|peer| peer.to_canonical().is_loopback()) {
        return refused("a request from elsewhere");
    }
    if PROXIES.iter().any(|name| headers.contains_key(*name)) {
        return refused("a request through a proxy");
    }
    let is_here = |value: &axum::http::HeaderValue| value.to_str().is_ok_and(is_this_machine);
    if !headers.get_all(header::HOST).iter().all(is_here) {
        return refused("a request for another host's name");
    }
    let is_own_page = |value: &axum::http::HeaderValue| {
        value.to_str().is_ok_and(|origin| {
            origin.split_once("://").is_some_and(|(_, host)| is_this_machine(host))
                && headers.get(header::HOST).is_some_and(|own| origin.ends_with(own.to_str().unwrap_or("\0")))
        })
    };
    if !headers.get(header::ORIGIN).is_none_or(is_own_page) {
        return refused("a request of another site's page");
    }
    Ok(())
}

/// Whether a `Host` names this machine by one of its own names.
pub fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: &str = "a-key-that-may-read";
    const WRITE: &str = "a-key-that-may-write";

    fn keys(names: &[(&str, Right)]) -> Keys {
        let mut keys = Keys::default();
        names.iter().for_each(|(key, right)| keys.add(key, *right, None).unwrap());
        keys
    }

    fn status(keys: &Keys, wanted: Right, headers: &[(&'static str, &str)], peer: &str) -> u16 {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        keys.check(wanted, &headers, Some(peer.parse().unwrap()))
            .map_or_else(|problem| problem.status.as_u16(), |()| 200)
    }

    #[test]
    fn keys_open_what_they_are_for() {
        let bearer = |key: &str| format!("Bearer {key}");
        let both = keys(&[(READ, Right::Read), (WRITE, Right::Write)]);
        for (wanted, name, value, expected) in [
            (Right::Read, "x-other", READ.to_string(), 401),
            (Right::Read, "x-api-key", READ.to_string(), 200),
            (Right::Read, "authorization", bearer(READ), 200),
            (Right::Read, "authorization", bearer("a-key-that-may-reaD"), 401),
            (Right::Read, "authorization", READ.to_string(), 401),
            (Right::Read, "authorization", bearer(WRITE), 200),
            (Right::Write, "authorization", bearer(READ), 403),
            (Right::Write, "authorization", bearer(WRITE), 200),
            (Right::Write, "x-api-key", String::new(), 401),
        ] {
            assert_eq!(
                status(&both, wanted, &[(name, &value)], "127.0.0.1"),
                expected,
                "{wanted:?} {name} {value}"
            );
        }
        let only_write = keys(&[(WRITE, Right::Write)]);
        assert_eq!(status(&only_write, Right::Read, &[], "10.0.0.1"), 200, "reading is free");
        assert_eq!(status(&only_write, Right::Write, &[], "127.0.0.1"), 401);
    }

    #[test]
    fn without_a_write_key_only_this_machine_itself_writes() {
        let none = Keys::default();
        for (headers, peer, expected) in [
            (&[][..], "127.0.0.1", 200),
            (&[], "::1", 200),
            (&[], "::ffff:127.0.0.1", 200),
            (&[], "192.168.0.7", 403),
            (&[("host", "localhost:8080")], "127.0.0.1", 200),
            (&[("host", "[::1]:8080")], "::1", 200),
            (&[("host", "papers.example")], "127.0.0.1", 403),
            (&[("host", "localhost.papers.example")], "127.0.0.1", 403),
            (&[("x-forwarded-for", "8.8.8.8")], "127.0.0.1", 403),
            (&[("via", "1.1 proxy")], "127.0.0.1", 403),
            (&[("host", "localhost:8080"), ("origin", "http://localhost:8080")], "127.0.0.1", 200),
            (&[("host", "localhost:8080"), ("origin", "http://localhost:3000")], "127.0.0.1", 403),
            (&[("host", "localhost:8080"), ("origin", "https://evil.example")], "127.0.0.1", 403),
            (&[("host", "localhost:8080"), ("origin", "null")], "127.0.0.1", 403),
        ] {
            assert_eq!(status(&none, Right::Write, headers, peer), expected, "{headers:?} {peer}");
        }
    }

    #[test]
    fn a_key_is_used_as_often_as_it_may() {
        let mut keys = keys(&[(READ, Right::Read)]);
        keys.limit_others(NonZeroU32::new(3).unwrap());
        let ask = || status(&keys, Right::Read, &[("x-api-key", READ)], "10.0.0.1");
        assert_eq!([ask(), ask(), ask(), ask()], [200, 200, 200, 429]);
    }

    #[test]
    fn a_file_of_keys_is_read_and_its_secrets_are_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let mut keys = Keys::default();
            keys.add_file(&path).map(|()| keys).map_err(|error| error.to_string())
        };
        let keys =
            read(&format!("[[key]]\nname = \"me\"\nkey = \"{WRITE}\"\nmay = \"write\"\nper_second = 5\n"))
                .unwrap();
        assert_eq!(format!("{keys:?}"), "1 keys");
        assert_eq!(status(&keys, Right::Write, &[("x-api-key", WRITE)], "10.0.0.1"), 200);
        for wrong in [
            format!("[[key]]\nkey = \"{WRITE}\"\nmay = \"all\""),
            format!("[[key]]\nkey = {WRITE}"),
            format!("[[key]]\nkey = \"{WRITE}\"\nmay = \"read\"\nper_second = 0"),
            "[[key]]\nkey = \"short-secret\"\nmay = \"read\"".into(),
        ] {
            let error = read(&wrong).unwrap_err();
            assert!(!error.contains(WRITE) && !error.contains("short-secret"), "{error}");
            assert!(error.contains("keys.toml") && error.contains("wanted"), "{error}");
        }
    }
}
