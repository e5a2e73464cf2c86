//! Normalised paper ids.
//!
//! Sources write the id of one paper in many ways: `arXiv:2101.11408v2`, a URL, a DOI. [`PaperId`] is the only place
//! that normalises ids.

use super::collapse_whitespace;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use std::fmt;
use unicode_normalization::UnicodeNormalization;

/// Maximum length of an id, in bytes.
pub const MAX_ID_BYTES: usize = 300;

/// A paper's normalised id. The empty id (the default) identifies no paper.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PaperId(String);

impl PaperId {
    /// Normalises an id.
    ///
    /// - An arXiv id loses `arXiv:`, the version, the URL and the subject class (`math.GT/0309136v1` becomes
    ///   `math/0309136`).
    /// - A DOI loses `doi:` and the resolver's URL, and is converted to lower case. A DOI of arXiv (`10.48550/arXiv.…`)
    ///   or the ACL Anthology (`10.18653/v1/…`) becomes the paper's arXiv id or Anthology id.
    /// - An id of the ACL Anthology loses `acl:` and the URL; with either of them, its case is corrected
    ///   (`acl:p19-1001` becomes `P19-1001`).
    /// - A number of PubMed, PubMed Central, OpenAlex or Semantic Scholar with a prefix or in a URL becomes `pmid:123`,
    ///   `PMC123`, `openalex:W123` or `corpusid:123`.
    /// - Any other id is kept, with white space collapsed.
    ///
    /// All ids are in Unicode's composed form (NFC).
    ///
    /// # Errors
    /// Returns a message if the id is empty or longer than [`MAX_ID_BYTES`].
    pub fn parse(text: &str) -> Result<PaperId, String> {
        let text = collapse_whitespace(text);
        if text.is_empty() {
            return Err("the id is empty; give for example 2101.11408 or a DOI".into());
        }
        if text.len() > MAX_ID_BYTES {
            return Err(format!("the id must have at most {MAX_ID_BYTES} bytes (got {})", text.len()));
        }
        let known =
            arxiv_id(&text).or_else(|| acl_id(&text)).or_else(|| doi(&text)).or_else(|| numbered_id(&text));
        // NFC is needed because Unicode can encode the same accented letter in two ways.
        Ok(PaperId(known.unwrap_or(text).nfc().collect()))
    }

    /// Derives an id from a paper's title, for a paper without an id. Only the letters and digits of the title count,
    /// and they are converted to lower case, so titles that differ only in case or punctuation give the same id.
    ///
    /// # Errors
    /// Returns a message if the title has no letters or digits.
    pub fn from_title(title: &str) -> Result<PaperId, String> {
        /// Maximum number of bytes of the title in an id: long enough to be readable, short enough for a URL. A longer
        /// title is truncated and gets a hash.
        const SHOWN_BYTES: usize = 80;
        let title: String = title.nfc().collect();
        let words: Vec<String> = title
            .split(|character: char| !character.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        let normalised = words.join("-");
        if normalised.is_empty() {
            return Err(format!(
                "the paper must have an id or a title with letters (got the title {title:?})"
            ));
        }
        if normalised.len() <= SHOWN_BYTES {
            return Ok(PaperId(format!("title:{normalised}")));
        }
        let shown = &normalised[..normalised.floor_char_boundary(SHOWN_BYTES)];
        let hash = crc32fast::hash(normalised.as_bytes());
        Ok(PaperId(format!("title:{shown}-{hash:08x}")))
    }

    /// Wraps an id that is already normalised, such as a stored id.
    pub fn stored(id: String) -> PaperId {
        PaperId(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the URL of the paper's page, derived from the id. `None` if no URL can be derived from the id.
    pub fn url(&self) -> Option<String> {
        let id = &self.0;
        Some(match self.kind() {
            IdKind::Arxiv => format!("https://arxiv.org/abs/{id}"),
            IdKind::Acl => format!("https://aclanthology.org/{id}"),
            IdKind::Doi => format!("https://doi.org/{}", utf8_percent_encode(id, NOT_IN_PATHS)),
            IdKind::Pubmed => format!("https://pubmed.ncbi.nlm.nih.gov/{}", &id["pmid:".len()..]),
            IdKind::Other => match id.split_once(':')? {
                ("openalex", number) => format!("https://openalex.org/{number}"),
                ("corpusid", number) => format!("https://api.semanticscholar.org/CorpusID:{number}"),
                _ => return None,
            },
        })
    }

    /// Whether the id identifies the same paper in all sources. This is the case for ids from a known registry, but not
    /// for ids such as `n/a` or a row number.
    pub fn is_global(&self) -> bool {
        let is_numbered = |prefix: &str| {
            let number = self.0.strip_prefix(prefix).unwrap_or_default();
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        };
        self.kind() != IdKind::Other || ["openalex:W", "corpusid:", "PMC"].into_iter().any(is_numbered)
    }

    /// The registry that issued the id.
    pub fn kind(&self) -> IdKind {
        if is_arxiv(&self.0) {
            IdKind::Arxiv
        } else if is_doi(&self.0) {
            IdKind::Doi
        } else if self.0.starts_with("pmid:") {
            IdKind::Pubmed
        } else if is_acl(&self.0) {
            IdKind::Acl
        } else {
            IdKind::Other
        }
    }
}

/// The registry that issued an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKind {
    /// arXiv. A paper has one arXiv id, which is the same for all versions.
    Arxiv,
    /// The ACL Anthology.
    Acl,
    /// The DOI system. A paper can have several DOIs, from its publisher and from archives.
    Doi,
    /// PubMed.
    Pubmed,
    /// Any other registry, or an unknown one.
    Other,
}

impl fmt::Display for PaperId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Normalises an arXiv id, or a URL or DOI that contains an arXiv id. `None` if `text` is something else.
fn arxiv_id(text: &str) -> Option<String> {
    let bare = strip_prefix_ignore_case(text, &["arxiv:", "oai:arxiv.org:", "10.48550/arxiv."])
        .or_else(|| {
            let path = after_host(text, &["arxiv.org", "www.arxiv.org", "export.arxiv.org"])?;
            let path = path.split(['?', '#']).next()?;
            let path = ["abs/", "pdf/", "html/"].iter().find_map(|start| path.strip_prefix(start))?;
            Some(path.trim_end_matches('/').trim_end_matches(".pdf"))
        })
        .or_else(|| {
            let path = after_host(text, &["doi.org", "dx.doi.org"])?;
            strip_prefix_ignore_case(path, &["10.48550/arxiv."])
        })
        .or_else(|| strip_prefix_ignore_case(text, &["doi:10.48550/arxiv."]))
        .unwrap_or(text)
        .trim();
    let bare = strip_version(bare);
    if is_arxiv(bare) {
        return Some(bare.into());
    }
    // An old id with a subject class (`math.GT/0309136`) means the same as the id without the class.
    let (archive, number) = bare.split_once('/')?;
    let (archive, _class) = archive.split_once('.')?;
    let normalised = format!("{}/{number}", archive.to_ascii_lowercase());
    is_arxiv(&normalised).then_some(normalised)
}

/// Whether `id` is a normalised arXiv id: `2101.11408`, `0704.0010` or `hep-th/9901001`.
fn is_arxiv(id: &str) -> bool {
    let digits = |text: &str, counts: std::ops::RangeInclusive<usize>| {
        counts.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if let Some((month, number)) = id.split_once('.') {
        return digits(month, 4..=4) && digits(number, 4..=5);
    }
    let Some((archive, number)) = id.split_once('/') else { return false };
    let letters = archive.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    !archive.is_empty() && letters && digits(number, 7..=7)
}

fn strip_version(id: &str) -> &str {
    match id.rsplit_once(['v', 'V']) {
        Some((bare, version)) if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) => {
            bare
        }
        _ => id,
    }
}

/// Normalises an id of the ACL Anthology (`P19-1001` or `2020.acl-main.5`), or a URL or DOI that contains such an id.
/// `None` if `text` is something else.
fn acl_id(text: &str) -> Option<String> {
    let doi = strip_prefix_ignore_case(text, &["doi:"])
        .or_else(|| after_host(text, &["doi.org", "dx.doi.org"]))
        .unwrap_or(text);
    let named = strip_prefix_ignore_case(doi, &["10.18653/v1/"])
        .or_else(|| strip_prefix_ignore_case(text, &["acl:"]))
        .or_else(|| {
            let hosts = [
                "aclanthology.org",
                "www.aclanthology.org",
                "aclweb.org",
                "www.aclweb.org",
                "aclanthology.info",
            ];
            let path = after_host(text, &hosts)?;
            let path = path.strip_prefix("anthology/").unwrap_or(path);
            Some(path.trim_end_matches('/').trim_end_matches(".pdf"))
        });
    // A bare id must already have the right case. In a DOI or a URL, the id can have any case.
    let id = named.map_or_else(
        || text.to_string(),
        |id| {
            if id.as_bytes().get(3) == Some(&b'-') {
                id.to_ascii_uppercase()
            } else {
                id.to_ascii_lowercase()
            }
        },
    );
    is_acl(&id).then_some(id)
}

/// Whether `id` is a normalised id of the ACL Anthology.
fn is_acl(id: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    if let Some((volume, number)) = id.split_once('-')
        && let Some(year) = volume.strip_prefix(|letter: char| letter.is_ascii_uppercase())
    {
        return year.len() == 2 && is_number(year) && number.len() == 4 && is_number(number);
    }
    let mut parts = id.split('.');
    let (Some(year), Some(volume), Some(number), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let is_volume = volume.split_once('-').is_some_and(|(venue, name)| is_name(venue) && is_name(name));
    year.len() == 4 && is_number(year) && is_volume && is_number(number)
}

/// Normalises a number of PubMed, PubMed Central, OpenAlex or Semantic Scholar that has a prefix or is in a URL of one
/// of these sites. `None` if `text` is something else.
fn numbered_id(text: &str) -> Option<String> {
    const HOSTS: [(&str, &[&str], &[&str]); 6] = [
        ("pmid:", &["pubmed.ncbi.nlm.nih.gov"], &[""]),
        ("pmid:", &["www.ncbi.nlm.nih.gov"], &["pubmed/"]),
        ("pmcid:", &["www.ncbi.nlm.nih.gov"], &["pmc/articles/"]),
        ("pmcid:", &["pmc.ncbi.nlm.nih.gov"], &["articles/"]),
        ("openalex:", &["openalex.org", "api.openalex.org"], &["", "works/"]),
        ("corpusid:", &["api.semanticscholar.org"], &["CorpusID:"]),
    ];
    let named = ["pmid:", "openalex:", "corpusid:", "pmcid:"]
        .into_iter()
        .find_map(|name| Some((name, strip_prefix_ignore_case(text, &[name])?)))
        .or_else(|| {
            HOSTS.iter().find_map(|(name, hosts, starts)| {
                let path = after_host(text, hosts)?.trim_end_matches('/');
                // Try the longest prefix first. At most one of the prefixes is followed by digits.
                starts.iter().rev().find_map(|start| Some((*name, path.strip_prefix(start)?)))
            })
        });
    let (name, number) = named?;
    let number = number.trim();
    let digits = number.trim_start_matches(['W', 'w', 'P', 'p', 'M', 'm', 'C', 'c']);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(match name {
        "openalex:" => format!("openalex:W{digits}"),
        "pmcid:" => format!("PMC{digits}"),
        name => format!("{name}{digits}"),
    })
}

/// Normalises a DOI to lower case, because DOIs are case-insensitive. `None` if `text` is something else. In a URL, the
/// DOI can be percent-encoded and followed by a query string or a fragment.
fn doi(text: &str) -> Option<String> {
    let named = strip_prefix_ignore_case(text, &["doi:", "urn:doi:", "info:doi/"]).map(str::trim);
    let address = after_host(named.unwrap_or(text), &["doi.org", "dx.doi.org", "www.doi.org"]);
    let bare = match address {
        Some(path) => without_query(path).trim_end_matches('/'),
        None => named.unwrap_or(text).trim(),
    };
    // In a bare DOI, a percent sign is literal. But if the slash is missing, it must be encoded, so the DOI is decoded.
    let is_encoded = address.is_some() || (bare.starts_with("10.") && !bare.contains('/'));
    let bare = if is_encoded { percent_decoded(bare)? } else { bare.to_string() };
    is_doi(&bare).then(|| bare.to_lowercase())
}

/// Removes `?ref=…` and `#…`. A DOI can contain `?` and `#`, but a URL has these signs of the DOI percent-encoded.
fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or(path)
}

/// Decodes percent-encoding. `None` if the result is not UTF-8, or contains white space or control characters.
fn percent_decoded(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    let is_plain = !decoded.contains(char::is_whitespace) && !decoded.contains(char::is_control);
    is_plain.then(|| decoded.into_owned())
}

/// Characters that are percent-encoded in the path of a URL, because browsers would change or misread them.
const NOT_IN_PATHS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b']')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Whether `id` is a DOI: `10.`, a registrant number of at least four characters, a slash and a suffix.
fn is_doi(id: &str) -> bool {
    let Some((registrant, suffix)) = id.strip_prefix("10.").and_then(|id| id.split_once('/')) else {
        return false;
    };
    let numeric =
        registrant.len() >= 4 && registrant.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    numeric && !suffix.is_empty()
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefixes: &[&str]) -> Option<&'a str> {
    prefixes.iter().find_map(|prefix| {
        let head = text.get(..prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
    })
}

/// Returns the path of a URL without the leading slash. `None` if the host of the URL is not one of `hosts`.
fn after_host<'a>(text: &'a str, hosts: &[&str]) -> Option<&'a str> {
    let rest = strip_prefix_ignore_case(text, &["https://", "http://"]).unwrap_or(text);
    let (host, path) = rest.split_once('/')?;
    hosts.iter().any(|known| host.eq_ignore_ascii_case(known)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_forms_of_an_id_normalise_to_one() {
        let cases = [
            ("2101.11408", "2101.11408"),
            ("arXiv:2101.11408v2", "2101.11408"),
            (" ARXIV:2101.11408 ", "2101.11408"),
            ("https://arxiv.org/abs/2101.11408v3", "2101.11408"),
            ("http://arxiv.org/pdf/2101.11408v1.pdf", "2101.11408"),
            ("https://arxiv.org/abs/2101.11408?context=cs", "2101.11408"),
            ("0704.0010", "0704.0010"),
            ("caf\u{e9}/1", "caf\u{e9}/1"),
            ("cafe\u{301}/1", "caf\u{e9}/1"),
            ("https://doi.org/10.1000/cafe%CC%81", "10.1000/caf\u{e9}"),
            ("math.GT/0309136v1", "math/0309136"),
            ("hep-th/9901001", "hep-th/9901001"),
            ("oai:arXiv.org:0704.0010", "0704.0010"),
            ("10.48550/arXiv.2101.11408", "2101.11408"),
            ("https://doi.org/10.48550/arXiv.2101.11408", "2101.11408"),
            ("https://doi.org/10.1002/SPE.2984", "10.1002/spe.2984"),
            ("doi:10.1002/spe.2984", "10.1002/spe.2984"),
            ("doi: https://doi.org/10.1002/spe.2984", "10.1002/spe.2984"),
            ("https://doi.org/10.1002/spe.2984?ref=x#abstract", "10.1002/spe.2984"),
            ("10.1002%2Fspe.2984", "10.1002/spe.2984"),
            ("https://doi.org/10.1000%2Fa%28b%29", "10.1000/a(b)"),
            (
                "https://doi.org/10.1002/(SICI)1097(1990)41:6%3C391::AID%3E3.0.CO;2-9",
                "10.1002/(sici)1097(1990)41:6<391::aid>3.0.co;2-9",
            ),
            ("10.1000/100%25", "10.1000/100%25"),
            ("3dv2025/05T81ScPFb", "3dv2025/05T81ScPFb"),
            ("P19-1001", "P19-1001"),
            ("10.18653/v1/p19-1001", "P19-1001"),
            ("https://doi.org/10.18653/V1/2020.ACL-main.5", "2020.acl-main.5"),
            ("https://aclanthology.org/2022.acl-short.96.pdf", "2022.acl-short.96"),
            ("https://www.aclweb.org/anthology/P19-1001/", "P19-1001"),
            ("ACL:W17-0001", "W17-0001"),
            ("PMID: 12345", "pmid:12345"),
            ("https://pubmed.ncbi.nlm.nih.gov/12345/", "pmid:12345"),
            ("https://www.ncbi.nlm.nih.gov/pubmed/12345", "pmid:12345"),
            ("https://openalex.org/W2741809807", "openalex:W2741809807"),
            ("https://api.openalex.org/works/W2741809807", "openalex:W2741809807"),
            ("CorpusId:215416146", "corpusid:215416146"),
            ("PMCID:PMC3531190", "PMC3531190"),
            ("12345", "12345"),
            ("paper v2", "paper v2"),
            ("1706.03762v7", "1706.03762"),
        ];
        for (written, expected) in cases {
            assert_eq!(PaperId::parse(written).unwrap().as_str(), expected, "{written}");
        }
    }

    #[test]
    fn empty_and_too_long_ids_are_refused() {
        assert!(PaperId::parse(" \n").is_err());
        assert!(PaperId::parse(&"x".repeat(MAX_ID_BYTES + 1)).is_err());
        assert!(PaperId::from_title("?!").is_err());
    }

    #[test]
    fn titles_that_differ_in_case_and_punctuation_give_one_id() {
        let id = PaperId::from_title("BAM! Just Like That").unwrap();
        assert_eq!(id.as_str(), "title:bam-just-like-that");
        assert_eq!(id, PaperId::from_title("bam: just like THAT.").unwrap());
        assert_eq!(PaperId::from_title("Cafe\u{301}"), PaperId::from_title("Caf\u{e9}"));
        let long = "a very long title indeed ".repeat(8);
        assert_ne!(PaperId::from_title(&long), PaperId::from_title(&format!("{long} two")));
    }

    #[test]
    fn the_address_of_an_id_normalises_to_that_id() {
        for id in [
            "2101.11408",
            "math/0309136",
            "10.1002/spe.2984",
            "10.1002/(sici)1097-4571(199009)41:6<391::aid-asi1>3.0.co;2-9",
            "10.1000/a%3cb#c?d[e]",
            "P19-1001",
            "2020.acl-main.5",
            "pmid:1",
            "openalex:W2",
            "corpusid:3",
        ] {
            let id = PaperId::parse(id).unwrap();
            assert_eq!(PaperId::parse(&id.url().unwrap()).unwrap(), id);
        }
        assert_eq!(PaperId::parse("unknown:1").unwrap().url(), None);
    }

    proptest! {
        #[test]
        fn a_normalised_id_normalises_to_itself(text in "\\PC{1,40}") {
            if let Ok(id) = PaperId::parse(&text) {
                prop_assert_eq!(&PaperId::parse(id.as_str()).unwrap(), &id);
            }
        }

        #[test]
        fn titles_never_panic(title in "\\PC{0,200}") {
            let _ = PaperId::from_title(&title);
        }
    }
}
