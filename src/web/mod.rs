//! The web pages, as HTML that is rendered on the server and works without a script.
//!
//! The functions of this module only turn search results into HTML. The module [`server`](crate::server) handles
//! requests and runs searches. Papers contain text from untrusted sources: the templates (maud) escape all of it, and
//! pages contain no inline scripts or styles.

mod day;
mod facets;
mod frame;
mod layout;
mod list;
mod map;
mod page_query;
mod paper;
mod statics;
mod status;

pub use day::{DayView, day_page};
pub use facets::{Facets, LabelCount, YearCount};
pub use frame::{Chip, Frame, InputText, QueryPanel, problem_page};
pub use layout::{Point, radial_layout};
pub use list::{DisplayScore, ListItem, ListView, PAGE_SIZE, list_page, start_page};
pub use map::{MAX_MAP_PAPERS, MapItem, map_page};
pub use page_query::{Colour, MAX_EXAMPLES, Order, PageQuery};
pub use paper::{PaperView, paper_page};
pub use statics::{StaticFile, static_file};
pub use status::{DiskUse, StatusView, status_page};
