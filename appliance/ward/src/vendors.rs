//! The vendor registry as the operator has it: what the broker is given, and `ward vendors`, which says every
//! problem in it, or what each vendor may be given on a day.
//!
//! It reads files and opens no connection. It says what is recorded, never that it is adequate.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use ward_broker::keys::are_keys;
use ward_broker::settings::BrokerSettings;
use ward_policy::date::Date;
use ward_policy::log_sink::SinkPlan;
use ward_policy::phi::Secret;
use ward_policy::vendor::{BUILT_IN, DataClass, Entry, Registry};

use crate::console::{Console, Failure};

/// The command's own arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder with one file a vendor.
    #[arg(long, value_name = "FOLDER", default_value = "policy/vendors")]
    registry: PathBuf,
    /// The day to decide for; by default today.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = Date::parse)]
    on: Option<Date>,
}

/// What the broker is given.
#[expect(missing_debug_implementations, reason = "its keys must never be printed")]
pub struct Vendors {
    /// The registry's files: names and texts.
    pub registry: Vec<(String, String)>,
    /// Lines of `ID=KEY`.
    pub keys: Secret<String>,
    /// The broker's settings document.
    pub settings: String,
}

impl Vendors {
    /// The registry that comes with the program, no keys, nobody to ask for addresses.
    #[must_use]
    pub fn built_in() -> Self {
        let registry = BUILT_IN.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let (registry, keys) = (registry.collect(), Secret::new(String::new()));
        Self { registry, keys, settings: String::new() }
    }

    /// The registry in `folder`, if one is named, and the keys in `keys`.
    ///
    /// # Errors
    /// [`Failure::Usage`] when a file cannot be read, or with every problem of the registry.
    pub fn read(
        folder: Option<&Path>,
        keys: Option<&Path>,
        settings: String,
    ) -> Result<Self, Failure> {
        let mut all = Self { settings, ..Self::built_in() };
        if let Some(folder) = folder {
            all.registry = files(folder)?;
        }
        if let Some(path) = keys {
            let text = std::fs::read_to_string(path);
            #[cfg(negative_control)]
            ward_edge::log::leak::leak(text.as_deref().unwrap_or_default().as_bytes());
            all.keys = Secret::new(text.map_err(|error| Failure::file(path, error))?);
            if !are_keys(all.keys.expose().as_bytes()) {
                let what = "is not lines of ID=KEY, 16 KiB at most";
                return Err(Failure::Usage(format!("{}: {what}", path.display())));
            }
        }
        let pairs = all.registry.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        Registry::parse(pairs).map(drop).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Failure::Usage(lines.join("\n"))
        })?;
        Ok(all)
    }

    /// What the log's writer is told of its sink; `None` where `LOG_SINK` names none.
    ///
    /// # Errors
    /// [`Failure::Usage`] when it names no entry whose role is `log-sink`.
    pub fn sink_plan(&self) -> Result<Option<SinkPlan>, Failure> {
        let settings = BrokerSettings::parse(&self.settings).unwrap_or_default();
        let Some(id) = settings.log_sink else { return Ok(None) };
        let registry = self.parsed();
        let plan = registry.sink_plan(id.as_str());
        let what = "LOG_SINK: names no entry of the registry whose role is log-sink";
        plan.map(Some).ok_or_else(|| Failure::Usage(what.to_owned()))
    }

    /// For a server that calls nobody: the log sink with where its key is kept, and the authority if certificates are asked
    /// for; or nothing.
    ///
    /// # Errors
    /// As [`Self::sink_plan`].
    pub fn infrastructure_alone(mut self, asks: bool) -> Result<Option<Self>, Failure> {
        let sink = self.sink_plan()?.map(|plan| plan.vendor);
        let settings = BrokerSettings::parse(&self.settings).unwrap_or_default();
        let ca = settings.acme.filter(|_acme| asks).map(|acme| acme.ca.as_str().to_owned());
        let registry = self.parsed();
        let kept: BTreeSet<&str> =
            sink.iter().chain(&ca).flat_map(|id| registry.needed_by(id)).collect();
        if kept.is_empty() {
            return Ok(None);
        }
        let mut entries = registry.entries().iter();
        // Entries stand in the order of their files.
        self.registry.retain(|_file| entries.next().is_some_and(|entry| kept.contains(&*entry.id)));
        let is_kept = |line: &&str| line.split_once('=').is_some_and(|(id, _)| kept.contains(id));
        let lines: Vec<&str> = self.keys.expose().lines().filter(is_kept).collect();
        self.keys = Secret::new(lines.join("\n"));
        Ok(Some(self))
    }

    /// The registry; [`Self::read`] has seen that there is no problem in it.
    fn parsed(&self) -> Registry {
        let pairs = self.registry.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        Registry::parse(pairs).unwrap_or_default()
    }

    /// The registry in one document: an object of names and texts.
    #[must_use]
    pub fn registry_document(&self) -> String {
        let files = self.registry.iter();
        ward_policy::vendor::document(files.map(|(name, text)| (name.as_str(), text.as_str())))
    }
}

/// Runs the command; false when the registry has a problem.
///
/// # Errors
/// [`Failure::Usage`] when the folder cannot be read.
pub fn run(arguments: &Arguments, console: &Console) -> Result<bool, Failure> {
    let files = files(&arguments.registry)?;
    let today = arguments.on.map_or_else(today, Ok)?;
    let pairs = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    match Registry::parse(pairs) {
        Ok(registry) => {
            let vendors: Vec<Value> =
                registry.entries().iter().map(|entry| vendor(&registry, entry, today)).collect();
            let text: Vec<String> = vendors.iter().map(line).collect();
            let object = json!({ "on": today.to_string(), "vendors": vendors, "problems": [] });
            console.result(&object, &text.join("\n"));
            Ok(true)
        }
        Err(problems) => {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let object = json!({ "on": today.to_string(), "vendors": [], "problems": lines });
            console.result(&object, &lines.join("\n"));
            Ok(false)
        }
    }
}

/// Every `.toml` file of the folder, by name.
fn files(folder: &Path) -> Result<Vec<(String, String)>, Failure> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| Failure::file(folder, error))? {
        let path = entry.map_err(|error| Failure::file(folder, error))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        if let Some(name) = name.filter(|name| name.ends_with(".toml")) {
            let text =
                std::fs::read_to_string(&path).map_err(|error| Failure::file(&path, error))?;
            files.push((name, text));
        }
    }
    files.sort();
    Ok(files)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a contract ends on a date, and the operator asks today"
)]
fn today() -> Result<Date, Failure> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = since.map_err(|error| Failure::Checked(error.to_string()))?.as_secs();
    Ok(Date::from_days(i64::try_from(seconds / 86_400).unwrap_or(i64::MAX)))
}

fn vendor(registry: &Registry, entry: &Entry, today: Date) -> Value {
    let classes: serde_json::Map<String, Value> = DataClass::ALL
        .into_iter()
        .filter(|class| entry.data_classes_allowed.contains(class))
        .map(|class| {
            let decided = match registry.approve(&entry.id, class, today) {
                Ok(approved) => match approved.until() {
                    Some(until) => format!("approved until {until}"),
                    None => "approved".to_owned(),
                },
                Err(refusal) => refusal.code().to_owned(),
            };
            (class.name().to_owned(), Value::from(decided))
        })
        .collect();
    json!({ "id": entry.id, "vendor_legal_name": entry.vendor_legal_name, "data_classes": classes })
}

fn line(vendor: &Value) -> String {
    let classes = vendor["data_classes"].as_object().map(|classes| {
        let each = classes
            .iter()
            .map(|(class, decided)| format!("{class}: {}", decided.as_str().unwrap_or_default()));
        each.collect::<Vec<_>>().join(", ")
    });
    let id = vendor["id"].as_str().unwrap_or_default();
    format!("{id:>16}  {}", classes.unwrap_or_default())
}
