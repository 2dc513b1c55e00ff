//! Names the process that holds a lock or wrote a temporary file, so that another can tell whether it still lives.
//!
//! A process number alone is not enough: a store may be shared by containers and machines that count processes apart.
//! The number is therefore paired with a tag of the machine's boot and the process namespace.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::sync::OnceLock;

use undertone_core::Digest;

/// A process on a particular boot of a particular machine, written as `<8 hex digits>-<process number>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Tells boots and process namespaces apart; carries no name of the machine.
    pub host: String,
    /// The process number.
    pub pid: u32,
}

impl Owner {
    /// Returns this process.
    pub fn this() -> Self {
        static HOST: OnceLock<String> = OnceLock::new();
        Owner {
            host: HOST.get_or_init(host_tag).clone(),
            pid: std::process::id(),
        }
    }

    /// Says whether the process still lives; `None` if that cannot be known from here.
    pub fn is_alive(&self) -> Option<bool> {
        let known = self.host == Owner::this().host && Path::new("/proc/self").exists();
        known.then(|| Path::new("/proc").join(self.pid.to_string()).exists())
    }
}

/// Digests what tells this boot and process namespace from others; what cannot be read counts as empty.
fn host_tag() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let text = format!("{boot}\n{}", namespace.display());
    Digest::of(text.as_bytes()).hex()[..8].to_owned()
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.host, self.pid)
    }
}

/// A text that does not name a process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` does not name a process")]
pub struct ParseOwnerError {
    /// What was given.
    pub text: String,
}

impl FromStr for Owner {
    type Err = ParseOwnerError;

    fn from_str(text: &str) -> Result<Self, ParseOwnerError> {
        let error = || ParseOwnerError {
            text: text.chars().take(80).collect(),
        };
        let (host, pid) = text.split_once('-').ok_or_else(error)?;
        if host.len() != 8 || !host.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(error());
        }
        Ok(Owner {
            host: host.to_owned(),
            pid: pid.parse().map_err(|_| error())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        let owner = Owner::this();
        assert_eq!(owner.to_string().parse(), Ok(owner));
        for bad in ["", "12345678", "1234567-8", "1234567g-8", "12345678-x"] {
            assert!(bad.parse::<Owner>().is_err(), "{bad}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn tells_living_dead_and_foreign_processes_apart() {
        let this = Owner::this();
        let dead = Owner {
            pid: u32::MAX,
            ..this.clone()
        };
        let foreign = Owner {
            host: "00000000".into(),
            ..this.clone()
        };
        let alive = [this, dead, foreign].map(|owner| owner.is_alive());
        assert_eq!(alive, [Some(true), Some(false), None]);
    }
}
