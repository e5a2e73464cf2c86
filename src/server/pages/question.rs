//! What is asked, from a form or an address → a query, and how it is shown above the answers.

use super::newest_day;
use crate::search::ask::{List, Reading, is_text, read};
use crate::search::{Answer, Examples, Library, Like, Query};
use crate::server::App;
use crate::server::body::Form;
use crate::server::problem::Problem;
use crate::server::service::Service;
use crate::store::catalog::{DateRange, Filter};
use crate::store::text::text_of_query;
use crate::web::{Asked, Chip, MOST, Question, Read};
use axum::extract::State;
use axum::response::Redirect;
use likewise_papers::Paper;
use std::sync::Arc;

/// Bytes of a text that go into an address: more than any model reads of one.
const TEXT_BYTES: usize = 4000;

/// Bytes of all texts of an address: servers and browsers take about 64 KB, in which a byte may become three.
const ALL_BYTES: usize = 16_000;

/// Entries that could not be read that are told one by one, and letters of each.
const MOST_NOT_READ: usize = 5;
const NOT_READ_LETTERS: usize = 150;

/// Reads the field and goes to the address that asks for what is in it, and for what was asked beside it.
pub async fn ask(State(app): State<App>, Form(form): Form<Asked>) -> Result<Redirect, Problem> {
    let service = app.service()?;
    let text = form.q.join("\n\n");
    if !is_text(&text) {
        return Err(Problem::invalid(
            "got a file that is no text, such as a PDF, wanted an abstract, ids, or a .bib or .txt file; open it, and paste \
             its abstract",
        ));
    }
    let is_blank = text.trim().is_empty();
    let Asked { q, like, missing, not_read, left, .. } = resolve(&service, text).await?;
    if !is_blank && q.is_empty() && like.is_empty() && missing.is_empty() {
        let why = not_read.first().map_or(String::new(), |first| format!(" ({first})"));
        return Err(Problem::invalid(format!(
            "got a bibliography of which no entry can be read{why}, wanted one with titles or ids; paste a title or an abstract",
        )));
    }
    let new = like.into_iter().filter(|id| !form.like.contains(id)).collect();
    let like = [form.like.clone(), new].concat();
    let asked = Asked { q, like, missing, not_read, left, offset: 0, ..form };
    asked.check().map_err(Problem::invalid)?;
    Ok(Redirect::to(&asked.link("/")))
}

/// What a text stands for, among the papers that are here.
pub async fn resolve(service: &Arc<Service>, text: String) -> Result<Asked, Problem> {
    let library = Arc::clone(&service.library);
    service.searches.run(move || resolved(&library, read(&text))).await
}

fn resolved(library: &Library, reading: Reading) -> crate::Result<Asked> {
    let Reading { mut examples, not_read, .. } = reading;
    let mut asked = Asked { left: examples.len().saturating_sub(MOST), ..Asked::default() };
    // The rest is as the first are, and an address has only so much room.
    let (count, not_read) = (not_read.len(), not_read.into_iter().take(MOST_NOT_READ));
    asked.not_read = not_read.map(|wrong| wrong.chars().take(NOT_READ_LETTERS).collect()).collect();
    if count > MOST_NOT_READ {
        asked.not_read.push(format!("{} more", count - MOST_NOT_READ));
    }
    examples.truncate(MOST);
    let List { papers, texts, missing } = List::of(examples, library)?;
    asked.left += papers.len().saturating_sub(MOST) + missing.len().saturating_sub(MOST);
    (asked.like, asked.missing) = (papers, missing);
    asked.like.truncate(MOST);
    asked.missing.truncate(MOST);
    let mut room = ALL_BYTES;
    for text in texts {
        let text = &text[..text.floor_char_boundary(TEXT_BYTES)];
        match room.checked_sub(text.len()) {
            Some(left) => {
                room = left;
                asked.q.push(text.into());
            }
            None => asked.left += 1,
        }
    }
    Ok(asked)
}

/// The query that an address asks.
pub fn query(asked: &Asked, k: usize, offset: usize) -> Query {
    let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let (from, to) = asked.days();
    let range = DateRange { from: from.map(str::to_string), to: to.map(str::to_string) };
    let filter = Filter {
        published: Some(range).filter(|range| *range != DateRange::default()),
        categories: list(&asked.category),
        venues: list(&asked.venue),
        ..Filter::default()
    };
    let texts = asked.q.iter().filter(|text| !text.trim().is_empty()).cloned().collect();
    let like = Like { texts, papers: asked.like.clone(), vectors: Vec::new() };
    let unlike = Like::papers(asked.unlike.clone());
    let min_score = asked.all.then_some(0.0);
    Query { unlike, k, offset, mode: asked.mode, min_score, filter, ..Query::of(like) }
}

/// Answers a query; what is wrong with it is told by the names that addresses have.
pub async fn answer(service: &Service, query: Query) -> Result<Answer, Problem> {
    const CALLED: [(&str, &str); 5] = [
        ("filter.published.from", "from"),
        ("filter.published.to", "to"),
        ("filter.categories", "category"),
        ("filter.venues", "venue"),
        ("text", "q"),
    ];
    service.search_for_page(query).await.map_err(|problem| problem.named(&CALLED))
}

/// A question as it is shown.
pub struct Posed {
    /// What stands above the answers.
    pub question: Question,
    /// The papers that answers should be like.
    pub like: Vec<Paper>,
    /// For the frame.
    pub newest_day: Option<String>,
}

/// A question as it is shown.
pub async fn posed(service: &Arc<Service>, asked: &Asked, answer: &Answer) -> Result<Posed, Problem> {
    let (library, named) = (Arc::clone(&service.library), asked.clone());
    let find = move || -> crate::Result<(Vec<Paper>, Vec<Paper>, Option<String>)> {
        let papers =
            |ids: &[String]| ids.iter().map(|id| library.paper(id)).collect::<crate::Result<Vec<_>>>();
        Ok((papers(&named.like)?, papers(&named.unlike)?, newest_day(&library)))
    };
    let (like, unlike, newest_day) = service.searches.run(find).await?;
    let chip = |id: &String, paper: &Paper, is_unlike| Chip {
        id: id.clone(),
        title: paper.title.clone(),
        is_unlike,
    };
    let chips = asked.like.iter().zip(&like).map(|(id, paper)| chip(id, paper, false));
    let unliked = asked.unlike.iter().zip(&unlike).map(|(id, paper)| chip(id, paper, true));
    let reads = asked.q.iter().filter(|text| !text.trim().is_empty()).zip(&answer.texts);
    let reads = reads.map(|(text, how)| {
        let text = text_of_query(text).into_owned();
        let end = if how.truncated { service.library.encoder().read_bytes(&text) } else { text.len() };
        let (read, cut) = text.split_at(end);
        Read { read: read.into(), cut: cut.into(), tokens: how.tokens }
    });
    let question = Question {
        asked: asked.clone(),
        reads: reads.collect(),
        chips: chips.chain(unliked).collect(),
        notes: notes(asked),
    };
    Ok(Posed { question, like, newest_day })
}

fn notes(asked: &Asked) -> Vec<String> {
    let mut notes = Vec::new();
    match &asked.missing[..] {
        [] => {}
        [id] => notes.push(format!(
            "No paper here has the id or address {id}. Paste its title or abstract instead, or ingest it."
        )),
        [first, ..] => notes.push(format!(
            "{} of the papers that you named are not here, such as {first}.",
            asked.missing.len()
        )),
    }
    if !asked.not_read.is_empty() {
        notes.push(format!("Of the bibliography, this could not be read: {}.", asked.not_read.join("; ")));
    }
    if asked.left > 0 {
        notes.push(format!("{} more were left out: an address has only so much room.", asked.left));
    }
    let query = query(asked, 1, 0);
    let (count, texts) = (query.like.len(), query.like.texts.len());
    if query.examples() == Examples::Clusters {
        notes.push(format!(
            "Read as a list of {count}: papers like those of each of its subjects take turns."
        ));
    } else if texts > 1 {
        notes.push(format!("Read as {texts} texts: papers near to all of them are found."));
    }
    notes
}
