//! `lineage keygen` and `lineage sign`. Keys are files; passphrases come from a file and are never arguments.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;
use undertone_core::exit;
use undertone_lineage::envelope::{OMS_FILE, OmsKey, SigningKey, sign_model, sign_run};

use crate::args::{KeyAlgorithm, KeygenArgs, SignArgs};
use crate::context::Context;
use crate::failure::Usage;

/// Makes a key pair.
pub fn keygen(context: &Context, args: &KeygenArgs) -> Result<u8> {
    let passphrase = passphrase(args.passphrase_file.as_deref())?;
    let public = public_path(&args.file);
    let id = match args.algorithm {
        KeyAlgorithm::Ed25519 => {
            let key = SigningKey::generate().map_err(anyhow::Error::from)?;
            key.write(&args.file, passphrase.as_deref())?;
            key.public().write(&public)?;
            key.public().id()
        }
        KeyAlgorithm::P256 => {
            let key = OmsKey::generate().map_err(anyhow::Error::from)?;
            key.write(&args.file, passphrase.as_deref())?;
            key.public().write(&public)?;
            key.public().hint()
        }
    };
    let value = json!({"private": args.file, "public": public, "id": id});
    context.print(&value, || {
        Ok(format!(
            "private key: {} (keep it to yourself)\npublic key:  {}\nid:          {id}",
            args.file.display(),
            public.display()
        ))
    })?;
    Ok(exit::DONE)
}

/// Signs a finished run, or a model's folder.
pub fn run(context: &Context, args: &SignArgs) -> Result<u8> {
    let passphrase = passphrase(args.passphrase_file.as_deref())?;
    let passphrase = passphrase.as_deref();
    let folder = Path::new(&args.what);
    if folder.is_dir() {
        let signature = args.output.clone();
        let signature = signature.unwrap_or_else(|| folder.join(OMS_FILE));
        let key = OmsKey::read(&args.key, passphrase)?;
        sign_model(folder, &signature, &key)?;
        let value = json!({"model": folder, "signature": signature, "key": key.public().hint()});
        context.print(&value, || {
            Ok(format!(
                "signed {}: {}",
                folder.display(),
                signature.display()
            ))
        })?;
        return Ok(exit::DONE);
    }
    let store = context.store()?;
    let run = store.load_run(&args.what)?;
    let key = SigningKey::read(&args.key, passphrase)?;
    let path = sign_run(&store, &run, &key)?;
    let value = json!({"run": run.id(), "envelope": path, "key": key.public().id()});
    context.print(&value, || {
        Ok(format!("signed {}: {}", run.id(), path.display()))
    })?;
    Ok(exit::DONE)
}

/// Returns the file of the public half.
fn public_path(private: &Path) -> PathBuf {
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// Reads the first line of a passphrase file.
pub fn passphrase(path: Option<&Path>) -> Result<Option<String>> {
    let Some(path) = path else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| Usage(format!("--passphrase-file {}: {error}", path.display())))?;
    match text.lines().next().unwrap_or_default() {
        "" => Err(Usage("the first line of the passphrase file is empty".to_owned()).into()),
        line => Ok(Some(line.to_owned())),
    }
}
