//! Converts the form and the addresses of the pages to queries, and prepares the query panel above the results.

use super::newest_day;
use crate::search::input::{ParsedInput, ResolvedExamples, is_text, parse};
use crate::search::{Aggregation, Answer, Examples, Library, Query};
use crate::server::App;
use crate::server::body::Form;
use crate::server::problem::Problem;
use crate::server::service::Service;
use crate::store::catalog::{DateRange, Filter};
use crate::store::text::text_of_query;
use crate::web::{Chip, InputText, MAX_EXAMPLES, PageQuery, QueryPanel};
use axum::extract::State;
use axum::response::Redirect;
use likewise_papers::Paper;
use std::sync::Arc;

/// Maximum length in bytes of a text in an address; the end of a longer text is cut off. Many models encode fewer bytes
/// of a text than this.
const MAX_TEXT_BYTES: usize = 4000;

/// Maximum length in bytes of all texts in an address; further texts are left out. Servers and browsers accept about 64
/// KB, and percent-encoding can triple the length.
const MAX_TOTAL_TEXT_BYTES: usize = 16_000;

/// Maximum number of problems of a bibliography that are reported. The number of further problems is reported too.
const MAX_REPORTED_ENTRIES: usize = 5;

/// Maximum number of characters of each report; a longer report is cut off.
const MAX_REPORT_CHARS: usize = 150;

/// Handles the search form: parses the text in the form and redirects to the address of the query. The address also has
/// the papers and filters that the form has.
pub async fn ask(State(app): State<App>, Form(form): Form<PageQuery>) -> Result<Redirect, Problem> {
    let service = app.service()?;
    let text = form.q.join("\n\n");
    if !is_text(&text) {
        return Err(Problem::invalid(
            "the file must be text: an abstract, ids, or a .bib or .txt file (got another format, such as PDF); open the file, and \
             paste its abstract",
        ));
    }
    let is_blank = text.trim().is_empty();
    let PageQuery { q, like, missing, not_read, left_out, .. } = resolve(&service, text).await?;
    if !is_blank && q.is_empty() && like.is_empty() && missing.is_empty() {
        let reason = not_read.first().map_or(String::new(), |first| format!(" ({first})"));
        return Err(Problem::invalid(format!(
            "no entry of the bibliography can be read{reason}; entries must have titles or ids; paste a title or an abstract instead",
        )));
    }
    let new = like.into_iter().filter(|id| !form.like.contains(id)).collect();
    let like = [form.like.clone(), new].concat();
    let page_query = PageQuery { q, like, missing, not_read, left_out, offset: 0, ..form };
    page_query.check().map_err(Problem::invalid)?;
    Ok(Redirect::to(&page_query.link("/")))
}

/// Parses a text and looks up the papers that the text names. Returns the page parameters of the resulting query.
pub async fn resolve(service: &Arc<Service>, text: String) -> Result<PageQuery, Problem> {
    let library = Arc::clone(&service.library);
    service.searches.run(move || resolved(&library, parse(&text))).await
}

fn resolved(library: &Library, input: ParsedInput) -> crate::Result<PageQuery> {
    let ParsedInput { mut examples, problems, .. } = input;
    let mut page_query =
        PageQuery { left_out: examples.len().saturating_sub(MAX_EXAMPLES), ..PageQuery::default() };
    // Later problems usually resemble the first ones, and the length of an address is limited.
    let (count, not_read) = (problems.len(), problems.into_iter().take(MAX_REPORTED_ENTRIES));
    page_query.not_read = not_read.map(|problem| problem.chars().take(MAX_REPORT_CHARS).collect()).collect();
    if count > MAX_REPORTED_ENTRIES {
        page_query.not_read.push(format!("{} more", count - MAX_REPORTED_ENTRIES));
    }
    examples.truncate(MAX_EXAMPLES);
    let ResolvedExamples { papers, texts, missing } = ResolvedExamples::of(examples, library)?;
    page_query.left_out +=
        papers.len().saturating_sub(MAX_EXAMPLES) + missing.len().saturating_sub(MAX_EXAMPLES);
    (page_query.like, page_query.missing) = (papers, missing);
    page_query.like.truncate(MAX_EXAMPLES);
    page_query.missing.truncate(MAX_EXAMPLES);
    let mut capacity = MAX_TOTAL_TEXT_BYTES;
    for text in texts {
        let text = &text[..text.floor_char_boundary(MAX_TEXT_BYTES)];
        match capacity.checked_sub(text.len()) {
            Some(left) => {
                capacity = left;
                page_query.q.push(text.into());
            }
            None => page_query.left_out += 1,
        }
    }
    Ok(page_query)
}

/// Returns the query for the parameters of a page.
pub fn query(page_query: &PageQuery, k: usize, offset: usize) -> Query {
    let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let (from, to) = page_query.days();
    let range = DateRange { from: from.map(str::to_string), to: to.map(str::to_string) };
    let filter = Filter {
        published: Some(range).filter(|range| *range != DateRange::default()),
        categories: list(&page_query.category),
        venues: list(&page_query.venue),
        ..Filter::default()
    };
    let texts = page_query.q.iter().filter(|text| !text.trim().is_empty()).cloned().collect();
    let like = Examples { texts, papers: page_query.like.clone(), vectors: Vec::new() };
    let unlike = Examples::papers(page_query.unlike.clone());
    let min_score = page_query.all.then_some(0.0);
    Query { unlike, k, offset, mode: page_query.mode, min_score, filter, ..Query::of(like) }
}

/// Runs a query. Error messages use the names of the page's parameters.
pub async fn answer(service: &Service, query: Query) -> Result<Answer, Problem> {
    const FIELD_NAMES: [(&str, &str); 5] = [
        ("filter.published.from", "from"),
        ("filter.published.to", "to"),
        ("filter.categories", "category"),
        ("filter.venues", "venue"),
        ("text", "q"),
    ];
    service.search_for_page(query).await.map_err(|problem| problem.with_field_names(&FIELD_NAMES))
}

/// The content of a page with results, besides the results.
pub struct PageContext {
    /// The query panel above the results.
    pub panel: QueryPanel,
    /// The papers in the query that results should be similar to.
    pub like: Vec<Paper>,
    /// The newest day with papers, for the link `Days` in the page's header. `None`: no link.
    pub newest_day: Option<String>,
}

/// Returns the content of a page with results, besides the results. Looks up the papers that the query names.
pub async fn page_context(
    service: &Arc<Service>,
    page_query: &PageQuery,
    answer: &Answer,
) -> Result<PageContext, Problem> {
    let (library, params) = (Arc::clone(&service.library), page_query.clone());
    let find = move || -> crate::Result<(Vec<Paper>, Vec<Paper>, Option<String>)> {
        let papers =
            |ids: &[String]| ids.iter().map(|id| library.paper(id)).collect::<crate::Result<Vec<_>>>();
        Ok((papers(&params.like)?, papers(&params.unlike)?, newest_day(&library)))
    };
    let (like, unlike, newest_day) = service.searches.run(find).await?;
    let chip = |id: &String, paper: &Paper, is_unlike| Chip {
        id: id.clone(),
        title: paper.title.clone(),
        is_unlike,
    };
    let chips = page_query.like.iter().zip(&like).map(|(id, paper)| chip(id, paper, false));
    let unliked = page_query.unlike.iter().zip(&unlike).map(|(id, paper)| chip(id, paper, true));
    let texts_read = page_query.q.iter().filter(|text| !text.trim().is_empty()).zip(&answer.texts);
    let texts_read = texts_read.map(|(text, usage)| {
        let text = text_of_query(text).into_owned();
        let end = if usage.truncated { service.library.encoder().fitting_bytes(&text) } else { text.len() };
        let (read, cut) = text.split_at(end);
        InputText { read: read.into(), cut: cut.into(), tokens: usage.tokens }
    });
    let panel = QueryPanel {
        page_query: page_query.clone(),
        texts: texts_read.collect(),
        chips: chips.chain(unliked).collect(),
        notes: notes(page_query),
        has_reranker: service.library.reranker().is_some(),
    };
    Ok(PageContext { panel, like, newest_day })
}

/// Returns notes about the query: papers that were not found, entries that could not be read, and how examples are
/// combined.
fn notes(page_query: &PageQuery) -> Vec<String> {
    let mut notes = Vec::new();
    match &page_query.missing[..] {
        [] => {}
        [id] => notes.push(format!(
            "No paper in the library has the id or address {id}. Paste its title or abstract instead, or ingest the paper."
        )),
        [first, ..] => notes.push(format!(
            "{} of the papers that you named are not in the library, such as {first}.",
            page_query.missing.len()
        )),
    }
    if !page_query.not_read.is_empty() {
        notes.push(format!(
            "Parts of the bibliography could not be read: {}.",
            page_query.not_read.join("; ")
        ));
    }
    if page_query.left_out > 0 {
        notes.push(format!(
            "{} more papers or texts were left out, because the address of a page has a maximum length.",
            page_query.left_out
        ));
    }
    let query = query(page_query, 1, 0);
    let (count, texts) = (query.like.len(), query.like.texts.len());
    if query.aggregation() == Aggregation::Clusters {
        notes.push(format!(
            "Searched as a reading list of {count} papers or texts: the results for the topics are interleaved."
        ));
    } else if texts > 1 {
        notes.push(format!("Searched as {texts} texts: results are similar to all of them."));
    }
    notes
}
