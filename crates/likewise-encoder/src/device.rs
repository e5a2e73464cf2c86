//! Which devices encode: this machine's cores, or its GPUs.
//!
//! Its own file because it is chosen once, here, and because what is said of a device that is not there differs by how
//! the program was built.

use crate::error::{Error, Result};
use crate::model::Precision;
use candle_core::{DType, Device};
use std::str::FromStr;

/// What somebody wants to encode on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Devices {
    /// All GPUs, if there are any and the program was built for them; else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// These GPUs, by number; all, if none is named.
    Cuda(Vec<usize>),
}

impl FromStr for Devices {
    type Err = String;

    fn from_str(text: &str) -> Result<Devices, String> {
        let wrong =
            || format!("got {text:?}, wanted auto, cpu, cuda, or GPUs by number as cuda:0 or cuda:0,cuda:1");
        let number = |part: &str| {
            let number = part.strip_prefix("cuda:").unwrap_or(part);
            number.parse().map_err(|_| wrong())
        };
        match text {
            "auto" => Ok(Devices::Auto),
            "cpu" => Ok(Devices::Cpu),
            "cuda" => Ok(Devices::Cuda(Vec::new())),
            _ if !text.starts_with("cuda:") => Err(wrong()),
            _ => Ok(Devices::Cuda(text.split(',').map(number).collect::<Result<_, _>>()?)),
        }
    }
}

impl std::fmt::Display for Devices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Devices::Auto => f.write_str("auto"),
            Devices::Cpu => f.write_str("cpu"),
            Devices::Cuda(numbers) if numbers.is_empty() => f.write_str("cuda"),
            Devices::Cuda(numbers) => {
                let names: Vec<String> = numbers.iter().map(|number| format!("cuda:{number}")).collect();
                f.write_str(&names.join(","))
            }
        }
    }
}

impl Devices {
    /// Whether they are GPUs, as far as nobody asked for a precision that those do not have.
    pub fn are_gpus(&self) -> bool {
        match self {
            Devices::Cpu => false,
            Devices::Cuda(_) => true,
            Devices::Auto => cfg!(feature = "cuda") && gpu(0).is_ok(),
        }
    }

    /// Opens them: one or more of a kind, that can compute in `precision`.
    ///
    /// # Errors
    /// [`Error::Model`], if one that was named is not there, or cannot.
    pub fn open(&self, precision: Precision) -> Result<Vec<Device>> {
        match self {
            Devices::Cpu => Ok(vec![Device::Cpu]),
            // Vectors of bytes were begun with on a CPU.
            Devices::Auto if !cfg!(feature = "cuda") || precision == Precision::Int8 => Ok(vec![Device::Cpu]),
            Devices::Cuda(_) if precision == Precision::Int8 => Err(Error::Model(
                "--device: got cuda, which does not compute in int8; use --precision bf16 or f32 (for papers that are encoded \
                 already, by `likewise reembed`), or --device cpu"
                    .into(),
            )),
            Devices::Auto => match all_gpus() {
                Ok(gpus) => Ok(gpus),
                Err(error) => {
                    tracing::info!("no GPU is used: {error}");
                    Ok(vec![Device::Cpu])
                }
            },
            Devices::Cuda(_) if !cfg!(feature = "cuda") => Err(Error::Model(
                "--device: got cuda, but this program was built without it; build it with `cargo build --release --features \
                 cuda` (deploy/gpu.md), or leave --device out"
                    .into(),
            )),
            Devices::Cuda(numbers) if numbers.is_empty() => all_gpus(),
            Devices::Cuda(numbers) => numbers.iter().map(|number| gpu(*number)).collect(),
        }
    }
}

/// Every GPU there is, at least one.
fn all_gpus() -> Result<Vec<Device>> {
    let mut gpus = vec![gpu(0)?];
    while let Ok(next) = gpu(gpus.len()) {
        gpus.push(next);
    }
    Ok(gpus)
}

fn gpu(number: usize) -> Result<Device> {
    Device::new_cuda(number).map_err(|error| {
        let cause = error.to_string();
        let cause = cause.lines().next().unwrap_or_default();
        Error::Model(format!(
            "--device: cuda:{number} cannot be used: {cause}; `nvidia-smi` lists what there is"
        ))
    })
}

/// A device's name, as [`Devices`] are named.
pub fn name(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => "cpu".into(),
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

/// Whether an error says that a device's memory is full: fewer texts at once may fit.
pub fn is_out_of_memory(error: &candle_core::Error) -> bool {
    let text = error.to_string().to_ascii_lowercase();
    text.contains("out of memory") || text.contains("out_of_memory")
}

/// The type that a GPU computes in.
pub fn dtype(precision: Precision) -> DType {
    match precision {
        Precision::F32 => DType::F32,
        _ => DType::BF16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_they_are_shown() {
        for text in ["auto", "cpu", "cuda", "cuda:0", "cuda:0,cuda:3"] {
            assert_eq!(text.parse::<Devices>().unwrap().to_string(), text);
        }
        assert_eq!("cuda:1,2".parse(), Ok(Devices::Cuda(vec![1, 2])));
        for wrong in ["gpu", "cuda:", "cuda:x", "cpu,cuda:0", ""] {
            assert!(wrong.parse::<Devices>().unwrap_err().contains("wanted auto, cpu, cuda"), "{wrong}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_program_without_cuda_says_how_to_build_one_with_it() {
        let message = Devices::Cuda(vec![0]).open(Precision::F32).unwrap_err().to_string();
        assert!(message.contains("--features cuda"), "{message}");
        assert_eq!(Devices::Auto.open(Precision::F32).unwrap().len(), 1);
    }
}
