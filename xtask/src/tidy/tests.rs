//! Each rule finds what it is for, and nothing else.

use super::*;

fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

fn check(path: &str, text: &str, expected: &[&str]) {
    assert_eq!(rules::file(&file(path, text)), expected);
}

#[test]
fn accepts_a_documented_file() {
    check("crates/a/src/lib.rs", "//! Does a thing.\nfn f() {}\n", &[]);
}

#[test]
fn rejects_a_file_without_an_opening() {
    let complaint = "a.rs:1: a file opens with `//!`: what it decides, what it does not know";
    check("a.rs", "fn f() {}\n", &[complaint]);
    check("a.py", "def f(): pass\n", &[]);
}

#[test]
fn rejects_unfinished_code() {
    let text = format!("//! A.\nfn f() {{ {}) }}\n", concat!("todo", "!("));
    check(
        "a.rs",
        &text,
        &[concat!(
            "a.rs:2: `todo",
            "!(`: unfinished code is not committed"
        )],
    );
    let text = format!("//! A.\n{}]\nfn f() {{}}\n", concat!("#[", "ignore"));
    check(
        "a.rs",
        &text,
        &[concat!(
            "a.rs:2: `#[",
            "ignore`: assert today's behaviour, or delete the test"
        )],
    );
}

#[test]
fn rejects_registry_hosts_but_not_the_lock_file() {
    let line = concat!("pip install -i https://pypi", ".org/simple\n");
    check(
        "run.sh",
        line,
        &[concat!("run.sh:1: names the registry host `pypi", ".org`")],
    );
    check(
        "Cargo.lock",
        "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n",
        &[],
    );
}

#[test]
fn counts_code_but_no_comments_and_no_tests() {
    let code = |n: usize| format!("//! A.\n{}", "fn f() {}\n\n// Why.\n".repeat(n));
    check("a.rs", &code(600), &[]);
    check(
        "a.rs",
        &code(601),
        &["a.rs: 601 lines of code, 600 at most: split it"],
    );
    check("tests/a.rs", &code(601), &[]);
    check("src/a/tests.rs", &code(601), &[]);
    let tested = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", code(600), code(100));
    check("b.rs", &tested, &[]);
}

#[test]
fn compares_the_map_with_the_crates() {
    let crates: BTreeSet<String> = ["crates/a", "crates/b"].map(str::to_owned).into();
    let map = |text: &str| rules::crate_map(&[file("ARCHITECTURE.md", text)], &crates);
    assert_eq!(
        map("# Map\n## `crates/a` and `crates/b`\ntext on `crates/z`\n"),
        Vec::<String>::new()
    );
    let wrong = map("## crates/a: things\n## crates/c\n");
    assert_eq!(
        wrong,
        [
            "ARCHITECTURE.md: no heading names `crates/b`",
            "ARCHITECTURE.md: a heading names `crates/c`, no crate"
        ]
    );
    assert_eq!(
        rules::crate_map(&[], &crates),
        ["ARCHITECTURE.md: is missing"]
    );
}

#[test]
fn limits_the_pages_everyone_reads() {
    let long = "x\n".repeat(251);
    let files = [file("ARCHITECTURE.md", &long), file("README.md", "short\n")];
    assert_eq!(
        rules::page_sizes(&files),
        ["ARCHITECTURE.md: 251 lines, 250 at most"]
    );
}
