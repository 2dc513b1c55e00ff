//! Help texts, and the flags every command has.

use crate::support::{Place, TestResult};

const COMMANDS: [&str; 21] = [
    "demo",
    "mnist",
    "ablate",
    "theorem",
    "align",
    "run",
    "plan",
    "new",
    "config",
    "lm",
    "pretrain-tiny",
    "lineage",
    "gate",
    "kinship",
    "runs",
    "show",
    "report",
    "compare",
    "fetch",
    "doctor",
    "schema",
];
const GLOBAL: [&str; 7] = [
    "--json",
    "--store",
    "--data-dir",
    "--offline",
    "--quiet",
    "--threads",
    "--progress",
];

#[test]
fn every_command_has_help_with_an_example_and_the_flags_of_all() -> TestResult {
    let place = Place::new()?;
    for command in COMMANDS {
        let help = place.expect(0, &format!("{command} --help"))?.stdout;
        let example = format!("undertone {command}");
        let (_, examples) = help
            .split_once("Example")
            .ok_or(format!("{command} has no example"))?;
        assert!(examples.contains(&example), "{command}: {examples}");
        for flag in GLOBAL {
            assert!(help.contains(flag), "{command} has no {flag}");
        }
    }
    let all = place.expect(0, "--help")?.stdout;
    for command in COMMANDS {
        assert!(
            all.contains(&format!("\n  {command} ")),
            "{command} is not listed"
        );
    }
    Ok(())
}

/// Flags of all commands at other values than their defaults.
const GIVEN: &str =
    "--json --store elsewhere --data-dir data --offline --quiet --threads 2 --progress none";

#[test]
fn every_command_takes_the_flags_of_all() -> TestResult {
    let place = Place::new()?;
    let small = "--models 2 --hidden 4 --teacher-epochs 1 --student-epochs 1 --input-rows 50";
    for (code, line) in [
        (0, format!("demo {small}")),
        (0, format!("mnist --data digits {small}")),
        (0, format!("ablate --data digits --sweep loss {small}")),
        (0, "theorem --cases 2".to_owned()),
        (0, format!("align --data digits {small}")),
        (
            0,
            "pretrain-tiny --preset smoke --documents 20 --steps 1".to_owned(),
        ),
        (2, "run missing.toml".to_owned()),
        (2, "plan missing.toml".to_owned()),
        (0, "new numbers".to_owned()),
        (2, "config explain missing.toml".to_owned()),
        (0, "runs".to_owned()),
        (0, "show demo".to_owned()),
        (0, "report demo".to_owned()),
        (0, "compare demo mnist".to_owned()),
        (2, "fetch mnist".to_owned()),
        (2, "lm info smollm2-135m-instruct".to_owned()),
        (0, "doctor".to_owned()),
        (0, "schema manifest".to_owned()),
    ] {
        let ran = place.expect(code, &format!("{line} {GIVEN}"))?;
        ran.object()?;
        if code == 0 {
            assert_eq!(ran.stderr, "", "`{line}` is not quiet");
        }
        // Before the command as well as after it.
        place.expect(code, &format!("{GIVEN} {line}"))?;
    }
    assert!(place.path().join("elsewhere/store.json").exists());
    assert!(!place.store().exists());
    Ok(())
}

#[test]
fn offline_refuses_to_fetch_at_once() -> TestResult {
    let place = Place::new()?;
    let started = std::time::Instant::now();
    for name in ["mnist", "fashion", "smollm2-135m-instruct"] {
        let ran = place.run(&format!("fetch {name} --offline --data-dir data"))?;
        // Debian's package may have put Fashion-MNIST on this machine; fetching still means the folder asked for.
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains("`--offline` forbids"), "{ran:?}");
    }
    assert!(started.elapsed().as_secs() < 5);
    Ok(())
}
