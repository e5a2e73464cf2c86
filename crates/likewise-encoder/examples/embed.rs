//! Reads texts from standard input, one per line, and prints one vector per line as a JSON list:
//! `echo "Bees that count" | cargo run --release -p likewise-encoder --example embed -- all-MiniLM-L6-v2`

use likewise_encoder::{Encoder, Error};

fn main() -> Result<(), Error> {
    let model = std::env::args().nth(1).unwrap_or_else(|| "all-MiniLM-L6-v2".into());
    let encoder = Encoder::from_pretrained(&model)?;
    eprintln!("{}", encoder.describe());
    let texts: Vec<String> = std::io::stdin().lines().map_while(Result::ok).collect();
    for embedding in encoder.encode_documents(&texts)? {
        println!("{:?}", embedding.vector);
    }
    Ok(())
}
