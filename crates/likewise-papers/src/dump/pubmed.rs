//! Reads PubMed's baseline and update files: XML.
//!
//! An abstract consists of labelled sections, dates come in several forms, a translated title is in brackets, and
//! update files contain deletions.

use super::fields::{RawFields, build, deletion};
use super::warnings::Warnings;
use super::xml::{self, Selection, at, child, children, text, text_at};
use super::{Entries, Entry};
use crate::paper::month_number;
use roxmltree::Node;
use std::io::BufRead;

/// Source name of the papers in this format.
const SOURCE: &str = "pubmed";

/// Whether the file looks like a file of PubMed.
pub fn looks_like(head: &str) -> bool {
    ["<PubmedArticleSet", "<PubmedArticle>", "<PubmedBookArticle", "<DeleteCitation"]
        .iter()
        .any(|tag| head.contains(tag))
}

/// Returns the entries of a file.
pub fn entries(reader: Box<dyn BufRead + Send>, warnings: &Warnings) -> Entries {
    let elements = &["PubmedArticle", "PubmedBookArticle", "DeleteCitation", "DeleteDocument"];
    xml::entries(reader, Selection { elements, start_tags: &[] }, warnings, |element, warnings| match element
        .tag_name()
        .name()
    {
        "PubmedArticle" => vec![article(element, warnings)],
        "PubmedBookArticle" => vec![book(element, warnings)],
        _ => children(element, "PMID")
            .map(|id| deletion(&format!("pmid:{}", text(id).trim()), Some(SOURCE)).map(Entry::Deleted))
            .collect(),
    })
}

fn article(node: Node, warnings: &Warnings) -> Result<Entry, String> {
    let citation =
        child(node, "MedlineCitation").ok_or("PubmedArticle must contain MedlineCitation (got none)")?;
    let article = child(citation, "Article").ok_or("MedlineCitation must contain Article (got none)")?;
    let types = child(article, "PublicationTypeList")
        .into_iter()
        .flat_map(|types| children(types, "PublicationType"));
    let headings =
        child(citation, "MeshHeadingList").into_iter().flat_map(|list| children(list, "MeshHeading"));
    let printed = at(article, "Journal/JournalIssue/PubDate").and_then(date);
    let fields = RawFields {
        ids: ids(citation, at(node, "PubmedData/ArticleIdList"), children(article, "ELocationID"), warnings)?,
        title: title(article, &["ArticleTitle", "VernacularTitle"]),
        r#abstract: r#abstract(article).or_else(|| r#abstract(citation)),
        authors: authors(article),
        published: printed.into_iter().chain(children(article, "ArticleDate").filter_map(date)).collect(),
        categories: headings.filter_map(|heading| text_at(heading, "DescriptorName")).collect(),
        venue: text_at(article, "Journal/Title"),
        source: Some(SOURCE.into()),
        url: None,
        withdrawn: types.map(text).any(|kind| kind.trim() == "Retracted Publication"),
        alternate_ids: Vec::new(),
    };
    build(fields, warnings).map(Entry::Paper)
}

/// Converts a book, or a chapter of a book, to an entry.
fn book(node: Node, warnings: &Warnings) -> Result<Entry, String> {
    let document =
        child(node, "BookDocument").ok_or("PubmedBookArticle must contain BookDocument (got none)")?;
    let book = child(document, "Book");
    let book_authors = book.map_or(Vec::new(), authors);
    let chapter_authors = authors(document);
    let dates = [at(document, "Book/PubDate"), child(document, "ContributionDate")];
    let list = child(document, "ArticleIdList").or_else(|| at(node, "PubmedBookData/ArticleIdList"));
    let fields = RawFields {
        ids: ids(document, list, children(document, "ELocationID"), warnings)?,
        title: title(document, &["ArticleTitle", "VernacularTitle"])
            .or_else(|| book.and_then(|book| title(book, &["BookTitle"]))),
        r#abstract: r#abstract(document),
        authors: if chapter_authors.is_empty() { book_authors } else { chapter_authors },
        published: dates.into_iter().flatten().filter_map(date).collect(),
        venue: book.and_then(|book| title(book, &["BookTitle"])),
        source: Some(SOURCE.into()),
        ..RawFields::default()
    };
    build(fields, warnings).map(Entry::Paper)
}

/// Returns the PMID, then DOIs and PubMed Central ids. Ids that PubMed marks as invalid are left out and counted in
/// `warnings`.
fn ids<'a, 'input: 'a>(
    citation: Node,
    list: Option<Node<'a, 'input>>,
    locations: impl Iterator<Item = Node<'a, 'input>>,
    warnings: &Warnings,
) -> Result<Vec<String>, String> {
    let pmid = text_at(citation, "PMID").ok_or("the citation must contain PMID (got none)")?;
    let mut ids = vec![format!("pmid:{}", pmid.trim())];
    let listed = list.into_iter().flat_map(|list| children(list, "ArticleId"));
    for id in locations.chain(listed) {
        let written = text(id);
        let prefix = match id.attribute("IdType").or(id.attribute("EIdType")) {
            Some("doi") => "",
            Some("pmc") => "pmcid:",
            _ => continue,
        };
        match id.attribute("ValidYN") {
            Some("N") => warnings.add("ids ignored because PubMed marks them as invalid", written.trim()),
            _ => ids.push(format!("{prefix}{}", written.trim())),
        }
    }
    Ok(ids)
}

/// Returns the first title in the child elements `names`. `[Not Available].`, which stands for a missing translation,
/// does not count.
fn title(node: Node, names: &[&str]) -> Option<String> {
    let titles = names.iter().filter_map(|name| text_at(node, name)).map(|title| without_brackets(&title));
    let is_available = |title: &String| !title.is_empty() && !title.eq_ignore_ascii_case("not available");
    titles.into_iter().find(is_available)
}

/// Returns the abstract. If there is no abstract, returns an alternative abstract, preferably in English.
fn r#abstract(node: Node) -> Option<String> {
    let others = || children(node, "OtherAbstract");
    let is_english = |other: &Node| other.attribute("Language") == Some("eng");
    let all = children(node, "Abstract").chain(others().filter(is_english)).chain(others());
    all.map(parts).find(|text| !text.trim().is_empty())
}

fn authors(node: Node) -> Vec<String> {
    children(node, "AuthorList").flat_map(|list| children(list, "Author")).filter_map(author).collect()
}

/// Removes the full stop that PubMed adds to titles, and the brackets around translated titles.
fn without_brackets(title: &str) -> String {
    let title = title.trim();
    let title = title.strip_suffix('.').filter(|title| !title.ends_with('.')).unwrap_or(title);
    let inner = title.strip_prefix('[').and_then(|title| title.strip_suffix(']'));
    inner.filter(|inner| !inner.contains(['[', ']'])).unwrap_or(title).to_string()
}

/// Joins the sections of an abstract. Each section is preceded by its label, unless it has none or is marked as
/// unlabelled.
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

/// Returns a date, from `Year`, `Month` (a number or a name) and `Day`, or else from a `MedlineDate` such as
/// `1998 Dec-1999 Jan`, which is returned unchanged.
fn date(node: Node) -> Option<String> {
    let part = |name: &str| text_at(node, name).map(|part| part.trim().to_string());
    let Some(year) = part("Year") else { return part("MedlineDate") };
    let month = part("Month").and_then(|month| month_number(&month));
    let day = part("Day").and_then(|day| day.parse::<u8>().ok());
    Some(match (month, day) {
        (Some(month), Some(day)) => format!("{year}-{month:02}-{day:02}"),
        (Some(month), None) => format!("{year}-{month:02}"),
        _ => year,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn articles_and_deletions_are_read() {
        let text = r#"<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID Version="1">7</PMID><Article>
            <Journal><JournalIssue><PubDate><MedlineDate>1998 Dec-1999 Jan</MedlineDate></PubDate></JournalIssue><Title>Heart</Title></Journal>
            <ArticleTitle>[On CO<sub>2</sub> and <i>hearts</i>].</ArticleTitle><ELocationID EIdType="doi">10.1000/H</ELocationID>
            <Abstract><AbstractText Label="AIM">Why.</AbstractText><AbstractText>So.</AbstractText><CopyrightInformation>(c)</CopyrightInformation></Abstract>
            <AuthorList><Author><LastName>Bee</LastName><ForeName>Ann</ForeName></Author><Author><CollectiveName>The Group</CollectiveName></Author></AuthorList>
            <PublicationTypeList><PublicationType>Retracted Publication</PublicationType></PublicationTypeList></Article>
            <MeshHeadingList><MeshHeading><DescriptorName>Heart</DescriptorName></MeshHeading></MeshHeadingList></MedlineCitation></PubmedArticle>
            <DeleteCitation><PMID>8</PMID><PMID>9</PMID></DeleteCitation></PubmedArticleSet>"#;
        let got: Vec<_> =
            entries(Box::new(Cursor::new(text)), &Warnings::default()).map(Result::unwrap).collect();
        let Entry::Paper(paper) = &got[0] else { panic!("{got:?}") };
        assert_eq!((paper.id.as_str(), paper.alternate_ids[0].as_str()), ("pmid:7", "10.1000/h"));
        assert_eq!((paper.title.as_str(), paper.r#abstract.as_str()), ("On CO₂ and hearts", "AIM: Why. So."));
        assert_eq!(paper.authors, ["Ann Bee", "The Group"]);
        assert_eq!((paper.published.as_deref(), paper.withdrawn), (Some("1998"), true));
        assert_eq!((paper.categories[0].as_str(), paper.venue.as_deref()), ("Heart", Some("Heart")));
        let are_deletions: Vec<_> = got[1..]
            .iter()
            .map(|entry| matches!(entry, Entry::Deleted(deletion) if deletion.source.is_some()))
            .collect();
        assert_eq!(are_deletions, [true, true]);
    }

    fn papers(citations: &str) -> Vec<crate::Paper> {
        let text = format!("<PubmedArticleSet>{citations}</PubmedArticleSet>");
        entries(Box::new(Cursor::new(text)), &Warnings::default())
            .map(|entry| match entry {
                Ok(Entry::Paper(paper)) => paper,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn citation(article: &str, citation: &str, data: &str) -> String {
        format!(
            "<PubmedArticle><MedlineCitation><PMID>7</PMID><Article><Journal><JournalIssue><PubDate/></JournalIssue></Journal>{article}</Article>\
             {citation}</MedlineCitation><PubmedData>{data}</PubmedData></PubmedArticle>"
        )
    }

    #[test]
    fn books_and_chapters_are_read_as_papers() {
        let book = r#"<PubmedBookArticle><BookDocument><PMID>10</PMID><ArticleIdList><ArticleId IdType="bookaccession">NBK1</ArticleId></ArticleIdList>
            <Book><BookTitle>Bee Reviews</BookTitle><PubDate><Year>2019</Year></PubDate><AuthorList Type="editors"><Author><LastName>Ed</LastName></Author></AuthorList></Book>
            <ArticleTitle>Wings</ArticleTitle><AuthorList Type="authors"><Author><LastName>Quill</LastName><ForeName>Ada</ForeName></Author></AuthorList>
            <Abstract><AbstractText>Short.</AbstractText></Abstract></BookDocument></PubmedBookArticle>
            <PubmedBookArticle><BookDocument><PMID>11</PMID><Book><BookTitle>Hives</BookTitle><AuthorList><Author><LastName>Ed</LastName></Author></AuthorList></Book>
            <ContributionDate><Year>2001</Year><Month>2</Month></ContributionDate></BookDocument></PubmedBookArticle>"#;
        let got = papers(book);
        let [chapter, book] = &got[..] else { panic!("{got:?}") };
        assert_eq!(
            (chapter.id.as_str(), &*chapter.title, &*chapter.r#abstract),
            ("pmid:10", "Wings", "Short.")
        );
        assert_eq!(
            (&chapter.authors[..], chapter.published.as_deref()),
            (&["Ada Quill".to_string()][..], Some("2019"))
        );
        assert_eq!(
            (&*book.title, book.published.as_deref(), &*book.authors[0]),
            ("Hives", Some("2001-02"), "Ed")
        );
    }

    #[test]
    fn a_missing_title_or_abstract_is_taken_from_its_alternative() {
        let title = |article: &str| papers(&citation(article, "", "")).remove(0).title;
        let vernacular = "<VernacularTitle>Comment les abeilles comptent.</VernacularTitle>";
        for none in [
            "<ArticleTitle>[Not Available].</ArticleTitle>",
            "<ArticleTitle/>",
            "<ArticleTitle> </ArticleTitle>",
        ] {
            assert_eq!(title(&format!("{none}{vernacular}")), "Comment les abeilles comptent", "{none}");
        }
        assert_eq!(title(&format!("<ArticleTitle>Bees.</ArticleTitle>{vernacular}")), "Bees");
        let others = r#"<OtherAbstract Language="fre"><AbstractText>Mots.</AbstractText></OtherAbstract>
            <OtherAbstract Language="eng"><AbstractText>Words.</AbstractText></OtherAbstract>"#;
        let text = |article: &str| {
            let article = format!("<ArticleTitle>T</ArticleTitle>{article}");
            papers(&citation(&article, others, "")).remove(0).r#abstract
        };
        assert_eq!(text(""), "Words.");
        assert_eq!(text("<Abstract><AbstractText/></Abstract>"), "Words.");
        assert_eq!(text("<Abstract><AbstractText>Own.</AbstractText></Abstract>"), "Own.");
    }

    #[test]
    fn dates_and_ids_are_read_from_all_their_elements() {
        let one = |article: &str, data: &str| papers(&citation(article, "", data)).remove(0);
        let title = "<ArticleTitle>T</ArticleTitle>";
        let electronic =
            format!("{title}<ArticleDate><Year>2012</Year><Month>05</Month><Day>06</Day></ArticleDate>");
        assert_eq!(one(&electronic, "").published.as_deref(), Some("2012-05-06"));
        for (date, expected) in [
            ("Winter 2016", "2016"),
            ("1998 Dec-1999 Jan", "1998"),
            ("Nov-Dec 2004", "2004"),
            ("15 Mar 2003", "2003-03-15"),
        ] {
            let text = citation(title, "", "")
                .replace("<PubDate/>", &format!("<PubDate><MedlineDate>{date}</MedlineDate></PubDate>"));
            assert_eq!(papers(&text)[0].published.as_deref(), Some(expected), "{date}");
        }
        let article = format!(
            r#"{title}<ELocationID EIdType="doi" ValidYN="N">10.5555/wrong</ELocationID><ELocationID EIdType="doi" ValidYN="Y">10.5555/right</ELocationID>"#
        );
        let list = r#"<ArticleIdList><ArticleId IdType="pmc">PMC7654321</ArticleId><ArticleId IdType="pii">S1</ArticleId></ArticleIdList>"#;
        let alternate_ids: Vec<_> =
            one(&article, list).alternate_ids.iter().map(|id| id.to_string()).collect();
        assert_eq!(alternate_ids, ["10.5555/right", "PMC7654321"]);
    }
}
