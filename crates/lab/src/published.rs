//! The published numbers an experiment is compared with, and when the comparison is fair.

use crate::settings::{Condition, MlpSettings};

/// Accuracies of a re-run of the official script: 100 models, m = 3, seed 0.
const SIX: [(Condition, f64); 6] = [
    (Condition::Reference, 0.100),
    (Condition::Teacher, 0.943),
    (Condition::AuxOnly, 0.537),
    (Condition::AllLogits, 0.912),
    (Condition::CrossAuxOnly, 0.100),
    (Condition::CrossAllLogits, 0.741),
];

/// The same script over m: auxiliary logits, aux-only student, cross-model aux-only, all logits.
const SWEEP: [(usize, f64, f64, f64); 7] = [
    (1, 0.103, 0.103, 0.911),
    (2, 0.348, 0.106, 0.909),
    (3, 0.537, 0.100, 0.912),
    (5, 0.704, 0.109, 0.914),
    (10, 0.835, 0.098, 0.920),
    (20, 0.894, 0.105, 0.926),
    (50, 0.917, 0.108, 0.934),
];

/// Returns the published accuracy for a condition, if `settings` are the published ones but for seed, number of models
/// and m.
pub fn accuracy(settings: &MlpSettings, condition: Condition) -> Option<f64> {
    let published = MlpSettings {
        models: settings.models,
        aux_logits: settings.aux_logits,
        students: settings.students.clone(),
        cross: settings.cross,
        precision: settings.precision,
        ..MlpSettings::published(settings.data.clone(), settings.seed)
    };
    if settings.data.name != "mnist" || *settings != published {
        return None;
    }
    if settings.aux_logits == 3 {
        return SIX
            .iter()
            .find(|(known, _)| *known == condition)
            .map(|(_, accuracy)| *accuracy);
    }
    let (_, aux, cross, all) = SWEEP
        .into_iter()
        .find(|(m, ..)| *m == settings.aux_logits)?;
    match condition {
        Condition::AuxOnly => Some(aux),
        Condition::CrossAuxOnly => Some(cross),
        Condition::AllLogits => Some(all),
        Condition::Reference | Condition::Teacher | Condition::CrossAllLogits => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{CrossRule, DataIdentity};
    use undertone_core::{Digest, Seed};

    fn published() -> MlpSettings {
        let data = DataIdentity {
            name: "mnist".to_owned(),
            digest: Digest::of(b""),
        };
        MlpSettings::published(data, Seed(0))
    }

    #[test]
    fn numbers_stand_beside_the_published_settings() {
        let at = |m: usize, condition| {
            let settings = MlpSettings {
                aux_logits: m,
                ..published()
            };
            accuracy(&settings, condition)
        };
        assert_eq!(at(3, Condition::Teacher), Some(0.943));
        assert_eq!(at(3, Condition::CrossAllLogits), Some(0.741));
        assert_eq!(at(10, Condition::AuxOnly), Some(0.835));
        assert_eq!(at(10, Condition::Teacher), None);
        assert_eq!(at(4, Condition::AuxOnly), None);
    }

    #[test]
    fn seed_number_of_models_and_choice_of_students_do_not_matter() {
        let settings = MlpSettings {
            seed: Seed(9),
            models: 16,
            cross: CrossRule::Derangement,
            students: vec![Condition::AuxOnly],
            ..published()
        };
        assert_eq!(accuracy(&settings, Condition::AuxOnly), Some(0.537));
    }

    #[test]
    fn no_number_stands_beside_other_settings() {
        type Change = fn(&mut MlpSettings);
        let changes: [Change; 8] = [
            |s| s.data.name = "fashion".to_owned(),
            |s| s.body.hidden = vec![256],
            |s| s.init_gain = 2.0,
            |s| s.teacher.epochs = 6,
            |s| s.student.batch = 512,
            |s| s.temperature = 2.0,
            |s| s.perturb_sigma = 0.1,
            |s| s.student_body = Some(s.body.clone()),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut settings = published();
            change(&mut settings);
            assert_eq!(
                accuracy(&settings, Condition::AuxOnly),
                None,
                "change {index}"
            );
        }
    }
}
