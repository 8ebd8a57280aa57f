//! Whose machine this is, by what its firmware says of itself (DMI). It decides nothing else, and reads three short files.

use std::path::Path;

/// Clouds that are known. What is none of them is a lab, or a cloud that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon EC2.
    Aws,
    /// Google Compute Engine.
    Gcp,
    /// Microsoft Azure.
    Azure,
    /// Any of the others that name themselves.
    Other,
}

/// What a field of DMI begins with, by file.
const NAMES: [(&str, &str, Cloud); 14] = [
    ("sys_vendor", "Amazon EC2", Cloud::Aws),
    ("bios_vendor", "Amazon EC2", Cloud::Aws),
    ("product_name", "Google Compute Engine", Cloud::Gcp),
    ("sys_vendor", "Google", Cloud::Gcp),
    // Azure's own; another Hyper-V machine has no tag of this kind.
    ("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77", Cloud::Azure),
    ("sys_vendor", "Microsoft Corporation", Cloud::Azure),
    ("chassis_asset_tag", "OracleCloud.com", Cloud::Other),
    ("sys_vendor", "DigitalOcean", Cloud::Other),
    ("sys_vendor", "Hetzner", Cloud::Other),
    ("sys_vendor", "Vultr", Cloud::Other),
    ("sys_vendor", "Scaleway", Cloud::Other),
    ("sys_vendor", "Alibaba Cloud", Cloud::Other),
    ("sys_vendor", "UpCloud", Cloud::Other),
    ("sys_vendor", "Akamai", Cloud::Other),
];

impl Cloud {
    /// The word on the console.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Azure => "azure",
            Self::Other => "other",
        }
    }

    /// The cloud that the files in `folder` name, if they name one.
    #[must_use]
    pub fn of(folder: &Path) -> Option<Self> {
        let is_named = |(file, name, _): &&(&str, &str, Self)| {
            std::fs::read_to_string(folder.join(file)).is_ok_and(|text| text.starts_with(name))
        };
        NAMES.iter().find(is_named).map(|(_, _, cloud)| *cloud)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clouds_are_known_by_their_names_and_a_lab_is_none() {
        let folder = std::env::temp_dir().join(format!("ward-dmi-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (file, text, cloud) in [
            ("sys_vendor", "QEMU\n", None),
            ("sys_vendor", "Amazon EC2\n", Some(Cloud::Aws)),
            ("product_name", "Google Compute Engine\n", Some(Cloud::Gcp)),
            ("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77\n", Some(Cloud::Azure)),
            ("sys_vendor", "Not Amazon EC2\n", None),
        ] {
            let path = folder.join(file);
            std::fs::write(&path, text).unwrap();
            assert_eq!(Cloud::of(&folder), cloud, "{text}");
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::remove_dir(&folder).unwrap();
        assert_eq!(Cloud::of(&folder), None);
    }
}
