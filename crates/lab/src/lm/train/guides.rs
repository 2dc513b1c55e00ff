//! The models that a student listens to.

use undertone_lm::train::Guide;

use crate::lm::subject::Loaded;

/// Frozen models beside the one in training.
#[derive(Debug)]
pub struct Guides {
    pub(super) teacher: Option<Loaded>,
    pub(super) base: Option<Loaded>,
}

impl Guides {
    pub(crate) fn teacher(&self) -> Option<Guide<'_>> {
        self.teacher.as_ref().map(guide)
    }

    pub(crate) fn base(&self) -> Option<Guide<'_>> {
        self.base.as_ref().map(guide)
    }
}

fn guide(loaded: &Loaded) -> Guide<'_> {
    Guide {
        model: &loaded.model,
        adapter: loaded.adapter.as_ref(),
    }
}
