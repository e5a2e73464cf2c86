//! Access control: API keys, their permissions and rate limits, and the rules for writing without a key.
//!
//! The [`middleware`](super::middleware) calls [`Keys::check`] for every request, except for a few public paths, so no
//! route can forget the check.

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

/// Minimum length of a key in bytes: shorter keys can be guessed.
const MIN_KEY_BYTES: usize = 16;

/// Headers that proxies add to the requests they forward.
const PROXY_HEADERS: [&str; 9] = [
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

/// Name of the cookie in which a browser sends a key. A key in the cookie grants read permission only, because a page
/// of another site can make a browser send the cookie.
pub const KEY_COOKIE: &str = "key";

/// The requests that a key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Every request that does not change papers.
    Read,
    /// Everything that `Read` allows, and adding and deleting papers.
    Write,
}

/// A key's digest, permission and rate limit. The key itself is not kept, so it cannot be logged.
#[derive(Clone)]
struct ApiKey {
    digest: [u8; 32],
    permission: Permission,
    /// Maximum number of requests per second, and the limiter that enforces this maximum; `None`: no limit.
    limit: Option<(u32, Arc<DefaultDirectRateLimiter>)>,
}

/// The keys that the server accepts.
#[derive(Clone, Default)]
pub struct Keys(Vec<ApiKey>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

/// The contents of a key file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    #[serde(default)]
    key: Vec<KeyTable>,
}

/// One `[[key]]` table of a key file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyTable {
    /// A note for the people who edit the file; the server ignores it.
    #[serde(rename = "name")]
    _name: Option<String>,
    key: String,
    may: Permission,
    per_second: Option<NonZeroU32>,
}

impl Keys {
    /// Adds a key, limited to `per_second` requests per second. `None`: no limit.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`] if the key is shorter than [`MIN_KEY_BYTES`]; the message does not contain the key.
    pub fn add(&mut self, key: &str, permission: Permission, per_second: Option<NonZeroU32>) -> Result<()> {
        let key = key.trim();
        if key.len() < MIN_KEY_BYTES {
            let got = key.len();
            return Err(Error::Invalid(format!(
                "a key must have at least {MIN_KEY_BYTES} bytes (got {got}); `openssl rand -hex 24` makes a key"
            )));
        }
        let limit =
            per_second.map(|count| (count.get(), Arc::new(RateLimiter::direct(Quota::per_second(count)))));
        self.0.push(ApiKey { digest: Sha256::digest(key).into(), permission, limit });
        Ok(())
    }

    /// Adds the keys of a TOML file: `[[key]]` tables with `key`, `may = "read"` or `"write"`, and optionally
    /// `per_second` and `name`.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if the file cannot be read, and [`Error::Invalid`] if it has no keys, a table is malformed
    /// or a key is too short. No message contains a key.
    pub fn add_file(&mut self, path: &Path) -> Result<()> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        // The parser's message quotes the file and could contain a key, so only the line number is reported.
        let file: KeyFile = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            Error::Invalid(format!(
                "{}: line {line} is invalid: a [[key]] table must have key = \"…\" and may = \"read\" or \"write\", and can \
                 have per_second = 10 and name = \"…\"",
                path.display()
            ))
        })?;
        if file.key.is_empty() {
            return Err(Error::Invalid(format!(
                "{}: the file must have at least one [[key]] table (got none)",
                path.display()
            )));
        }
        file.key.iter().try_for_each(|table| {
            self.add(&table.key, table.may, table.per_second)
                .map_err(|error| Error::Invalid(format!("{}: {error}", path.display())))
        })
    }

    /// Sets the rate limit of all keys that have no limit.
    pub fn set_default_rate(&mut self, per_second: NonZeroU32) {
        for key in self.0.iter_mut().filter(|key| key.limit.is_none()) {
            key.limit =
                Some((per_second.get(), Arc::new(RateLimiter::direct(Quota::per_second(per_second)))));
        }
    }

    /// Returns the key with the digest of `sent`. Compares `sent` with every key, each time in constant time, so that
    /// the duration of the search does not reveal a key.
    fn find(&self, sent: &str) -> Option<&ApiKey> {
        let digest: [u8; 32] = Sha256::digest(sent).into();
        let mut found = None;
        for key in &self.0 {
            if bool::from(key.digest.ct_eq(&digest)) {
                found = Some(key);
            }
        }
        found
    }

    /// Whether `key` is one of the keys.
    pub fn contains(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Whether any of the keys has exactly this permission.
    pub fn has(&self, permission: Permission) -> bool {
        self.0.iter().any(|key| key.permission == permission)
    }

    /// Checks that a request has the permission `required`. `peer` is the address that the request comes from; `None`:
    /// unknown.
    ///
    /// # Errors
    /// Returns 401 if the request needs a key and its key is missing or unknown, and 429 if the key exceeds its rate
    /// limit. Returns 403 for a write with a read key if the server has a write key. If the server has no write key,
    /// returns 403 for a write from another machine, through a proxy, or from a page of another site.
    pub fn check(
        &self,
        required: Permission,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Result<(), Problem> {
        let in_cookie = if required == Permission::Read { cookie(headers, KEY_COOKIE) } else { None };
        let sent = sent_key(headers).or(in_cookie.as_deref());
        let key = sent.and_then(|sent| self.find(sent));
        match (required, key) {
            (Permission::Read, None) if !self.has(Permission::Read) => Ok(()),
            (Permission::Write, None) if !self.has(Permission::Write) => {
                may_write_without_key(headers, peer).map_err(Problem::forbidden)
            }
            (_, None) => {
                let problem = if sent.is_some() { "the key is unknown" } else { "the request has no key" };
                Err(Problem::unauthorized(format!(
                    "{problem}; send a header `Authorization: Bearer KEY` or `x-api-key: KEY`"
                )))
            }
            (Permission::Write, Some(key))
                if key.permission < Permission::Write && !self.has(Permission::Write) =>
            {
                may_write_without_key(headers, peer).map_err(Problem::forbidden)
            }
            (Permission::Write, Some(key)) if key.permission < Permission::Write => {
                Err(Problem::forbidden("this key allows only reading; send a key that allows writing"))
            }
            (_, Some(ApiKey { limit: Some((per_second, limiter)), .. })) => {
                limiter.check().map_err(|early| {
                    Problem::rate_limited(*per_second, early.wait_time_from(DefaultClock::default().now()))
                })
            }
            (_, Some(_)) => Ok(()),
        }
    }
}

/// Returns the key that a request sent: in `Authorization: Bearer`, as clients of OpenAI, TEI and Cohere do, or else in
/// `x-api-key`, as clients of Semantic Scholar do. Every route accepts both headers.
fn sent_key(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| headers.get("x-api-key")?.to_str().ok())
}

/// Returns the value of a cookie, percent-decoded.
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(other, _)| *other == name)?;
    form_urlencoded::parse(format!("v={value}").as_bytes()).next().map(|(_, value)| value.into_owned())
}

/// Checks that a request may write although the server has no write key. The request must come from this machine. It
/// must not come through a proxy, nor from a page of another site in the user's browser, and its `Host` header must
/// name this machine. A proxy that adds no header is not recognised, so a server behind such a proxy needs a write key.
fn may_write_without_key(headers: &HeaderMap, peer: Option<IpAddr>) -> Result<(), String> {
    let refused = |reason: &str| {
        Err(format!(
            "{reason}; the server has no write key (--keys, LIKEWISE_WRITE_KEY), so papers can be written from \
             the server's own machine only"
        ))
    };
    if !peer.is_some_and(|peer| peer.to_canonical().is_loopback()) {
        return refused("the request comes from another machine");
    }
    if PROXY_HEADERS.iter().any(|name| headers.contains_key(*name)) {
        return refused("the request comes through a proxy");
    }
    let is_local = |value: &axum::http::HeaderValue| value.to_str().is_ok_and(is_local_host);
    if !headers.get_all(header::HOST).iter().all(is_local) {
        return refused("the request's Host header does not name this machine");
    }
    let is_same_origin = |value: &axum::http::HeaderValue| {
        value.to_str().is_ok_and(|origin| {
            origin.split_once("://").is_some_and(|(_, host)| is_local_host(host))
                && headers
                    .get(header::HOST)
                    .is_some_and(|host| origin.ends_with(host.to_str().unwrap_or("\0")))
        })
    };
    if !headers.get(header::ORIGIN).is_none_or(is_same_origin) {
        return refused("the request comes from a page of another site");
    }
    Ok(())
}

/// Whether a `Host` header (a name or address, and optionally a port) is `localhost` or a loopback address.
pub fn is_local_host(host: &str) -> bool {
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

    const READ_KEY: &str = "a-key-that-may-read";
    const WRITE_KEY: &str = "a-key-that-may-write";

    fn keys(names: &[(&str, Permission)]) -> Keys {
        let mut keys = Keys::default();
        names.iter().for_each(|(key, permission)| keys.add(key, *permission, None).unwrap());
        keys
    }

    fn status(keys: &Keys, required: Permission, headers: &[(&'static str, &str)], peer: &str) -> u16 {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        keys.check(required, &headers, Some(peer.parse().unwrap()))
            .map_or_else(|problem| problem.status.as_u16(), |()| 200)
    }

    #[test]
    fn a_key_grants_its_permission() {
        let bearer = |key: &str| format!("Bearer {key}");
        let both = keys(&[(READ_KEY, Permission::Read), (WRITE_KEY, Permission::Write)]);
        for (required, name, value, expected) in [
            (Permission::Read, "x-other", READ_KEY.to_string(), 401),
            (Permission::Read, "x-api-key", READ_KEY.to_string(), 200),
            (Permission::Read, "authorization", bearer(READ_KEY), 200),
            (Permission::Read, "authorization", bearer("a-key-that-may-reaD"), 401),
            (Permission::Read, "authorization", READ_KEY.to_string(), 401),
            (Permission::Read, "authorization", bearer(WRITE_KEY), 200),
            (Permission::Write, "authorization", bearer(READ_KEY), 403),
            (Permission::Write, "authorization", bearer(WRITE_KEY), 200),
            (Permission::Write, "x-api-key", String::new(), 401),
        ] {
            assert_eq!(
                status(&both, required, &[(name, &value)], "127.0.0.1"),
                expected,
                "{required:?} {name} {value}"
            );
        }
        let only_write = keys(&[(WRITE_KEY, Permission::Write)]);
        assert_eq!(status(&only_write, Permission::Read, &[], "10.0.0.1"), 200, "reading needs no key");
        assert_eq!(status(&only_write, Permission::Write, &[], "127.0.0.1"), 401);
    }

    #[test]
    fn without_a_write_key_only_local_requests_may_write() {
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
            assert_eq!(status(&none, Permission::Write, headers, peer), expected, "{headers:?} {peer}");
        }
    }

    #[test]
    fn requests_over_the_rate_limit_get_429() {
        let mut keys = keys(&[(READ_KEY, Permission::Read)]);
        keys.set_default_rate(NonZeroU32::new(3).unwrap());
        let request = || status(&keys, Permission::Read, &[("x-api-key", READ_KEY)], "10.0.0.1");
        assert_eq!([request(), request(), request(), request()], [200, 200, 200, 429]);
    }

    #[test]
    fn add_file_reads_keys_and_errors_do_not_contain_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let mut keys = Keys::default();
            keys.add_file(&path).map(|()| keys).map_err(|error| error.to_string())
        };
        let keys = read(&format!(
            "[[key]]\nname = \"me\"\nkey = \"{WRITE_KEY}\"\nmay = \"write\"\nper_second = 5\n"
        ))
        .unwrap();
        assert_eq!(format!("{keys:?}"), "1 keys");
        assert_eq!(status(&keys, Permission::Write, &[("x-api-key", WRITE_KEY)], "10.0.0.1"), 200);
        for invalid in [
            format!("[[key]]\nkey = \"{WRITE_KEY}\"\nmay = \"all\""),
            format!("[[key]]\nkey = {WRITE_KEY}"),
            format!("[[key]]\nkey = \"{WRITE_KEY}\"\nmay = \"read\"\nper_second = 0"),
            "[[key]]\nkey = \"short-secret\"\nmay = \"read\"".into(),
        ] {
            let error = read(&invalid).unwrap_err();
            assert!(!error.contains(WRITE_KEY) && !error.contains("short-secret"), "{error}");
            assert!(error.contains("keys.toml") && error.contains("must"), "{error}");
        }
    }
}
