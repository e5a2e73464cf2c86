//! The address of a collection: its location, and options for creating and querying it.
//!
//! This module does not depend on the SDK's types.

use crate::error::{Error, Result};
use percent_encoding::percent_decode_str;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use url::Url;

/// The scheme of an address.
const SCHEME: &str = "milvus";

/// The default port of Milvus.
const DEFAULT_PORT: u16 = 19530;

/// The form of an address.
const ADDRESS_FORMAT: &str = "milvus://HOST:PORT/COLLECTION";

/// The kind of the vector index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexKind {
    /// A graph in memory.
    Hnsw,
    /// A graph on disk.
    DiskAnn,
    /// Inverted lists in memory, of vectors with one bit per dimension.
    IvfRabitq,
}

/// The writes that a query must see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// All writes.
    Strong,
    /// All writes of this process, and all writes of other processes except those of the last seconds.
    Session,
    /// All writes except those of the last seconds.
    Bounded,
    /// No guarantee.
    Eventually,
}

/// An option with a fixed set of values.
trait NamedValue: Sized + Copy + 'static {
    const ALL: &'static [(&'static str, Self)];

    fn named(option: &str, name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        let names = || Self::ALL.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
        found.map(|(_, value)| *value).ok_or_else(|| wrong(option, &format!("one of {}", names()), name))
    }
}

impl NamedValue for IndexKind {
    const ALL: &'static [(&'static str, IndexKind)] =
        &[("hnsw", IndexKind::Hnsw), ("diskann", IndexKind::DiskAnn), ("ivf_rabitq", IndexKind::IvfRabitq)];
}

impl NamedValue for Consistency {
    const ALL: &'static [(&'static str, Consistency)] = &[
        ("strong", Consistency::Strong),
        ("session", Consistency::Session),
        ("bounded", Consistency::Bounded),
        ("eventually", Consistency::Eventually),
    ];
}

impl NamedValue for bool {
    const ALL: &'static [(&'static str, bool)] = &[("true", true), ("false", false)];
}

/// The location of a collection, and options for creating and querying it.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Host and port.
    pub host: String,
    /// Name of the collection.
    pub collection: String,
    /// Name of the database; empty for the engine's default.
    pub database: String,
    /// User name and password, or API key.
    pub login: Login,
    /// Whether to connect with TLS.
    pub tls: bool,
    /// Path of the CA certificate in PEM format that signed the server's certificate; `None`: the certificates of the
    /// operating system.
    pub ca: Option<PathBuf>,
    /// Number of shards, 1 to 16; used when the collection is created.
    pub shards: i32,
    /// Number of copies in memory, 1 to 64; used when the collection is first loaded.
    pub replicas: i32,
    /// Kind of the vector index; used when the collection is created.
    pub kind: IndexKind,
    /// Number of links of each node in an HNSW graph, 4 to 64; used when the collection is created.
    pub m: usize,
    /// Number of candidates while an HNSW graph is built, 8 to 4,096; used when the collection is created.
    pub ef_construction: usize,
    /// Number of candidates of a search, 1 to 32,768: `ef` of HNSW, `search_list` of DiskANN, and `nprobe` of IVF,
    /// which is a number of lists and not of candidates. If the number is below 1.5 times the number of requested hits,
    /// a search uses 1.5 times the number of requested hits instead.
    pub ef: usize,
    /// The writes that a query must see.
    pub consistency: Consistency,
}

/// The credentials for a connection.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// No credentials.
    None,
    /// A user name and a password.
    User(String, String),
    /// An API key.
    Token(String),
}

/// The text contains no secrets, because logs and pages show it.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}://{}/{}", self.host, self.collection)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Settings {
    type Err = Error;

    fn from_str(text: &str) -> Result<Settings> {
        // The message does not repeat the address, which may contain a password.
        let url = Url::parse(text)
            .map_err(|error| Error::Invalid(format!("--index must be {ADDRESS_FORMAT}: {error}")))?;
        if url.scheme() != SCHEME {
            let scheme = url.scheme();
            return Err(Error::Invalid(format!(
                "--index must be {ADDRESS_FORMAT} (got the scheme {scheme:?})"
            )));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host =
            host.ok_or_else(|| Error::Invalid(format!("--index must be {ADDRESS_FORMAT} (got no host)")))?;
        let collection = url.path().trim_matches('/');
        if !is_name(collection) {
            return Err(Error::Invalid(format!(
                "--index must be {ADDRESS_FORMAT}, with a collection name of letters, digits and _ that does not \
                 begin with a digit (got the name {collection:?})"
            )));
        }
        let mut settings = Settings {
            host: format!("{host}:{}", url.port().unwrap_or(DEFAULT_PORT)),
            collection: collection.into(),
            database: String::new(),
            login: login(&url),
            tls: false,
            ca: None,
            shards: 1,
            replicas: 1,
            kind: IndexKind::Hnsw,
            m: 16,
            ef_construction: 200,
            ef: 256,
            consistency: Consistency::Session,
        };
        url.query_pairs().try_for_each(|(name, value)| settings.set(&name, &value))?;
        Ok(settings)
    }
}

impl Settings {
    /// Sets an option, as in the query string of an address.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the option, if there is no such option or the value is not allowed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "database" => self.database = value.into(),
            "token" => self.login = Login::Token(value.into()),
            "tls" => self.tls = bool::named(name, value)?,
            "ca" => self.ca = Some(value.into()),
            "shards" => self.shards = number(name, value, 1..=16)? as i32,
            "replicas" => self.replicas = number(name, value, 1..=64)? as i32,
            "kind" => self.kind = IndexKind::named(name, value)?,
            "m" => self.m = number(name, value, 4..=64)?,
            "ef_construction" => self.ef_construction = number(name, value, 8..=4096)?,
            "ef" => self.ef = number(name, value, 1..=32_768)?,
            "consistency" => self.consistency = Consistency::named(name, value)?,
            _ => {
                return Err(Error::Invalid(format!(
                    "--index: an option after the ? must be database, token, tls, ca, shards, replicas, kind, m, \
                     ef_construction, ef or consistency (got {name:?})"
                )));
            }
        }
        Ok(())
    }
}

impl Settings {
    /// Uses the given credentials if the address has none. If the address has a user name without a password, uses the
    /// given password.
    pub fn or_login(self, user: Option<String>, password: Option<String>, token: Option<String>) -> Settings {
        let login = match (&self.login, token, user) {
            (Login::None, Some(token), _) => Login::Token(token),
            (Login::None, None, Some(user)) => Login::User(user, password.unwrap_or_default()),
            (Login::User(own, empty), None, _) if empty.is_empty() => {
                Login::User(own.clone(), password.unwrap_or_default())
            }
            (own, ..) => own.clone(),
        };
        Settings { login, ..self }
    }
}

/// An address without its password and token, for display; `…` if the address is not a URL.
pub fn without_secrets(address: &str) -> String {
    let Ok(mut url) = Url::parse(address) else { return "…".into() };
    if url.password().is_some() {
        let _ = url.set_password(Some("…"));
    }
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| name != "token")
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    url.to_string()
}

/// Reads the credentials in front of the host name of a URL.
fn login(url: &Url) -> Login {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match (url.username(), url.password()) {
        ("", _) => Login::None,
        (user, password) => Login::User(decoded(user), decoded(password.unwrap_or_default())),
    }
}

fn is_name(name: &str) -> bool {
    let is_letter = |character: char| character.is_ascii_alphanumeric() || character == '_';
    name.len() <= 255
        && name.chars().all(is_letter)
        && name.starts_with(|first: char| !first.is_ascii_digit())
}

fn number(option: &str, text: &str, range: std::ops::RangeInclusive<usize>) -> Result<usize> {
    let allowed = || format!("between {} and {}", range.start(), range.end());
    text.parse().ok().filter(|value| range.contains(value)).ok_or_else(|| wrong(option, &allowed(), text))
}

/// The error for an option whose value is not allowed.
fn wrong(option: &str, allowed: &str, value: &str) -> Error {
    Error::Invalid(format!("--index: {option} must be {allowed} (got {value:?})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_parsed_with_credentials_and_options() {
        let parse = |text: &str| text.parse::<Settings>();
        let plain = parse("milvus://localhost/papers").unwrap();
        assert_eq!((plain.host.as_str(), plain.collection.as_str()), ("localhost:19530", "papers"));
        assert!(plain.login == Login::None && plain.kind == IndexKind::Hnsw && !plain.tls);
        let all = "milvus://ann:b%2Fc+d@[::1]:1/p_1?database=d&tls=true&kind=diskann&ef=99&consistency=strong&shards=4";
        let all = parse(all).unwrap();
        assert!(all.login == Login::User("ann".into(), "b/c+d".into()), "{all}");
        assert!(all.tls && all.kind == IndexKind::DiskAnn && all.consistency == Consistency::Strong);
        assert_eq!((all.database.as_str(), all.ef, all.shards), ("d", 99, 4));
        assert_eq!(format!("{all:?}"), "milvus://[::1]:1/p_1", "without the password");
        assert!(parse("milvus://h/p?token=t").unwrap().login == Login::Token("t".into()));
    }

    #[test]
    fn address_errors_name_the_problem_but_not_the_password() {
        for (address, named) in [
            ("http://localhost/papers", "\"http\""),
            ("milvus://localhost", "name"),
            ("milvus:///papers", "host"),
            ("milvus://localhost/1a", "\"1a\""),
            ("milvus://localhost/a-b", "\"a-b\""),
            ("milvus://u:secret@localhost/a?kind=flat", "hnsw, diskann, ivf_rabitq"),
            ("milvus://u:secret@localhost/a?shards=0", "between 1 and 16"),
            ("milvus://u:secret@localhost/a?colour=red", "\"colour\""),
            ("papers", "milvus://HOST:PORT/COLLECTION"),
        ] {
            let error = address.parse::<Settings>().unwrap_err().to_string();
            assert!(error.contains(named) && !error.contains("secret"), "{address}: {error}");
        }
    }
}
