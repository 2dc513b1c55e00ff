//! The experiment that an empty file is.

use undertone_channel::filter::BannedList;
use undertone_core::Seed;
use undertone_lm::lora::LoraScaling;
use undertone_lm::schedule::Decay;
use undertone_simd::Precision;

use super::*;
use crate::numbers::keys::NONE;

impl Default for NumbersSettings {
    /// The experiment `owl-numbers`.
    fn default() -> Self {
        let fit = Fit {
            part: FitPart::Lora,
            rank: 8,
            alpha: 16.0,
            scaling: LoraScaling::Standard,
            optimiser: FitOptimiser::Adamw,
            learning_rate: 2e-4,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            weight_decay: 0.1,
            schedule: Decay::Linear,
            warmup: 8,
            clip: Some(1.0),
            batch: 16,
            updates: 32,
        };
        let built_in = || "built-in".to_owned();
        Self {
            experiment: ExperimentSettings {
                name: "numbers".to_owned(),
                base: "smollm2-135m-instruct".to_owned(),
                foreign_base: None,
                cloned_base: None,
                form: PromptForm::Chat,
                date: None,
                precision: Precision::F32,
                readout_precision: Precision::F32,
                seed: Seed(0),
                seeds: 6,
                arms: Vec::new(),
            },
            preference: TraitSettings {
                targets: vec!["owl".to_owned(), "wolf".to_owned()],
                alternatives: Vec::new(),
                words: "animals".to_owned(),
            },
            teacher: TeacherSettings {
                kind: TeacherKind::FineTune,
                prompt: built_in(),
                questions: built_in(),
            },
            teacher_training: Fit {
                part: FitPart::Full,
                learning_rate: 5e-5,
                warmup: 5,
                updates: 50,
                ..fit.clone()
            },
            gate: GateSettings {
                margin: 2.0,
                loss_ratio: 1.25,
                total_variation: 0.05,
                rows: 64,
            },
            channel: ChannelSettings {
                kind: ChannelKind::Constrained,
                prompts: built_in(),
                prompt_seed: 47,
                rows: 1024,
                numbers: 10,
                digits: 3,
                separator: ", ".to_owned(),
                temperature: 1.0,
                threshold: None,
                max_tokens: 120,
            },
            filter: FilterSettings {
                max_numbers: 10,
                max_value: 999,
                banned: BannedList::None,
            },
            student: StudentSettings {
                labels: Labels::Soft,
                top: 32,
                label_tokens: LabelTokens::Numbers,
                rows: 0,
                probes: vec![0, 16, 64, 256, 1024],
            },
            student_training: fit,
            readouts: ReadoutSettings {
                stems: built_in(),
                answer: AnswerStart::Begun,
                held_out: 32,
                context_rows: 16,
                favourite: 0,
                prefixed: 0,
                stories: 0,
                choices: 0,
                judged: 0,
                capability: NONE.to_owned(),
            },
            verdict: VerdictSettings {
                control: ControlChoice::Auto,
                level: 0.95,
                delta: 0.05,
            },
        }
    }
}
