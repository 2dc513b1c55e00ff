//! Turns an error into words on stderr and an exit code.

use anyhow::Error;
use serde_json::json;
use undertone_core::exit;
use undertone_data::OpenDataError;
use undertone_data::fetch::FetchError;
use undertone_data::hub::HubError;
use undertone_lab::lm::LmError;
use undertone_lab::lm::rows::RowsErrorKind;
use undertone_lab::numbers::file::FileError;
use undertone_lab::{Interrupted, LabError};
use undertone_lineage::envelope::{
    EnvelopeError, EnvelopeErrorKind, KeyError, OmsError, SignError,
};
use undertone_lineage::export::{CroissantError, ScopeError};
use undertone_lineage::import::ImportError;
use undertone_lineage::kinship::LoadKinError;
use undertone_lineage::rows::RowsError;
use undertone_lineage::{LedgerError, ResolveError};
use undertone_lm::model::LoadError;
use undertone_store::{ExitClass, StoreError};

/// A command line or setting that cannot be used.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Prints `error` and returns its exit code.
pub fn report(error: &Error, json: bool) -> u8 {
    let code = exit_code(error);
    let chain: Vec<String> = messages(error);
    let hint = hint(error);
    eprintln!("error: {}", chain.join("\n  caused by: "));
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
    if json {
        print_json(&chain, hint, code);
    }
    code
}

/// Prints an error as the one JSON object on stdout.
pub fn print_json(chain: &[String], hint: Option<&str>, code: u8) {
    println!(
        "{}",
        json!({ "error": chain, "hint": hint, "exit_code": code })
    );
}

/// The messages from the outside in; a transparent wrapper does not say the same twice.
fn messages(error: &Error) -> Vec<String> {
    let mut chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    chain.dedup();
    chain
}

fn exit_code(error: &Error) -> u8 {
    for cause in error.chain() {
        if let Some(store) = cause.downcast_ref::<StoreError>() {
            return of_store(store);
        }
        if let Some(data) = cause.downcast_ref::<OpenDataError>() {
            return data.fault().exit_code();
        }
        if let Some(fetch) = cause.downcast_ref::<FetchError>() {
            return fetch.fault().exit_code();
        }
        if let Some(hub) = cause.downcast_ref::<HubError>() {
            return hub.fault().exit_code();
        }
        if cause.is::<Usage>() || cause.is::<FileError>() {
            return exit::USAGE;
        }
        if let Some(code) = of_lineage(cause) {
            return code;
        }
        if let Some(lab) = cause.downcast_ref::<LabError>() {
            match lab {
                LabError::Store(store) => return of_store(store),
                LabError::Weights(_)
                | LabError::Artefact { .. }
                | LabError::OutputMissing { .. } => {
                    return exit::TAMPERED;
                }
                LabError::Interrupted(_) => return exit::INFRASTRUCTURE,
                LabError::Lm(lm) => return lm.exit_code(),
                LabError::Settings(_)
                | LabError::Unsupported(_)
                | LabError::Verdict(_)
                | LabError::Numbers(_)
                | LabError::Theorem(_) => return exit::USAGE,
                _ => {}
            }
        }
    }
    exit::INFRASTRUCTURE
}

fn of_store(error: &StoreError) -> u8 {
    match error.exit_class() {
        ExitClass::Usage => exit::USAGE,
        ExitClass::Tampered => exit::TAMPERED,
        ExitClass::Infrastructure => exit::INFRASTRUCTURE,
    }
}

/// The code of an error of the lineage: a file of the user's that cannot be used, or one that does not hold.
fn of_lineage(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    let of_class = |class| match class {
        ExitClass::Usage => exit::USAGE,
        ExitClass::Tampered => exit::TAMPERED,
        ExitClass::Infrastructure => exit::INFRASTRUCTURE,
    };
    if let Some(ledger) = cause.downcast_ref::<LedgerError>() {
        return Some(of_class(ledger.exit_class()));
    }
    if let Some(envelope) = cause.downcast_ref::<EnvelopeError>() {
        return Some(match &envelope.kind {
            EnvelopeErrorKind::Io(_) => exit::USAGE,
            _ => exit::TAMPERED,
        });
    }
    if let Some(oms) = cause.downcast_ref::<OmsError>() {
        return Some(match oms.is_tampered() {
            true => exit::TAMPERED,
            false => exit::USAGE,
        });
    }
    if let Some(kin) = cause.downcast_ref::<LoadKinError>() {
        return Some(match kin {
            LoadKinError::Open(open) => open.fault().exit_code(),
            _ => exit::USAGE,
        });
    }
    let is_usage = cause.is::<ResolveError>()
        || cause.is::<CroissantError>()
        || cause.is::<ScopeError>()
        || cause.is::<ImportError>()
        || cause.is::<RowsError>()
        || cause.is::<KeyError>()
        || matches!(cause.downcast_ref(), Some(SignError::NotFinished { .. }));
    is_usage.then_some(exit::USAGE)
}

fn hint(error: &Error) -> Option<&'static str> {
    for cause in error.chain() {
        if let Some(store) = cause.downcast_ref::<StoreError>() {
            return store.hint();
        }
        if let Some(LabError::Store(store)) = cause.downcast_ref::<LabError>() {
            return store.hint();
        }
        if cause.is::<FileError>() {
            return Some("`undertone new numbers` writes every key with its meaning and default");
        }
        if cause.is::<Interrupted>()
            || matches!(cause.downcast_ref(), Some(LabError::Interrupted(_)))
        {
            return Some("nothing finished is lost: repeat the command to go on");
        }
        if let Some(resolve) = cause.downcast_ref::<ResolveError>() {
            return Some(resolve.hint());
        }
        if let Some(ledger) = cause.downcast_ref::<LedgerError>() {
            return ledger.hint();
        }
        match cause.downcast_ref() {
            Some(LabError::Unsupported(_)) => return Some(F32),
            Some(LabError::Lm(lm)) => return lm_hint(lm),
            _ => {}
        }
    }
    None
}

/// What can be done about a number format that the processor lacks.
const F32: &str = "use --precision f32";

fn lm_hint(error: &LmError) -> Option<&'static str> {
    match error {
        LmError::Load(LoadError::Unsupported(_)) => Some(F32),
        LmError::Occupied { .. } => {
            Some("nothing is overwritten: choose a folder that is empty or new")
        }
        LmError::Rows(error) => match error.kind {
            RowsErrorKind::Json(_)
            | RowsErrorKind::NotAnObject { .. }
            | RowsErrorKind::NoRows
            | RowsErrorKind::Prompts { .. } => Some("`undertone schema lm-row` describes a line"),
            _ => None,
        },
        _ => None,
    }
}
