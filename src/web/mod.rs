//! What a browser is shown: pages as HTML, written on the server, that work without a script.
//!
//! Everything here is a function from what was found to text; who asks, and how it is found, is the server's. Text of
//! papers is data from anybody: templates (maud) escape all of it, and no page has a script or a style in it.

mod asked;
mod day;
mod facets;
mod frame;
mod layout;
mod list;
mod map;
mod paper;
mod statics;
mod status;

pub use asked::{Asked, Colour, MOST, Order};
pub use day::{Day, day_page};
pub use facets::Facets;
pub use frame::{Chip, Frame, Question, Read, problem_page};
pub use layout::{Place, around};
pub use list::{Listing, Nearness, PAGE, Shown, list_page, start_page};
pub use map::{Mapped, ON_MAP, map_page};
pub use paper::{PaperView, paper_page};
pub use statics::{Static, static_file};
pub use status::{Status, status_page};
