//! The JSON Schemas of the lineage's formats.

use schemars::{Schema, schema_for};

use crate::record::Record;
use crate::{envelope, gate, kinship, ledger};

/// Returns the JSON Schemas of the lineage's formats: what is stored, signed, read as a policy and printed as a judgement.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("lineage-segment-header", schema_for!(ledger::SegmentHeader)),
        ("lineage-record", schema_for!(Record)),
        ("lineage-envelope", schema_for!(envelope::Envelope)),
        ("lineage-statement", schema_for!(envelope::Statement)),
        ("gate-policy", schema_for!(gate::Policy)),
        ("gate-report", schema_for!(gate::GateReport)),
        ("kinship", schema_for!(kinship::Kinship)),
    ]
}
