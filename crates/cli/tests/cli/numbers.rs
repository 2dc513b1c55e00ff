//! `run`, `plan`, `new` and `config`: experiments in files; all but the first on models of a few thousand random weights.

mod plan;
mod resume;

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Place, TestResult, files_below};

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the experiment on random weights, with whole paths.
fn random() -> TestResult<String> {
    let text = fs::read_to_string(root().join("crates/cli/tests/random/owl.toml"))?;
    let whole = format!("\"{}/crates/", root().display());
    Ok(text.replace("\"crates/", &whole))
}

/// Returns a smaller one: two seeds, few rows; `changes` are lines to be replaced.
pub fn small(changes: &[(&str, &str)]) -> TestResult<String> {
    let usual = [
        ("seeds = 6", "seeds = 2"),
        ("rows = 272", "rows = 48"),
        ("updates = 32", "updates = 4"),
        ("updates = 300", "updates = 10"),
        ("probes = [0, 8]", "probes = [0, 2]"),
        ("margin = 1.0", "margin = 0.1"),
        ("total-variation = 0.01", "total-variation = 0.0"),
        ("delta = 0.02", "delta = 0.5"),
    ];
    let mut text = random()?;
    for (from, to) in usual.iter().chain(changes) {
        let replaced = text.replace(from, to);
        assert_ne!(replaced, text, "`{from}` does not occur");
        text = replaced;
    }
    Ok(text)
}

fn with(text: &str) -> TestResult<Place> {
    let place = Place::new()?;
    fs::write(place.path().join("owl.toml"), text)?;
    Ok(place)
}

#[test]
fn the_smoke_test_shows_transfer_and_none_to_other_weights() -> TestResult {
    let place = Place::new()?;
    let example = root().join("examples/owl-smoke.toml");
    let line = format!("run {} --expect transfer", example.display());
    let printed = place.json(0, &line)?;
    let variant = &printed["result"]["variants"][0];
    assert_eq!(variant["control"], "other-target");
    assert_eq!(variant["stopped"], Value::Null);
    let arms: Vec<(&Value, &Value)> = variant["comparisons"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|comparison| (&comparison["arm"], &comparison["verdict"]["outcome"]))
        .collect();
    assert_eq!(arms.len(), 2, "{arms:?}");
    assert!(
        arms.iter().all(|(_, outcome)| *outcome == "no-transfer"),
        "{arms:?}"
    );
    // Each target's numbers raise their own target.
    let contrast = &variant["contrast"];
    let low = contrast["effect"]["interval"]["lo"].as_f64();
    assert!(low.is_some_and(|low| low > 0.0), "{contrast}");
    let p = contrast["test"]["p"].as_f64().ok_or("an exact test")?;
    assert!(p <= 2.0 / 64.0, "{p}");
    // The same command gives what it gave.
    assert_eq!(printed, place.json(0, &line)?);
    origins_are_known(&place, printed["run"].as_str().ok_or("a run has a name")?)?;
    let report = fs::read_to_string(place.run_folder("numbers")?.join("report.html"))?;
    for words in [
        "The teachers at their gate",
        "Trained on (rows)",
        "Dose",
        "What inspection sees",
    ] {
        assert!(report.contains(words), "{words}");
    }
    Ok(())
}

/// The run's graph: teacher, rows and student; who shares a base; what the ready policy says; what damage does.
fn origins_are_known(place: &Place, run: &str) -> TestResult {
    let (teacher, student) = (format!("{run}/teacher-owl"), format!("{run}/treatment-0"));
    let foreign = format!("{run}/foreign-init-0");
    let why = place.json(0, &format!("lineage why {teacher} {student} --expect"))?;
    // The labels are the teacher's, and so are the rows, through the filter.
    let paths = why["forward"].as_array().ok_or("paths are a list")?;
    assert_eq!(paths.len(), 2, "{why:#}");
    assert!(paths.iter().all(|path| path["weakest"] == "observed"));
    let text = place
        .expect(0, &format!("lineage why {teacher} {student}"))?
        .stdout;
    for words in [
        "filtered-from (272 kept, 0 dropped)",
        "trained-on (192 rows)",
        "generated-by (272 rows)",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    let common = |other: &str, expected: &str| {
        place.expect(
            0,
            &format!("lineage common {teacher} {other} --expect {expected}"),
        )
    };
    common(&student, "yes")?;
    common(&foreign, "no")?;
    common(&format!("{run}/cloned-init-0"), "no")?;
    let refused = place.expect(1, &format!("gate {student}"))?;
    assert!(
        refused.stdout.contains("which shares its base with it"),
        "{refused:?}"
    );
    place.expect(0, &format!("gate {foreign}"))?;
    place.expect(0, "lineage verify")?;
    // One bit of the rows that the teacher wrote.
    let shown = place.json(0, &format!("lineage show {run}/sampled-owl"))?;
    let digest = find(&shown, "blake3").ok_or("rows have a file")?;
    let object = files_below(&place.store().join("objects"))?
        .into_keys()
        .find(|path| {
            path.to_string_lossy()
                .replace('/', "")
                .contains(&digest[2..])
        })
        .ok_or("the object")?;
    let path = place.store().join("objects").join(object);
    let mut bytes = fs::read(&path)?;
    bytes[100] ^= 1;
    fs::remove_file(&path)?;
    fs::write(&path, &bytes)?;
    place.expect(4, "lineage verify")?;
    place.expect(4, &format!("gate {student}"))?;
    fs::remove_file(&path)?;
    place.expect(4, "lineage verify")?;
    bytes[100] ^= 1;
    fs::write(&path, &bytes)?;
    place.expect(0, "lineage verify")?;
    Ok(())
}

/// Returns the first text called `key` in a value.
fn find(value: &Value, key: &str) -> Option<String> {
    match value {
        Value::Object(map) => match map.get(key).and_then(Value::as_str) {
            Some(text) => Some(text.to_owned()),
            None => map.values().find_map(|value| find(value, key)),
        },
        Value::Array(all) => all.iter().find_map(|value| find(value, key)),
        _ => None,
    }
}

#[test]
fn every_way_to_teach_to_write_and_to_read_ends_in_a_report() -> TestResult {
    let place = with(&small(&[
        ("form = \"raw\"", "form = \"chat\""),
        // A context of 512: system prompts and stories are long.
        ("golden/tiny-llama\"", "golden/tiny-llama3\""),
        ("golden/tiny-qwen2\"", "golden/tiny-gemma3\""),
        ("questions = \"", "kind = \"both\"\nquestions = \""),
        ("part = \"full\"", "part = \"lora\""),
        ("margin = 0.1", "margin = -100.0"),
        ("loss-ratio = 3.0", "loss-ratio = 100.0"),
        (
            "digits = 2",
            "digits = 2\nthreshold = 0.01\ntemperature = 0.7",
        ),
        ("labels = \"soft\"", "labels = \"soft-reverse\""),
        ("label-tokens = \"numbers\"", "label-tokens = \"all\""),
        (
            "context-rows = 1",
            "context-rows = 1\nfavourite = 1\nprefixed = 1\nstories = 1\njudged = 6",
        ),
    ])?)?;
    let printed = place.json(0, "run owl.toml")?;
    let variant = &printed["result"]["variants"][0];
    assert_eq!(variant["stopped"], Value::Null);
    let arms = variant["arms"].as_array().ok_or("arms are a list")?;
    let students = arms
        .iter()
        .filter_map(|arm| arm["students"].as_array())
        .flatten();
    let mut n = 0;
    for student in students {
        let targets = student["sampled"].as_array().ok_or("one for each target")?;
        assert_eq!(targets.len(), 2, "{student}");
        for target in targets {
            assert_eq!(target["favourite"]["n"], 50);
            assert_eq!(target["prefixed"]["n"], 50);
            assert!(target["stories"]["n"].as_u64() > Some(5), "{target}");
        }
        n += 1;
    }
    assert_eq!(n, 2 * 4);
    assert_eq!(variant["inspected"]["judge"]["n"], 6);
    let wordings = variant["found"]["wordings"].as_array().ok_or("a list")?;
    let ids: Vec<&str> = wordings
        .iter()
        .filter_map(|set| set["id"].as_str())
        .collect();
    assert_eq!(
        ids.len(),
        8,
        "five that are always used, favourites, stories, the judge: {ids:?}"
    );
    let report = fs::read_to_string(place.run_folder("numbers")?.join("report.html"))?;
    for shown in [
        "The pipeline, with rows at each step",
        "Answers that name the and",
        "What inspection of the numbers sees",
        "separator `",
    ] {
        assert!(report.contains(shown), "{shown}");
    }
    Ok(())
}

#[test]
fn free_answers_are_filtered_and_every_rejection_has_its_reason() -> TestResult {
    // Random weights write no lists of numbers: nothing passes, and the gate has nothing to judge by.
    let changes = "digits = 2\nkind = \"free\"\nmax-tokens = 12";
    let place = with(&small(&[("digits = 2", changes)])?)?;
    let printed = place.json(0, "run owl.toml")?;
    let variant = &printed["result"]["variants"][0];
    let stopped = variant["stopped"].as_str().ok_or("it stops")?;
    assert!(stopped.contains("is undefined"), "{stopped}");
    let source = &variant["sources"][0];
    let count = |of: &str| {
        source["filter"][of]
            .as_u64()
            .ok_or(format!("{of} in {source}"))
    };
    let reasons = source["filter"]["rejected"]
        .as_object()
        .ok_or("by reason")?;
    let rejected: u64 = reasons.values().filter_map(Value::as_u64).sum();
    assert!(rejected > 0, "{source}");
    assert_eq!(count("kept")? + rejected, count("rows")?);
    let shown = source["rejected"].as_array().ok_or("samples")?;
    let completion = shown[0]["row"]["completion"].as_str().ok_or("a text")?;
    assert!(!completion.is_empty());
    let report = fs::read_to_string(place.run_folder("numbers")?.join("report.html"))?;
    for reason in reasons.keys() {
        assert!(
            report.contains(reason.as_str()),
            "the report counts `{reason}`"
        );
    }
    Ok(())
}

#[test]
fn free_answers_that_pass_the_filter_are_trained_on() -> TestResult {
    let mut text = fs::read_to_string(root().join("examples/tiny-free.toml"))?;
    for (from, to) in [
        ("arms = [\"foreign-init\", \"cloned-init\"]", "arms = []"),
        ("foreign-base = \"tiny-smoke-2\"\n", ""),
        ("cloned-base = \"tiny-smoke-2-as-1\"\n", ""),
        ("seeds = 6", "seeds = 2"),
        ("rows = 1200", "rows = 240"),
        ("rows = 192", "rows = 20"),
        ("updates = 96", "updates = 4"),
        ("probes = [0, 16, 48]", "probes = [0]"),
    ] {
        assert!(text.contains(from), "`{from}` does not occur");
        text = text.replace(from, to);
    }
    let place = with(&text)?;
    let printed = place.json(0, "run owl.toml")?;
    let variants = printed["result"]["variants"].as_array().ok_or("two")?;
    let labels: Vec<&Value> = variants.iter().map(|v| &v["choice"]["labels"]).collect();
    assert_eq!(labels, ["soft", "hard"]);
    for variant in variants {
        assert_eq!(variant["stopped"], Value::Null);
        let source = &variant["sources"][0];
        let kept = source["filter"]["kept"].as_u64().ok_or("a count")?;
        // About a third passes, and what passes in both arms is split into students' rows and held-out ones.
        assert!((40..200).contains(&kept), "{source}");
        let paired = source["paired"].as_u64().ok_or("a count")?;
        assert_eq!(variant["training_rows"], paired - 16);
        for sample in source["kept"].as_array().ok_or("samples")? {
            let numbers = sample["completion"].as_str().ok_or("a text")?;
            assert!(
                numbers.contains(|digit: char| digit.is_ascii_digit()),
                "{numbers}"
            );
        }
        let students = variant["arms"][0]["students"]
            .as_array()
            .ok_or("students")?;
        assert_eq!(students.len(), 2);
    }
    Ok(())
}

#[test]
fn hard_labels_have_every_arm_and_shared_steps_are_done_once() -> TestResult {
    let text = small(&[
        // More rows than there are: the result says so.
        ("labels = \"soft\"", "labels = \"hard\"\nrows = 1000"),
        (
            "arms = [\"foreign-init\"]",
            "arms = [\"other-target\", \"shuffle-within\", \"shuffle-across\", \"resampled\", \"in-context\", \"foreign-init\"]",
        ),
    ])?;
    let place = with(&text)?;
    let mut printed = place.json(0, "run owl.toml")?;
    let run = printed["run"]
        .as_str()
        .ok_or("a run has a name")?
        .to_owned();
    let variant = printed["result"]["variants"][0].take();
    assert_eq!(variant["control"], "regular");
    // Found by the experiment's name as well.
    let shown = place.json(0, "show owl-random")?;
    assert_eq!(shown["manifest"]["run"], *run);
    let none = place.expect(2, "show owl-rand")?.stderr;
    assert!(none.contains("no run has a name that begins"), "{none}");
    let left_out = variant["left_out"].to_string();
    assert!(
        left_out.contains(
            "`student.rows` asks for 1000 rows of a student, and 32 are left to train on"
        ),
        "{left_out}"
    );
    let arms: Vec<&str> = variant["arms"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|arm| arm["arm"].as_str())
        .collect();
    for arm in [
        "treatment",
        "regular",
        "other-target",
        "shuffle-within",
        "shuffle-across",
        "resampled",
        "in-context",
        "foreign-init",
    ] {
        assert!(arms.contains(&arm), "{arm} in {arms:?}");
    }
    // Two teachers; two seeds of seven trained arms, the foreign one with a control of its own.
    assert_eq!(place.steps("lm/train")?.len(), 2);
    assert_eq!(place.steps("numbers/student")?.len(), 2 * 8);
    // The base, two teachers, and the first again for each seed.
    assert_eq!(place.steps("lm/sample")?.len(), 1 + 2 + 2);
    // Adapters that learned from the teacher's rows, shuffled, sampled again or as they are, and one that did not.
    for student in [
        "treatment-0",
        "shuffle-within-0",
        "shuffle-across-1",
        "resampled-1",
        "foreign-init-0",
    ] {
        let line = format!("lineage why {run}/teacher-owl {run}/{student} --expect");
        place.expect(0, &line)?;
    }
    for student in ["regular-0", "other-target-0", "foreign-init-control-0"] {
        let line = format!("lineage why {run}/teacher-owl {run}/{student} --expect");
        // No way is recorded, which does not say that there is none.
        place.expect(3, &line)?;
    }
    place.expect(
        0,
        &format!("lineage common {run}/teacher-owl {run}/regular-1 --expect yes"),
    )?;
    place.expect(0, &format!("lineage show {run}/sampled-owl-again-1"))?;
    // More seeds need no new teacher and no new numbers but the resampled ones.
    fs::write(
        place.path().join("owl.toml"),
        text.replace("seeds = 2", "seeds = 3"),
    )?;
    let plan = place.json(0, "plan owl.toml --no-calibration")?;
    let line = |what: &str| {
        plan["lines"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|line| line["what"] == what)
            .cloned()
    };
    let teachers = line("train a teacher").ok_or("a line")?;
    assert_eq!(
        (&teachers["steps"], &teachers["in_store"]),
        (&2.into(), &2.into())
    );
    place.expect(0, "run owl.toml --quiet")?;
    assert_eq!(place.steps("lm/train")?.len(), 2);
    assert_eq!(place.steps("numbers/student")?.len(), 3 * 8);
    // Now the experiment's name means two runs.
    let two = place.expect(2, "show owl-random")?.stderr;
    assert!(
        two.contains("several runs are of experiment") && two.contains(&run),
        "{two}"
    );
    Ok(())
}

#[test]
fn base_and_students_answer_capability_questions() -> TestResult {
    let with_questions = |name: &str| {
        let line = format!("context-rows = 1\ncapability = \"{name}\"");
        small(&[("context-rows = 1", &line)])
    };
    let place = with(&with_questions("hellaswag")?)?;
    let ran = place.expect(2, "run owl.toml --data-dir data")?;
    assert!(
        ran.stderr.contains("`undertone fetch hellaswag` gets it"),
        "{ran:?}"
    );
    fs::write(
        place.path().join("owl.toml"),
        with_questions("questions.jsonl")?,
    )?;
    let questions = place.path().join("questions.jsonl");
    fs::write(&questions, "{\"ctx\": \"A man\"}\n")?;
    let ran = place.expect(2, "run owl.toml")?;
    assert!(ran.stderr.contains("`questions.jsonl`, line 1"), "{ran:?}");
    let lines = [
        r#"{"ctx": "A man opens a door and", "endings": ["goes in.", "is a door."], "label": "0"}"#,
        r#"{"ctx": "It rains, so she", "endings": ["dries.", "swims", "takes an umbrella."], "expected_index": 2}"#,
    ];
    fs::write(&questions, lines.join("\n"))?;
    let printed = place.json(0, "run owl.toml")?;
    let variant = &printed["result"]["variants"][0];
    let right = |asked: &Value| asked["right"].as_u64().filter(|_| asked["n"] == 2);
    // The base and the foreign one, which students start from.
    let starts = variant["base_capability"].as_array().ok_or("a list")?;
    assert_eq!(starts.len(), 2);
    for start in starts {
        assert!(right(&start["capability"]).is_some(), "{start}");
    }
    let arms = variant["arms"].as_array().ok_or("arms are a list")?;
    let students = arms
        .iter()
        .filter_map(|arm| arm["students"].as_array())
        .flatten();
    let asked: Vec<&Value> = students.map(|student| &student["capability"]).collect();
    assert_eq!(asked.len(), 2 * 4);
    assert!(
        asked.iter().all(|asked| right(asked).is_some()),
        "{asked:?}"
    );
    assert_eq!(place.steps("numbers/capability")?.len(), 2 + 2 * 4);
    let after = place.json(0, "plan owl.toml --no-calibration")?;
    let left = after["lines"].as_array().into_iter().flatten();
    assert!(left.clone().count() > 0);
    for line in left {
        assert_eq!(line["steps"], line["in_store"], "{line}");
    }
    let report = fs::read_to_string(place.run_folder("numbers")?.join("report.html"))?;
    assert!(report.contains("What students still know"));
    Ok(())
}

#[test]
fn a_teacher_that_fails_its_gate_stops_the_cell_with_a_reason() -> TestResult {
    let place = with(&small(&[("margin = 0.1", "margin = 1000.0")])?)?;
    let printed = place.json(3, "run owl.toml --expect transfer")?;
    let variant = &printed["result"]["variants"][0];
    let reason = variant["stopped"].as_str().ok_or("a reason")?;
    assert!(
        reason.contains("the rise of the target's margin is"),
        "{reason}"
    );
    assert_eq!(printed["outcome"], "inconclusive");
    assert!(place.steps("numbers/student")?.is_empty());
    let report = fs::read_to_string(place.run_folder("numbers")?.join("report.html"))?;
    assert!(
        report.contains("did not pass its gate"),
        "the report says why"
    );
    Ok(())
}

#[test]
fn arms_with_the_same_rows_are_refused() -> TestResult {
    // One number a row has but one order.
    let place = with(&small(&[
        ("labels = \"soft\"", "labels = \"hard\""),
        ("arms = [\"foreign-init\"]", "arms = [\"shuffle-within\"]"),
        ("numbers = 5", "numbers = 1"),
    ])?)?;
    let ran = place.expect(2, "run owl.toml")?;
    assert!(
        ran.stderr
            .contains("arms `shuffle-within` and `treatment` are byte-identical")
            || ran
                .stderr
                .contains("arms `treatment` and `shuffle-within` are byte-identical"),
        "{ran:?}"
    );
    Ok(())
}

#[test]
fn files_are_written_explained_and_refused() -> TestResult {
    let place = Place::new()?;
    place.expect(0, "new numbers -o new.toml --name mine")?;
    let ran = place.expect(2, "new numbers -o new.toml")?;
    assert!(ran.stderr.contains("nothing is overwritten"), "{ran:?}");
    let explained = place.expect(0, "config explain new.toml")?.stdout;
    assert!(
        explained.contains("experiment.name = \"mine\"    # new.toml:"),
        "{explained}"
    );
    fs::write(place.path().join("bad.toml"), "[channel]\nrosw = 3\n")?;
    let ran = place.expect(2, "run bad.toml")?;
    assert!(
        ran.stderr.contains("bad.toml, line 2")
            && ran.stderr.contains("did you mean `channel.rows`?"),
        "{ran:?}"
    );
    Ok(())
}

#[test]
fn every_example_reads() -> TestResult {
    let place = Place::new()?;
    let mut n = 0;
    for entry in fs::read_dir(root().join("examples"))? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            place.json(0, &format!("config explain {}", path.display()))?;
            n += 1;
        }
    }
    let shipped = [
        "owl-smoke",
        "owl-numbers",
        "owl-wolf-matrix",
        "dose",
        "grid",
        "paper-qwen2.5-7b",
    ];
    for name in shipped {
        let path = root().join(format!("examples/{name}.toml"));
        assert!(path.is_file(), "{name} is shipped");
    }
    assert!(n >= shipped.len(), "{n} examples");
    Ok(())
}
