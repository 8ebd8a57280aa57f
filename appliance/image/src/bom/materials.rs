//! What the image is made of or with that is no crate: kernel, stub, C library, compilers. One TOML file that the
//! build writes; unknown keys are refused.

use serde::Deserialize;

use super::{Allowed, BomError, Licence, is_sha256, word};

/// One thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Material {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence, which is judged only if it is linked or shipped.
    pub licence: Licence,
    /// Whether something of it is in the image.
    pub is_linked: bool,
    /// Its package URL.
    pub purl: Option<String>,
    /// SHA-256 of what was taken, if it is one file: an archive, a package.
    pub sha256: Option<String>,
    /// A digest over the list of what was taken, if it is several files: no file has it, so it is nowhere called a SHA-256.
    pub files: Option<String>,
}

impl Material {
    /// What it is called inside the lists.
    #[must_use]
    pub fn reference(&self) -> String {
        let own = || format!("material/{}@{}", self.name, self.version);
        self.purl.clone().unwrap_or_else(own)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    material: Vec<Raw>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    version: String,
    licence: String,
    linked: bool,
    purl: Option<String>,
    sha256: Option<String>,
    files: Option<String>,
}

/// Every material, by name.
pub(super) fn parse(text: &str, allowed: &Allowed) -> Result<Vec<Material>, BomError> {
    let file: File =
        toml::from_str(text).map_err(|error| BomError::Materials(error.to_string()))?;
    let mut materials = file
        .material
        .into_iter()
        .map(|raw| material(raw, allowed))
        .collect::<Result<Vec<_>, _>>()?;
    materials.sort_by_key(Material::reference);
    Ok(materials)
}

fn material(raw: Raw, allowed: &Allowed) -> Result<Material, BomError> {
    let (name, version) = (word(&raw.name)?.to_owned(), word(&raw.version)?.to_owned());
    let of = format!("{name} {version}");
    let licence = if raw.linked {
        allowed.judge(&of, &raw.licence)?
    } else {
        Licence::stated_only(&of, &raw.licence)?
    };
    for digest in [&raw.sha256, &raw.files].into_iter().flatten() {
        if !is_sha256(digest) {
            return Err(BomError::Word(digest.clone()));
        }
    }
    let is_purl = |text: &str| {
        text.strip_prefix("pkg:").is_some_and(|rest| {
            let is_letter =
                |byte: u8| byte.is_ascii_alphanumeric() || b"._+~:/@%?=&-".contains(&byte);
            rest.contains('/') && !rest.contains("//") && rest.bytes().all(is_letter)
        })
    };
    if let Some(purl) = raw.purl.as_ref().filter(|text| !is_purl(text)) {
        return Err(BomError::Word(purl.clone()));
    }
    let Raw { linked: is_linked, purl, sha256, files, .. } = raw;
    Ok(Material { name, version, licence, is_linked, purl, sha256, files })
}
