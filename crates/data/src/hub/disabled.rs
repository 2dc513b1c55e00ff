//! The hub in a program that was built without it.

use std::path::PathBuf;

use super::{HubError, HubErrorKind, HubEvent, HubOptions, HubRepo};

fn disabled(repo: &HubRepo) -> HubError {
    HubError {
        repo: repo.clone(),
        kind: Box::new(HubErrorKind::Disabled),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_says_how_to_enable_it() {
        let repo: HubRepo = "hf:a/b".parse().expect("the name is right");
        let options = HubOptions::default();
        for outcome in [find(&repo, &options), fetch(&repo, &options, &mut |_| ())] {
            let kind = outcome.map_err(|error| error.kind.to_string());
            assert!(kind.is_err_and(|text| text.contains("`--features hub`")));
        }
    }
}
