//! Ranks texts by their cosine similarity to a query:
//! `cargo run --release -p likewise-encoder --example nearest -- MODEL QUERY TEXT…`

use likewise_encoder::{Encoder, Error};

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, query, texts @ ..] = &arguments[..] else {
        eprintln!("usage: nearest MODEL QUERY TEXT…");
        return Ok(());
    };
    let encoder = Encoder::from_pretrained(model)?;
    let queries = encoder.encode_queries(&[query])?;
    let documents = encoder.encode_documents(texts)?;
    // All vectors have length 1, so their dot product is the cosine similarity.
    let similarity = |vector: &[f32]| queries[0].vector.iter().zip(vector).map(|(a, b)| a * b).sum::<f32>();
    let mut ranked: Vec<(f32, &String)> =
        documents.iter().map(|document| similarity(&document.vector)).zip(texts).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (score, text) in ranked {
        println!("{score:.3} {text}");
    }
    Ok(())
}
