//! What a row refuses, and that a plan takes every row once an epoch.

use super::*;

fn soft(k: usize, ids: &[u32], log_probabilities: &[f32]) -> Option<SoftLabels> {
    Some(SoftLabels {
        k,
        ids: ids.to_vec(),
        log_probabilities: log_probabilities.to_vec(),
    })
}

#[test]
fn a_completion_is_predicted_from_one_position_earlier() {
    let row = TrainingRow::new(&[7, 8, 9], &[4, 5], None).expect("both are there");
    assert_eq!(row.tokens(), [7, 8, 9, 4, 5]);
    assert_eq!(row.completion(), [4, 5]);
    // The logits after 9 predict 4, those after 4 predict 5; those after 5 predict nothing known.
    assert_eq!(row.positions(), 2..4);
    let short = TrainingRow::new(&[1], &[2], None).expect("both are there");
    assert_eq!(short.positions(), 0..1);
    assert_eq!(completion_tokens([&row, &short]), 3);
}

#[test]
fn a_row_needs_prompt_and_completion() {
    assert_eq!(
        TrainingRow::new(&[], &[1], None),
        Err(RowError::EmptyPrompt)
    );
    assert_eq!(
        TrainingRow::new(&[1], &[], None),
        Err(RowError::EmptyCompletion)
    );
}

#[test]
fn soft_labels_fit_their_completion() {
    let row = |soft| TrainingRow::new(&[1], &[2, 3], soft).map(|_| ());
    assert_eq!(row(soft(1, &[5, 6], &[-1.0, -2.0])), Ok(()));
    // A little above 0 is rounding.
    assert_eq!(row(soft(1, &[5, 6], &[0.0, 0.003])), Ok(()));
    let shape = |labels| {
        Err(RowError::SoftLabels {
            labels,
            completion: 2,
        })
    };
    assert_eq!(row(soft(1, &[5], &[-1.0])), shape(1));
    assert_eq!(row(soft(0, &[], &[])), shape(0));
    assert_eq!(row(soft(usize::MAX, &[5, 6], &[-1.0, -2.0])), shape(0));
    assert_eq!(row(soft(1, &[5, 6], &[-1.0])), shape(0));
    assert_eq!(
        row(soft(2, &[5, 6, 7, 7], &[-1.0; 4])),
        Err(RowError::RepeatedToken {
            position: 1,
            token: 7
        })
    );
    for value in [f32::NAN, f32::NEG_INFINITY, 0.5] {
        let refused = row(soft(1, &[5, 6], &[-1.0, value]));
        assert!(
            matches!(refused, Err(RowError::LogProbability { position: 1, .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn a_model_must_have_the_tokens_and_the_context() {
    let row = TrainingRow::new(&[1], &[2], soft(1, &[9], &[-0.5])).expect("fits");
    assert_eq!(row.check(10, 2), Ok(()));
    let token = |token, vocabulary| Err(RowError::Token { token, vocabulary });
    assert_eq!(row.check(9, 2), token(9, 9));
    assert_eq!(row.check(2, 2), token(2, 2));
    assert_eq!(
        row.check(10, 1),
        Err(RowError::TooLong {
            tokens: 2,
            context: 1
        })
    );
}

#[test]
fn every_epoch_takes_every_row_once_in_its_own_order() {
    let plan = Plan::new(Seed(4), 10, 4, Length::Epochs(2)).expect("rows and batches");
    assert_eq!((plan.steps_per_epoch(), plan.steps()), (3, 6));
    let epoch = |steps: std::ops::Range<u64>| -> Vec<u32> {
        steps.flat_map(|step| plan.rows(step)).collect()
    };
    let (first, second) = (epoch(0..3), epoch(3..6));
    assert_ne!(first, second);
    for mut order in [first, second] {
        order.sort_unstable();
        assert_eq!(order, (0..10).collect::<Vec<u32>>());
    }
    assert_eq!(plan.rows(2).len(), 2);
    assert_eq!(plan.batch(4), (1, 4..8));
}

#[test]
fn the_order_is_a_recorded_one() {
    // Golden: a change here changes every recorded training run.
    let plan = Plan::new(Seed(0), 8, 8, Length::Steps(5)).expect("rows and batches");
    assert_eq!(plan.steps(), 5);
    assert_eq!(plan.order(0), [1, 0, 5, 2, 3, 7, 6, 4]);
    assert_eq!(plan.order(1), [3, 1, 0, 2, 6, 5, 4, 7]);
}

#[test]
fn nothing_is_planned_without_rows_or_batches() {
    assert_eq!(Plan::new(Seed(0), 0, 1, Length::Epochs(1)), None);
    assert_eq!(Plan::new(Seed(0), 1, 0, Length::Epochs(1)), None);
}
