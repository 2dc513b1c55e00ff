//! What is printed and written: JSON that fits its schema, quiet that is quiet, progress that parses, files that open.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::schema;
use crate::support::{Place, TINY, TINY_RUN, TestResult, files_below};
use crate::{lineage, lm, numbers};

const SMALL: &str = "--data digits --models 2 --hidden 8 --teacher-epochs 1 --student-epochs 1 --batch 64 --input-rows 100";

/// Every command with a store of every kind of run, and the exit code it must have.
fn commands() -> Vec<(i32, String)> {
    let line = |code, line: &str| (code, line.to_owned());
    vec![
        line(0, TINY_RUN),
        (0, format!("demo {SMALL}")),
        (0, format!("ablate --sweep aux-logits --values 2,4 {SMALL}")),
        (0, format!("align --every 2 --probe 50 {SMALL}")),
        line(0, "theorem --cases 30"),
        (
            0,
            format!("lm sample {} --prompt a --max-tokens 3", lm::llama()),
        ),
        (
            0,
            format!("lm score {} --prompt a --completion b", lm::llama()),
        ),
        (0, format!("lm sample {} --prompt b --dry-run", lm::llama())),
        (0, format!("lm info {}", lm::llama())),
        (0, format!("mnist {SMALL} --dry-run")),
        (0, format!("ablate --sweep loss {SMALL} --plan --why")),
        (0, format!("align {SMALL} --dry-run")),
        line(0, "runs"),
        line(0, "show mnist"),
        line(0, "show align"),
        line(0, "show lm-sample"),
        line(0, "report mnist"),
        line(0, "compare mnist demo"),
        line(0, "doctor"),
        line(0, "schema"),
        line(0, "schema manifest"),
        line(2, "fetch mnist --offline"),
        line(2, "show nothing"),
        line(2, "mnist"),
        line(2, "demo --no-such-flag"),
        line(5, "theorem --store .undertone/store.json"),
    ]
}

#[test]
fn json_is_one_object_on_stdout_for_every_command_and_every_error() -> TestResult {
    let place = Place::new()?;
    for (code, line) in commands() {
        let printed = place.json(code, &line)?;
        if code == 0 {
            assert!(printed.get("error").is_none(), "`{line}`: {printed}");
        } else {
            assert_eq!(printed["exit_code"], code, "`{line}`: {printed}");
            let chain = printed["error"]
                .as_array()
                .ok_or("an error is a list of causes")?;
            assert!(
                chain
                    .iter()
                    .all(|cause| cause.as_str().is_some_and(|text| !text.is_empty()))
            );
            assert!(!chain.is_empty(), "`{line}`");
        }
    }
    Ok(())
}

#[test]
fn quiet_prints_results_and_says_nothing() -> TestResult {
    let place = Place::new()?;
    for (code, line) in commands() {
        // `--why` was asked for, and errors are never left out.
        if code != 0 || line.contains("--why") {
            continue;
        }
        let ran = place.expect(0, &format!("{line} --quiet"))?;
        assert_eq!(ran.stderr, "", "`{line}`");
        assert_ne!(ran.stdout, "", "`{line}`");
    }
    Ok(())
}

#[test]
fn progress_as_ndjson_counts_from_the_plan_to_the_end() -> TestResult {
    let place = Place::new()?;
    let ran = place.expect(0, &format!("{TINY_RUN} --quiet --progress ndjson"))?;
    let events: Vec<Value> = ran
        .stderr
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let of = |kind: &str| {
        events
            .iter()
            .filter(|event| event["event"] == kind)
            .collect::<Vec<_>>()
    };
    assert_eq!(events[0]["event"], "plan");
    // 4 teachers of 4 epochs and 4 groups of 4 students of 4 epochs.
    assert_eq!(
        (&events[0]["steps"], &events[0]["model_epochs"]),
        (&8.into(), &80.into())
    );
    assert_eq!(of("stored").len(), 8);
    let done: Vec<u64> = of("progress")
        .iter()
        .filter_map(|event| event["model_epochs_done"].as_u64())
        .collect();
    assert_eq!(done.iter().max(), Some(&80));
    assert_eq!(events.len(), 1 + 8 + of("progress").len());
    Ok(())
}

/// A signature, a policy and judgements, each with the name of its schema.
fn judgements(place: &Place) -> TestResult<Vec<(&'static str, Value)>> {
    let run = place.run_folder("demo-")?;
    let run = run.file_name().ok_or("a run has a name")?.to_string_lossy();
    place.expect(0, "lineage keygen me.pem")?;
    place.expect(0, &format!("lineage sign {run} --key me.pem"))?;
    let report = place.json(0, &format!("gate {run}/teacher-0"))?;
    let mut kinship = place.json(0, &format!("kinship {run}/teacher-0 {run}/teacher-0"))?;
    Ok(vec![
        ("gate-policy", place.json(0, "gate --print-policy")?),
        ("gate-report", report),
        ("kinship", kinship["kinship"].take()),
    ])
}

#[test]
fn every_file_of_the_store_fits_the_schema_the_program_prints() -> TestResult {
    let place = Place::new()?;
    for line in [
        format!("demo {SMALL}"),
        format!(
            "{TINY} --student-epochs 2 --cloning-epochs 1 --optimiser sgd --learning-rate 0.1 --inputs images"
        ),
        format!("ablate --sweep optimiser --values adam,sgd {SMALL}"),
        format!("align --every 2 --probe 50 {SMALL}"),
        "theorem --cases 12".to_owned(),
    ] {
        place.expect(0, &line)?;
    }
    for line in lm::every_kind() {
        place.expect(0, &line)?;
    }
    fs::write(place.path().join("owl.toml"), numbers::small(&[])?)?;
    let plan = place.json(0, "plan owl.toml --no-calibration")?;
    place.expect(0, "run owl.toml")?;
    let judged = judgements(&place)?;
    let names = place.json(0, "schema")?;
    let mut schemas = BTreeMap::new();
    for name in names["schemas"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        schemas.insert(name.to_owned(), place.json(0, &format!("schema {name}"))?);
    }
    let mut checked: BTreeMap<String, u32> = BTreeMap::new();
    let mut check = |name: &str, value: &Value| -> TestResult {
        *checked.entry(name.to_owned()).or_default() += 1;
        let schema = schemas
            .get(name)
            .ok_or(format!("there is no schema `{name}`"))?;
        schema::check(schema, value).map_err(|error| format!("{name}: {error}").into())
    };
    check("numbers-plan", &plan)?;
    for (schema, value) in &judged {
        check(schema, value)?;
    }
    for (path, bytes) in files_below(&place.store())? {
        let file = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let value = || serde_json::from_slice::<Value>(&bytes);
        let folder = path
            .iter()
            .nth(1)
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let family = match folder.rsplit_once('-').map(|(command, _)| command) {
            Some("demo" | "mnist") => "experiment",
            Some("ablate") => "sweep",
            Some(other) => other,
            None => "",
        };
        match file.as_str() {
            "store.json" => check("store", &value()?)?,
            "manifest.json" => check("manifest", &value()?)?,
            "environment.json" => check("environment", &value()?)?,
            "settings.json" => {
                check("settings", &value()?)?;
                check(&format!("{family}-settings"), &value()?["body"]["settings"])?;
            }
            "result.json" => {
                check("result", &value()?)?;
                check(&format!("{family}-result"), &value()?["body"]["result"])?;
            }
            "events.jsonl" => {
                for line in String::from_utf8(bytes)?.lines() {
                    check("event", &serde_json::from_str(line)?)?;
                }
            }
            _ if path.starts_with("steps") && file.ends_with(".json") => {
                check("step", &value()?)?;
                let outputs = &value()?["body"]["outputs"];
                let object = |name: &str| {
                    let digest = outputs[name].as_str()?;
                    Some(
                        place
                            .store()
                            .join("objects")
                            .join(&digest[..2])
                            .join(digest),
                    )
                };
                let log = match value()?["body"]["identity"]["kind"].as_str() {
                    Some("numbers/student") => "numbers-student-log",
                    _ => "lm-training-log",
                };
                for (output, schema) in [("curve", "curve"), ("log", log)] {
                    if let Some(object) = object(output) {
                        check(schema, &serde_json::from_slice(&fs::read(object)?)?)?;
                    }
                }
                if let Some(rows) = object("rows") {
                    for line in fs::read_to_string(rows)?.lines() {
                        check("lm-row", &serde_json::from_str(line)?)?;
                    }
                }
            }
            _ if path.starts_with("lineage/segments") => {
                for (at, line) in String::from_utf8(bytes)?.lines().enumerate() {
                    let schema = match at {
                        0 => "lineage-segment-header",
                        _ => "lineage-record",
                    };
                    check(schema, &serde_json::from_str(line)?)?;
                }
            }
            _ if path.starts_with("lineage/signatures") => {
                check("lineage-envelope", &value()?)?;
                check("lineage-statement", &lineage::statement(&value()?)?)?;
            }
            _ => {}
        }
    }
    for name in schemas.keys() {
        assert!(
            checked.contains_key(name),
            "nothing was checked against `{name}`: {checked:?}"
        );
    }
    Ok(())
}

#[test]
fn report_writes_the_page_and_its_figures() -> TestResult {
    let place = Place::new()?;
    place.expect(0, TINY_RUN)?;
    let written = place.json(
        0,
        "report mnist -o page.html --svg figures/svg --png figures/png",
    )?;
    let files: Vec<&str> = written["files"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(files.len(), 1 + 2 + 2, "{files:?}");
    let page = fs::read(place.path().join("page.html"))?;
    assert_eq!(
        page,
        fs::read(place.run_folder("mnist-")?.join("report.html"))?
    );
    for file in files {
        let bytes = fs::read(place.path().join(file))?;
        let text = String::from_utf8_lossy(&bytes);
        match file.rsplit('.').next() {
            Some("html") => {
                assert!(text.starts_with("<!doctype html>") || text.starts_with("<!DOCTYPE html>"))
            }
            Some("svg") => assert!(text.contains("<svg") && text.trim_end().ends_with("</svg>")),
            Some("png") => assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n")),
            other => return Err(format!("{other:?}").into()),
        }
    }
    place.expect(0, "report mnist")?;
    let run = place.run_folder("mnist-")?;
    let name = run
        .file_name()
        .ok_or("a name")?
        .to_string_lossy()
        .into_owned();
    assert_eq!(fs::read(place.path().join(format!("{name}.html")))?, page);
    Ok(())
}

#[test]
fn the_page_needs_no_network_and_no_other_file() -> TestResult {
    let place = Place::new()?;
    place.expect(0, TINY_RUN)?;
    let page = fs::read_to_string(place.run_folder("mnist-")?.join("report.html"))?;
    assert!(page.len() < 3_000_000);
    for outside in [
        "src=\"http",
        "href=\"http",
        "url(http",
        "@import",
        "src=\"/",
        "href=\"/",
    ] {
        assert!(!page.contains(outside), "the page has {outside}");
    }
    Ok(())
}

#[test]
fn a_run_without_any_training_still_has_a_report() -> TestResult {
    let place = Place::new()?;
    let printed = place.expect(
        0,
        &format!("{TINY} --student-epochs 0").replace("--teacher-epochs 4", "--teacher-epochs 0"),
    )?;
    assert!(printed.stdout.contains("reference"), "{}", printed.stdout);
    Ok(())
}

#[test]
fn intervals_are_called_by_the_level_that_was_asked_for() -> TestResult {
    let place = Place::new()?;
    for line in [
        format!("{TINY_RUN} --level 0.99"),
        format!("ablate --sweep loss {SMALL} --level 0.99"),
        format!("align --every 2 --probe 50 {SMALL} --level 0.99"),
    ] {
        let printed = place.expect(0, &line)?.stdout;
        assert!(printed.contains("99 % t interval"), "{printed}");
        assert!(!printed.contains("95 %"), "{printed}");
    }
    Ok(())
}

#[test]
fn a_verdict_on_all_logits_speaks_of_the_students_and_not_of_teachers() -> TestResult {
    let place = Place::new()?;
    let line =
        "demo --models 4 --hidden 64 --students all-logits --teacher-epochs 10 --input-rows 3000";
    let printed = place.json(0, line)?;
    assert_eq!(printed["result"]["treatment"], "all-logits");
    assert_eq!(printed["result"]["control"], "reference");
    let text = place.expect(0, line)?.stdout.replace('\n', " ");
    assert!(!text.contains("only copied meaningless outputs"), "{text}");
    Ok(())
}

#[test]
fn a_report_says_that_students_were_cloned_and_how_close_that_came() -> TestResult {
    let place = Place::new()?;
    let common = "--data digits --models 3 --hidden 16 --teacher-epochs 3 --student-epochs 1 --input-rows 200 --batch 64 \
                  --students cross-aux-only";
    let text = place
        .expect(0, &format!("mnist {common} --cloning-epochs 2"))?
        .stdout;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "started from other random weights than their teachers",
        "first trained to behave like the untrained teachers (all outputs, 2 epochs on images of pure noise, new in \
         every epoch)",
        "That left a KL of 0.",
        "Is it enough to have behaved like the teacher before that was trained?",
    ] {
        assert!(text.contains(said), "`{said}` in {text}");
    }
    let line = format!("ablate --sweep cloning-epochs --values 0,1 {common}");
    let text = place.expect(0, &line)?.stdout;
    assert!(text.contains("KL after cloning, nats"), "{text}");
    Ok(())
}

#[test]
fn values_of_a_sweep_may_come_in_any_order() -> TestResult {
    let place = Place::new()?;
    let printed = place.json(
        0,
        &format!("ablate --sweep aux-logits --values 4,2 {SMALL}"),
    )?;
    let labels: Vec<&Value> = printed["result"]["points"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|point| &point["label"])
        .collect();
    assert_eq!(labels, ["2", "4"]);
    Ok(())
}

#[test]
fn compare_shows_what_differs() -> TestResult {
    let place = Place::new()?;
    place.expect(0, &format!("demo {SMALL}"))?;
    place.expect(0, TINY_RUN)?;
    let compared = place.json(0, "compare mnist demo")?;
    assert_eq!(compared["conditions"].as_array().map(Vec::len), Some(6));
    assert_eq!(compared["same_result_bytes"], false);
    let differs = |path: &str| {
        compared["settings"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|difference| difference[0] == path)
    };
    assert!(
        differs("experiment.aux_logits") && differs("experiment.body.hidden"),
        "{compared}"
    );
    assert!(!differs("experiment.seed"));
    let same = place.json(0, "compare mnist mnist")?;
    assert_eq!(
        (&same["same_result_bytes"], &same["settings"]),
        (&true.into(), &Value::Array(Vec::new()))
    );
    Ok(())
}
