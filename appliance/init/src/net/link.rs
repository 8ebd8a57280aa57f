//! Which link the machine is on: the first one that is a wire, by what the kernel says in `/sys/class/net`.
//!
//! It reads three small files a link and decides; it opens no socket.

use std::path::Path;

/// A link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// The kernel's number for it.
    pub index: u32,
    /// Its hardware address.
    pub hardware: [u8; 6],
}

impl Link {
    /// As on a command line: `INDEX,xx:xx:xx:xx:xx:xx`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (index, hardware) = text.split_once(',')?;
        Some(Self {
            index: index.parse().ok().filter(|index| *index > 0)?,
            hardware: six(hardware)?,
        })
    }

    /// The way back.
    #[must_use]
    pub fn to_text(self) -> String {
        let hardware: Vec<String> =
            self.hardware.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{},{}", self.index, hardware.join(":"))
    }

    /// The link called `name` below `folder`, if it is a wire (`ARPHRD_ETHER`).
    #[must_use]
    pub fn read(folder: &Path, name: &str) -> Option<Self> {
        let text = |file: &str| {
            let text = std::fs::read_to_string(folder.join(name).join(file)).ok()?;
            Some(text.trim().to_owned())
        };
        let index = text("ifindex")?.parse().ok()?;
        (text("type")? == "1").then_some(())?;
        Some(Self { index, hardware: six(&text("address")?)? })
    }

    /// The first wire of the machine's, in the order of the kernel's numbers. One that belongs to another (`master`) is that
    /// other's. Where `driver` is told, no other driver's counts: a card that passes packets for one of its own comes before it, and
    /// belongs to nobody until then.
    #[must_use]
    pub fn first(folder: &Path, driver: Option<&str>) -> Option<Self> {
        let names = std::fs::read_dir(folder).ok()?.flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let own = names.filter(|name| !folder.join(name).join("master").exists());
        let is_wanted = |name: &String| {
            let found = std::fs::read_link(folder.join(name).join("device/driver"));
            driver.is_none_or(|driver| found.is_ok_and(|found| found.ends_with(driver)))
        };
        let own = own.filter(is_wanted);
        own.filter_map(|name| Self::read(folder, &name)).min_by_key(|link| link.index)
    }
}

fn six(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|pair| u8::from_str_radix(pair, 16).ok().filter(|_byte| pair.len() == 2))
        .collect();
    let six: [u8; 6] = bytes?.try_into().ok()?;
    (six != [0; 6]).then_some(six)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_written_and_read() {
        let link = Link { index: 2, hardware: [2, 0, 0, 0xab, 0xcd, 1] };
        assert_eq!(link.to_text(), "2,02:00:00:ab:cd:01");
        assert_eq!(Link::parse(&link.to_text()), Some(link));
        for text in [
            "",
            "2",
            "0,02:00:00:ab:cd:01",
            "2,02:00:00:ab:cd",
            "2,2:0:0:ab:cd:1",
            "2,00:00:00:00:00:00",
        ] {
            assert_eq!(Link::parse(text), None, "{text}");
        }
    }

    #[test]
    fn loopback_is_no_wire() {
        assert_eq!(Link::read(Path::new("/sys/class/net"), "lo"), None);
    }

    #[test]
    fn where_one_driver_is_wanted_a_card_that_came_first_is_waited_past() {
        let folder = std::env::temp_dir().join(format!("ward-link-{}", std::process::id()));
        let add = |name: &str, index: u32, driver: &str| {
            std::fs::create_dir_all(folder.join(name).join("device")).unwrap();
            let files = [("ifindex", index.to_string()), ("type", "1".to_owned())];
            for (file, text) in files {
                std::fs::write(folder.join(name).join(file), text + "\n").unwrap();
            }
            std::fs::write(folder.join(name).join("address"), "02:00:00:ab:cd:01\n").unwrap();
            let target = format!("../../../../bus/drivers/{driver}");
            std::os::unix::fs::symlink(target, folder.join(name).join("device/driver")).unwrap();
        };
        let first = |driver| Link::first(&folder, driver).map(|link| link.index);
        add("eth0", 2, "mana");
        assert_eq!((first(None), first(Some("hv_netvsc"))), (Some(2), None));
        add("eth1", 3, "hv_netvsc");
        assert_eq!((first(None), first(Some("hv_netvsc"))), (Some(2), Some(3)));
        std::fs::write(folder.join("eth0/master"), "").unwrap();
        assert_eq!(first(None), Some(3));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
