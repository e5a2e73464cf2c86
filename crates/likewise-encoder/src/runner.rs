//! Runs a model on all its devices: distributes batches of tokenised texts among workers, by default one per CPU core,
//! or one per GPU. On a CPU, a single batch runs on all threads instead.

use crate::device::Devices;
use crate::device_model::{BATCH_TOKENS, DeviceModel};
use crate::error::{Error, Result};
use crate::model::ModelFolder;
use crate::network::Engine;
use crate::tokenize::{self, BatchGrouping, Tokenized};
use crate::weights::Weights;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A model that is loaded on all its devices.
pub struct Runner {
    /// The model on each device. On the CPU, there is a single copy, which all workers share.
    models: Vec<DeviceModel>,
    /// One thread pool per worker. Each pool has a single thread.
    workers: Vec<rayon::ThreadPool>,
    /// A thread pool with all threads, for calls whose texts fit into a single batch.
    all_threads: rayon::ThreadPool,
    /// Which texts can be in the same batch.
    grouping: BatchGrouping,
}

impl Runner {
    /// Loads a model onto devices. `threads` is the number of workers on a CPU; on GPUs there is one worker per GPU.
    pub fn load(folder: &ModelFolder, devices: &Devices, engine: Engine, threads: usize) -> Result<Runner> {
        let opened = devices.open(folder.precision)?;
        let weights = Weights::of_network(folder)?;
        let load = |device| DeviceModel::new(folder, engine, &weights, device);
        let models: Vec<DeviceModel> = opened.iter().map(load).collect::<Result<_>>()?;
        let is_cpu = models.iter().all(DeviceModel::is_on_cpu);
        let workers = if is_cpu { threads.max(1) } else { models.len() };
        // If the model has adapters, documents and queries go through different adapters, so a batch cannot contain
        // both.
        let grouping = match folder.config.adapters {
            Some(_) => BatchGrouping::ByInputType,
            None => BatchGrouping::Mixed,
        };
        Ok(Runner {
            models,
            workers: (0..workers).map(|_| pool(1)).collect::<Result<_>>()?,
            all_threads: pool(threads.max(1))?,
            grouping,
        })
    }

    /// Number of workers, which is also the maximum number of batches that one call computes at the same time.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Number of devices.
    pub fn devices(&self) -> usize {
        self.models.len()
    }

    /// Whether the model is on the CPU.
    pub fn is_on_cpu(&self) -> bool {
        self.models.iter().all(DeviceModel::is_on_cpu)
    }

    /// The names of the devices, as on the command line.
    pub fn device_names(&self) -> String {
        self.models.iter().map(DeviceModel::device_name).collect::<Vec<_>>().join(", ")
    }

    /// Computes the output of the model for each text, in the order of `tokenized`.
    pub fn run(&self, tokenized: &[Tokenized]) -> Result<Vec<Vec<f32>>> {
        let budget = self.models.iter().map(DeviceModel::budget).min().unwrap_or(BATCH_TOKENS);
        let batches = match self.grouping {
            BatchGrouping::Mixed => tokenize::pack_evenly(tokenized, budget, self.workers.len()),
            BatchGrouping::ByInputType => tokenize::pack(tokenized, budget, self.grouping),
        };
        let outputs = Mutex::new(vec![Vec::new(); tokenized.len()]);
        let run_batch = |model: &DeviceModel, batch: &[usize]| -> Result<()> {
            let texts: Vec<&Tokenized> = batch.iter().map(|&text| &tokenized[text]).collect();
            let computed = model.run(&texts)?;
            let mut outputs = outputs.lock().expect("no thread panics while holding this lock");
            batch.iter().zip(computed).for_each(|(&text, output)| outputs[text] = output);
            Ok(())
        };
        match (&batches[..], &self.models[..]) {
            ([], _) => {}
            ([only], [first, ..]) => self.all_threads.install(|| run_batch(first, only))?,
            _ => self.run_batches(&batches, run_batch)?,
        }
        Ok(outputs.into_inner().expect("no thread panicked while holding this lock"))
    }

    /// Runs all batches on the workers; each worker takes the next batch as soon as the worker is free.
    fn run_batches(
        &self,
        batches: &[Vec<usize>],
        run: impl Fn(&DeviceModel, &[usize]) -> Result<()> + Sync,
    ) -> Result<()> {
        let next = AtomicUsize::new(0);
        let work = |model: &DeviceModel| {
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                run(model, batch)?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let work = &work;
            let mut running = Vec::new();
            for (worker, model) in self.workers.iter().zip(self.models.iter().cycle()) {
                running.push(scope.spawn(move || worker.install(|| work(model))));
            }
            running.into_iter().try_for_each(|thread| match thread.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })
    }
}

/// Creates a thread pool. In a pool with one thread, every parallel loop runs on that thread: if every core has its own
/// batch, splitting a matrix multiplication over several cores would only add waiting.
fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|_| "encoder".into())
        .build()
        .map_err(|error| Error::Model(format!("cannot start an encoder thread: {error}")))
}
