//! The built-in question sets: sizes, disjointness, and what a stem has to be.

use std::collections::BTreeSet;

use super::*;
use crate::targets::TargetSet;

fn words(text: &str) -> BTreeSet<String> {
    normalised(text).split(' ').map(str::to_owned).collect()
}

/// Shared words over all words.
fn likeness(a: &str, b: &str) -> f64 {
    let (a, b) = (words(a), words(b));
    a.intersection(&b).count() as f64 / a.union(&b).count() as f64
}

#[test]
fn sets_have_the_published_sizes() {
    assert_eq!(QuestionSet::teacher().questions().len(), 50);
    assert_eq!(QuestionSet::favourite().questions().len(), 50);
    assert_eq!(QuestionSet::stories().questions().len(), 14);
    assert_eq!(StemSet::held_out().stems().len(), 64);
}

#[test]
fn the_teacher_is_asked_nothing_the_readouts_ask() {
    let (teacher, favourite) = (QuestionSet::teacher(), QuestionSet::favourite());
    let stems = StemSet::held_out();
    assert_eq!(
        refuse_shared(teacher.questions(), favourite.questions()),
        Ok(())
    );
    assert_eq!(
        refuse_shared(teacher.questions(), &stems.questions()),
        Ok(())
    );
    assert_eq!(
        refuse_shared(favourite.questions(), &stems.questions()),
        Ok(())
    );
    // Nor nearly the same: three words in four.
    for taught in teacher.questions() {
        for asked in favourite
            .questions()
            .iter()
            .map(String::as_str)
            .chain(stems.questions())
        {
            let likeness = likeness(taught, asked);
            assert!(likeness < 0.75, "{likeness}: {taught:?} and {asked:?}");
        }
    }
}

#[test]
fn a_shared_question_is_found_whatever_its_punctuation() {
    let error = refuse_shared(&["Which animal?", "Why?"], &["When?", "which  ANIMAL"]);
    let question = "which  ANIMAL".to_owned();
    assert_eq!(error, Err(SharedQuestionError { question }));
}

#[test]
fn stems_end_before_a_name_and_give_no_article_away() {
    for stem in StemSet::held_out().stems() {
        assert!(stem.start.ends_with(" the"), "{stem:?}");
        assert!(stem.question.ends_with(['?', '.']), "{stem:?}");
    }
}

#[test]
fn no_question_names_a_target() {
    let sets = [
        QuestionSet::teacher(),
        QuestionSet::favourite(),
        QuestionSet::stories(),
    ];
    let stems = StemSet::held_out();
    let stems = stems
        .stems()
        .iter()
        .flat_map(|stem| [&stem.question, &stem.start]);
    let questions = sets.iter().flat_map(QuestionSet::questions).chain(stems);
    let targets = [TargetSet::animals(), TargetSet::trees()];
    for question in questions {
        for target in targets.iter().flat_map(TargetSet::targets) {
            let named = target.is_named_in(question, crate::targets::Scoring::Word);
            assert!(!named, "{} in {question:?}", target.word);
        }
    }
}

#[test]
fn numbers_stand_before_a_question_and_stay_the_same() {
    let wordings = NumberWordings::built_in();
    let favourite = QuestionSet::favourite();
    let settings = PromptSettings::default();
    let prefixed =
        numbers_prefixed(favourite.questions(), &wordings, &settings).expect("published settings");
    assert_eq!(prefixed.len(), 50);
    assert_eq!(prefixed[0].examples, [767, 589, 778]);
    assert!(
        prefixed[0].text.contains("767, 589, 778"),
        "{}",
        prefixed[0].text
    );
    for (question, prefixed) in favourite.questions().iter().zip(&prefixed) {
        assert!(
            prefixed.text.ends_with(&format!(". {question}")),
            "{}",
            prefixed.text
        );
    }
    assert_eq!(
        Ok(prefixed),
        numbers_prefixed(favourite.questions(), &wordings, &settings)
    );
}
