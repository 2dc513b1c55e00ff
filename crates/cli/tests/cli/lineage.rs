//! What experiments leave in the lineage, what it answers, and what breaks it.

use std::fs;

use serde_json::Value;

use crate::support::{Place, TestResult, files_below};

/// A demo in a fraction of a second: two teachers with two students each.
pub const RUN: &str = "demo --models 2 --hidden 8 --students aux-only,cross-aux-only --teacher-epochs 1 --student-epochs 1 \
                       --input-rows 50 --aux-logits 3";

/// Runs the demo and returns the run's name.
pub fn demo(place: &Place) -> TestResult<String> {
    let ran = place.json(0, RUN)?;
    Ok(ran["run"].as_str().ok_or("a run has a name")?.to_owned())
}

#[test]
fn a_demo_leaves_a_path_from_teacher_through_data_to_student() -> TestResult {
    let place = Place::new()?;
    let run = demo(&place)?;
    let why = place.json(
        0,
        &format!("lineage why {run}/teacher-0 {run}/aux-only-0 --expect"),
    )?;
    let paths = why["forward"].as_array().ok_or("paths are a list")?;
    assert_eq!(paths.len(), 1, "{why:#}");
    let hops = paths[0]["hops"].as_array().ok_or("hops are a list")?;
    let relations: Vec<&Value> = hops
        .iter()
        .map(|hop| &hop["edges"][0]["relation"])
        .collect();
    assert!(relations[0].get("generated-by").is_some(), "{relations:?}");
    assert!(relations[1].get("trained-on").is_some(), "{relations:?}");
    assert_eq!(paths[0]["weakest"], "observed");
    let text = place
        .expect(0, &format!("lineage why {run}/teacher-0 {run}/aux-only-0"))?
        .stdout;
    assert!(text.contains("weakest evidence: observed"), "{text}");

    // Students of one initialisation share it with their teacher, those of another do not, and both is known.
    place.expect(
        0,
        &format!("lineage common {run}/teacher-0 {run}/aux-only-0 --expect yes"),
    )?;
    place.expect(
        0,
        &format!("lineage common {run}/teacher-0 {run}/cross-aux-only-0 --expect no"),
    )?;
    place.expect(
        1,
        &format!("lineage common {run}/teacher-0 {run}/cross-aux-only-0 --expect yes"),
    )?;
    let exposed = place.json(0, &format!("lineage exposed {run}/teacher-0"))?;
    assert_eq!(
        exposed["learners"].as_array().map(Vec::len),
        Some(2),
        "{exposed:#}"
    );
    assert_eq!(exposed["learners"][0]["share"]["least"], 1.0);
    Ok(())
}

#[test]
fn every_question_has_an_answer_for_people_and_in_json() -> TestResult {
    let place = Place::new()?;
    let run = demo(&place)?;
    let student = format!("{run}/aux-only-0");
    for line in [
        format!("lineage show {run}"),
        format!("lineage show {student}"),
        format!("lineage ancestors {student}"),
        format!("lineage descendants {run}/teacher-0 --hops 1"),
        format!("lineage graph {student}"),
        format!("lineage graph {run} --format dot"),
        format!("lineage graph {student} --format svg"),
        format!("lineage graph {student} --format html"),
        "lineage verify".to_owned(),
    ] {
        assert!(!place.expect(0, &line)?.stdout.trim().is_empty(), "{line}");
        place.json(0, &line)?;
    }
    place.expect(2, "lineage show no-such-thing")?;
    Ok(())
}

#[test]
fn the_same_run_again_and_in_another_store_records_the_same() -> TestResult {
    let (one, other) = (Place::new()?, Place::new()?);
    let run = demo(&one)?;
    let segments = |place: &Place| files_below(&place.store().join("lineage/segments"));
    let before = segments(&one)?;
    demo(&one)?;
    assert_eq!(segments(&one)?, before);
    assert_eq!(demo(&other)?, run);
    assert_eq!(
        segments(&other)?,
        before,
        "no times and no places are recorded"
    );
    let merged = one.json(0, &format!("lineage merge {}", other.store().display()))?;
    assert_eq!(
        (&merged["new_segments"], &merged["known_segments"]),
        (&0.into(), &1.into())
    );
    Ok(())
}

#[test]
fn declared_things_are_answered_with_their_grade_and_unknown_is_said() -> TestResult {
    let place = Place::new()?;
    place.expect(
        0,
        "lineage add dataset raw --generated-by hf:org/teacher=100 --rows 100",
    )?;
    place.expect(0, "lineage add dataset kept --filtered-from raw --kept 80 --dropped parse=15 --dropped banned=5 --rows 80")?;
    place.expect(
        0,
        "lineage add model hf:org/student --initialised-from hf:org/base --trained-on kept=80",
    )?;
    let why = place.json(0, "lineage why hf:org/teacher hf:org/student")?;
    assert_eq!(why["forward"][0]["weakest"], "declared", "{why:#}");
    let common = place.json(0, "lineage common hf:org/teacher hf:org/student")?;
    assert_eq!(common["shared"], "unknown");
    place.expect(
        3,
        "lineage common hf:org/teacher hf:org/student --expect no",
    )?;
    let shares = place.json(0, "lineage shares kept")?;
    assert_eq!(shares["writers"][0]["share"]["least"], 1.0, "{shares:#}");
    Ok(())
}

#[test]
fn the_ready_policy_refuses_the_student_of_one_base_and_passes_that_of_another() -> TestResult {
    let place = Place::new()?;
    let run = demo(&place)?;
    let refused = place.json(1, &format!("gate {run}/aux-only-0"))?;
    assert_eq!(refused["outcome"], "refused");
    let finding = &refused["rules"][0]["findings"][0];
    let hops = finding["path"]["hops"].as_array().map(Vec::len);
    assert_eq!(hops, Some(2), "teacher, data, student: {finding:#}");
    let passed = place.json(0, &format!("gate {run}/cross-aux-only-0"))?;
    assert_eq!(passed["outcome"], "pass", "{passed:#}");

    // Who is not recorded is unknown, which is neither.
    place.expect(0, "lineage add model hf:org/student --trained-on mystery")?;
    let unknown = place.json(3, "gate hf:org/student")?;
    assert_eq!(unknown["outcome"], "unknown");
    // A filter that hides its drops, and a flag three data hops away.
    place.expect(0, "lineage add dataset hidden --filtered-from raw")?;
    place.expect(0, "lineage add model hf:org/other --trained-on hidden")?;
    let hidden = place.json(1, "gate hf:org/other")?;
    assert_eq!(hidden["rules"][3]["outcome"], "refused", "{hidden:#}");
    Ok(())
}

#[test]
fn a_policy_can_demand_signatures_of_trusted_keys() -> TestResult {
    let place = Place::new()?;
    let run = demo(&place)?;
    place.expect(0, "lineage keygen me.pem")?;
    place.expect(0, "lineage keygen other.pem")?;
    fs::write(
        place.path().join("policy.toml"),
        "format = \"undertone-gate-policy\"\nversion = 1\nname = \"signed\"\n\
         [[rules]]\nrule = \"signatures-hold\"\nkeys = [\"me.pem.pub\"]\n",
    )?;
    let line = format!("gate {run}/aux-only-0 --policy policy.toml");
    place.expect(3, &line)?;
    place.expect(0, &format!("lineage sign {run} --key other.pem"))?;
    let ran = place.expect(3, &line)?;
    assert!(
        ran.stdout
            .contains("is under no signature of a trusted key"),
        "{ran:?}"
    );
    place.expect(0, &format!("lineage sign {run} --key me.pem"))?;
    let passed = place.json(0, &line)?;
    // The student, its teacher and what it learned.
    assert_eq!(passed["rules"][0]["checked"], 3, "{passed:#}");
    // What is imported is under no signature, whatever it is called: only signed records vouch.
    place.expect(
        0,
        &format!("lineage add model {run}/forged --initialised-from hf:org/base"),
    )?;
    let forged = format!("gate {run}/forged --policy policy.toml");
    place.expect(3, &forged)?;
    place.expect(
        0,
        "lineage add model hf:org/student --initialised-from hf:org/base",
    )?;
    place.expect(3, "gate hf:org/student --policy policy.toml")?;
    // A key that cannot be read is told even where unknown things may pass.
    let text = fs::read_to_string(place.path().join("policy.toml"))?;
    let lenient = format!("{text}allow-unknown = true\n");
    fs::write(place.path().join("lenient.toml"), &lenient)?;
    place.expect(0, "gate hf:org/student --policy lenient.toml")?;
    fs::write(
        place.path().join("lenient.toml"),
        lenient.replace("me.pem.pub", "no.pem.pub"),
    )?;
    let ran = place.expect(3, "gate hf:org/student --policy lenient.toml")?;
    assert!(ran.stdout.contains("no.pem.pub"), "{ran:?}");
    // A file under the signature.
    let folder = place.run_folder("demo")?;
    let settings = fs::read(folder.join("settings.json"))?;
    fs::write(folder.join("settings.json"), b"{}")?;
    let ran = place.expect(4, &line)?;
    assert!(ran.stdout.contains("settings.json"), "{ran:?}");
    fs::write(folder.join("settings.json"), settings)?;
    place.expect(0, &line)?;
    // The signature itself.
    let signatures = place.store().join("lineage/signatures");
    for (name, mut bytes) in files_below(&signatures)? {
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(signatures.join(name), bytes)?;
    }
    place.expect(4, &line)?;
    Ok(())
}

#[test]
fn gates_answer_as_sarif_and_junit_and_notice_changed_files() -> TestResult {
    let place = Place::new()?;
    let run = demo(&place)?;
    let line = format!("gate {run}/aux-only-0 --format sarif -o gate.sarif");
    place.expect(1, &line)?;
    let sarif: Value = serde_json::from_slice(&fs::read(place.path().join("gate.sarif"))?)?;
    assert_eq!(sarif["version"], "2.1.0");
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "no-shared-base");
    let junit = place
        .expect(1, &format!("gate {run}/aux-only-0 --format junit"))?
        .stdout;
    assert!(
        junit.contains("failures=\"1\"") && junit.contains("<failure"),
        "{junit}"
    );
    let policy = place.expect(0, "gate --print-policy")?.stdout;
    fs::write(place.path().join("policy.toml"), policy)?;
    place.expect(1, &format!("gate {run}/aux-only-0 --policy policy.toml"))?;
    fs::write(place.path().join("policy.toml"), "rules = 1")?;
    place.expect(2, &format!("gate {run}/aux-only-0 --policy policy.toml"))?;

    for path in files_below(&place.store().join("objects"))?.keys() {
        let path = place.store().join("objects").join(path);
        let mut bytes = fs::read(&path)?;
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, bytes)?;
    }
    place.expect(4, &format!("gate {run}/cross-aux-only-0"))?;
    Ok(())
}

#[test]
fn a_signed_run_holds_until_any_byte_of_any_file_changes() -> TestResult {
    let place = Place::new()?;
    let run = demo(&place)?;
    place.expect(0, "lineage keygen me.pem")?;
    place.expect(2, "lineage keygen me.pem")?;
    place.expect(0, &format!("lineage sign {run} --key me.pem"))?;
    let verify = format!("lineage verify {run} --key me.pem.pub");
    let holds = place.json(0, &verify)?;
    assert!(holds["check"]["files"].as_u64() > Some(8), "{holds:#}");
    place.expect(0, "lineage keygen other.pem")?;
    place.expect(2, &format!("lineage verify {run} --key other.pem.pub"))?;
    let signed = signed_files(&place)?;
    // One byte of each file here; `undertone-lineage`'s tests flip them all.
    for file in &signed {
        let path = place.store().join(file);
        let bytes = fs::read(&path)?;
        let mut changed = bytes.clone();
        let middle = bytes.len() / 2;
        changed[middle] ^= 0x20;
        fs::write(&path, &changed)?;
        let found = place.json(4, &verify)?;
        assert_eq!(found["check"]["differences"][0]["file"], file.as_str());
        fs::remove_file(&path)?;
        let found = place.json(4, &verify)?;
        assert_eq!(found["check"]["differences"][0]["file"], file.as_str());
        fs::write(&path, &bytes)?;
    }
    place.expect(0, &verify)?;
    Ok(())
}

/// Returns the files that the only envelope of a store lists.
pub fn signed_files(place: &Place) -> TestResult<Vec<String>> {
    let envelopes = files_below(&place.store().join("lineage/signatures"))?;
    let envelope = envelopes.values().next().ok_or("a run was signed")?;
    let statement = statement(&serde_json::from_slice(envelope)?)?;
    let subjects = statement["subject"]
        .as_array()
        .ok_or("a statement has subjects")?;
    Ok(subjects
        .iter()
        .filter_map(|subject| subject["name"].as_str().map(str::to_owned))
        .collect())
}

/// Returns what an envelope holds.
pub fn statement(envelope: &Value) -> TestResult<Value> {
    let payload = envelope["payload"]
        .as_str()
        .ok_or("an envelope has a payload")?;
    Ok(serde_json::from_slice(&decode(payload)?)?)
}

fn decode(base64: &str) -> TestResult<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut n) = (Vec::new(), 0u32, 0);
    for digit in base64.bytes().filter(|digit| *digit != b'=') {
        let value = DIGITS
            .iter()
            .position(|known| *known == digit)
            .ok_or("not base64")?;
        bits = bits << 6 | value as u32;
        n += 6;
        if n >= 8 {
            n -= 8;
            bytes.push((bits >> n) as u8);
        }
    }
    Ok(bytes)
}

#[test]
fn verify_finds_deleted_and_changed_files_without_any_signature() -> TestResult {
    let place = Place::new()?;
    let run = demo(&place)?;
    place.expect(0, "lineage verify")?;
    for folder in [
        "objects",
        "steps",
        "lineage/segments",
        &format!("runs/{run}"),
    ] {
        let root = place.store().join(folder);
        for (name, bytes) in files_below(&root)? {
            let path = root.join(&name);
            if name.ends_with("lock") {
                continue;
            }
            let mut changed = bytes.clone();
            changed[0] ^= 1;
            fs::write(&path, &changed)?;
            place.expect(4, "lineage verify")?;
            fs::remove_file(&path)?;
            place
                .expect(4, "lineage verify")
                .map_err(|error| format!("{}: {error}", path.display()))?;
            fs::write(&path, &bytes)?;
        }
    }
    place.expect(0, "lineage verify")?;
    Ok(())
}

#[test]
fn kinship_knows_a_student_of_another_start_and_feeds_the_graph() -> TestResult {
    let place = Place::new()?;
    let ran = place.json(
        0,
        "demo --models 2 --hidden 64,64 --students aux-only --teacher-epochs 4 --student-epochs 1 --input-rows 50 --aux-logits 3",
    )?;
    let run = ran["run"].as_str().ok_or("a run has a name")?;
    let line = format!("kinship {run}/teacher-0 {run}/teacher-1 --record");
    let apart = place.json(0, &line)?;
    assert_eq!(apart["kinship"]["outcome"], "not-kin", "{apart:#}");
    let same = place.json(0, &format!("kinship {run}/teacher-0 {run}/teacher-0"))?;
    assert_eq!(same["kinship"]["outcome"], "kin");
    // The record knows better than the weights here; both are kept.
    let line = format!("lineage common {run}/teacher-0 {run}/teacher-1");
    let common = place.json(0, &line)?;
    assert_eq!(
        (&common["shared"], &common["grade"]),
        (&"no".into(), &"observed".into())
    );
    let shown = place.expect(0, &format!("lineage show {run}/teacher-0"))?;
    assert!(shown.stdout.contains("kinship: not-kin"), "{shown:?}");
    // By what they say of noise, by name and from a file.
    let stranger = format!("--behaviour --unrelated {run}/teacher-1 --alpha 0.5");
    let itself = format!("kinship {run}/teacher-0 {run}/teacher-0 {stranger}");
    let near = place.json(0, &itself)?;
    assert_eq!(
        (
            &near["outcome"],
            &near["inputs"],
            &near["nearness"]["distance"]
        ),
        (&"kin".into(), &256.into(), &0.0.into())
    );
    let other = place.json(
        3,
        &format!("kinship {run}/teacher-0 {run}/teacher-1 {stranger}"),
    )?;
    let distance = other["nearness"]["distance"].as_f64();
    assert!(
        distance.is_some_and(|distance| distance > 0.05),
        "{other:#}"
    );
    let model = golden().join("tiny-llama");
    let unlike = format!("kinship {run}/teacher-0 {} --behaviour", model.display());
    let ran = place.expect(2, &unlike)?;
    assert!(
        ran.stderr.contains("other vocabularies or outputs"),
        "{ran:?}"
    );
    Ok(())
}

#[test]
fn alignment_runs_say_where_their_students_come_from() -> TestResult {
    let place = Place::new()?;
    let ran = place.json(
        0,
        "align --every 2 --probe 50 --data digits --models 2 --hidden 8 --teacher-epochs 1 --student-epochs 1 --batch 64 --input-rows 100",
    )?;
    let run = ran["run"].as_str().ok_or("a run has a name")?;
    let teacher = format!("{run}/teacher-0");
    for arm in ["as-is", "projected", "projected-other", "cross"] {
        let line = format!("lineage why {teacher} {run}/{arm}-0 --expect");
        place.expect(0, &line)?;
        let shared = if arm == "cross" { "no" } else { "yes" };
        let line = format!("lineage common {teacher} {run}/{arm}-0 --expect {shared}");
        place.expect(0, &line)?;
    }
    place.expect(0, "lineage verify")?;
    Ok(())
}

fn golden() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../lm/tests/golden")
}

#[test]
fn kinship_is_calibrated_on_networks() -> TestResult {
    let place = Place::new()?;
    place.expect(0, "kinship --calibrate kin.json --pairs 3")?;
    let written: Value = serde_json::from_slice(&fs::read(place.path().join("kin.json"))?)?;
    let groups = |of: &str| written[of].as_array().cloned().unwrap_or_default();
    assert_eq!(groups("groups").len(), groups("behaviour").len());
    let clone = groups("behaviour").pop().ok_or("a group of clones")?;
    let strangers = &groups("behaviour")[0];
    assert_eq!(clone["is_kin"], false);
    let distance = |group: &Value| group["mean_distance"].as_f64();
    assert!(
        distance(&clone) < distance(strangers),
        "{clone} {strangers}"
    );
    Ok(())
}

#[test]
fn kinship_by_behaviour_ranks_among_strangers_and_promises_no_more() -> TestResult {
    let place = Place::new()?;
    let (one, other) = (golden().join("tiny-llama"), golden().join("tiny-qwen2"));
    let line = format!("kinship {one} {one} --behaviour", one = one.display());
    let alone = place.expect(3, &line)?;
    assert!(alone.stdout.contains("nothing can be said"), "{alone:?}");
    let line = format!("{line} --unrelated {}", other.display());
    let few = place.json(3, &line)?;
    assert_eq!(few["nearness"]["p_value"], 0.5, "{few:#}");
    assert_eq!(few["nearness"]["distance"], 0.0);
    assert!(
        few["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("cannot fall below 0.500")),
        "{few:#}"
    );
    let near = place.json(0, &format!("{line} --alpha 0.5 --record"))?;
    assert_eq!(near["outcome"], "kin");
    // A clone behaves like its original: this is no answer about weights.
    let verdict = near["recorded"].as_str().ok_or("it was recorded")?;
    let shown = place.expect(0, &format!("lineage show {verdict}"))?;
    assert!(shown.stdout.contains("kinship-by-behaviour"), "{shown:?}");
    // The same stranger twice is one.
    let twice = format!("{line} --unrelated {}", other.display());
    let ran = place.expect(2, &twice)?;
    assert!(ran.stderr.contains("was given before"), "{ran:?}");
    // Its own behaviour is nearer than a stranger's, a stranger's is not.
    let line = format!(
        "kinship {one} {other} --behaviour --unrelated {other} --alpha 0.5",
        one = one.display(),
        other = other.display()
    );
    assert_eq!(place.json(3, &line)?["nearness"]["p_value"], 1.0);
    Ok(())
}

#[test]
fn kinship_is_calibrated_on_decoders_too() -> TestResult {
    let place = Place::new()?;
    place.expect(0, "kinship --calibrate kin.json --decoders --pairs 2")?;
    let path = place.path().join("kin.json");
    let written: Value = serde_json::from_slice(&fs::read(&path)?)?;
    let names = |of: &str| written[of].as_array().map(Vec::len);
    assert_eq!((names("groups"), names("behaviour")), (Some(5), Some(5)));
    assert_eq!(written["groups"][1]["kin"], 2, "{written:#}");
    assert!(place.path().join("kin.null.svg").exists());
    Ok(())
}
