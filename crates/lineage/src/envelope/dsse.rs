//! DSSE envelopes: a payload in base64 with signatures over its pre-authentication encoding.
//!
//! The signature is over `DSSEv1 <length of type> <type> <length of payload> <payload>`. The key's id in an envelope is a
//! hint: every trusted key is tried. Whatever is in the payload is looked at only after a signature held.

use std::path::{Path, PathBuf};

use base64ct::{Base64, Base64Url, Encoding};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::keys::{PublicKey, SigningKey};
use crate::files::read_bounded;
use crate::import::MAX_DOCUMENT_BYTES;

/// The payload type of in-toto statements.
pub const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";

/// The most signatures an envelope may carry.
pub const MAX_SIGNATURES: usize = 64;

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnvelopeSignature {
    /// The signer's name for the key.
    #[serde(default)]
    pub keyid: String,
    /// The signature, in base64.
    pub sig: String,
}

/// A signed payload, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// What the payload is.
    pub payload_type: String,
    /// The payload, in base64.
    pub payload: String,
    /// The signatures.
    pub signatures: Vec<EnvelopeSignature>,
}

/// A payload whose signature held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPayload {
    /// What the payload is.
    pub payload_type: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// The ids of the trusted keys that signed it.
    pub keys: Vec<String>,
}

/// An envelope does not hold.
#[derive(Debug, thiserror::Error)]
#[error("the envelope `{}` does not hold", path.display())]
pub struct EnvelopeError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub kind: EnvelopeErrorKind,
}

/// Why an envelope does not hold.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeErrorKind {
    /// It cannot be read.
    #[error("it cannot be read")]
    Io(#[source] std::io::Error),
    /// It is not the JSON of an envelope.
    #[error("it is not the JSON of a DSSE envelope")]
    Json(#[source] serde_json::Error),
    /// The payload or a signature is not base64.
    #[error("its {what} is not base64")]
    Base64 {
        /// Which part.
        what: &'static str,
    },
    /// It has no signatures, or more than [`MAX_SIGNATURES`].
    #[error("it has {n} signatures; 1 to {MAX_SIGNATURES} are read")]
    Signatures {
        /// How many.
        n: usize,
    },
    /// None of the trusted keys signed it.
    #[error("no signature is by a trusted key; it names {}", named.join(", "))]
    NotTrusted {
        /// The ids of the keys it names, cut.
        named: Vec<String>,
    },
    /// The payload is of another type than expected.
    #[error("its payload is `{found}`, not `{STATEMENT_TYPE}`")]
    PayloadType {
        /// The type found.
        found: String,
    },
}

impl Envelope {
    /// Signs `payload` with each of `keys`.
    pub fn sign(payload_type: &str, payload: &[u8], keys: &[&SigningKey]) -> Self {
        let message = pre_authentication_encoding(payload_type, payload);
        let signatures = keys.iter().map(|key| EnvelopeSignature {
            keyid: key.public().id(),
            sig: Base64::encode_string(&key.sign(&message)),
        });
        Envelope {
            payload_type: payload_type.to_owned(),
            payload: Base64::encode_string(payload),
            signatures: signatures.collect(),
        }
    }

    /// Reads the envelope at `path`. Nothing in it is trusted yet.
    ///
    /// # Errors
    /// [`EnvelopeError`] if it is none.
    pub fn read(path: &Path) -> Result<Self, EnvelopeError> {
        let read = || {
            let bytes = read_bounded(path, MAX_DOCUMENT_BYTES).map_err(EnvelopeErrorKind::Io)?;
            serde_json::from_slice(&bytes).map_err(EnvelopeErrorKind::Json)
        };
        read().map_err(|kind| EnvelopeError {
            path: path.to_owned(),
            kind,
        })
    }

    /// Returns the file of the envelope: canonical JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        undertone_store::canonical_json(self).expect("texts are JSON")
    }

    /// Returns the payload, if one of `trusted` signed it.
    ///
    /// # Errors
    /// [`NotTrusted`](EnvelopeErrorKind::NotTrusted) if none did, or the payload was changed after it was signed.
    pub fn verify(&self, trusted: &[PublicKey]) -> Result<VerifiedPayload, EnvelopeErrorKind> {
        let n = self.signatures.len();
        if !(1..=MAX_SIGNATURES).contains(&n) {
            return Err(EnvelopeErrorKind::Signatures { n });
        }
        let payload = decode(&self.payload).ok_or(EnvelopeErrorKind::Base64 { what: "payload" })?;
        let message = pre_authentication_encoding(&self.payload_type, &payload);
        let mut keys = Vec::new();
        for signature in &self.signatures {
            let what = "signature";
            let bytes = decode(&signature.sig).ok_or(EnvelopeErrorKind::Base64 { what })?;
            let signers = trusted.iter().filter(|key| key.accepts(&message, &bytes));
            keys.extend(signers.map(PublicKey::id));
        }
        keys.sort();
        keys.dedup();
        if keys.is_empty() {
            let cut = |keyid: &str| match keyid {
                "" => "no key".to_owned(),
                keyid => keyid.chars().take(16).filter(|c| !c.is_control()).collect(),
            };
            let named = self
                .signatures
                .iter()
                .map(|signature| cut(&signature.keyid))
                .collect();
            return Err(EnvelopeErrorKind::NotTrusted { named });
        }
        Ok(VerifiedPayload {
            payload_type: self.payload_type.clone(),
            payload,
            keys,
        })
    }

    /// Returns the payload without looking at any signature: it is anybody's word.
    pub fn unverified_payload(&self) -> Option<Vec<u8>> {
        decode(&self.payload)
    }
}

pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    Base64::decode_vec(text)
        .or_else(|_| Base64Url::decode_vec(text))
        .ok()
}

pub(super) fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    message.extend_from_slice(payload);
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> SigningKey {
        SigningKey::generate().expect("randomness")
    }

    #[test]
    fn the_encoding_is_the_one_of_the_specification() {
        let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(
            encoded,
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn only_a_trusted_key_opens_an_envelope() {
        let (ours, theirs) = (key(), key());
        let envelope = Envelope::sign("t", b"payload", &[&ours]);
        let opened = envelope
            .verify(&[theirs.public(), ours.public()])
            .expect("we signed it");
        assert_eq!(opened.payload, b"payload");
        assert_eq!(opened.keys, [ours.public().id()]);
        for trusted in [vec![], vec![theirs.public()]] {
            let refused = envelope
                .verify(&trusted)
                .expect_err("nobody trusted signed it");
            assert!(matches!(refused, EnvelopeErrorKind::NotTrusted { .. }));
        }
        let none = Envelope {
            signatures: Vec::new(),
            ..envelope
        };
        assert!(none.verify(&[ours.public()]).is_err());
    }

    #[test]
    fn every_flipped_bit_of_payload_type_and_signature_is_found() {
        let key = key();
        let envelope = Envelope::sign("type", b"some payload", &[&key]);
        let bytes = envelope.to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Ok(read) = serde_json::from_slice::<Envelope>(&flipped) else {
                continue;
            };
            if let Ok(opened) = read.verify(&[key.public()]) {
                // What is left are changes of the key's id, which is a hint.
                assert_eq!(
                    (read.payload_type, opened.payload),
                    ("type".into(), b"some payload".to_vec())
                );
                assert_eq!(read.signatures[0].sig, envelope.signatures[0].sig);
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_envelopes_are_refused(payload in "[A-Za-z0-9+/=_-]{0,40}", sig in "[A-Za-z0-9+/=]{0,100}", kind in ".{0,20}") {
            let envelope = Envelope {
                payload_type: kind,
                payload,
                signatures: vec![EnvelopeSignature { keyid: String::new(), sig }],
            };
            let trusted = SigningKey::generate().expect("randomness").public();
            prop_assert!(envelope.verify(&[trusted]).is_err());
        }

        #[test]
        fn arbitrary_bytes_are_no_envelope(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(serde_json::from_slice::<Envelope>(&bytes).is_err());
        }
    }
}
