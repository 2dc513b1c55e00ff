//! The page of a graph in headless Chromium: it loads, is silent, shows every box, and stays small for 2,000 things.
//!
//! Without `chromium` in the path the test says that it was skipped; with `UNDERTONE_REQUIRE_BROWSER=1` it fails instead.

use std::io::Write as _;
use std::process::Command;

use undertone_lineage::picture::{MAX_BOXES, Picture, html};
use undertone_lineage::{Draft, EntityId, Grade, Graph, Relation};

use crate::support::{dataset, model};

fn has_browser() -> bool {
    let found = Command::new("chromium").arg("--version").output();
    if found.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let demanded = std::env::var("UNDERTONE_REQUIRE_BROWSER").is_ok_and(|value| value == "1");
    assert!(
        !demanded,
        "UNDERTONE_REQUIRE_BROWSER=1, but `chromium` is not in the path"
    );
    let note = b"SKIPPED: browser test of the lineage page: `chromium` is not in the path\n";
    std::io::stderr()
        .write_all(note)
        .expect("standard error is open");
    false
}

/// Loads a page and returns its document after the scripts ran, and what the browser said.
fn load(page: &str) -> (String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("page.html");
    std::fs::write(&path, page).expect("writable");
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
        ])
        .args([
            "--disable-sync",
            "--enable-logging=stderr",
            "--v=0",
            "--virtual-time-budget=5000",
            "--dump-dom",
        ])
        .arg(format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        ))
        .arg(format!("file://{}", path.display()))
        .output()
        .expect("chromium was just found");
    assert!(output.status.success(), "{output:?}");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn check(picture: &Picture, title: &str) -> usize {
    let page = html(picture, title);
    assert!(
        !page.contains("http://")
            || page.matches("http://").count() == page.matches("http://www.w3.org/").count()
    );
    assert!(!page.contains("https://"), "nothing is loaded");
    if has_browser() {
        let (document, talk) = load(&page);
        let ready = format!("data-ready=\"{}\"", picture.nodes.len());
        assert!(
            document.contains(&ready),
            "the script did not end: {}",
            &document[..document.len().min(600)]
        );
        assert!(!talk.contains("CONSOLE"), "{talk}");
    }
    page.len()
}

/// `n` families alike: base, teacher, rows, student.
fn families(n: usize, alike: bool) -> (Draft, EntityId) {
    let mut draft = Draft::new("test", Grade::Observed);
    let data = dataset(&mut draft, "data");
    for family in 0..n {
        let name = |what: &str| match alike {
            true => format!("{what}-{family}"),
            // Letters differ: nothing is alike.
            false => {
                format!("{what}-{}", (b'a' + (family % 26) as u8) as char).repeat(1 + family / 26)
            }
        };
        let teacher = model(&mut draft, &name("teacher"));
        let rows = dataset(&mut draft, &name("rows"));
        let student = model(&mut draft, &name("student"));
        draft
            .edge(teacher, data, Relation::TrainedOn { rows: None })
            .edge(rows, teacher, Relation::GeneratedBy { rows: Some(1) })
            .edge(student, rows, Relation::TrainedOn { rows: Some(1) });
    }
    (draft, data)
}

#[test]
fn two_thousand_things_alike_are_a_handful_of_boxes() {
    let (draft, data) = families(700, true);
    let graph = Graph::from_records(draft.into_records());
    let picture = Picture::around(&graph, &[data], None).expect("in memory");
    assert_eq!(
        (picture.things, picture.nodes.len()),
        (2101, 4),
        "{picture:?}"
    );
    assert_eq!(
        picture.nodes.iter().map(|node| node.count).sum::<usize>(),
        2101
    );
    assert!(check(&picture, "alike") < 20_000);
}

#[test]
fn two_thousand_things_of_which_none_are_alike_are_cut_and_the_page_says_so() {
    let (draft, data) = families(700, false);
    let graph = Graph::from_records(draft.into_records());
    let picture = Picture::around(&graph, &[data], None).expect("in memory");
    assert_eq!((picture.things, picture.nodes.len()), (2101, MAX_BOXES));
    assert_eq!(picture.left_out, 2101 - MAX_BOXES);
    let bytes = check(&picture, "different");
    assert!(bytes < 1_000_000, "{bytes} bytes");
    assert!(html(&picture, "x").contains("left out"));
}

#[test]
fn hostile_names_stay_text() {
    let mut draft = Draft::new("test", Grade::Declared);
    let name =
        "</title><script>document.title='x'</script><img src=x onerror=alert(1)>\u{202e}\0\"'`]]>";
    let (a, b) = (model(&mut draft, name), dataset(&mut draft, name));
    draft.edge(a, b, Relation::TrainedOn { rows: None });
    let graph = Graph::from_records(draft.into_records());
    let picture = Picture::around(&graph, &[a], None).expect("in memory");
    let page = html(&picture, name);
    assert_eq!(page.matches("<script>").count(), 1, "only ours");
    assert!(!page.contains("<img"));
    check(&picture, name);
    for text in [
        undertone_lineage::picture::svg(&picture),
        undertone_lineage::picture::mermaid(&picture),
    ] {
        assert!(
            !text.contains("<script") && !text.contains("<img src"),
            "{text}"
        );
    }
}
