//! Whose machine this is, by what its firmware says of itself (DMI). It decides nothing else, and reads three short files.

use std::path::Path;

/// Where the kernel shows what firmware says.
pub const FIRMWARE: &str = "/sys/class/dmi/id";

/// Clouds that are known. What is none of them is a lab ([`is_lab`]), or a cloud that is not known.
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
const NAMES: [(&str, &str, Cloud); 22] = [
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
    ("sys_vendor", "Linode", Cloud::Other),
    // OVH's, Huawei's and others'.
    ("sys_vendor", "OpenStack Foundation", Cloud::Other),
    ("product_name", "OpenStack", Cloud::Other),
    ("sys_vendor", "Exoscale", Cloud::Other),
    ("sys_vendor", "Tencent Cloud", Cloud::Other),
    ("sys_vendor", "Huawei Cloud", Cloud::Other),
    ("sys_vendor", "HUAWEICLOUD", Cloud::Other),
    ("sys_vendor", "Nutanix", Cloud::Other),
];

/// Makers of the machines of a lab, as they name themselves when nobody tells them otherwise.
const LABS: [&str; 2] = ["QEMU", "Bochs"];

/// Whether the files in `folder` name a lab's machine, and no cloud. Firmware that says nothing, or something that is not known, does not:
/// a cloud that nobody has heard of yet is no lab.
#[must_use]
pub fn is_lab(folder: &Path) -> bool {
    let maker = std::fs::read_to_string(folder.join("sys_vendor")).unwrap_or_default();
    LABS.contains(&maker.trim()) && Cloud::of(folder).is_none()
}

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
        for (files, is_one) in [
            (&[("sys_vendor", "QEMU\n")][..], true),
            (&[("sys_vendor", "Bochs\n")], true),
            (
                &[("sys_vendor", "QEMU\n"), ("product_name", "Standard PC (Q35 + ICH9, 2009)\n")],
                true,
            ),
            (&[("sys_vendor", "QEMU\n"), ("chassis_asset_tag", "OracleCloud.com\n")], false),
            (&[("sys_vendor", "QEMU\n"), ("product_name", "OpenStack Nova\n")], false),
            (&[("sys_vendor", "OpenStack Foundation\n")], false),
            (&[("sys_vendor", "Cloud of Tomorrow\n")], false),
            (&[("sys_vendor", "QEMU of Tomorrow\n")], false),
            (&[("sys_vendor", "\n")], false),
            (&[], false),
        ] {
            for (file, text) in files {
                std::fs::write(folder.join(file), text).unwrap();
            }
            assert_eq!(is_lab(&folder), is_one, "{files:?}");
            for (file, _) in files {
                std::fs::remove_file(folder.join(file)).unwrap();
            }
        }
        std::fs::remove_dir(&folder).unwrap();
        assert_eq!(Cloud::of(&folder), None);
    }
}
