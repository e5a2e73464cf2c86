//! A model's tensors, whatever its files are.
//!
//! Its own file because a tensor may be in one mapped file, in one of several, or in what `torch.save` wrote, and no
//! architecture should have to know.

use crate::error::{Error, Result};
use crate::map::MappedFile;
use candle_core::safetensors::SliceSafetensors;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Files of weights, opened.
pub struct Weights {
    files: Vec<(PathBuf, Option<MappedFile>)>,
}

impl Weights {
    /// Opens `files` in `folder`.
    pub fn open(folder: &Path, files: &[String]) -> Result<Weights> {
        let open = |file: &String| {
            let path = folder.join(file);
            let mapped = file.ends_with(".safetensors").then(|| MappedFile::open(&path)).transpose()?;
            Ok((path, mapped))
        };
        Ok(Weights { files: files.iter().map(open).collect::<Result<_>>()? })
    }

    /// What an error says it is about.
    pub fn path(&self) -> &Path {
        self.files.first().map_or(Path::new("weights"), |(path, _)| path)
    }

    /// The tensors, converted to `dtype` on `device` as they are asked for.
    pub fn tensors(&self, dtype: DType, device: &Device) -> Result<VarBuilder<'_>> {
        if let [(path, Some(mapped))] = &self.files[..] {
            // As they are asked for, and not before: it may be larger than memory.
            return VarBuilder::from_slice_safetensors(mapped.bytes(), dtype, device)
                .map_err(|error| super::damaged(path, error));
        }
        let mut all: HashMap<String, Tensor> = HashMap::new();
        for (path, mapped) in &self.files {
            let read = || -> candle_core::Result<Vec<(String, Tensor)>> {
                let Some(mapped) = mapped else { return candle_core::pickle::read_all(path) };
                let file = SliceSafetensors::new(mapped.bytes())?;
                let load = |(name, _): (String, _)| Ok((name.clone(), file.load(&name, &Device::Cpu)?));
                file.tensors().into_iter().map(load).collect()
            };
            all.extend(read().map_err(|error| unreadable(path, error))?);
        }
        Ok(VarBuilder::from_tensors(all, dtype, device))
    }
}

fn unreadable(path: &Path, error: candle_core::Error) -> Error {
    let todo = "fetch the model folder again, or save it as safetensors";
    Error::Model(format!("{}: {error}; {todo}", path.display()))
}
