//! Every exit code of the manual.

use crate::support::{Place, SHOWS_NONE, SHOWS_TRANSFER, TestResult};

/// Settings that make an experiment in milliseconds.
const SMALL: &str =
    "mnist --data digits --hidden 8 --teacher-epochs 1 --student-epochs 1 --batch 64";

#[test]
fn expect_turns_a_verdict_into_0_or_1() -> TestResult {
    let place = Place::new()?;
    for (line, verdict, other) in [
        (SHOWS_TRANSFER, "transfer", "no-transfer"),
        (SHOWS_NONE, "no-transfer", "transfer"),
    ] {
        place.expect(0, line)?;
        place.expect(0, &format!("{line} --expect {verdict}"))?;
        let contradicted = place.expect(1, &format!("{line} --expect {other}"))?;
        assert!(
            contradicted.stderr.contains("contradicts --expect"),
            "{contradicted:?}"
        );
        let printed = place.json(1, &format!("{line} --expect {other}"))?;
        assert_eq!(
            (&printed["outcome"], &printed["exit_code"]),
            (&verdict.into(), &1.into())
        );
    }
    Ok(())
}

#[test]
fn expect_gives_3_where_a_few_models_do_not_decide() -> TestResult {
    let place = Place::new()?;
    for line in [
        format!("{SMALL} --input-rows 100 --models 2"),
        format!("{SMALL} --input-rows 100 --models 3 --students cross-aux-only"),
        // One model never decides, and has no cross-model students.
        format!("{SMALL} --input-rows 100 --models 1 --students aux-only"),
        format!("{SMALL} --input-rows 100 --models 1 --students all-logits"),
    ] {
        place.expect(0, &line)?;
        for demanded in ["transfer", "no-transfer"] {
            let ran = place.expect(3, &format!("{line} --expect {demanded}"))?;
            assert!(
                ran.stderr.contains("inconclusive, where --expect demanded"),
                "{ran:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_sweep_whose_points_disagree_is_inconclusive() -> TestResult {
    let place = Place::new()?;
    let line = format!(
        "{} --sweep student-epochs",
        SHOWS_TRANSFER.replace("demo", "ablate --data digits")
    );
    let training =
        "--batch 64 --learning-rate 0.001 --teacher-epochs 20 --aux-logits 20 --delta 0.3";
    let shows = format!("{line} --values 10 {training} --expect transfer");
    place.expect(0, &shows)?;
    place.expect(3, &shows.replace("--values 10", "--values 0,10"))?;
    Ok(())
}

#[test]
fn the_theorem_holds_with_0_and_contradicts_no_transfer_with_1() -> TestResult {
    let place = Place::new()?;
    let printed = place.json(0, "theorem --cases 30 --seed 1")?;
    assert_eq!(printed["result"]["summary"]["all_hold"], true);
    place.expect(0, "theorem --cases 30 --seed 1 --expect transfer")?;
    place.expect(1, "theorem --cases 30 --seed 1 --expect no-transfer")?;
    Ok(())
}

/// Checks that `line` is refused as given, before any run begins, and that the message names `problem`.
#[track_caller]
fn check_usage(line: &str, problem: &str) {
    let refused = || -> TestResult<bool> {
        let place = Place::new()?;
        let ran = place.expect(2, line)?;
        assert!(
            ran.stderr.contains(problem),
            "`{line}` does not name `{problem}`: {}",
            ran.stderr
        );
        assert_eq!(ran.stdout, "", "`{line}`");
        Ok(place.run_folder("").is_err())
    };
    assert_eq!(
        refused().map_err(|error| error.to_string()),
        Ok(true),
        "`{line}`"
    );
}

#[test]
fn unknown_words_are_usage_errors() {
    check_usage("", "Usage");
    check_usage("nonsense", "unrecognized subcommand");
    check_usage("demo --nonsense", "--nonsense");
    check_usage(
        "mnist --preset nonsense",
        "[possible values: quick, paper, nature]",
    );
    check_usage("ablate --sweep nonsense", "there are: aux-logits, width");
    check_usage(
        "ablate --data digits --sweep width --values x",
        "whole numbers, 1 to 16,384",
    );
    check_usage(
        "ablate --data digits --sweep loss --values kl,kl",
        "the same value twice",
    );
    check_usage(
        "ablate --data digits --sweep width --values 8,08",
        "the same value twice",
    );
    check_usage("schema nonsense", "there are environment, event");
    check_usage("fetch nonsense", "expected `mnist`, `fashion`");
    check_usage("fetch hf:nonsense", "expected `hf:OWNER/NAME`");
    check_usage("demo --students nonsense", "there are aux-only");
}

#[test]
fn values_out_of_range_are_usage_errors_that_name_the_setting() {
    for (flags, setting) in [
        ("--models 0", "`models`"),
        ("--models 1", "`models`"),
        ("--aux-logits 0", "`aux-logits`"),
        ("--hidden 0", "`hidden`"),
        ("--batch 0", "`batch`"),
        ("--input-rows 0", "rows`"),
        ("--learning-rate 0", "`learning-rate`"),
        ("--learning-rate nan", "`learning-rate`"),
        ("--beta1 1", "`beta1`"),
        ("--temperature 0", "`temperature`"),
        ("--sigma nan", "`perturb-sigma`"),
        ("--init-gain inf", "`init-gain`"),
        ("--level 1.5", "level 1.5"),
        ("--level nan", "level NaN"),
        ("--delta 0", "margin 0"),
        ("--threads 0", "--threads"),
        ("--models many", "--models"),
    ] {
        check_usage(&format!("demo {flags}"), setting);
    }
    check_usage("theorem --cases 0", "`cases`");
    check_usage("theorem --alpha nan", "`alpha`");
    check_usage("align --data digits --every 0", "`every`");
    check_usage("align --data digits --probe 0", "`probe`");
    check_usage(
        "ablate --data digits --sweep width --values 0",
        "at width = 0",
    );
}

#[test]
fn flags_that_contradict_each_other_are_usage_errors() {
    check_usage("demo --momentum 0.5", "--momentum needs --optimiser");
    check_usage("demo --optimiser sgd", "need --learning-rate");
    check_usage(
        "demo --optimiser sgd --learning-rate 1 --beta1 0.5",
        "need --optimiser adam",
    );
    check_usage(
        "demo --cloning-inputs uniform",
        "--cloning-inputs needs --cloning-epochs",
    );
    check_usage(
        "align --data digits --students aux-only",
        "--students and --cross do not apply",
    );
}

#[test]
fn missing_data_says_how_to_get_it() -> TestResult {
    check_usage("mnist", "`undertone fetch mnist` gets them");
    check_usage("demo --data mnist", "`undertone fetch mnist` gets them");
    check_usage("demo --inputs mnist", "`undertone fetch mnist` gets them");
    check_usage(
        "demo --data nowhere",
        "a data folder holds `train-images-idx3-ubyte`",
    );
    Ok(())
}

#[test]
fn runs_that_are_not_there_are_usage_errors() -> TestResult {
    for line in ["runs", "show x", "report x", "compare x y"] {
        check_usage(line, "there is no store");
    }
    let place = Place::new()?;
    place.expect(0, "theorem --cases 1")?;
    place.expect(0, "theorem --cases 2")?;
    for (line, problem) in [
        ("show x", "`undertone runs` lists the runs"),
        ("show theorem", "several runs begin with `theorem`"),
        ("compare theorem theorem", "several runs"),
    ] {
        let ran = place.expect(2, line)?;
        assert!(ran.stderr.contains(problem), "{ran:?}");
    }
    let only = Place::new()?;
    only.expect(0, "theorem --cases 1")?;
    let ran = only.expect(2, "compare theorem theorem")?;
    assert!(ran.stderr.contains("no accuracies to compare"), "{ran:?}");
    Ok(())
}

#[test]
fn a_store_that_cannot_be_made_is_an_infrastructure_error() -> TestResult {
    let place = Place::new()?;
    std::fs::write(place.path().join("file"), "in the way")?;
    let ran = place.expect(5, "theorem --cases 1 --store file")?;
    assert!(ran.stderr.contains("cannot open store"), "{ran:?}");
    assert_eq!(std::fs::read(place.path().join("file"))?, b"in the way");
    Ok(())
}

#[test]
fn a_folder_that_is_no_store_is_left_alone() -> TestResult {
    let place = Place::new()?;
    std::fs::create_dir(place.path().join("papers"))?;
    std::fs::write(place.path().join("papers/mine"), "mine")?;
    let ran = place.expect(2, "theorem --cases 1 --store papers")?;
    assert!(ran.stderr.contains("it is not a store"), "{ran:?}");
    assert_eq!(std::fs::read_dir(place.path().join("papers"))?.count(), 1);
    Ok(())
}
