//! Every way an idx file can be wrong, one by one, and what a right one gives.

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn images_file(n: usize, rows: usize, cols: usize) -> Vec<u8> {
    let pixels: Vec<u8> = (0..n * rows * cols).map(|pixel| pixel as u8).collect();
    let mut file = Vec::new();
    write_images(&mut file, rows, cols, &pixels).expect("a vector takes every byte");
    file
}

fn labels_file(labels: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    write_labels(&mut file, labels).expect("a vector takes every byte");
    file
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder
        .write_all(content)
        .expect("a vector takes every byte");
    encoder.finish().expect("a vector takes every byte")
}

fn images(mut file: &[u8]) -> Result<IdxImages, ReadIdxError> {
    read_images(&mut file, Path::new("dir/images"))
}

#[track_caller]
fn check_images_error(file: &[u8], expected: &str) {
    let error = images(file).expect_err("the file is wrong");
    assert_eq!(error.to_string(), "cannot read idx file `dir/images`");
    assert_eq!(error.kind.to_string(), expected);
}

#[test]
fn plain_and_gzip_give_the_same_images() -> Result<(), ReadIdxError> {
    let file = images_file(3, 2, 5);
    let plain = images(&file)?;
    assert_eq!((plain.n, plain.rows, plain.cols), (3, 2, 5));
    assert_eq!(plain.pixels, (0..30).collect::<Vec<u8>>());
    assert_eq!(plain.sha256, Sha256Digest::of(&file));
    assert_eq!(plain, images(&gzip(&file))?);
    Ok(())
}

#[test]
fn labels_round_trip() -> Result<(), ReadIdxError> {
    let file = labels_file(&[0, 9, 5]);
    let labels = read_labels(&mut gzip(&file).as_slice(), Path::new("labels"))?;
    assert_eq!(labels.labels, [0, 9, 5]);
    assert_eq!(labels.sha256, Sha256Digest::of(&file));
    Ok(())
}

#[test]
fn names_row_and_value_of_a_label_out_of_range() {
    let error = read_labels(&mut labels_file(&[1, 2, 10]).as_slice(), Path::new("l"))
        .expect_err("10 is not a digit");
    assert_eq!(
        error.kind.to_string(),
        "label 10 in row 2 is not one of 0 to 9"
    );
}

#[test]
fn refuses_labels_where_images_are_wanted() {
    check_images_error(
        &labels_file(&[1; 20]),
        "the magic number is 2049, expected 2051 (images)",
    );
}

#[test]
fn refuses_a_text_file() {
    check_images_error(
        b"<!doctype html>",
        "the magic number is 1008821359, expected 2051 (images)",
    );
}

#[test]
fn refuses_an_empty_file_and_a_cut_header() {
    check_images_error(b"", "the content ends after 0 bytes, expected 16");
    check_images_error(
        &images_file(1, 1, 1)[..15],
        "the content ends after 15 bytes, expected 16",
    );
}

#[test]
fn refuses_a_cut_body_and_trailing_bytes() {
    let mut file = images_file(2, 2, 2);
    check_images_error(&file[..23], "the content ends after 23 bytes, expected 24");
    file.push(0);
    check_images_error(
        &file,
        "the content goes on after the 24 bytes its header promises",
    );
}

#[test]
fn refuses_each_empty_dimension() {
    for (at, name) in [(4, "images"), (8, "rows"), (12, "columns")] {
        let mut file = images_file(1, 1, 1);
        file[at..at + 4].fill(0);
        check_images_error(&file, &format!("the header gives 0 {name}"));
    }
}

#[test]
fn refuses_dimensions_over_the_cap_even_where_the_product_overflows() {
    let mut file = images_file(1, 1, 1);
    file[4..16].fill(0xff);
    check_images_error(
        &file,
        "the header gives dimensions [4294967295, 4294967295, 4294967295], more than the 1073741824 bytes allowed",
    );
    file[4..16].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0x80, 0, 0, 0, 0x80, 1]);
    check_images_error(
        &file,
        "the header gives dimensions [1, 32768, 32769], more than the 1073741824 bytes allowed",
    );
}

#[test]
fn refuses_damaged_gzip() {
    let file = gzip(&images_file(10, 8, 8));
    let expected = "the gzip stream is damaged or cut short";
    check_images_error(&file[..file.len() - 4], expected);
    let mut flipped = file.clone();
    let checksum_at = file.len() - 8;
    flipped[checksum_at] ^= 1;
    check_images_error(&flipped, expected);
    let mut trailing = file;
    trailing.extend(b"junk");
    check_images_error(&trailing, expected);
}

#[test]
fn a_bomb_is_cut_off_one_byte_past_what_its_header_promises() {
    let mut content = images_file(1, 1, 1);
    content.resize(64 << 20, 0);
    check_images_error(
        &gzip(&content),
        "the content goes on after the 17 bytes its header promises",
    );
}

#[test]
fn a_failing_reader_is_not_blamed_on_the_file() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::PermissionDenied))
        }
    }
    let error = read_images(&mut Broken, Path::new("x")).expect_err("the reader fails");
    assert!(matches!(error.kind, ReadIdxErrorKind::Io(_)));
}

#[test]
fn writer_refuses_half_an_image() {
    assert!(write_images(&mut Vec::new(), 2, 2, &[0; 5]).is_err());
    assert!(write_images(&mut Vec::new(), 0, 2, &[]).is_err());
}
