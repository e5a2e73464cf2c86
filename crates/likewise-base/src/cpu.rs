//! Which level of the CPU's instructions is used.
//!
//! Its own file because the encoder's kernels and the index's are chosen alike: the best level that the
//! machine has, or the one that `LIKEWISE_CPU` names, so that every level is tested on one machine.

/// The setting that names a level.
pub const SETTING: &str = "LIKEWISE_CPU";

/// Picks from levels, best first, of which there is at least one.
pub fn pick<T>(mut levels: Vec<T>, name: impl Fn(&T) -> &'static str) -> T {
    let named = std::env::var(SETTING).ok();
    let place = named.as_ref().map_or(Some(0), |named| levels.iter().position(|level| name(level) == *named));
    if place.is_none() {
        let names: Vec<&str> = levels.iter().map(name).collect();
        let got = named.unwrap_or_default();
        tracing::warn!("{SETTING}: got {got:?}, wanted one of {}; using the best", names.join(", "));
    }
    levels.swap_remove(place.unwrap_or(0))
}
