//! A model on one device, and how much it is given at once.
//!
//! Its own file because a device's memory has to be found out by trying.

use crate::architectures::{self, is_packed};
use crate::device;
use crate::error::{Error, Result};
use crate::head::Head;
use crate::model::{ModelFolder, Side};
use crate::network::{Architecture, Engine};
use crate::tokenize::Tokenized;
use crate::weights::Weights;
use candle_core::Device;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Tokens in one batch on a CPU: what a layer takes of them then stays in the core's own cache.
pub const BATCH_TOKENS: usize = 1024;

/// Tokens in one batch on a GPU, to begin with: it is halved for as long as they do not fit.
const GPU_TOKENS: usize = 65_536;

/// Tokens in one batch on a CPU whose layers are computed one after the other: all that one of them gives goes through
/// the core's own cache to the next.
const LAYER_TOKENS: usize = 512;

/// A model on one device.
pub struct Loaded {
    architecture: Box<dyn Architecture>,
    head: Head,
    device: Device,
    /// Tokens that it is given at once.
    budget: AtomicUsize,
}

impl Loaded {
    /// Takes a model's weights to a device.
    pub fn new(folder: &ModelFolder, engine: Engine, weights: &Weights, device: &Device) -> Result<Loaded> {
        let architecture = architectures::load(folder, engine, weights, device)?;
        let budget = AtomicUsize::new(match device {
            Device::Cpu if engine == Engine::Kernels && is_packed(folder) => BATCH_TOKENS,
            Device::Cpu => LAYER_TOKENS,
            _ => GPU_TOKENS,
        });
        Ok(Loaded { architecture, head: Head::load(folder, device)?, device: device.clone(), budget })
    }

    /// Whether that is this machine's memory and cores.
    pub fn is_on_cpu(&self) -> bool {
        self.device.is_cpu()
    }

    /// As it is named on the command line.
    pub fn device_name(&self) -> String {
        device::name(&self.device)
    }

    /// Tokens that fit at once, as far as that is known.
    pub fn budget(&self) -> usize {
        self.budget.load(Ordering::Relaxed)
    }

    /// Texts to unit vectors. If the device has no room for all of them at once, half as many are tried, and more than
    /// that are not tried again.
    ///
    /// # Errors
    /// Also if there is no room for a single text.
    pub fn embed(&self, texts: &[&Tokenized]) -> Result<Vec<Vec<f32>>> {
        let tokens = texts.iter().map(|text| text.ids.len()).sum::<usize>();
        let is_divisible = texts.len() > 1;
        if is_divisible && tokens > self.budget() && !self.is_on_cpu() {
            return self.embed_halves(texts);
        }
        match self.embed_at_once(texts) {
            Err(error) if is_divisible && device::is_out_of_memory(&error) => {
                self.budget.fetch_min(tokens / 2, Ordering::Relaxed);
                tracing::warn!(
                    "{} has no room for {tokens} tokens at once; trying half as many",
                    self.device_name()
                );
                self.embed_halves(texts)
            }
            Err(error) if device::is_out_of_memory(&error) => Err(Error::Model(format!(
                "{} has no room for one text of {tokens} tokens: {error}; use a smaller model, or --device cpu",
                self.device_name()
            ))),
            outcome => Ok(outcome?),
        }
    }

    fn embed_halves(&self, texts: &[&Tokenized]) -> Result<Vec<Vec<f32>>> {
        let (first, second) = texts.split_at(texts.len() / 2);
        let mut vectors = self.embed(first)?;
        vectors.extend(self.embed(second)?);
        Ok(vectors)
    }

    fn embed_at_once(&self, texts: &[&Tokenized]) -> candle_core::Result<Vec<Vec<f32>>> {
        let side = texts.first().map_or(Side::Paper, |text| text.side);
        let ids: Vec<&[u32]> = texts.iter().map(|text| &text.ids[..]).collect();
        self.head.forward(self.architecture.pooled(&ids, side)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Tensor;
    use std::sync::Mutex;

    /// A device with room for so many tokens, which writes down what it was given.
    struct Small {
        room: usize,
        asked: std::sync::Arc<Mutex<Vec<usize>>>,
    }

    impl Architecture for Small {
        fn pooled(&self, texts: &[&[u32]], _: Side) -> candle_core::Result<Tensor> {
            let tokens = texts.iter().map(|ids| ids.len()).sum();
            self.asked.lock().unwrap().push(tokens);
            if tokens > self.room {
                return Err(candle_core::Error::Msg("CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\"".into()));
            }
            let first: Vec<f32> = texts.iter().flat_map(|ids| [ids[0] as f32, 1.0]).collect();
            Tensor::from_vec(first, (texts.len(), 2), &Device::Cpu)
        }
    }

    fn text(id: u32, length: usize) -> Tokenized {
        Tokenized { ids: vec![id; length], truncated: false, side: Side::Paper }
    }

    fn loaded(room: usize) -> (Loaded, std::sync::Arc<Mutex<Vec<usize>>>) {
        let asked = std::sync::Arc::new(Mutex::new(Vec::new()));
        let architecture = Box::new(Small { room, asked: std::sync::Arc::clone(&asked) });
        let head = Head::without_steps(2);
        (Loaded { architecture, head, device: Device::Cpu, budget: AtomicUsize::new(1000) }, asked)
    }

    #[test]
    fn what_has_no_room_is_halved_and_comes_back_in_order() {
        let (loaded, asked) = loaded(30);
        let texts: Vec<Tokenized> = (1..=8).map(|id| text(id, 10)).collect();
        let vectors = loaded.embed(&texts.iter().collect::<Vec<_>>()).unwrap();
        for (vector, id) in vectors.iter().zip(1..) {
            assert!((vector[0] / vector[1] - id as f32).abs() < 1e-4, "{vector:?}");
        }
        assert_eq!(*asked.lock().unwrap(), [80, 40, 20, 20, 40, 20, 20]);
        assert_eq!(loaded.budget(), 20, "no more is tried from now on");
    }

    #[test]
    fn one_text_without_room_is_an_error_that_says_what_to_do() {
        let (loaded, _) = loaded(30);
        let (small, large) = (text(1, 10), text(2, 50));
        let message = loaded.embed(&[&small, &large]).unwrap_err().to_string();
        assert!(message.contains("one text of 50 tokens") && message.contains("--device cpu"), "{message}");
    }
}
