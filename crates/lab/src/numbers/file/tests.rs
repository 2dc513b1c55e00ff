//! What files come to, and how they are refused.

use super::*;
use crate::numbers::settings::Arm;

fn parse(text: &str) -> Result<ExperimentFile, String> {
    ExperimentFile::parse(text, Path::new("owl.toml")).map_err(|error| {
        let mut words = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(source) = cause {
            words = format!("{words}: {source}");
            cause = source.source();
        }
        words
    })
}

#[track_caller]
fn refuses(text: &str, expected: &str) {
    let error = parse(text).expect_err("a bad file");
    assert!(error.contains(expected), "{error}");
}

#[test]
fn an_empty_file_is_the_defaults_and_a_written_one_reads_back_as_them() {
    let empty = parse("").expect("defaults");
    assert_eq!(empty.variants[0].settings, NumbersSettings::default());
    assert!(
        empty
            .explain()
            .iter()
            .all(|value| value.origin == Origin::Default)
    );
    let written = parse(&commented_file("numbers")).expect("our own");
    assert_eq!(written.variants, empty.variants);
    assert!(
        written
            .explain()
            .iter()
            .all(|value| value.origin != Origin::Default)
    );
}

#[test]
fn values_say_which_line_set_them() {
    let file = parse(
        "[channel]\nrows = 200\n\n[student.training]\nclip = \"none\"\nlearning-rate = 1e-3\n",
    )
    .expect("three keys");
    let settings = &file.variants[0].settings;
    assert_eq!(
        (settings.channel.rows, settings.student_training.clip),
        (200, None)
    );
    let origin = |key: &str| {
        let explained = file.explain().into_iter().find(|value| value.key == key);
        explained.expect("a key").origin
    };
    assert_eq!(origin("channel.rows"), Origin::Line(2));
    assert_eq!(origin("student.training.learning-rate"), Origin::Line(6));
    assert_eq!(origin("teacher.training.learning-rate"), Origin::Default);
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_one() {
    refuses(
        "[chanel]\nrows = 3\n",
        "owl.toml, line 1: there is no key `chanel`; did you mean `channel`?",
    );
    refuses(
        "[channel]\n\nrosw = 3\n",
        "owl.toml, line 3: there is no key `channel.rosw`; did you mean `channel.rows`?",
    );
    refuses(
        "[student]\nbatch = 3\n",
        "did you mean `student.training.batch`?",
    );
    refuses(
        "[experiment]\nxyzzy = 1\n",
        "there is no key `experiment.xyzzy`",
    );
    refuses("rows = \n", "owl.toml, line 1");
    refuses("vary = 3\n", "there is no key `vary`");
}

#[test]
fn bad_values_say_what_is_possible() {
    refuses(
        "[channel]\nrows = -3\n",
        "line 2: `channel.rows`: invalid value",
    );
    refuses(
        "[channel]\nkind = \"fre\"\n",
        "unknown variant `fre`, expected `constrained` or `free`",
    );
    refuses(
        "[student]\nlabels = \"soft\"\n[verdict]\ncontrol = \"regular\"\n",
        "line 4: the settings make no experiment: `verdict.control`",
    );
    refuses(
        "[trait]\ntargets = [\"owl\"]\n",
        "`other-target` needs a second target",
    );
    refuses(
        "[experiment]\narms = [\"shuffle-within\"]\n",
        "need `student.labels = \"hard\"`",
    );
    refuses(
        "[trait]\ntargets = [\"Owl\"]\n",
        "line 2: the settings make no experiment: `trait.targets`: `Owl` is not in the list `animals`; did you mean `owl`?",
    );
    refuses(
        "[trait]\nwords = \"trees\"\ntargets = [\"oak\", \"maple\"]\nalternatives = [\"\u{e9}rable\"]\n",
        "line 4: the settings make no experiment: `trait.alternatives`: `\u{e9}rable` is not in the list `trees`; it has no word like it",
    );
    refuses(
        "[experiment]\ndate = \"yesterday\"\n",
        "line 2: the settings make no experiment: `experiment.date`: `yesterday` is no date such as `2026-01-31`",
    );
    for (line, expected) in [
        (
            "[student.training]\nlearning-rate = -1.0",
            "`student.training.learning-rate`: at least 0",
        ),
        (
            "[teacher.training]\nbatch = 0",
            "`teacher.training.batch`: at least 1",
        ),
        (
            "[verdict]\ndelta = -0.1",
            "`verdict.delta`: margin -0.1 of the verdict is not a positive number",
        ),
        (
            "[verdict]\nlevel = 0.2",
            "`verdict.level`: level 0.2 of the verdict",
        ),
        (
            "[experiment]\nbase = \"Tiny-smoke-1\"",
            "`experiment.base`: a tiny decoder is called `tiny-smoke-SEED`",
        ),
    ] {
        refuses(
            &format!("{line}\n"),
            &format!("line 2: the settings make no experiment: {expected}"),
        );
    }
    for rank in [0, 4097] {
        refuses(
            &format!("[student.training]\npart = \"lora\"\nrank = {rank}\n"),
            "line 3: the settings make no experiment: `student.training.rank`",
        );
    }
    refuses(
        "[channel]\nrows = { a = 1 }\n",
        "a table, where a value is expected",
    );
}

#[test]
fn axes_make_every_combination_in_the_order_of_the_file() {
    let text = "[vary.part.lora]\nstudent.training.part = \"lora\"\n[vary.part.full]\nstudent.training.part = \"full\"\n\
                [vary.labels.soft]\n[vary.labels.hard]\n\"student.labels\" = \"hard\"\n";
    let file = parse(text).expect("four variants; a quoted path is a path");
    let names: Vec<String> = file.variants.iter().filter_map(Variant::name).collect();
    assert_eq!(names.len(), 4);
    assert_eq!(file.variants[3].settings.control(), Arm::Regular);
    let part = file
        .explain()
        .into_iter()
        .find(|value| value.key == "student.training.part");
    let part = part.expect("a key");
    assert_eq!((part.axis.as_deref(), part.values.len()), (Some("part"), 4));
}
