//! Where a collection is, and how it is made and asked: all that an address says.
//!
//! Its own file because it is what people write, and knows nothing of the engine's own words.

use crate::error::{Error, Result};
use percent_encoding::percent_decode_str;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use url::Url;

/// The scheme of an address.
const SCHEME: &str = "milvus";

/// Where an engine listens, if nobody says.
const PORT: u16 = 19530;

/// What an address looks like.
const WANTED: &str = "wanted milvus://HOST:PORT/COLLECTION";

/// How the engine finds near vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A graph in memory.
    Hnsw,
    /// A graph on disk.
    DiskAnn,
    /// Lists of vectors of a bit a dimension, in memory.
    IvfRabitq,
}

/// How much of what was written a question must see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// All of it.
    Strong,
    /// What this process wrote, and of the rest all but the last seconds.
    Session,
    /// All but the last seconds.
    Bounded,
    /// Something.
    Eventually,
}

/// A value that has one of a few names.
trait Named: Sized + Copy + 'static {
    const ALL: &'static [(&'static str, Self)];

    fn named(option: &str, name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        let names = || Self::ALL.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
        found.map(|(_, value)| *value).ok_or_else(|| wrong(option, name, &format!("one of {}", names())))
    }
}

impl Named for Kind {
    const ALL: &'static [(&'static str, Kind)] =
        &[("hnsw", Kind::Hnsw), ("diskann", Kind::DiskAnn), ("ivf_rabitq", Kind::IvfRabitq)];
}

impl Named for Consistency {
    const ALL: &'static [(&'static str, Consistency)] = &[
        ("strong", Consistency::Strong),
        ("session", Consistency::Session),
        ("bounded", Consistency::Bounded),
        ("eventually", Consistency::Eventually),
    ];
}

impl Named for bool {
    const ALL: &'static [(&'static str, bool)] = &[("true", true), ("false", false)];
}

/// A collection: where it is, how it is made if it is not there, and how it is asked.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Host and port.
    pub host: String,
    /// Its name.
    pub collection: String,
    /// Its database; the engine's own default, if it is empty.
    pub database: String,
    /// A user's name and password, or an API key.
    pub login: Login,
    /// Whether the way there is encrypted.
    pub tls: bool,
    /// The certificate of whoever signed the engine's, in PEM; those of the system, if there is none.
    pub ca: Option<PathBuf>,
    /// Parts that writes go to side by side, 1 to 16; set when the collection is made.
    pub shards: i32,
    /// Copies in memory; set when the collection is loaded first.
    pub replicas: i32,
    /// How near vectors are found; set when the collection is made.
    pub kind: Kind,
    /// Links of a vector in a graph, 4 to 64; set when the collection is made.
    pub m: usize,
    /// Candidates while a graph is built; set when the collection is made.
    pub ef_construction: usize,
    /// Candidates of a search, at least as many as hits are wanted: ef of HNSW, search_list of DiskANN; of IVF, the lists.
    pub ef: usize,
    /// What a question must see.
    pub consistency: Consistency,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// Nobody in particular.
    None,
    /// Somebody with a password.
    User(String, String),
    /// Somebody with a key.
    Token(String),
}

/// Without secrets: this is what logs and pages show.
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
        // It may have a password in it, and is not repeated.
        let url = Url::parse(text).map_err(|error| Error::Invalid(format!("--index: {error}; {WANTED}")))?;
        if url.scheme() != SCHEME {
            return Err(wrong("", url.scheme(), WANTED));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("", "no host", WANTED))?;
        let collection = url.path().trim_matches('/');
        if !is_name(collection) {
            let named = "a collection's name of letters, digits and _, not beginning with a digit";
            return Err(wrong("", collection, &format!("{named}: {WANTED}")));
        }
        let mut settings = Settings {
            host: format!("{host}:{}", url.port().unwrap_or(PORT)),
            collection: collection.into(),
            database: String::new(),
            login: login(&url),
            tls: false,
            ca: None,
            shards: 1,
            replicas: 1,
            kind: Kind::Hnsw,
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
    /// Sets what an address may say after its `?`.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the option.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "database" => self.database = value.into(),
            "token" => self.login = Login::Token(value.into()),
            "tls" => self.tls = bool::named(name, value)?,
            "ca" => self.ca = Some(value.into()),
            "shards" => self.shards = number(name, value, 1..=16)? as i32,
            "replicas" => self.replicas = number(name, value, 1..=64)? as i32,
            "kind" => self.kind = Kind::named(name, value)?,
            "m" => self.m = number(name, value, 4..=64)?,
            "ef_construction" => self.ef_construction = number(name, value, 8..=4096)?,
            "ef" => self.ef = number(name, value, 1..=32_768)?,
            "consistency" => self.consistency = Consistency::named(name, value)?,
            _ => {
                return Err(wrong(
                    "",
                    name,
                    "one of database, token, tls, ca, shards, replicas, kind, m, ef_construction, ef and consistency \
                     after the ?",
                ));
            }
        }
        Ok(())
    }
}

impl Settings {
    /// Who asks, if the address does not say.
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

/// An address as it may be shown: without a password and a token.
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

/// Who asks, by what stands before the host.
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
    let wanted = || format!("{} to {}", range.start(), range.end());
    text.parse().ok().filter(|value| range.contains(value)).ok_or_else(|| wrong(option, text, &wanted()))
}

fn wrong(option: &str, got: &str, wanted: &str) -> Error {
    let wanted = wanted.strip_prefix("wanted ").unwrap_or(wanted);
    let option = if option.is_empty() { String::new() } else { format!("{option}=: ") };
    Error::Invalid(format!("--index: {option}got {got:?}, wanted {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_where_who_and_how() {
        let parse = |text: &str| text.parse::<Settings>();
        let plain = parse("milvus://localhost/papers").unwrap();
        assert_eq!((plain.host.as_str(), plain.collection.as_str()), ("localhost:19530", "papers"));
        assert!(plain.login == Login::None && plain.kind == Kind::Hnsw && !plain.tls);
        let all = "milvus://ann:b%2Fc+d@[::1]:1/p_1?database=d&tls=true&kind=diskann&ef=99&consistency=strong&shards=4";
        let all = parse(all).unwrap();
        assert!(all.login == Login::User("ann".into(), "b/c+d".into()), "{all}");
        assert!(all.tls && all.kind == Kind::DiskAnn && all.consistency == Consistency::Strong);
        assert_eq!((all.database.as_str(), all.ef, all.shards), ("d", 99, 4));
        assert_eq!(format!("{all:?}"), "milvus://[::1]:1/p_1", "without the password");
        assert!(parse("milvus://h/p?token=t").unwrap().login == Login::Token("t".into()));
    }

    #[test]
    fn what_is_wrong_in_an_address_is_named_without_its_password() {
        for (address, named) in [
            ("http://localhost/papers", "\"http\""),
            ("milvus://localhost", "name"),
            ("milvus:///papers", "host"),
            ("milvus://localhost/1a", "\"1a\""),
            ("milvus://localhost/a-b", "\"a-b\""),
            ("milvus://u:secret@localhost/a?kind=flat", "hnsw, diskann, ivf_rabitq"),
            ("milvus://u:secret@localhost/a?shards=0", "1 to 16"),
            ("milvus://u:secret@localhost/a?colour=red", "\"colour\""),
            ("papers", "milvus://HOST:PORT/COLLECTION"),
        ] {
            let error = address.parse::<Settings>().unwrap_err().to_string();
            assert!(error.contains(named) && !error.contains("secret"), "{address}: {error}");
        }
    }
}
