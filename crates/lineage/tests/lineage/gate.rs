//! Policies on the graph of the owl experiment.

use std::collections::BTreeMap;
use std::path::Path;

use undertone_lineage::gate::{GateOutcome, GateReport, Policy, Question, READY, judge};
use undertone_lineage::{Draft, Entity, EntityId, Grade, Graph, Record, Relation, Verdict};

use crate::support::{dataset, model, owl};

fn judged(records: &[Record], policy: &str, target: EntityId) -> GateReport {
    let graph = Graph::from_records(records.iter().cloned());
    let policy = Policy::parse(policy).expect("a policy");
    let question = Question {
        target,
        student: None,
        root: Path::new("no store"),
    };
    let report = judge(&graph, &policy, &question)
        .expect("in memory")
        .expect("it is there");
    // Whatever is said can be written down.
    let sarif = undertone_lineage::gate::sarif(&report, "policy.toml");
    serde_json::from_str::<serde_json::Value>(&sarif).expect("JSON");
    assert!(undertone_lineage::gate::junit(&report).ends_with("</testsuites>\n"));
    report
}

fn outcome(report: &GateReport, rule: &str) -> GateOutcome {
    let found = report.rules.iter().find(|result| result.rule == rule);
    found.expect("a rule of the policy").outcome
}

fn verdict(draft: &mut Draft, on: EntityId, question: &str, outcome: &str) {
    let id = draft.entity(Entity::Verdict(Verdict {
        question: question.to_owned(),
        outcome: outcome.to_owned(),
        ..Verdict::default()
    }));
    draft.edge(on, id, Relation::EvaluatedBy {});
}

#[test]
fn the_ready_policy_refuses_the_owl_student_and_passes_the_foreign_one() {
    let owl = owl(Grade::Observed);
    let refused = judged(owl.draft.records(), READY, owl.student);
    assert_eq!(refused.outcome, GateOutcome::Refused);
    let finding = &refused.rules[0].findings[0];
    let names: Vec<String> = finding
        .path
        .as_ref()
        .expect("a way")
        .hops
        .iter()
        .map(|hop| hop.younger.to_string())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(
        names[2].contains("student") && names[0].contains("raw"),
        "{names:?}"
    );
    let passed = judged(owl.draft.records(), READY, owl.foreign);
    assert_eq!(passed.outcome, GateOutcome::Pass, "{passed}");
}

#[test]
fn a_clean_audit_of_the_data_excuses_it_and_an_alarm_does_not() {
    for (answer, expected) in [
        ("clean", GateOutcome::Pass),
        ("flagged", GateOutcome::Refused),
    ] {
        let mut owl = owl(Grade::Observed);
        verdict(&mut owl.draft, owl.kept, "audit", answer);
        assert_eq!(
            judged(owl.draft.records(), READY, owl.student).outcome,
            expected,
            "{answer}"
        );
    }
}

#[test]
fn a_student_of_an_exposed_student_is_refused_too() {
    let mut owl = owl(Grade::Observed);
    let tuned = model(&mut owl.draft, "tuned");
    owl.draft
        .edge(tuned, owl.student, Relation::InitialisedFrom { how: None });
    assert_eq!(
        judged(owl.draft.records(), READY, tuned).outcome,
        GateOutcome::Refused
    );
}

#[test]
fn declared_generators_are_not_enough_and_missing_ones_are_unknown() {
    let declared = owl(Grade::Declared);
    let report = judged(declared.draft.records(), READY, declared.foreign);
    assert_eq!(outcome(&report, "named-generator"), GateOutcome::Refused);
    let mut draft = Draft::new("test", Grade::Observed);
    let (student, rows) = (model(&mut draft, "s"), dataset(&mut draft, "d"));
    draft.edge(student, rows, Relation::TrainedOn { rows: None });
    let report = judged(draft.records(), READY, student);
    assert_eq!(report.outcome, GateOutcome::Unknown);
    assert_eq!(outcome(&report, "no-shared-base"), GateOutcome::Unknown);
    assert_eq!(outcome(&report, "named-generator"), GateOutcome::Unknown);
}

#[test]
fn bases_of_which_nothing_is_recorded_are_unknown_until_a_kinship_verdict() {
    let mut draft = Draft::new("test", Grade::Observed);
    let (teacher, student, rows) = (
        model(&mut draft, "t"),
        model(&mut draft, "s"),
        dataset(&mut draft, "d"),
    );
    draft
        .edge(rows, teacher, Relation::GeneratedBy { rows: Some(5) })
        .edge(student, rows, Relation::TrainedOn { rows: Some(5) });
    assert_eq!(
        judged(draft.records(), READY, student).outcome,
        GateOutcome::Unknown
    );
    for (answer, expected) in [
        ("not-kin", GateOutcome::Pass),
        ("kin", GateOutcome::Refused),
        ("inconclusive", GateOutcome::Unknown),
    ] {
        let mut draft = draft.clone();
        draft.graded(Grade::Fingerprint);
        let id = draft.entity(Entity::Verdict(Verdict {
            question: "kinship".to_owned(),
            outcome: answer.to_owned(),
            ..Verdict::default()
        }));
        draft.edge(teacher, id, Relation::EvaluatedBy {}).edge(
            student,
            id,
            Relation::EvaluatedBy {},
        );
        assert_eq!(
            judged(draft.records(), READY, student).outcome,
            expected,
            "{answer}"
        );
    }
}

#[test]
fn flags_count_within_the_hops_of_the_rule() {
    // m0 -> d0 -> m1 -> d1 -> m2 -> d2 -> m3 -> d3 -> m4: m0 is flagged.
    let mut draft = Draft::new("test", Grade::Observed);
    let models: Vec<EntityId> = (0..5)
        .map(|n| model(&mut draft, &format!("m{n}")))
        .collect();
    for n in 0..4 {
        let rows = dataset(&mut draft, &format!("d{n}"));
        draft
            .edge(rows, models[n], Relation::GeneratedBy { rows: Some(5) })
            .edge(models[n + 1], rows, Relation::TrainedOn { rows: Some(5) });
    }
    verdict(&mut draft, models[0], "audit", "flagged");
    let policy = |hops: u32| {
        format!(
            "format = \"undertone-gate-policy\"\nversion = 1\nname = \"x\"\n[[rules]]\nrule = \"no-flagged-model\"\nhops = {hops}\n"
        )
    };
    for (target, hops, expected) in [
        (3, 3, GateOutcome::Refused),
        (4, 3, GateOutcome::Pass),
        (4, 4, GateOutcome::Refused),
    ] {
        let report = judged(draft.records(), &policy(hops), models[target]);
        assert_eq!(
            report.outcome, expected,
            "m{target} within {hops}: {report}"
        );
    }
}

#[test]
fn filters_that_hide_their_drops_are_refused() {
    let mut owl = owl(Grade::Observed);
    let hidden = dataset(&mut owl.draft, "hidden");
    let student = model(&mut owl.draft, "hidden-student");
    owl.draft
        .edge(
            hidden,
            owl.kept,
            Relation::FilteredFrom {
                kept: Some(70),
                dropped: None,
            },
        )
        .edge(student, hidden, Relation::TrainedOn { rows: None });
    let report = judged(owl.draft.records(), READY, student);
    assert_eq!(
        outcome(&report, "filters-report-drops"),
        GateOutcome::Refused
    );
    let mut owl = crate::support::owl(Grade::Observed);
    let open = dataset(&mut owl.draft, "open");
    let dropped = Some(BTreeMap::new());
    owl.draft.edge(
        open,
        owl.kept,
        Relation::FilteredFrom {
            kept: Some(80),
            dropped,
        },
    );
    let report = judged(owl.draft.records(), READY, open);
    assert_eq!(outcome(&report, "filters-report-drops"), GateOutcome::Pass);
    // A dataset alone has no base: a student must be named.
    assert_eq!(outcome(&report, "no-shared-base"), GateOutcome::Unknown);
}
