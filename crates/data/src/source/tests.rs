//! Folders and named datasets on disk: found under every spelling, refused for every defect, with the right exit code.

use std::error::Error;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;
use undertone_core::{Sha256Digest, exit};

use super::*;
use crate::folder::Spelling;

type TestResult = Result<(), Box<dyn Error>>;

fn toy_set(n: usize, first_label: u8) -> Result<ImageSet, ImagesError> {
    let pixels = (0..n * 6).map(|pixel| pixel as u8).collect();
    let labels = (0..n)
        .map(|image| (image as u8 + first_label) % 10)
        .collect();
    ImageSet::new(2, 3, 255, pixels, labels)
}

fn toy_folder() -> Result<TempDir, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    write_folder(dir.path(), &toy_set(12, 0)?, &toy_set(5, 3)?)?;
    Ok(dir)
}

fn open_path(path: &Path) -> Result<ImageData, OpenDataError> {
    open(&DataSource::Folder(path.to_path_buf()), Path::new("unused"))
}

/// Pins of the files a toy folder holds.
fn toy_pins(folder: &Path) -> io::Result<[PinnedFile; 4]> {
    let mut pins = *Dataset::Mnist.files();
    for pin in &mut pins {
        let content = fs::read(folder.join(pin.name))?;
        pin.bytes = content.len() as u64;
        pin.sha256 = Sha256Digest::of(&content);
    }
    Ok(pins)
}

fn toy_paths(folder: &Path) -> [PathBuf; 4] {
    FILE_NAMES.map(|name| folder.join(name))
}

#[test]
fn sources_round_trip_as_text() -> TestResult {
    for text in ["digits", "mnist", "fashion", "./mnist", "/data/my folder"] {
        let source: DataSource = text.parse()?;
        assert_eq!(source.to_string(), text);
        let json = serde_json::to_string(&source)?;
        assert_eq!(serde_json::from_str::<DataSource>(&json)?, source);
    }
    assert_eq!("mnist".parse(), Ok(DataSource::Mnist));
    assert_eq!("./mnist".parse(), Ok(DataSource::Folder("./mnist".into())));
    assert_eq!("".parse::<DataSource>(), Err(EmptySourceError));
    Ok(())
}

#[test]
fn a_written_folder_opens_with_its_content_and_digests() -> TestResult {
    let dir = toy_folder()?;
    let data = open_path(dir.path())?;
    assert_eq!(data.train(), &toy_set(12, 0)?);
    assert_eq!(data.test(), &toy_set(5, 3)?);
    let names: Vec<&str> = data.files().iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, FILE_NAMES);
    for file in data.files() {
        let content = fs::read(&file.path)?;
        assert_eq!(file.sha256, Sha256Digest::of(&content));
        assert_eq!(file.bytes, content.len() as u64);
    }
    Ok(())
}

#[test]
fn every_spelling_is_found_and_gives_the_same_digest() -> TestResult {
    let plain = toy_folder()?;
    let expected = open_path(plain.path())?.digest();
    for spelling in [Spelling::Dot, Spelling::DashGz, Spelling::DotGz] {
        let dir = tempfile::tempdir()?;
        for name in FILE_NAMES {
            let content = fs::read(plain.path().join(name))?;
            let spelt = spelling.of(name);
            let content = if spelt.ends_with(".gz") {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&content)?;
                encoder.finish()?
            } else {
                content
            };
            fs::write(dir.path().join(spelt), content)?;
        }
        assert_eq!(open_path(dir.path())?.digest(), expected, "{spelling:?}");
    }
    Ok(())
}

#[test]
fn a_missing_named_dataset_says_which_command_gets_it() -> TestResult {
    let dir = tempfile::tempdir()?;
    let error = open(&DataSource::Mnist, dir.path()).expect_err("the folder is empty");
    assert_eq!(error.fault().exit_code(), exit::USAGE);
    let expected = format!(
        "`train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`, \
         `t10k-labels-idx1-ubyte` not found in `{}`; `undertone fetch mnist` gets them",
        dir.path().join("mnist").display()
    );
    assert_eq!(error.kind.to_string(), expected);
    assert_eq!(find(Dataset::Mnist, dir.path())?, None);
    Ok(())
}

#[test]
fn an_incomplete_folder_names_what_it_lacks() -> TestResult {
    let dir = toy_folder()?;
    fs::remove_file(dir.path().join(FILE_NAMES[3]))?;
    let error = open_path(dir.path()).expect_err("a file is gone");
    assert_eq!(error.fault(), Fault::Missing);
    let text = error.kind.to_string();
    assert!(
        text.starts_with("`t10k-labels-idx1-ubyte` not found in"),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_file_of_another_dataset_under_the_right_name_is_tampered() -> TestResult {
    let dir = tempfile::tempdir()?;
    write_folder(&dir.path().join("mnist"), &toy_set(12, 0)?, &toy_set(5, 3)?)?;
    let error = open(&DataSource::Mnist, dir.path()).expect_err("the toy is not MNIST");
    assert_eq!(error.fault().exit_code(), exit::TAMPERED);
    let found = fs::read(dir.path().join("mnist").join(FILE_NAMES[0]))?;
    let expected = format!(
        "`{}` has the sha256 {}, expected {}",
        dir.path().join("mnist").join(FILE_NAMES[0]).display(),
        Sha256Digest::of(&found),
        Dataset::Mnist.files()[0].sha256
    );
    assert_eq!(error.kind.to_string(), expected);
    assert!(find(Dataset::Mnist, dir.path())?.is_some());
    Ok(())
}

#[test]
fn each_flipped_bit_cut_or_extension_of_a_pinned_file_is_tampered() -> TestResult {
    let dir = toy_folder()?;
    let pins = toy_pins(dir.path())?;
    let paths = toy_paths(dir.path());
    let load = || load(&paths, Some(&pins), "toy".to_owned());
    assert!(load().is_ok());
    for path in &paths {
        let good = fs::read(path)?;
        let mut flipped = good.clone();
        flipped[3] ^= 1;
        let gzip_magic_only = vec![0x1f, 0x8b, 8, 0];
        let longer = [good.as_slice(), &[0]].concat();
        for bad in [flipped, good[1..].to_vec(), longer, gzip_magic_only] {
            fs::write(path, bad)?;
            assert!(matches!(load(), Err(OpenDataErrorKind::Pin(_))));
        }
        fs::write(path, good)?;
    }
    assert!(load().is_ok());
    Ok(())
}

#[test]
fn a_folder_with_bad_idx_files_is_malformed_and_names_the_file() -> TestResult {
    let dir = toy_folder()?;
    let labels_path = dir.path().join(FILE_NAMES[1]);
    let mut labels = fs::read(&labels_path)?;
    labels[10] = 77;
    fs::write(&labels_path, labels)?;
    let error = open_path(dir.path()).expect_err("77 is no label");
    assert_eq!(error.fault().exit_code(), exit::USAGE);
    let expected = format!("cannot read idx file `{}`", labels_path.display());
    assert_eq!(error.kind.to_string(), expected);
    Ok(())
}

#[test]
fn images_and_labels_of_different_number_are_refused() -> TestResult {
    let dir = toy_folder()?;
    let mut labels = Vec::new();
    write_labels(&mut labels, &[1; 11])?;
    fs::write(dir.path().join(FILE_NAMES[1]), labels)?;
    let error = open_path(dir.path()).expect_err("a label is missing");
    assert!(error.kind.to_string().contains("has 12 images"));
    assert_eq!(error.fault(), Fault::Malformed);
    Ok(())
}

#[test]
fn a_path_through_a_file_is_an_io_error() -> TestResult {
    let dir = toy_folder()?;
    let error = open_path(&dir.path().join(FILE_NAMES[0])).expect_err("a file is no folder");
    assert_eq!(error.fault().exit_code(), exit::INFRASTRUCTURE);
    Ok(())
}
