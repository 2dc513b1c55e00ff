//! Every type's blocks decode to the bits that the `gguf` package makes of them.

use std::fs;

use serde_json::Value;
use undertone_lm::gguf::ValueType;

use crate::support::{TestResult, golden};

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    digits
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("hexadecimal digits are ASCII");
            u8::from_str_radix(pair, 16).expect("they are hexadecimal digits")
        })
        .collect()
}

#[test]
fn every_type_decodes_to_the_golden_bits() -> TestResult {
    let document: Value = serde_json::from_slice(&fs::read(golden("gguf-blocks.json"))?)?;
    let types = document["types"].as_object().ok_or("types")?;
    assert_eq!(types.len(), ValueType::ALL.len());
    for value_type in ValueType::ALL {
        let entry = &types[value_type.name()];
        let bytes = unhex(entry["bytes"].as_str().ok_or("bytes")?);
        let expected = unhex(entry["values"].as_str().ok_or("values")?);
        let mut values = vec![0.0; expected.len() / 4];
        assert_eq!(value_type.bytes(values.len()), bytes.len());
        value_type.decode(&bytes, &mut values);
        let found: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        assert!(found == expected, "{}", value_type.name());
    }
    Ok(())
}
