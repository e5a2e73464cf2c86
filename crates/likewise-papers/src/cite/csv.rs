//! CSV, with a heading.
//!
//! Its own file, like every format. Spreadsheets compute what begins with `=`: such a field gets an apostrophe before it,
//! as they themselves write text.

use crate::paper::Paper;
use std::borrow::Cow;

/// Papers under a heading; lists are joined by `; `.
pub fn write<'a>(papers: impl Iterator<Item = &'a Paper>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let heading = [
        "id",
        "title",
        "abstract",
        "authors",
        "published",
        "categories",
        "venue",
        "source",
        "url",
        "also",
        "withdrawn",
    ];
    let mut rows = vec![heading.map(Cow::Borrowed)];
    rows.extend(papers.map(row));
    for row in rows {
        writer.write_record(row.iter().map(|field| field.as_bytes())).expect("a Vec takes every record");
    }
    let bytes = writer.into_inner().expect("a Vec can be flushed");
    String::from_utf8(bytes).expect("fields and separators are UTF-8")
}

fn row(paper: &Paper) -> [Cow<'_, str>; 11] {
    let optional = |field: &'_ Option<String>| field.clone().unwrap_or_default();
    let also: Vec<&str> = paper.also.iter().map(|id| id.as_str()).collect();
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
        also.join("; ").into(),
        if paper.withdrawn { "true" } else { "false" }.into(),
    ]
    .map(as_text)
}

fn as_text(field: Cow<'_, str>) -> Cow<'_, str> {
    if field.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{field}").into() } else { field }
}
