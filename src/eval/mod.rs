//! How good an answer is, by the field's measures.
//!
//! [`Measure`] is of one query's answer, by grades that people gave; [`interval`] and [`p_value`] say how far a mean over
//! queries may be trusted. [`recall()`] needs no people: it compares an index with the exact scan;
//! nor does [`vendi()`], how many different things a list has, nor [`Geometry`], what vectors are like among themselves.

mod geometry;
mod measures;
mod recall;
mod resampling;
mod vendi;

pub use geometry::Geometry;
pub use measures::{Graded, Measure};
pub use recall::{probe, recall};
pub use resampling::{interval, mean, p_value};
pub use vendi::vendi;
