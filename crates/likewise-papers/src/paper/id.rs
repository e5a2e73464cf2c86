//! The id that names a paper.
//!
//! Its own file because ids are where papers get lost: one paper's id comes as `arXiv:2101.11408v2`, as a URL, as a
//! DOI. All of them fold into one [`PaperId`] here, and nowhere else.

use super::collapse_whitespace;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use std::fmt;
use unicode_normalization::UnicodeNormalization;

/// Longest id that is taken, in bytes.
pub const MAX_ID_BYTES: usize = 300;

/// A paper's normalised id. The empty id (its default) names no paper.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PaperId(String);

impl PaperId {
    /// Normalises an id as people and dumps write it.
    ///
    /// arXiv ids lose `arXiv:`, version, URL and subject class (`math.GT/0309136v1` becomes
    /// `math/0309136`), DOIs lose `doi:` and resolver and become lower case, an arXiv DOI becomes the
    /// arXiv id and one of the ACL Anthology that one's. PubMed's, OpenAlex's and Semantic Scholar's numbers,
    /// which name nothing alone, become `pmid:123`, `openalex:W123`, `corpusid:123`. Anything else is kept as it
    /// is, white space collapsed and in Unicode's composed form (NFC).
    ///
    /// # Errors
    /// A sentence that says what was got and wanted, if nothing is left or it is too long.
    pub fn parse(text: &str) -> Result<PaperId, String> {
        let text = collapse_whitespace(text);
        if text.is_empty() {
            return Err("got an empty id, wanted for example 2101.11408 or a DOI".into());
        }
        if text.len() > MAX_ID_BYTES {
            return Err(format!("got an id of {} bytes, wanted at most {MAX_ID_BYTES}", text.len()));
        }
        let known =
            arxiv_id(&text).or_else(|| acl_id(&text)).or_else(|| doi(&text)).or_else(|| numbered_id(&text));
        // Letters with accents are written in two ways, and are the same letters.
        Ok(PaperId(known.unwrap_or(text).nfc().collect()))
    }

    /// The id of a paper that has none: derived from its title's letters and digits, so that the same
    /// title gives the same id whatever its case and punctuation.
    pub fn from_title(title: &str) -> Result<PaperId, String> {
        /// Long enough to read, short enough for a URL; the hash tells longer titles apart.
        const SHOWN_BYTES: usize = 80;
        let title: String = title.nfc().collect();
        let words: Vec<String> = title
            .split(|character: char| !character.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        let normalised = words.join("-");
        if normalised.is_empty() {
            return Err(format!("got no id and the title {title:?}, wanted an id or a title with letters"));
        }
        if normalised.len() <= SHOWN_BYTES {
            return Ok(PaperId(format!("title:{normalised}")));
        }
        let shown = &normalised[..normalised.floor_char_boundary(SHOWN_BYTES)];
        let hash = crc32fast::hash(normalised.as_bytes());
        Ok(PaperId(format!("title:{shown}-{hash:08x}")))
    }

    /// An id that was normalised when it was stored.
    pub fn stored(id: String) -> PaperId {
        PaperId(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of the paper, where the id says it.
    pub fn url(&self) -> Option<String> {
        let id = &self.0;
        Some(match self.kind() {
            Kind::Arxiv => format!("https://arxiv.org/abs/{id}"),
            Kind::Acl => format!("https://aclanthology.org/{id}"),
            Kind::Doi => format!("https://doi.org/{}", utf8_percent_encode(id, NOT_IN_PATHS)),
            Kind::Pubmed => format!("https://pubmed.ncbi.nlm.nih.gov/{}", &id["pmid:".len()..]),
            Kind::Other => match id.split_once(':')? {
                ("openalex", number) => format!("https://openalex.org/{number}"),
                ("corpusid", number) => format!("https://api.semanticscholar.org/CorpusID:{number}"),
                _ => return None,
            },
        })
    }

    /// Whether it names the same paper everywhere: not `n/a`, and not a number in somebody's list.
    pub fn is_known_everywhere(&self) -> bool {
        let is_numbered = |prefix: &str| {
            let number = self.0.strip_prefix(prefix).unwrap_or_default();
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        };
        self.kind() != Kind::Other || ["openalex:W", "corpusid:", "PMC"].into_iter().any(is_numbered)
    }

    /// Who gave it.
    pub fn kind(&self) -> Kind {
        if is_arxiv(&self.0) {
            Kind::Arxiv
        } else if is_doi(&self.0) {
            Kind::Doi
        } else if self.0.starts_with("pmid:") {
            Kind::Pubmed
        } else if is_acl(&self.0) {
            Kind::Acl
        } else {
            Kind::Other
        }
    }
}

/// Who gave an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// arXiv: one a paper, whatever its versions.
    Arxiv,
    /// The ACL Anthology.
    Acl,
    /// A publisher or an archive: a paper may have several.
    Doi,
    /// PubMed.
    Pubmed,
    /// Anybody.
    Other,
}

impl fmt::Display for PaperId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The arXiv id in `text`, if that is what it is.
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
    // Old ids with a subject class name the same paper as without: math.GT/0309136.
    let (archive, number) = bare.split_once('/')?;
    let (archive, _class) = archive.split_once('.')?;
    let folded = format!("{}/{number}", archive.to_ascii_lowercase());
    is_arxiv(&folded).then_some(folded)
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

/// The ACL Anthology's id in `text`, if that is what it is: `P19-1001` or `2020.acl-main.5`.
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
    // Alone it has to be written as it is; a DOI may be in any case.
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

/// An id that is a number of somebody's, with who it is before it.
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
                // The longest first, though only one has digits after it.
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

/// The DOI in `text`, if that is what it is, in lower case: DOIs ignore case. In an address it may be percent-encoded, and
/// have a query or a fragment behind it.
fn doi(text: &str) -> Option<String> {
    let named = strip_prefix_ignore_case(text, &["doi:", "urn:doi:", "info:doi/"]).map(str::trim);
    let address = after_host(named.unwrap_or(text), &["doi.org", "dx.doi.org", "www.doi.org"]);
    let bare = match address {
        Some(path) => without_query(path).trim_end_matches('/'),
        None => named.unwrap_or(text).trim(),
    };
    // Alone, a percent sign stands for itself, unless the stroke is missing without it.
    let is_encoded = address.is_some() || (bare.starts_with("10.") && !bare.contains('/'));
    let bare = if is_encoded { percent_decoded(bare)? } else { bare.to_string() };
    is_doi(&bare).then(|| bare.to_lowercase())
}

/// A path without `?ref=…` and `#…`. A DOI may have either sign, but in an address it is encoded.
fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or(path)
}

/// `%2F` as `/`; `None` if that is no UTF-8, or no part of an id.
fn percent_decoded(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    let is_plain = !decoded.contains(char::is_whitespace) && !decoded.contains(char::is_control);
    is_plain.then(|| decoded.into_owned())
}

/// What browsers would change, or take for something else, in the path of an address.
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

/// Whether `id` is a DOI: a registrant's number of four digits or more, and something after it.
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

/// What follows the host in an address, if its host is one of `hosts`.
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
    fn many_ways_to_write_an_id_fold_into_one() {
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
        for (written, wanted) in cases {
            assert_eq!(PaperId::parse(written).unwrap().as_str(), wanted, "{written}");
        }
    }

    #[test]
    fn ids_that_name_nothing_are_refused() {
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
    fn a_known_id_has_an_address_that_is_the_same_id() {
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
        assert_eq!(PaperId::parse("nobody:1").unwrap().url(), None);
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
