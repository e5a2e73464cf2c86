//! OpenAPI schemas of request fields with constraints that Rust types do not express: a text that is not blank, one
//! text or several, dates.
//!
//! The schemas are exact for the default options of the server: the server accepts every value that a schema allows and
//! refuses every other value. Tests check this with generated values.

use crate::search::{MAX_K, MAX_OFFSET, MAX_PAPERS, MAX_RERANK_TOP};
use likewise_papers::paper::MAX_ID_BYTES;
use serde_json::json;
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, ArrayBuilder, KnownFormat, Object, ObjectBuilder, OneOfBuilder,
    Schema, SchemaFormat, SchemaType, Type,
};

/// Default maximum number of texts in a request.
const MAX_BATCH: usize = 2048;

/// A text that is not blank.
pub fn text() -> Object {
    // `\s` is JavaScript's white space, which differs from Rust's in these two characters.
    ObjectBuilder::new().schema_type(Type::String).pattern(Some("[^\\s\\u0085\\uFEFF]")).build()
}

/// A text that is not blank after white space and control characters have been removed from it.
fn clean_text() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("[^\\s\\u0000-\\u001F\\u007F-\\u009F\\uFEFF]"))
        .build()
}

/// A paper in an upload. Fields that are not in the schema are accepted too.
pub fn paper() -> Schema {
    let text = || ObjectBuilder::new().schema_type(nullable(Type::String));
    let any = |description: &str| {
        ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some(description))
    };
    let id = AnyOfBuilder::new().item(text().max_length(Some(MAX_ID_BYTES))).item(
        ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0.0)).maximum(Some(MAX_NUMERIC_ID)),
    );
    ObjectBuilder::new()
        .description(Some(
            "A paper. Its fields have the names below, other usual names, or the names that arXiv, OpenAlex, \
             Semantic Scholar or BEIR use. An optional field that cannot be read is left out and listed in the \
             response's `not_read`.",
        ))
        .property("id", id)
        .property("title", clean_text())
        .required("title")
        .property("abstract", any("Text."))
        .property("authors", any("A list of names, a list of objects with a name, or one text with names separated by semicolons."))
        .property("published", any("YYYY, YYYY-MM or YYYY-MM-DD; other usual date formats are accepted too."))
        .property("categories", any("A list of texts, or one text with categories separated by semicolons or commas."))
        .property("venue", any("Text."))
        .property("source", any("Text."))
        .property("url", any("Text."))
        .property("doi", any("Text."))
        .examples([json!({
            "id": "2101.11408",
            "title": "Number Parsing at a Gigabyte per Second",
            "abstract": "With disks and networks providing gigabytes per second …",
            "authors": ["Daniel Lemire"],
            "published": "2021-01-11",
        })])
        .into()
}

/// Maximum value of a number that is used as an id.
const MAX_NUMERIC_ID: f64 = 1e15;

fn nullable(kind: Type) -> SchemaType {
    SchemaType::from_iter([kind, Type::Null])
}

/// Whether and how many hits are reranked.
pub fn rerank() -> Schema {
    let top = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(MAX_RERANK_TOP as f64))
        .description(Some("Number of hits that are reranked."));
    let object = ObjectBuilder::new()
        .property("top", top)
        .required("top")
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    let switch = ObjectBuilder::new().schema_type(Type::Boolean);
    let null = ObjectBuilder::new().schema_type(Type::Null);
    let description = "Rerank the first hits of the ranking with the server's reranker, which reads the query and \
                       each paper together: `true` for the first 30, or `{\"top\": 50}` for another number up to 100. \
                       Helps with questions more than with papers. `GET /info` names the reranker; without one, \
                       the request is refused.";
    OneOfBuilder::new().item(switch).item(object).item(null).description(Some(description)).into()
}

/// A list of texts that are not blank.
pub fn list_of_texts() -> Schema {
    ArrayBuilder::new().items(text()).min_items(Some(1)).max_items(Some(MAX_BATCH)).into()
}

/// A text that is not blank, or a list of such texts.
pub fn texts() -> Schema {
    OneOfBuilder::new().item(text()).item(list_of_texts()).into()
}

/// A list of documents to rank. Each document is a text, or an object with the field `text`.
pub fn documents() -> Schema {
    let object = ObjectBuilder::new().property("text", text()).required("text");
    let document = OneOfBuilder::new().item(text()).item(object);
    ArrayBuilder::new().items(document).min_items(Some(1)).max_items(Some(MAX_BATCH)).into()
}

fn date_pattern() -> String {
    const DAYS: &str = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])";
    const LEAP_YEARS: &str = "[0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00";
    format!("[0-9]{{4}}(-(0[1-9]|1[0-2]|{DAYS}))?|({LEAP_YEARS})-02-29")
}

/// An existing date: a day, a month or a year.
pub fn date() -> Object {
    let pattern = format!("^({})$", date_pattern());
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).examples(["2021-01-11"]).build()
}

/// An existing ISO 8601 week, as `YYYY-Www`. Some years have 53 weeks; which ones repeats every 400 years.
pub fn week() -> Object {
    const LONG_YEARS: [&str; 4] = [
        "([02468][048]|[13579][26])(04|09|15|20|26|32|37|43|48|54|60|65|71|76|82|88|93|99)",
        "([02468][159]|[13579][37])(05|11|16|22|28|33|39|44|50|56|61|67|72|78|84|89|95)",
        "([02468][26]|[13579][048])(01|07|12|18|24|29|35|40|46|52|57|63|68|74|80|85|91|96)",
        "([02468][37]|[13579][159])(03|08|14|20|25|31|36|42|48|53|59|64|70|76|81|87|92|98)",
    ];
    let pattern = format!("^([0-9]{{4}}-W(0[1-9]|[1-4][0-9]|5[0-2])|({})-W53)$", LONG_YEARS.join("|"));
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).examples(["2021-W02"]).build()
}

/// A day, as `YYYY-MM-DD`.
pub fn day() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
        .examples(["2021-01-11"])
        .build()
}

/// The cursor of a page in the list of papers.
pub fn cursor() -> Object {
    let pattern = "^([0-9]{4}-[0-9]{2}-[0-9]{2}_[0-9]{4}-[0-9]{2}-[0-9]{2}|_)_[1-9][0-9]{0,17}$";
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).build()
}

/// A list of authors' names.
pub fn names() -> Schema {
    ArrayBuilder::new().items(name()).into()
}

/// An author's name: it has at least one letter or digit.
pub fn name() -> Object {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some("[^\\W_]")).build()
}

/// A paper's id.
pub fn id() -> Object {
    ObjectBuilder::from(clean_text()).max_length(Some(MAX_ID_BYTES)).build()
}

/// A list of one or more ids of papers.
pub fn ids() -> Schema {
    ArrayBuilder::new().items(id()).min_items(Some(1)).max_items(Some(MAX_PAPERS)).into()
}

/// A list of ids of papers. The list can be empty.
pub fn optional_ids() -> Schema {
    ArrayBuilder::new().items(id()).max_items(Some(MAX_PAPERS)).into()
}

/// Number of hits.
pub fn k() -> Object {
    integer(1, MAX_K, 10)
}

/// Number of hits to skip.
pub fn offset() -> Object {
    integer(0, MAX_OFFSET, 0)
}

fn integer(min: usize, max: usize, default: usize) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(min as f64))
        .maximum(Some(max as f64))
        .default(Some(default.into()))
        .build()
}
