//! The vendor registry: who may be given what, under which contract, until when.
//!
//! One file a vendor in `policy/vendors/`. Nothing that carries PHI is sent to a host that is not in an
//! entry with a business associate agreement in force. This module parses and decides; it opens nothing
//! and asks no clock: the day is an argument. It says that an agreement is recorded as signed, never that
//! it is adequate.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use crate::data_class::DataClass;
use crate::date::Date;
use crate::fault::DialFault;
use crate::log_sink::SinkPlan;

use entry::problems_of;
pub use entry::*;
pub use mint::{Mint, MintHeader, MintMethod};
pub use store::{KeyPlace, Network, Store, VaultAuth};

mod entry;
mod mint;
mod store;

/// Something in the registry that must be mended before anything starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistryProblem {
    /// The file, or two of them.
    pub file: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for RegistryProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

/// Every entry, checked against each other.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    entries: Vec<Entry>,
}

/// Why the registry does not let a vendor be dialled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VendorRefusal {
    /// Nobody of that id.
    #[error("no vendor of that id")]
    UnknownVendor,
    /// PHI, and no agreement is recorded as signed.
    #[error("no business associate agreement is recorded as signed")]
    BaaMissing,
    /// The agreement begins later.
    #[error("the business associate agreement is not in force yet")]
    BaaNotYet,
    /// The agreement is over.
    #[error("the business associate agreement has expired")]
    BaaExpired,
    /// Nobody has let the vendor in yet.
    #[error("the vendor is approved from a later day")]
    NotApproved,
    /// The entry has not been looked at in time.
    #[error("the review of the entry is overdue")]
    ReviewOverdue,
    /// The vendor may not be given that.
    #[error("the vendor may not be given that class of data")]
    DataClass,
    /// It is infrastructure, which only the broker itself may dial.
    #[error("the entry is infrastructure, which nobody gets a connection to")]
    Infrastructure,
}

impl VendorRefusal {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::UnknownVendor,
        Self::BaaMissing,
        Self::BaaNotYet,
        Self::BaaExpired,
        Self::NotApproved,
        Self::ReviewOverdue,
        Self::DataClass,
        Self::Infrastructure,
    ];

    /// The stable code in log lines.
    #[must_use]
    pub fn code(self) -> &'static str {
        DialFault::from(self).code()
    }
}

impl From<VendorRefusal> for DialFault {
    fn from(refusal: VendorRefusal) -> Self {
        match refusal {
            VendorRefusal::UnknownVendor => Self::UnknownVendor,
            VendorRefusal::BaaMissing => Self::BaaMissing,
            VendorRefusal::BaaNotYet => Self::BaaNotYet,
            VendorRefusal::BaaExpired => Self::BaaExpired,
            VendorRefusal::NotApproved => Self::NotApproved,
            VendorRefusal::ReviewOverdue => Self::ReviewOverdue,
            VendorRefusal::DataClass => Self::DataClass,
            VendorRefusal::Infrastructure => Self::Infrastructure,
        }
    }
}

/// The registry that comes with the program: names and texts. Operators bring their own.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("anthropic.toml", include_str!("../../vendors/anthropic.toml")),
    ("deepgram.toml", include_str!("../../vendors/deepgram.toml")),
    ("deepgram-speak.toml", include_str!("../../vendors/deepgram-speak.toml")),
    ("lets-encrypt.toml", include_str!("../../vendors/lets-encrypt.toml")),
    ("openai.toml", include_str!("../../vendors/openai.toml")),
];

/// Files of a registry in one document, as the broker reads it: an object of names and texts.
#[must_use]
pub fn document<'f>(files: impl IntoIterator<Item = (&'f str, &'f str)>) -> String {
    let all: BTreeMap<&str, &str> = files.into_iter().collect();
    serde_json::json!(all).to_string()
}

/// An entry that may be dialled for a class of data on a day. Only [`Registry::approve`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Approved<'r> {
    entry: &'r Entry,
    /// The last day of it; without one, no end.
    until: Option<Date>,
}

impl<'r> Approved<'r> {
    /// The entry.
    #[must_use]
    pub const fn entry(&self) -> &'r Entry {
        self.entry
    }

    /// The last day on which it may be dialled, if there is one.
    #[must_use]
    pub const fn until(&self) -> Option<Date> {
        self.until
    }
}

impl Registry {
    /// What the log's writer is told of the entry `id`, if that is a log sink.
    #[must_use]
    pub fn sink_plan(&self, id: &str) -> Option<SinkPlan> {
        let entry = self.entries.iter().find(|entry| entry.id == id)?;
        let (host, sink) = (entry.host(Purpose::Data)?, entry.sink.clone()?);
        Some(SinkPlan { vendor: id.to_owned(), authority: host.authority(), sink })
    }

    /// The entry `id`, and those that its key comes from.
    #[must_use]
    pub fn needed_by<'r>(&'r self, id: &'r str) -> BTreeSet<&'r str> {
        let with = |id: &str| self.entries.iter().find(|entry| entry.id == id);
        let place = with(id).and_then(|entry| entry.credential.key.as_ref());
        let source = place.map(|place| place.source.as_str());
        let store = source.and_then(with).and_then(|entry| entry.store.as_ref());
        let metadata = match store {
            Some(Store::AwsSecretsManager { metadata, .. }) => Some(metadata.as_str()),
            Some(Store::Vault { .. }) | None => None,
        };
        [Some(id), source, metadata].into_iter().flatten().collect()
    }

    /// Parses files of one entry each: names and texts.
    ///
    /// # Errors
    /// Every [`RegistryProblem`] in all of them.
    pub fn parse<'f>(
        files: impl IntoIterator<Item = (&'f str, &'f str)>,
    ) -> Result<Self, Vec<RegistryProblem>> {
        let (mut entries, mut problems) = (Vec::new(), Vec::new());
        for (file, text) in files {
            match toml::from_str::<Entry>(text) {
                Ok(entry) => {
                    let found = problems_of(&entry);
                    let found = found.into_iter().map(|what| (file.to_owned(), what));
                    problems.extend(found.map(|(file, what)| RegistryProblem { file, what }));
                    entries.push((file, entry));
                }
                Err(error) => problems.push(RegistryProblem {
                    file: file.to_owned(),
                    what: error.message().to_owned(),
                }),
            }
        }
        problems.extend(shared(&entries));
        let all = entries.iter().map(|(_, entry)| entry);
        for (id, what) in store::problems_between(&all) {
            let file = entries.iter().find(|(_, entry)| entry.id == id);
            let file = file.map_or_else(String::new, |(file, _)| (*file).to_owned());
            problems.push(RegistryProblem { file, what });
        }
        if entries.is_empty() && problems.is_empty() {
            let what = "there is no entry".to_owned();
            problems.push(RegistryProblem { file: "the registry".to_owned(), what });
        }
        let entries: Vec<_> = entries.into_iter().map(|(_, entry)| entry).collect();
        if problems.is_empty() { Ok(Self { entries }) } else { Err(problems) }
    }

    /// Every entry.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry `id` of infrastructure, for the broker itself, if its role is `role` and it may be dialled on `today`.
    ///
    /// # Errors
    /// [`VendorRefusal::UnknownVendor`] for any other role; [`VendorRefusal::NotApproved`]; [`VendorRefusal::ReviewOverdue`].
    pub fn infrastructure(
        &self,
        id: &str,
        role: VendorRole,
        today: Date,
    ) -> Result<Approved<'_>, VendorRefusal> {
        let is_it =
            |entry: &&Entry| entry.id == id && entry.role == role && entry.role.is_infrastructure();
        let entry = self.entries.iter().find(is_it).ok_or(VendorRefusal::UnknownVendor)?;
        in_time(entry, today)?;
        Ok(Approved { entry, until: entry.baa.next_review })
    }

    /// Whether the vendor `id` may be given `class` on `today`.
    ///
    /// # Errors
    /// [`VendorRefusal`], the first that applies in the order of its variants but the last, which comes second.
    pub fn approve(
        &self,
        id: &str,
        class: DataClass,
        today: Date,
    ) -> Result<Approved<'_>, VendorRefusal> {
        let entry = self.entries.iter().find(|entry| entry.id == id);
        let entry = entry.ok_or(VendorRefusal::UnknownVendor)?;
        if entry.role.is_infrastructure() {
            return Err(VendorRefusal::Infrastructure);
        }
        let baa = &entry.baa;
        if class.is_phi() {
            match baa.status {
                BaaStatus::Signed => {}
                BaaStatus::Expired => return Err(VendorRefusal::BaaExpired),
                BaaStatus::Pending | BaaStatus::NotRequired => {
                    return Err(VendorRefusal::BaaMissing);
                }
            }
            if baa.effective.is_none_or(|effective| effective > today) {
                return Err(VendorRefusal::BaaNotYet);
            }
            if baa.expires.is_some_and(|expires| expires < today) {
                return Err(VendorRefusal::BaaExpired);
            }
        }
        in_time(entry, today)?;
        if !entry.data_classes_allowed.contains(&class) {
            return Err(VendorRefusal::DataClass);
        }
        let ends = [baa.expires.filter(|_expires| class.is_phi()), baa.next_review];
        Ok(Approved { entry, until: ends.into_iter().flatten().min() })
    }
}

/// Whether somebody has let the entry in, and has looked at it in time.
fn in_time(entry: &Entry, today: Date) -> Result<(), VendorRefusal> {
    if entry.approved_on > today {
        return Err(VendorRefusal::NotApproved);
    }
    if entry.baa.next_review.is_some_and(|review| review < today) {
        return Err(VendorRefusal::ReviewOverdue);
    }
    Ok(())
}

/// What two entries may not both have.
///
/// A host may be in several entries of one vendor under one agreement: two services of a vendor often share one, and
/// whoever is sent something there is the same business associate. In entries of different vendors, or under
/// different agreements, it would get what only the other may be given. A host of infrastructure is in no entry of a vendor:
/// it would be given PHI under the other's name.
fn shared(entries: &[(&str, Entry)]) -> Vec<RegistryProblem> {
    let mut problems = Vec::new();
    let (mut ids, mut owners) = (BTreeSet::new(), BTreeMap::<_, &Entry>::new());
    for (file, entry) in entries {
        let mut problem = |what: String| {
            problems.push(RegistryProblem { file: (*file).to_owned(), what });
        };
        if !ids.insert(entry.id.as_str()) {
            problem(format!("the id {} is in another entry too", entry.id));
        }
        let mut purposes = BTreeSet::new();
        for host in &entry.hosts {
            let Host { name, port, purpose, .. } = host;
            if !purposes.insert((name, port, purpose)) {
                problem(format!("the host {name}:{port} is there twice for one purpose"));
            }
            let owner = owners.entry((name, port)).or_insert(entry);
            if owner.role.is_infrastructure() != entry.role.is_infrastructure() {
                problem(format!("the host {name}:{port} is infrastructure and a vendor's"));
            }
            let is_one = owner.vendor_legal_name == entry.vendor_legal_name;
            if !is_one || owner.baa != entry.baa {
                problem(format!(
                    "the host {name}:{port} is in an entry of another vendor or under another agreement"
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests;
