//! Builds a segment over 20,000 random unit vectors, and prints the recall of searches in it:
//! `cargo run --release -p likewise-index --example neighbours`

use likewise_index::build::HnswParams;
use likewise_index::{Error, Segments, Vectors, probe};

const DIMENSION: usize = 32;

fn main() -> Result<(), Error> {
    let folder = std::env::temp_dir().join(format!("neighbours-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    let vectors = Vectors::in_memory(random_unit_vectors(20_000), DIMENSION);
    let mut index = Segments::open(&folder, vectors.clone())?;
    index.seal(&folder, HnswParams::default())?;
    println!("{:?}", index.stats());
    println!("recall@10: {:.4}", probe(&index, &vectors, 500));
    std::fs::remove_dir_all(&folder).map_err(Error::io(&folder))
}

fn random_unit_vectors(count: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u32 << 24) as f32 - 0.5
    };
    let mut values = Vec::with_capacity(count * DIMENSION);
    for _ in 0..count {
        let vector: Vec<f32> = (0..DIMENSION).map(|_| next()).collect();
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        values.extend(vector.iter().map(|value| value / length));
    }
    values
}
