//! PubMed's baseline and update files: XML.
//!
//! Its own file because an abstract comes in parts with labels, a date in half a dozen forms, a translated title in
//! brackets, and updates delete.

use super::fields::{Fields, build, deleted};
use super::xml::{self, Cut, at, child, children, text, text_at};
use super::{Entries, Entry};
use crate::paper::parse_date;
use roxmltree::Node;
use std::io::BufRead;

/// What this dump's papers are from.
const SOURCE: &str = "pubmed";

/// Whether the head of a file is PubMed's.
pub fn looks_like(head: &str) -> bool {
    ["<PubmedArticleSet", "<PubmedArticle>", "<DeleteCitation"].iter().any(|tag| head.contains(tag))
}

/// The papers of a file.
pub fn entries(reader: Box<dyn BufRead + Send>) -> Entries {
    let papers = Cut { whole: &["PubmedArticle", "DeleteCitation"], starts: &[] };
    xml::entries(reader, papers, |element| match element.tag_name().name() {
        "DeleteCitation" => children(element, "PMID")
            .map(|id| deleted(&format!("pmid:{}", text(id).trim()), Some(SOURCE)).map(Entry::Deleted))
            .collect(),
        _ => vec![article(element)],
    })
}

fn article(node: Node) -> Result<Entry, String> {
    let citation =
        child(node, "MedlineCitation").ok_or("got an article without MedlineCitation, wanted one with it")?;
    let article = child(citation, "Article").ok_or("got a citation without Article, wanted one with it")?;
    let pmid = text_at(citation, "PMID").ok_or("got a citation without PMID, wanted one with it")?;
    let mut ids = vec![format!("pmid:{}", pmid.trim())];
    let of_list =
        at(node, "PubmedData/ArticleIdList").into_iter().flat_map(|list| children(list, "ArticleId"));
    let is_doi = |id: &Node| [id.attribute("IdType"), id.attribute("EIdType")].contains(&Some("doi"));
    ids.extend(children(article, "ELocationID").chain(of_list).filter(is_doi).map(text));
    let types = child(article, "PublicationTypeList")
        .into_iter()
        .flat_map(|types| children(types, "PublicationType"));
    let headings =
        child(citation, "MeshHeadingList").into_iter().flat_map(|list| children(list, "MeshHeading"));
    build(Fields {
        ids,
        title: text_at(article, "ArticleTitle").map(|title| without_brackets(&title)),
        r#abstract: child(article, "Abstract").or_else(|| child(citation, "OtherAbstract")).map(parts),
        authors: child(article, "AuthorList")
            .map_or(Vec::new(), |list| children(list, "Author").filter_map(author).collect()),
        published: at(article, "Journal/JournalIssue/PubDate").and_then(date),
        categories: headings.filter_map(|heading| text_at(heading, "DescriptorName")).collect(),
        venue: text_at(article, "Journal/Title"),
        source: Some(SOURCE.into()),
        url: None,
        withdrawn: types.map(text).any(|kind| kind.trim() == "Retracted Publication"),
        also: Vec::new(),
    })
    .map(Entry::Paper)
}

/// A title ends with a stop that is not its own; one that was translated stands in brackets.
fn without_brackets(title: &str) -> String {
    let title = title.trim();
    let title = title.strip_suffix('.').filter(|title| !title.ends_with('.')).unwrap_or(title);
    let inner = title.strip_prefix('[').and_then(|title| title.strip_suffix(']'));
    inner.filter(|inner| !inner.contains(['[', ']'])).unwrap_or(title).to_string()
}

/// The parts of an abstract, each after its label.
fn parts(node: Node) -> String {
    let part = |part: Node| match part.attribute("Label") {
        Some(label) if !label.eq_ignore_ascii_case("unlabelled") => format!("{label}: {}", text(part)),
        _ => text(part),
    };
    children(node, "AbstractText").map(part).collect::<Vec<_>>().join(" ")
}

fn author(node: Node) -> Option<String> {
    if node.attribute("ValidYN") == Some("N") {
        return None;
    }
    let part = |name: &str| text_at(node, name).unwrap_or_default();
    let name = format!("{} {} {}", part("ForeName"), part("LastName"), part("Suffix"));
    if name.trim().is_empty() { text_at(node, "CollectiveName") } else { Some(name) }
}

/// `Year`, `Month` (a number or three letters), `Day`; or the first year of a `MedlineDate` such as `1998 Dec-1999 Jan`.
fn date(node: Node) -> Option<String> {
    let part = |name: &str| text_at(node, name).map(|part| part.trim().to_string());
    let Some(year) = part("Year") else {
        let date = part("MedlineDate")?;
        return date.get(..4).filter(|year| parse_date(year).is_ok()).map(str::to_string);
    };
    let month = part("Month").and_then(|month| month_number(&month));
    let day = part("Day").and_then(|day| day.parse::<u8>().ok());
    let exact = match (month, day) {
        (Some(month), Some(day)) => format!("{year}-{month:02}-{day:02}"),
        (Some(month), None) => format!("{year}-{month:02}"),
        _ => year.clone(),
    };
    [exact, year].into_iter().find(|date| parse_date(date).is_ok())
}

/// A month by its number or its English name.
pub fn month_number(month: &str) -> Option<u8> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let start = month.trim().get(..3).unwrap_or(month).to_lowercase();
    let named = MONTHS.iter().position(|name| *name == start).map(|place| place as u8 + 1);
    named.or_else(|| month.trim().parse().ok().filter(|month| (1..=12).contains(month)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn what_pubmed_does_otherwise_is_understood() {
        let text = r#"<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID Version="1">7</PMID><Article>
            <Journal><JournalIssue><PubDate><MedlineDate>1998 Dec-1999 Jan</MedlineDate></PubDate></JournalIssue><Title>Heart</Title></Journal>
            <ArticleTitle>[On CO<sub>2</sub> and <i>hearts</i>].</ArticleTitle><ELocationID EIdType="doi">10.1000/H</ELocationID>
            <Abstract><AbstractText Label="AIM">Why.</AbstractText><AbstractText>So.</AbstractText><CopyrightInformation>(c)</CopyrightInformation></Abstract>
            <AuthorList><Author><LastName>Bee</LastName><ForeName>Ann</ForeName></Author><Author><CollectiveName>The Group</CollectiveName></Author></AuthorList>
            <PublicationTypeList><PublicationType>Retracted Publication</PublicationType></PublicationTypeList></Article>
            <MeshHeadingList><MeshHeading><DescriptorName>Heart</DescriptorName></MeshHeading></MeshHeadingList></MedlineCitation></PubmedArticle>
            <DeleteCitation><PMID>8</PMID><PMID>9</PMID></DeleteCitation></PubmedArticleSet>"#;
        let got: Vec<_> = entries(Box::new(Cursor::new(text))).map(Result::unwrap).collect();
        let Entry::Paper(paper) = &got[0] else { panic!("{got:?}") };
        assert_eq!((paper.id.as_str(), paper.also[0].as_str()), ("pmid:7", "10.1000/h"));
        assert_eq!((paper.title.as_str(), paper.r#abstract.as_str()), ("On CO₂ and hearts", "AIM: Why. So."));
        assert_eq!(paper.authors, ["Ann Bee", "The Group"]);
        assert_eq!((paper.published.as_deref(), paper.withdrawn), (Some("1998"), true));
        assert_eq!((paper.categories[0].as_str(), paper.venue.as_deref()), ("Heart", Some("Heart")));
        let gone: Vec<_> = got[1..]
            .iter()
            .map(|entry| matches!(entry, Entry::Deleted(gone) if gone.source.is_some()))
            .collect();
        assert_eq!(gone, [true, true]);
    }

    #[test]
    fn months_are_numbers_or_names() {
        assert_eq!(
            ["Jan", "december", "07", "13", ""].map(month_number),
            [Some(1), Some(12), Some(7), None, None]
        );
    }
}
