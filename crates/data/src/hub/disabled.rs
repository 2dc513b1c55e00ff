//! The hub in a program that was built without it.

use std::path::PathBuf;

use super::{HubError, HubErrorKind, HubEvent, HubOptions, HubRepo};

fn disabled(repo: &HubRepo) -> HubError {
    HubError {
        repo: repo.clone(),
        kind: HubErrorKind::Disabled,
    }
}

/// Would return the folder of `repo` in the cache.
///
/// # Errors
/// Always [`HubErrorKind::Disabled`]: this program was built without the feature `hub`.
pub fn find(repo: &HubRepo, _options: &HubOptions) -> Result<PathBuf, HubError> {
    Err(disabled(repo))
}

/// Would download `repo` into the cache.
///
/// # Errors
/// Always [`HubErrorKind::Disabled`]: this program was built without the feature `hub`.
pub fn fetch(
    repo: &HubRepo,
    _options: &HubOptions,
    _progress: &mut dyn FnMut(HubEvent<'_>),
) -> Result<PathBuf, HubError> {
    Err(disabled(repo))
}
