//! P-256 keys for model signatures (OMS), in the same PEM files and with the same care as the ed25519 ones.

use std::fmt;
use std::io::Write as _;
use std::path::Path;

use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{DerSignature, SigningKey as EcdsaKey, VerifyingKey};
use p256::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding,
};
use p256::{PublicKey, SecretKey};
use undertone_core::Sha256Digest;
use undertone_store::write_atomic;
use zeroize::Zeroizing;

use super::keys::{KeyError, KeyErrorKind, MAX_KEY_BYTES, check_permissions, new_private_file};
use crate::files::read_bounded;

/// A private key for model signatures. Shows nothing of itself, and is wiped when dropped.
pub struct OmsKey(SecretKey);

impl fmt::Debug for OmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OmsKey({})", &self.public().hint()[..12])
    }
}

/// A public key for model signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OmsPublicKey(PublicKey);

impl OmsKey {
    /// Makes a key of the operating system's randomness.
    ///
    /// # Errors
    /// If there is none.
    pub fn generate() -> Result<Self, KeyErrorKind> {
        loop {
            let mut seed = Zeroizing::new([0; 32]);
            getrandom::fill(&mut *seed)
                .map_err(|error| KeyErrorKind::Io(std::io::Error::other(error)))?;
            // All but one in 2^32 of the numbers are below the order of the curve.
            if let Ok(key) = SecretKey::from_slice(&*seed) {
                return Ok(OmsKey(key));
            }
        }
    }

    /// Returns the public half.
    pub fn public(&self) -> OmsPublicKey {
        OmsPublicKey(self.0.public_key())
    }

    /// Writes the key to a new file that only its owner can read, encrypted if there is a passphrase.
    ///
    /// # Errors
    /// As [`super::SigningKey::write`].
    pub fn write(&self, path: &Path, passphrase: Option<&str>) -> Result<(), KeyError> {
        let pem = match passphrase {
            None => self.0.to_pkcs8_pem(LineEnding::LF),
            Some(passphrase) => self.0.to_pkcs8_encrypted_pem(passphrase, LineEnding::LF),
        };
        let pem = pem.expect("32 bytes have a PEM form");
        let written = new_private_file(path).and_then(|mut file| {
            file.write_all(pem.as_bytes())?;
            file.sync_all()
        });
        written.map_err(|error| KeyError {
            path: path.to_owned(),
            kind: match error.kind() {
                std::io::ErrorKind::AlreadyExists => KeyErrorKind::Exists,
                _ => KeyErrorKind::Io(error),
            },
        })
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`KeyErrorKind`] says what to do about it.
    pub fn read(path: &Path, passphrase: Option<&str>) -> Result<Self, KeyError> {
        let read = || {
            check_permissions(path)?;
            let bytes = read_bounded(path, MAX_KEY_BYTES).map_err(KeyErrorKind::Io)?;
            let bytes = Zeroizing::new(bytes);
            let what = "P-256 private key (PKCS#8)";
            let text = std::str::from_utf8(&bytes).map_err(|_| KeyErrorKind::NotAKey { what })?;
            match (text.contains("BEGIN ENCRYPTED PRIVATE KEY"), passphrase) {
                (false, _) => {
                    SecretKey::from_pkcs8_pem(text).map_err(|_| KeyErrorKind::NotAKey { what })
                }
                (true, None) => Err(KeyErrorKind::NeedsPassphrase),
                (true, Some(passphrase)) => SecretKey::from_pkcs8_encrypted_pem(text, passphrase)
                    .map_err(|_| KeyErrorKind::WrongPassphrase),
            }
        };
        read().map(OmsKey).map_err(|kind| KeyError {
            path: path.to_owned(),
            kind,
        })
    }

    /// Signs with ECDSA over SHA-256; the signature is DER.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: DerSignature = EcdsaKey::from(&self.0).sign(message);
        signature.as_bytes().to_vec()
    }
}

impl OmsPublicKey {
    /// Returns the name signatures call it by: the SHA-256 of its PEM form, in hexadecimal digits.
    pub fn hint(&self) -> String {
        Sha256Digest::of(self.pem().as_bytes()).hex()
    }

    /// Returns its PEM form (SPKI).
    pub fn pem(&self) -> String {
        self.0
            .to_public_key_pem(LineEnding::LF)
            .expect("a key has a PEM form")
    }

    /// Writes its PEM form, replacing what was there.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), undertone_store::StoreError> {
        write_atomic(path, self.pem().as_bytes())
    }

    /// Reads a PEM file.
    ///
    /// # Errors
    /// [`NotAKey`](KeyErrorKind::NotAKey), above all if it is the private half or of another algorithm.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let read = || {
            let what = "P-256 public key";
            let bytes = read_bounded(path, MAX_KEY_BYTES).map_err(KeyErrorKind::Io)?;
            let text = std::str::from_utf8(&bytes).map_err(|_| KeyErrorKind::NotAKey { what })?;
            PublicKey::from_public_key_pem(text).map_err(|_| KeyErrorKind::NotAKey { what })
        };
        read().map(OmsPublicKey).map_err(|kind| KeyError {
            path: path.to_owned(),
            kind,
        })
    }

    pub(super) fn accepts(&self, message: &[u8], signature: &[u8]) -> bool {
        DerSignature::from_bytes(signature).is_ok_and(|signature| {
            VerifyingKey::from(&self.0)
                .verify(message, &signature)
                .is_ok()
        })
    }
}
