//! Chooses the instruction set of the SIMD kernels.
//!
//! The encoder and the index both choose the best instruction set that the CPU supports, unless the environment
//! variable `LIKEWISE_CPU` names another supported instruction set. With this variable, the kernels of every supported
//! instruction set can be tested on one machine.

/// The environment variable that names an instruction set.
pub const ENV_VAR: &str = "LIKEWISE_CPU";

/// Returns the instruction set that [`ENV_VAR`] names. If the variable is not set, returns the first of `supported`. If
/// the variable names none of `supported`, logs a warning and returns the first of `supported`.
///
/// `supported` lists the instruction sets that the CPU supports, best first; `name` returns the name of an instruction
/// set.
///
/// # Panics
/// If `supported` is empty.
pub fn pick<T>(mut supported: Vec<T>, name: impl Fn(&T) -> &'static str) -> T {
    let chosen = std::env::var(ENV_VAR).ok();
    let position =
        chosen.as_ref().map_or(Some(0), |chosen| supported.iter().position(|isa| name(isa) == *chosen));
    if position.is_none() {
        let names: Vec<&str> = supported.iter().map(name).collect();
        let chosen = chosen.unwrap_or_default();
        tracing::warn!("{ENV_VAR} must be one of {} (got {chosen:?}); using {}", names.join(", "), names[0]);
    }
    supported.swap_remove(position.unwrap_or(0))
}
