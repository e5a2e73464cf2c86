//! Selects the devices that encode: the CPU or GPUs.
//!
//! The available devices depend on the machine and on whether the program was built with the feature `cuda`; no other
//! module checks them.

use crate::error::{Error, Result};
use crate::model::Precision;
use candle_core::{DType, Device};
use std::str::FromStr;

/// The devices that encode, as given by `--device`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Devices {
    /// All GPUs if the machine has any, the program was built with `cuda`, and the precision is not int8; else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPUs with these ids, counted from 0. An empty list stands for all GPUs.
    Cuda(Vec<usize>),
}

impl FromStr for Devices {
    type Err = String;

    fn from_str(text: &str) -> Result<Devices, String> {
        let invalid =
            || format!("must be auto, cpu, cuda, or a list such as cuda:0 or cuda:0,cuda:1 (got {text:?})");
        let number = |part: &str| {
            let number = part.strip_prefix("cuda:").unwrap_or(part);
            number.parse().map_err(|_| invalid())
        };
        match text {
            "auto" => Ok(Devices::Auto),
            "cpu" => Ok(Devices::Cpu),
            "cuda" => Ok(Devices::Cuda(Vec::new())),
            _ if !text.starts_with("cuda:") => Err(invalid()),
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
    /// Whether the devices are GPUs. This ignores the precision: for int8, which GPUs do not support, [`Devices::open`]
    /// returns an error or uses the CPU.
    pub fn are_gpus(&self) -> bool {
        match self {
            Devices::Cpu => false,
            Devices::Cuda(_) => true,
            Devices::Auto => cfg!(feature = "cuda") && gpu(0).is_ok(),
        }
    }

    /// Opens the devices. Returns the CPU, or at least one GPU. All returned devices can compute in `precision`.
    ///
    /// # Errors
    /// For [`Devices::Cuda`], [`Error::Model`] if a GPU cannot be used, the program was built without `cuda`, or the
    /// precision is int8, which GPUs do not support. In these cases, [`Devices::Auto`] uses the CPU and returns no
    /// error.
    pub fn open(&self, precision: Precision) -> Result<Vec<Device>> {
        match self {
            Devices::Cpu => Ok(vec![Device::Cpu]),
            // GPUs do not support int8. If a data folder has int8 vectors, which were computed on a CPU, the vectors of
            // new papers have to be computed on a CPU too.
            Devices::Auto if !cfg!(feature = "cuda") || precision == Precision::Int8 => Ok(vec![Device::Cpu]),
            Devices::Cuda(_) if precision == Precision::Int8 => Err(Error::Model(
                "--device cuda does not support int8; use --precision bf16 or f32 (with `likewise reembed` for papers \
                 that are already encoded), or --device cpu"
                    .into(),
            )),
            Devices::Auto => match all_gpus() {
                Ok(gpus) => Ok(gpus),
                Err(error) => {
                    tracing::info!("using the CPU, because no GPU is available: {error}");
                    Ok(vec![Device::Cpu])
                }
            },
            Devices::Cuda(_) if !cfg!(feature = "cuda") => Err(Error::Model(
                "--device cuda is not available, because this program was built without CUDA; build it with `cargo build \
                 --release --features cuda` (deploy/gpu.md), or omit --device"
                    .into(),
            )),
            Devices::Cuda(numbers) if numbers.is_empty() => all_gpus(),
            Devices::Cuda(numbers) => numbers.iter().map(|number| gpu(*number)).collect(),
        }
    }
}

/// Opens the GPUs of the machine in the order of their ids, up to the first that cannot be opened. Returns an error if
/// not even GPU 0 can be opened.
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
            "--device cuda:{number} cannot be used: {cause}; `nvidia-smi` lists the available GPUs"
        ))
    })
}

/// Returns the name of a device, in the notation of `--device`.
pub fn name(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => "cpu".into(),
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

/// Whether an error means that a device is out of memory, so that a smaller batch might succeed.
pub fn is_out_of_memory(error: &candle_core::Error) -> bool {
    let text = error.to_string().to_ascii_lowercase();
    text.contains("out of memory") || text.contains("out_of_memory")
}

/// Returns the data type in which a GPU computes for a precision.
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
    fn devices_parse_what_they_display() {
        for text in ["auto", "cpu", "cuda", "cuda:0", "cuda:0,cuda:3"] {
            assert_eq!(text.parse::<Devices>().unwrap().to_string(), text);
        }
        assert_eq!("cuda:1,2".parse(), Ok(Devices::Cuda(vec![1, 2])));
        for invalid in ["gpu", "cuda:", "cuda:x", "cpu,cuda:0", ""] {
            let message = invalid.parse::<Devices>().unwrap_err();
            assert!(message.contains("must be auto, cpu, cuda"), "{invalid}: {message}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn without_the_cuda_feature_the_error_says_how_to_build_with_it() {
        let message = Devices::Cuda(vec![0]).open(Precision::F32).unwrap_err().to_string();
        assert!(message.contains("--features cuda"), "{message}");
        assert_eq!(Devices::Auto.open(Precision::F32).unwrap().len(), 1);
    }
}
