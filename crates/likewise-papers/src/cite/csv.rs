//! Writes papers as CSV with a header row.
//!
//! Spreadsheets interpret a field that starts with a sign such as `=` as a formula. This module puts an apostrophe in
//! front of such a field, which tells spreadsheets that the field is text.

use crate::paper::Paper;
use std::borrow::Cow;

const HEADER: [&str; 11] = [
    "id",
    "title",
    "abstract",
    "authors",
    "published",
    "categories",
    "venue",
    "source",
    "url",
    "alternate_ids",
    "withdrawn",
];

/// Writes a header row and one row per paper. The items of a list are joined with `; `.
pub fn write<'a>(papers: impl Iterator<Item = &'a Paper>) -> String {
    let header = HEADER.iter().map(|name| Cow::Borrowed(*name)).collect();
    csv(std::iter::once(header).chain(papers.map(|paper| row(paper).to_vec())))
}

/// The header row of [`scored_rows`].
pub fn scored_header() -> String {
    csv(std::iter::once(["rank", "score"].iter().chain(&HEADER).map(|name| Cow::Borrowed(*name)).collect()))
}

/// Writes one row per paper, with its rank and its score in front of the fields of the paper. Writes no header row.
pub fn scored_rows<'a>(papers: impl Iterator<Item = (usize, f32, &'a Paper)>) -> String {
    csv(papers.map(|(rank, score, paper)| {
        let mut fields = vec![rank.to_string().into(), score.to_string().into()];
        fields.extend(row(paper));
        fields
    }))
}

fn csv<'a>(rows: impl Iterator<Item = Vec<Cow<'a, str>>>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row.iter().map(|field| field.as_bytes())).expect("a Vec takes every record");
    }
    let bytes = writer.into_inner().expect("a Vec can be flushed");
    String::from_utf8(bytes).expect("fields and separators are UTF-8")
}

fn row(paper: &Paper) -> [Cow<'_, str>; 11] {
    let optional = |field: &'_ Option<String>| field.clone().unwrap_or_default();
    let alternate_ids: Vec<&str> = paper.alternate_ids.iter().map(|id| id.as_str()).collect();
    [
        paper.id.as_str().into(),
        (&*paper.title).into(),
        (&*paper.r#abstract).into(),
        paper.authors.join("; ").into(),
        optional(&paper.published).into(),
        paper.categories.join("; ").into(),
        optional(&paper.venue).into(),
        optional(&paper.source).into(),
        optional(&paper.url).into(),
        alternate_ids.join("; ").into(),
        if paper.withdrawn { "true" } else { "false" }.into(),
    ]
    .map(as_text)
}

fn as_text(field: Cow<'_, str>) -> Cow<'_, str> {
    if field.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{field}").into() } else { field }
}
