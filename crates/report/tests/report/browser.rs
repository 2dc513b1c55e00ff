//! The sample report in headless Chromium: layout, colours and silence.
//!
//! Without `chromium` in the path the test says that it was skipped; with `UNDERTONE_REQUIRE_BROWSER=1` it fails instead.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use undertone_report::{example, report_html};

/// A browser that keeps everything it writes in one temporary folder.
struct Browser {
    folder: tempfile::TempDir,
}

/// What one page left behind.
struct Visit {
    stdout: String,
    stderr: String,
}

impl Browser {
    /// Finds Chromium; `None` if there is none and none is demanded.
    fn find() -> Option<Self> {
        let found = Command::new("chromium").arg("--version").output();
        if found.is_ok_and(|output| output.status.success()) {
            return Some(Self {
                folder: tempfile::tempdir().expect("a temporary folder"),
            });
        }
        let demanded = std::env::var("UNDERTONE_REQUIRE_BROWSER").is_ok_and(|value| value == "1");
        assert!(
            !demanded,
            "UNDERTONE_REQUIRE_BROWSER=1, but `chromium` is not in the path"
        );
        // Straight to the terminal: the harness hides the output of tests that pass.
        let note = "SKIPPED: browser test of the report: `chromium` is not in the path\n";
        std::io::stderr()
            .write_all(note.as_bytes())
            .expect("standard error is open");
        None
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path().join(name), content).expect("the temporary folder is writable");
    }

    fn visit(&self, page: &str, arguments: &[&str]) -> Visit {
        let output = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
            ])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--disable-sync",
            ])
            .args([
                "--disable-component-update",
                "--hide-scrollbars",
                "--enable-logging=stderr",
            ])
            .args([
                "--allow-file-access-from-files",
                "--virtual-time-budget=5000",
                "--v=0",
            ])
            .arg(format!(
                "--user-data-dir={}",
                self.path().join("profile").display()
            ))
            .args(arguments)
            .arg(format!("file://{}", self.path().join(page).display()))
            .output()
            .expect("chromium was just found");
        assert!(output.status.success(), "{output:?}");
        Visit {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Returns width, height and RGB pixels of a screenshot.
    fn screenshot(&self, page: &str, size: &str, arguments: &[&str]) -> (usize, Vec<[u8; 3]>) {
        let path = self.path().join("shot.png");
        let shot = format!("--screenshot={}", path.display());
        let size = format!("--window-size={size}");
        self.visit(page, &[&[shot.as_str(), size.as_str()], arguments].concat());
        let file = fs::File::open(path).expect("chromium wrote the screenshot");
        let mut decoder = png::Decoder::new(std::io::BufReader::new(file));
        decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
        let mut reader = decoder.read_info().expect("a valid png");
        let mut buffer = vec![
            0;
            reader
                .output_buffer_size()
                .expect("a screenshot fits memory")
        ];
        let info = reader.next_frame(&mut buffer).expect("a valid png");
        let samples = info.color_type.samples();
        let pixels = buffer[..info.buffer_size()].chunks(samples);
        (
            info.width as usize,
            pixels.map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
        )
    }
}

/// A page that shows the report in a frame 360 pixels wide and writes down what it measures.
///
/// Chromium's window cannot be narrower than 500 pixels, a frame can.
const PROBE: &str = r#"<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe src="report.html" style="width:WIDTHpx;height:9000px;border:0"></iframe><pre id="out"></pre>
<script>
onload = () => {
  const page = document.querySelector("iframe").contentDocument;
  for (const details of page.querySelectorAll("details")) details.open = OPEN;
  const root = page.documentElement, room = root.clientWidth;
  const clipped = [];
  for (const svg of page.querySelectorAll("svg")) {
    const box = svg.getBoundingClientRect();
    if (box.width === 0) continue;
    for (const text of svg.querySelectorAll("text")) {
      const own = text.getBoundingClientRect();
      if (own.left < box.left - 0.5 || own.right > box.right + 0.5) clipped.push(text.textContent);
    }
  }
  const shown = [...page.querySelectorAll("svg")].filter(svg => svg.getBoundingClientRect().width > 0);
  const texts = shown.flatMap(svg => [...svg.querySelectorAll("tspan")].map(text =>
    parseFloat(text.getAttribute("font-size")) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width));
  const regions = [...page.querySelectorAll(".scroll")];
  document.getElementById("out").textContent = JSON.stringify({
    overflow: root.scrollWidth - room, room, clipped, figures: shown.length, smallest: Math.min(...texts),
    unreachable: regions.filter(region => region.tabIndex !== 0).length, regions: regions.length,
    drawn: [...page.querySelectorAll("img.drawing")].map(img => img.naturalWidth),
    loaded: page.defaultView.performance.getEntriesByType("resource").map(entry => entry.name),
  });
};
</script>"#;

/// Opens the report `width` pixels wide and returns what [`PROBE`] measured.
fn probe(browser: &Browser, width: u32, open: bool) -> serde_json::Value {
    let page = PROBE
        .replace("WIDTH", &width.to_string())
        .replace("OPEN", &open.to_string());
    browser.write("probe.html", &page);
    let visit = browser.visit("probe.html", &["--dump-dom", "--window-size=1400,1000"]);
    let (_, rest) = visit
        .stdout
        .split_once("<pre id=\"out\">")
        .expect("the probe page was shown");
    let (json, _) = rest.split_once("</pre>").expect("the element ends");
    serde_json::from_str(
        &json
            .replace("&gt;", ">")
            .replace("&lt;", "<")
            .replace("&amp;", "&"),
    )
    .unwrap_or_else(|error| panic!("{error}: {json:?}\n{}", visit.stderr))
}

/// Opens the report in a frame and checks what every width must keep.
#[track_caller]
fn check_layout(browser: &Browser, width: u32, open: bool) {
    let seen = probe(browser, width, open);
    assert_eq!(seen["room"], width, "{seen}");
    assert_eq!(seen["overflow"], 0, "{seen}");
    assert_eq!(seen["figures"], 4, "{seen}");
    assert_eq!(seen["unreachable"], 0, "{seen}");
    assert!(
        seen["regions"]
            .as_u64()
            .is_some_and(|n_regions| n_regions >= 5),
        "{seen}"
    );
    assert_eq!(seen["clipped"], serde_json::json!([]), "{seen}");
    assert_eq!(seen["loaded"], serde_json::json!([]), "{seen}");
    // The drawing, whose document has what has to be encoded in an address, was read as it is.
    assert_eq!(seen["drawn"], serde_json::json!([1200]), "{seen}");
    // Text in figures stays readable: 10 px is 0.8 of the page's smallest text.
    assert!(
        seen["smallest"].as_f64().is_some_and(|size| size >= 10.0),
        "{seen}"
    );
}

/// Returns the share of pixels whose red, green and blue are all within `range`.
fn share(pixels: &[[u8; 3]], range: std::ops::RangeInclusive<u8>) -> f64 {
    let inside = pixels
        .iter()
        .filter(|pixel| pixel.iter().all(|value| range.contains(value)));
    inside.count() as f64 / pixels.len() as f64
}

// One test, since two Chromium processes at a time are too much for a small machine.
#[test]
fn the_report_works_in_a_browser() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let html = report_html(&example::mnist_report()).expect("the sample is valid");
    browser.write("report.html", &html);

    for width in [320, 360, 700, 1280] {
        check_layout(&browser, width, false);
    }
    check_layout(&browser, 360, true);

    // The probe itself: a page with a known fault must not pass.
    browser.write(
        "report.html",
        &html.replacen("overflow-x: auto", "overflow-x: visible", 1),
    );
    let seen = probe(&browser, 320, true);
    assert!(
        seen["overflow"]
            .as_f64()
            .is_some_and(|overflow| overflow > 0.0),
        "{seen}"
    );
    browser.write("report.html", &html);

    let light = "--blink-settings=preferredColorScheme=1";
    let (width, pixels) = browser.screenshot("report.html", "1000,1600", &[light]);
    assert_eq!(width, 1000);
    assert!(share(&pixels, 250..=255) > 0.8, "the light page is white");
    let drawn = share(&pixels, 0..=250);
    assert!(drawn > 0.01, "the page is not empty: {drawn}");
    let dark = "--blink-settings=preferredColorScheme=0";
    let (_, pixels) = browser.screenshot("report.html", "1000,1600", &[dark]);
    assert!(share(&pixels, 0..=40) > 0.8, "the dark page is dark");
    assert!(
        share(&pixels, 200..=255) > 0.005,
        "the dark page has light text"
    );

    let visit = browser.visit("report.html", &["--dump-dom"]);
    assert!(visit.stdout.contains("<h1>Digits learned from noise</h1>"));
    assert!(!visit.stderr.contains("CONSOLE"), "{}", visit.stderr);
}

#[test]
fn the_page_cannot_fetch_even_if_something_asks_it_to() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let html = report_html(&example::mnist_report()).expect("the sample is valid");
    // What an injection that survived escaping would do; the policy in the file must stop it.
    let attack = "<img src=\"other.svg\"><script>console.log('ran')</script></main>";
    browser.write("other.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>");
    browser.write("attacked.html", &html.replacen("</main>", attack, 1));
    let visit = browser.visit("attacked.html", &["--dump-dom"]);
    assert!(visit.stdout.contains("other.svg"));
    assert!(!visit.stderr.contains("\"ran\""), "{}", visit.stderr);
    assert!(
        visit.stderr.contains("Content Security Policy"),
        "{}",
        visit.stderr
    );
}
