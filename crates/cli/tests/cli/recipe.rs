//! The command under "To repeat it" gives the same result, typed into a shell elsewhere.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;
use undertone_data::{digits, source};

use crate::support::{Place, Ran, TestResult, body};

/// Small and quick, without data and whatever a test varies.
const SMALL: &str = "--models 3 --hidden 12 --teacher-epochs 2 --student-epochs 2 --batch 64";

/// Returns the command that the text of a run tells its reader to type.
fn recipe(text: &str) -> TestResult<String> {
    let (_, rest) = text
        .split_once("To repeat it\n")
        .ok_or(format!("no recipe: {text}"))?;
    Ok(rest.lines().next().ok_or("a command")?.trim().to_owned())
}

fn result_in(place: &Place) -> TestResult<Value> {
    Ok(body(&place.run_folder("")?.join("result.json"))?["result"].clone())
}

/// Runs `line` in `place`, its recipe in a place of its own, and compares.
#[track_caller]
fn check_in(place: &Place, line: &str) -> TestResult {
    let printed = place.expect(0, line)?.stdout;
    let recipe = recipe(&printed)?;
    assert_eq!(
        recipe,
        self::recipe(&place.expect(0, &format!("show {}", id(place)?))?.stdout)?
    );
    let page = fs::read_to_string(place.run_folder("")?.join("report.html"))?;
    let escaped = recipe.replace('\'', "&#39;");
    assert!(
        page.contains(&recipe) || page.contains(&escaped),
        "the page has another recipe than {recipe}"
    );

    let elsewhere = Place::new()?;
    // A shell, as quotes are part of the recipe.
    let arguments = recipe
        .strip_prefix("undertone ")
        .ok_or("the program's name")?;
    let ran = Ran::of(
        Command::new("sh")
            .args(["-c", &format!("\"$PROGRAM\" {arguments}")])
            .env("PROGRAM", env!("CARGO_BIN_EXE_undertone"))
            .env_remove("UNDERTONE_STORE")
            .env_remove("UNDERTONE_DATA")
            .current_dir(elsewhere.path())
            .stdin(Stdio::null())
            .output()?,
    )?;
    assert_eq!(ran.code, Some(0), "`{recipe}`: {}", ran.stderr);
    assert_eq!(
        result_in(place)?,
        result_in(&elsewhere)?,
        "`{line}` and `{recipe}`"
    );
    assert_eq!(
        self::recipe(&ran.stdout)?,
        recipe,
        "a repeated run has the same recipe"
    );
    Ok(())
}

fn id(place: &Place) -> TestResult<String> {
    let folder = place.run_folder("")?;
    Ok(folder
        .file_name()
        .ok_or("a name")?
        .to_string_lossy()
        .into_owned())
}

#[track_caller]
fn check(line: &str) -> TestResult {
    check_in(&Place::new()?, line)
}

#[test]
fn of_the_demo() -> TestResult {
    check(&format!("demo --input-rows 200 {SMALL}"))
}

#[test]
fn of_an_experiment_with_every_setting_changed() -> TestResult {
    check(&format!(
        "mnist --preset paper --data digits {SMALL} --seed 18446744073709551615 --input-rows 150 --level 0.9 --delta 0.05 \
         --loss mse --temperature 2 --optimiser momentum --learning-rate 0.05 --student-learning-rate 0.01 --momentum 0.8 \
         --sigma 0.1 --activation gelu --biases without --students all-logits,cross-aux-only --reduction batchmean \
         --aux-logits 7 --init-gain 1.5 --teacher-batch 32 --cloning-epochs 1 --cloning-inputs gaussian"
    ))
}

#[test]
fn of_an_experiment_on_images_with_cloning_on_noise() -> TestResult {
    check(&format!(
        "mnist --data digits {SMALL} --inputs images --cloning-epochs 1 --input-rows 100 --learning-rate 1e-3 --beta1 0.8 \
         --beta2 0.99 --epsilon 1e-7"
    ))
}

#[test]
fn of_a_single_model_whose_verdict_is_undefined() -> TestResult {
    check(
        &format!("mnist --data digits {SMALL} --models 1 --students aux-only --input-rows 100")
            .replace("--models 3 ", ""),
    )
}

#[test]
fn of_data_in_a_folder_whose_name_a_shell_would_split() -> TestResult {
    let place = Place::new()?;
    let folder = place.path().join("Ann's \"images\" & labels");
    source::write_folder(&folder, digits().train(), digits().test())?;
    // The helper splits at spaces: the folder goes in by itself.
    let run = place
        .command(&format!("mnist {SMALL} --input-rows 100"))
        .arg("--data")
        .arg(&folder)
        .output()?;
    let recipe = recipe(&Ran::of(run)?.stdout)?;
    let elsewhere = Place::new()?;
    let status = Command::new("sh")
        .args(["-c", &recipe.replacen("undertone", "\"$PROGRAM\"", 1)])
        .env("PROGRAM", env!("CARGO_BIN_EXE_undertone"))
        .env_remove("UNDERTONE_STORE")
        .current_dir(elsewhere.path())
        .output()?
        .status;
    assert!(status.success(), "{recipe}");
    assert_eq!(result_in(&place)?, result_in(&elsewhere)?);
    Ok(())
}

#[test]
fn of_sweeps_over_numbers() -> TestResult {
    for sweep in [
        "aux-logits --values 5,2 --preset paper --students aux-only,cross-all-logits --level 0.99",
        "width --values 4,8",
        "depth --values 0,1,2",
        "depth --values 0",
        "sigma --values 0,0.25",
        "teacher-epochs --values 0,2",
        "student-epochs --values 0,1",
        "cloning-epochs --values 0,2",
        "cloning-epochs --values 0,2 --cloning-logits aux-only --cloning-renewal fixed --cloning-inputs gaussian",
    ] {
        let small = SMALL.replace("--hidden 12", "--hidden 12,12");
        check(&format!(
            "ablate --data digits {small} --input-rows 100 --sweep {sweep}"
        ))?;
    }
    Ok(())
}

#[test]
fn of_sweeps_over_kinds() -> TestResult {
    for sweep in [
        "inputs --values images,uniform,digits",
        "init",
        "student-body --values deeper,sigmoid --cloning-epochs 2",
        "activation --values gelu,relu",
        "biases --values without,with",
        "loss --values mse,kl --learning-rate 0.001",
    ] {
        check(&format!(
            "ablate --data digits {SMALL} --input-rows 100 --sweep {sweep}"
        ))?;
    }
    Ok(())
}

#[test]
fn of_a_sweep_over_optimisers_with_their_searched_rates() -> TestResult {
    for order in ["momentum,adam", "adam,sgd"] {
        check(&format!(
            "ablate --sweep optimiser --values {order} --data digits --models 2 --hidden 8 --teacher-epochs 1 \
             --student-epochs 1 --batch 128 --input-rows 100 --cloning-epochs 1 --learning-rate 0.002"
        ))?;
    }
    Ok(())
}

#[test]
fn of_an_alignment_run_and_of_the_theorem() -> TestResult {
    check(&format!(
        "align --data digits {SMALL} --input-rows 100 --every 3 --probe 50 --delta 0.1"
    ))?;
    check("theorem --seed 3 --cases 5 --alpha 0.05")
}
