//! Finds the configuration: from the lab's side channel (`fw_cfg`) where there is one, or from the EFI system partition of a disk. In the lab
//! secrets come the same way; on a machine that is not known to be a lab's nothing is taken from there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use ward_policy::audit::Role;
use ward_policy::limit;
use ward_policy::phi::Secret;
use ward_policy::setting::TWIML_SECRETS;

use super::fault::Fault;
use super::{Boot, Done};
use crate::code;
use crate::config::Config;
use crate::console::now;
use crate::disk;
use crate::dmi::{self, Cloud};

/// What QEMU and its like show of what they were given (`Documentation/ABI/testing/sysfs-firmware-qemu_fw_cfg`).
const LAB: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/org.ward";
/// The file on the EFI system partition.
const FILE: [&str; 2] = ["ward", "ward.toml"];

/// Secrets by name.
pub(super) type Secrets = BTreeMap<String, Secret<String>>;

/// Names of secrets that a role can need.
const MEDIA: [&str; 4] = ["tls-chain", "tls-key", "handshake", "vendor-keys"];
const TWIML: [&str; 3] = ["tls-chain", "tls-key", "vendor-keys"];

/// The phase.
pub(super) fn run(boot: &mut Boot) -> Done {
    let firmware = Path::new(dmi::FIRMWARE);
    boot.cloud = Cloud::of(firmware);
    let is_lab = Path::new(LAB).is_dir();
    if is_lab && !dmi::is_lab(firmware) {
        let cloud = boot.cloud.map_or("unknown", Cloud::name);
        return Err(Fault::new(code::SECRET_REFUSED).with("cloud", cloud));
    }
    let (source, bytes) = find(boot, is_lab)?;
    let config = judge(&bytes)?;
    let secrets = if is_lab { secrets(&Path::new(LAB).join("secret"))? } else { Secrets::new() };
    check_secrets(&config, &secrets)?;
    let count = secrets.len();
    boot.secrets = secrets;
    boot.say(
        code::CONFIGURED,
        &[("source", &source), ("role", &config.role.name()), ("secrets", &count)],
    );
    boot.config = Some(config);
    Ok(())
}

/// The first configuration there is, and where it was.
fn find(boot: &mut Boot, is_lab: bool) -> Result<(&'static str, Vec<u8>), Fault> {
    let lab = Path::new(LAB).join("config/raw");
    if is_lab && lab.exists() {
        return Ok(("fw_cfg", read(&lab)?));
    }
    let began = now();
    let mut looked = BTreeMap::new();
    loop {
        // Disks come one by one, and later than PID 1.
        for name in disks() {
            let found = File::open(Path::new("/dev").join(&name))
                .map_err(|_gone| disk::DiskError::Short)
                .and_then(|disk| disk::file(&disk, &FILE, limit::CONFIGURATION_BYTES_MAX));
            match found {
                Ok(bytes) => return Ok(("disk", bytes)),
                Err(error) => looked.insert(name, error),
            };
        }
        if now().saturating_sub(began) >= limit::CONFIGURATION_DEADLINE {
            for (name, error) in &looked {
                boot.say(code::DISK, &[("name", name), ("what", error)]);
            }
            return Err(Fault::new(code::CONFIG_ABSENT).with("disks", looked.len()));
        }
        boot.pause(began.saturating_add(limit::CONFIGURATION_DEADLINE))?;
    }
}

/// Whole disks, by name.
fn disks() -> Vec<String> {
    let folder = Path::new("/sys/class/block");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut disks: Vec<String> =
        names.filter(|name| !folder.join(name).join("partition").exists()).collect();
    disks.sort();
    disks
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    let most = u64::try_from(limit::CONFIGURATION_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let file =
        File::open(path).and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut bytes));
    match file {
        Ok(length) if length <= limit::CONFIGURATION_BYTES_MAX => Ok(bytes),
        Ok(length) => Err(Fault::new(code::CONFIG_UNREADABLE).with("bytes", length)),
        Err(error) => Err(Fault::refused(code::CONFIG_UNREADABLE, "fw_cfg", &error)),
    }
}

fn judge(bytes: &[u8]) -> Result<Config, Fault> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_utf8| Fault::new(code::CONFIG_UNREADABLE).with("what", "utf8"))?;
    Config::parse(text).map_err(|problems| {
        let mut fault = Fault::new(code::CONFIG_PROBLEM).with("count", problems.len());
        // As many as a line of a slow console can hold.
        for problem in problems.iter().take(PROBLEMS_SHOWN) {
            fault = fault.with("place", &problem.place).with("what", problem.what);
        }
        fault
    })
}

/// Problems in one line.
const PROBLEMS_SHOWN: usize = 8;

/// Every file in the lab's folder of secrets.
fn secrets(folder: &Path) -> Result<Secrets, Fault> {
    let mut secrets = Secrets::new();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let (name, bytes) = (file_name(&path), read(&path.join("raw"))?);
        let text = Secret::new(String::from_utf8(bytes).map_err(|_utf8| {
            Fault::new(code::CONFIG_UNREADABLE).with("secret", &name).with("what", "utf8")
        })?);
        secrets.insert(name, text);
    }
    Ok(secrets)
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether the role has what it needs, and nothing that it must not have.
fn check_secrets(config: &Config, secrets: &Secrets) -> Done {
    let is_twiml = config.role == Role::Twiml;
    for name in secrets.keys() {
        let name = name.as_str();
        let is_known = if is_twiml {
            TWIML.contains(&name) || TWIML_SECRETS.contains(&name)
        } else {
            MEDIA.contains(&name)
        };
        if !is_known {
            return Err(Fault::new(code::SECRET_UNKNOWN).with("name", name));
        }
    }
    let has = |name: &str| secrets.contains_key(name);
    let missing = |name: &str| Err(Fault::new(code::SECRET_MISSING).with("name", name));
    let asks = config.certificate_names().is_some();
    for name in ["tls-chain", "tls-key"] {
        if !asks && !has(name) && config.setting("TWIML_PLAIN_HTTP").is_none() {
            return missing(name);
        }
    }
    let by_ticket = config.setting("MEDIA_HANDSHAKE") == Some("ticket");
    if is_twiml && !has("TWILIO_AUTH_TOKEN") {
        return missing("TWILIO_AUTH_TOKEN");
    }
    if !is_twiml && !by_ticket && !has("handshake") {
        return missing("handshake");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &str, names: &[&str]) -> Option<(code::Code, String)> {
        let config = Config::parse(config).unwrap();
        let secrets = names.iter().map(|name| ((*name).to_owned(), Secret::new(String::new())));
        let fault = check_secrets(&config, &secrets.collect()).err()?;
        Some((fault.code, fault.fields[0].1.clone()))
    }

    #[test]
    fn each_role_gets_its_own_secrets_and_no_other() {
        let media = "role = \"media\"";
        let all = ["tls-chain", "tls-key", "handshake"];
        assert_eq!(check(media, &all), None);
        let missing = |name: &str| Some((code::SECRET_MISSING, name.to_owned()));
        assert_eq!(check(media, &all[..2]), missing("handshake"));
        assert_eq!(check(media, &["tls-chain"]), missing("tls-key"));
        // The one secret that must never be on a machine that hears callers.
        let unknown = Some((code::SECRET_UNKNOWN, "TWILIO_AUTH_TOKEN".to_owned()));
        assert_eq!(check(media, &["TWILIO_AUTH_TOKEN", "tls-chain", "tls-key"]), unknown);
        let twiml = "role = \"twiml\"";
        assert_eq!(check(twiml, &["TWILIO_AUTH_TOKEN", "tls-chain", "tls-key"]), None);
        assert_eq!(check(twiml, &["tls-chain", "tls-key"]), missing("TWILIO_AUTH_TOKEN"));
        let ticket = "role = \"media\"\n[settings]\nMEDIA_HANDSHAKE = \"ticket\"\n\
            ACME_CA = \"lets-encrypt\"\nACME_NAMES = \"media.example.com\"\n";
        assert_eq!(check(ticket, &[]), None);
    }

    #[test]
    fn what_is_wrong_is_in_the_line_and_no_value_is() {
        let fault = judge(b"role = \"media\"\nrole = 1").unwrap_err();
        assert_eq!(fault.code, code::CONFIG_PROBLEM);
        assert_eq!(judge(&[0xff]).unwrap_err().code, code::CONFIG_UNREADABLE);
        let fault = judge(b"role = \"media\"\n[settings]\nMEDIA_PATH = [\"hunter2\"]").unwrap_err();
        assert!(!format!("{fault:?}").contains("hunter2"));
    }
}
