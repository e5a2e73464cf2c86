//! Which of some texts a query is nearest to:
//! `cargo run --release -p likewise-encoder --example nearest -- MODEL QUERY TEXT…`

use likewise_encoder::{Encoder, Error};

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, query, texts @ ..] = &arguments[..] else {
        eprintln!("got {} arguments, wanted MODEL QUERY TEXT…", arguments.len());
        return Ok(());
    };
    let encoder = Encoder::from_pretrained(model)?;
    let asked = encoder.encode_queries(&[query])?;
    let found = encoder.encode_documents(texts)?;
    let cosine = |vector: &[f32]| asked[0].vector.iter().zip(vector).map(|(a, b)| a * b).sum::<f32>();
    let mut ranked: Vec<(f32, &String)> =
        found.iter().map(|embedding| cosine(&embedding.vector)).zip(texts).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (score, text) in ranked {
        println!("{score:.3} {text}");
    }
    Ok(())
}
