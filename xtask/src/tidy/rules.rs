//! The rules, each with the reason it exists.

use std::collections::BTreeSet;

use super::File;

/// The map has to stay readable in one sitting.
const MAX_ARCHITECTURE_LINES: usize = 250;

/// What Undertone is fits one screen; the rest of the README is two commands and the way to the published result.
const MAX_README_LINES: usize = 150;

/// Past this a file holds more than one thing.
const MAX_CODE_LINES: usize = 600;

/// Words no Rust file may hold, and why. In pieces, so that this file does not hold them.
const UNFINISHED: [(&str, &str); 3] = [
    (concat!("todo", "!("), "unfinished code is not committed"),
    (
        concat!("unimplemented", "!("),
        "unfinished code is not committed",
    ),
    (
        concat!("#[", "ignore"),
        "assert today's behaviour, or delete the test",
    ),
];

/// Hosts of package registries: an installer knows its own, and another machine may have to use a mirror.
const REGISTRY_HOSTS: [&str; 8] = [
    concat!("//crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("index.crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("deb.debian", ".org"),
];

/// Every crate has a heading in ARCHITECTURE.md, and every heading a crate: maps go on describing what is gone.
pub fn crate_map(files: &[File], crates: &BTreeSet<String>) -> Vec<String> {
    let Some(map) = files.iter().find(|file| file.path == "ARCHITECTURE.md") else {
        return vec!["ARCHITECTURE.md: is missing".to_owned()];
    };
    let headings: BTreeSet<String> = map
        .text
        .lines()
        .filter(|line| line.starts_with('#'))
        .flat_map(crates_named_in)
        .collect();
    let missing = crates
        .difference(&headings)
        .map(|name| format!("ARCHITECTURE.md: no heading names `{name}`"));
    let gone = headings
        .difference(crates)
        .map(|name| format!("ARCHITECTURE.md: a heading names `{name}`, no crate"));
    missing.chain(gone).collect()
}

fn crates_named_in(heading: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_/".contains(c);
    heading
        .split(|c| !is_name(c))
        .filter(|word| word.starts_with("crates/"))
        .map(str::to_owned)
        .collect()
}

/// README.md and ARCHITECTURE.md stay short.
pub fn page_sizes(files: &[File]) -> Vec<String> {
    [
        ("ARCHITECTURE.md", MAX_ARCHITECTURE_LINES),
        ("README.md", MAX_README_LINES),
    ]
    .into_iter()
    .filter_map(|(path, max)| {
        let lines = files
            .iter()
            .find(|file| file.path == path)?
            .text
            .lines()
            .count();
        (lines > max).then(|| format!("{path}: {lines} lines, {max} at most"))
    })
    .collect()
}

/// The rules that look at one file at a time.
pub fn file(file: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut complain = |line: Option<usize>, what: &str| {
        let line = line.map_or_else(String::new, |line| format!(":{}", line + 1));
        complaints.push(format!("{}{line}: {what}", file.path));
    };
    for (at, line) in file.text.lines().enumerate() {
        if let Some(host) = REGISTRY_HOSTS.iter().find(|host| line.contains(*host)) {
            complain(
                Some(at),
                &format!("names the registry host `{}`", host.trim_start_matches('/')),
            );
        }
    }
    if !file.path.ends_with(".rs") {
        return complaints;
    }
    if !file.text.starts_with("//!") {
        complain(
            Some(0),
            "a file opens with `//!`: what it decides, what it does not know",
        );
    }
    for (at, line) in file.text.lines().enumerate() {
        if let Some((word, why)) = UNFINISHED.iter().find(|(word, _)| line.contains(word)) {
            complain(Some(at), &format!("`{word}`: {why}"));
        }
    }
    let lines = code_lines(file);
    if lines > MAX_CODE_LINES {
        complain(
            None,
            &format!("{lines} lines of code, {MAX_CODE_LINES} at most: split it"),
        );
    }
    complaints
}

/// Counts lines that are neither blank nor comment nor test.
fn code_lines(file: &File) -> usize {
    let is_test = |path: &str| {
        path.split('/')
            .any(|part| part == "tests" || part.ends_with("tests.rs"))
    };
    if is_test(&file.path) {
        return 0;
    }
    let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
    // Unit tests close a file.
    let inline_tests = |pair: &[&str]| {
        pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    };
    let end = lines
        .windows(2)
        .position(inline_tests)
        .unwrap_or(lines.len());
    lines[..end]
        .iter()
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}
