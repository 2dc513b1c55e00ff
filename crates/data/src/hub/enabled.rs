//! The hub, through `hf-hub`.

use std::fs;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};
use undertone_core::Sha256Digest;

use super::{HubError, HubErrorKind, HubEvent, HubOptions, HubRepo};

const CONFIG: &str = "config.json";

/// Whether `file` is part of a model that we read, and in the repository's own folder.
fn is_wanted(file: &str) -> bool {
    const NAMES: [&str; 7] = [
        CONFIG,
        "generation_config.json",
        "model.safetensors.index.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
    ];
    let is_weights = file.ends_with(".safetensors")
        && file.starts_with("model")
        && !file.contains(['/', '\\', ':'])
        && !file.contains("..");
    NAMES.contains(&file) || is_weights
}

fn cache(options: &HubOptions) -> Cache {
    match &options.cache {
        Some(folder) => Cache::new(folder.clone()),
        None => Cache::from_env(),
    }
}

fn at(repo: &HubRepo, revision: &str) -> Repo {
    Repo::with_revision(repo.id().to_owned(), RepoType::Model, revision.to_owned())
}

fn fail(repo: &HubRepo) -> impl Fn(HubErrorKind) -> HubError {
    move |kind| HubError {
        repo: repo.clone(),
        kind: Box::new(kind),
    }
}

/// Returns the folder of `repo` in the cache, with the files of one commit; never touches the network.
///
/// # Errors
/// [`HubErrorKind::NotFetched`] if it is not there.
pub fn find(repo: &HubRepo, options: &HubOptions) -> Result<PathBuf, HubError> {
    let cache = cache(options);
    let in_cache = cache.repo(at(repo, repo.revision()));
    // A branch or tag is a file that holds a commit; a commit is a folder.
    let by_name = in_cache.get(CONFIG);
    let by_commit = || Some(in_cache.pointer_path(repo.revision()).join(CONFIG));
    let config = by_name.or_else(|| by_commit().filter(|config| config.is_file()));
    let folder = config.as_deref().and_then(Path::parent);
    folder.map(Path::to_path_buf).ok_or_else(|| {
        fail(repo)(HubErrorKind::NotFetched {
            repo: repo.clone(),
            cache: cache.path().clone(),
        })
    })
}

/// Downloads what the cache lacks of `repo`, and returns its folder there.
///
/// Only files that a model is read from are downloaded, all of the commit that the revision names now. Interrupted
/// downloads go on where they were. A large file's content is compared with the digest that the hub announces.
///
/// # Errors
/// [`HubError`]; files that did arrive stay.
pub fn fetch(
    repo: &HubRepo,
    options: &HubOptions,
    progress: &mut dyn FnMut(HubEvent<'_>),
) -> Result<PathBuf, HubError> {
    let cache = cache(options);
    if options.offline {
        return find(repo, options).map_err(|_| {
            fail(repo)(HubErrorKind::Offline {
                cache: cache.path().clone(),
            })
        });
    }
    fetch_online(repo, &cache, options, progress).map_err(fail(repo))
}

fn api_error(file: &str) -> impl Fn(ApiError) -> HubErrorKind + use<> {
    let file = file.to_owned();
    move |error| HubErrorKind::Api {
        file: file.clone(),
        source: Box::new(error),
    }
}

fn fetch_online(
    repo: &HubRepo,
    cache: &Cache,
    options: &HubOptions,
    progress: &mut dyn FnMut(HubEvent<'_>),
) -> Result<PathBuf, HubErrorKind> {
    let api = api(cache, options)?;
    let info = api.repo(at(repo, repo.revision())).info();
    let info = info.map_err(api_error("the list of files"))?;
    let files = info.siblings.into_iter().map(|sibling| sibling.rfilename);
    let files: Vec<String> = files.filter(|file| is_wanted(file)).collect();
    let is_weights = |file: &String| file.ends_with(".safetensors");
    let is_commit = info.sha.len() == 40 && info.sha.chars().all(|c| c.is_ascii_hexdigit());
    if !is_commit || !files.iter().any(is_weights) || !files.iter().any(|file| file == CONFIG) {
        return Err(HubErrorKind::NoModel);
    }
    let commit = at(repo, &info.sha);
    let folder = cache.repo(commit.clone()).pointer_path(&info.sha);
    let remote = api.repo(commit);
    for file in &files {
        if folder.join(file).exists() {
            progress(HubEvent::Present { file });
            continue;
        }
        progress(HubEvent::Download { file });
        let path = remote.download(file).map_err(api_error(file))?;
        check_announced(file, &path)?;
        progress(HubEvent::Landed { file });
    }
    // Only now does the branch mean this commit: a fetch that was interrupted leaves the old one in place.
    let in_cache = cache.repo(at(repo, repo.revision()));
    in_cache
        .create_ref(&info.sha)
        .map_err(|source| HubErrorKind::Disk {
            path: cache.path().clone(),
            source,
        })?;
    Ok(folder)
}

fn api(cache: &Cache, options: &HubOptions) -> Result<Api, HubErrorKind> {
    let mut builder = ApiBuilder::from_env()
        .with_cache_dir(cache.path().clone())
        .with_progress(false)
        .with_retries(3)
        .with_user_agent("undertone", env!("CARGO_PKG_VERSION"));
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    builder.build().map_err(api_error("a connection"))
}

/// Compares a file with its digest, if the hub announced one: it then is the name of the file that `path` links to.
fn check_announced(file: &str, path: &Path) -> Result<(), HubErrorKind> {
    let disk = |source| HubErrorKind::Disk {
        path: path.to_path_buf(),
        source,
    };
    let target = fs::canonicalize(path).map_err(disk)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let Ok(expected) = name.parse::<Sha256Digest>() else {
        return Ok(());
    };
    let found = Sha256Digest::of(&fs::read(&target).map_err(disk)?);
    if found == expected {
        return Ok(());
    }
    fs::remove_file(&target).map_err(disk)?;
    fs::remove_file(path).map_err(disk)?;
    Err(HubErrorKind::Content {
        file: file.to_owned(),
        expected,
        found,
    })
}

#[cfg(test)]
mod tests;
