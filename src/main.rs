//! The `likewise` program: parse the arguments, run one command, print the error chain.

use std::process::ExitCode;

/// candle allocates new buffers for every operation. The system allocator returns these buffers to the kernel each
/// time, and the resulting page faults cost a third of the encoder's time. mimalloc keeps the memory for the next
/// operation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    likewise::cli::main()
}
