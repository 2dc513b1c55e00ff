//! What a finished training step keeps, and how it is read again.

use std::collections::BTreeMap;

use serde::Serialize;
use undertone_lm::lora::LoraWeights;
use undertone_lm::peft::{config_bytes, parse_adapter, weights_bytes};
use undertone_lm::train::{FullWeights, Trainer};
use undertone_store::StepRecord;

use super::{LOG, TrainJob, state};
use crate::error::LabError;
use crate::lm::LmError;
use crate::lm::step::LmBench;
use crate::steps::{json_bytes, output};

/// Outputs that hold what was trained: an adapter's shape, and the weights.
const CONFIG: &str = "config";
const WEIGHTS: &str = "weights";

impl TrainJob<'_> {
    /// Returns what a step keeps: the log and what was trained.
    pub(crate) fn outputs(
        &self,
        trainer: &Trainer,
        log: &impl Serialize,
    ) -> Result<BTreeMap<String, Vec<u8>>, LabError> {
        let mut outputs = BTreeMap::from([(LOG.to_owned(), json_bytes(log)?)]);
        match trainer.adapter_weights() {
            Some(weights) => {
                outputs.insert(CONFIG.to_owned(), config_bytes(weights, None));
                outputs.insert(WEIGHTS.to_owned(), weights_bytes(weights));
            }
            None => {
                outputs.insert(
                    WEIGHTS.to_owned(),
                    state::encode_weights(&trainer.state().weights),
                );
            }
        }
        Ok(outputs)
    }

    /// Returns the log of a finished step, as JSON.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn log_bytes(&self, bench: &LmBench<'_>, record: &StepRecord) -> Result<Vec<u8>, LabError> {
        Ok(bench.store.get(&output(record, LOG)?)?)
    }

    /// Returns the trained adapter of a finished step.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn adapter(
        &self,
        bench: &LmBench<'_>,
        record: &StepRecord,
    ) -> Result<LoraWeights, LabError> {
        let read = |name| {
            bench
                .store
                .get(&output(record, name)?)
                .map_err(LabError::from)
        };
        let (config, weights) = (read(CONFIG)?, read(WEIGHTS)?);
        let parsed = parse_adapter(&config, &weights, self.subject.open.config());
        Ok(parsed.map_err(|error| LmError::Stored {
            name: WEIGHTS,
            problem: error.to_string(),
        })?)
    }

    /// Returns the trained model of a finished step that trained every weight.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn full_weights(
        &self,
        bench: &LmBench<'_>,
        record: &StepRecord,
    ) -> Result<FullWeights, LabError> {
        let bytes = bench.store.get(&output(record, WEIGHTS)?)?;
        let checkpoint = self.subject.checkpoint();
        let mut weights = FullWeights::read(checkpoint).map_err(LmError::Tensor)?;
        let values = state::decode_weights(&bytes).filter(|values| values.len() == weights.len());
        let values = values.ok_or(LmError::Stored {
            name: WEIGHTS,
            problem: "it is not a list of as many weights as the model has".to_owned(),
        })?;
        let mut at = 0;
        for (_, tensor) in weights.tensors_mut() {
            let end = at + tensor.len();
            tensor.copy_from_slice(&values[at..end]);
            at = end;
        }
        Ok(weights)
    }
}
