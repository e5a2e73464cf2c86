//! The `likewise` program: parse the arguments, run one command, print the error chain.

use std::process::ExitCode;

/// candle allocates fresh buffers for every operation; the system allocator hands them back to the
/// kernel each time, which costs a third of the encoder's time in page faults. mimalloc keeps them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    likewise::cli::main()
}
