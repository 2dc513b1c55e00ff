//! The questions people ask of a graph. Every answer says how weak its weakest evidence is.
//!
//! What is not recorded is unknown, and the answers say so in words; nothing here reads silence as "no".

mod common;
mod exposure;
mod path;
mod reach;
mod show;

pub use common::{Common, KINSHIP, Root, Shared};
pub use exposure::{Exposed, Exposure, Learner, Share, SharedData, Writer};
pub use path::{Hop, HopEdge, Path, Why};
pub use reach::{Reach, Reached};
pub use show::{Shown, Tie};

pub(crate) use common::unified;
pub(crate) use exposure::walk_older;
pub(crate) use path::path_of;

/// The most paths [`crate::Graph::why`] returns if the caller does not say.
pub const DEFAULT_PATHS: usize = 100;
