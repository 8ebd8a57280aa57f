//! The machine from inside, as it runs: every file that PID 1 can name, every mapping of every process.
//!
//! The file list is an artefact: `target/image-files.txt`. The drill's program looks, and is left out of what it finds by its name.

use crate::built::{SHIPPED_INIT, folder};
use crate::drills::with_orders;
use crate::lab::Lab;
use ward_policy::limit;
use ward_tests::binaries::root;

/// The drill's own program; the shipped one of this name is [`SHIPPED_INIT`] meanwhile.
const DRILL: &str = "/init";

/// A name below PID 1's root.
struct File<'l> {
    kind: &'l str,
    mode: u32,
    owner: &'l str,
    size: &'l str,
    begins: &'l str,
    path: &'l str,
}

impl<'l> File<'l> {
    /// `file KIND MODE OWNER SIZE BEGINS PATH`.
    fn parse(line: &'l str) -> Option<Self> {
        let mut words = line.strip_prefix("file ")?.splitn(6, ' ');
        let kind = words.next()?;
        let mode = u32::from_str_radix(words.next()?, 8).ok()?;
        let (owner, size, begins, path) =
            (words.next()?, words.next()?, words.next()?, words.next()?);
        Some(Self { kind, mode, owner, size, begins, path })
    }

    fn is_executable(&self) -> bool {
        self.kind == "-" && self.mode & 0o111 != 0
    }
}

/// What may not be, in words.
fn findings(seen: &[String]) -> Vec<String> {
    let mut findings = Vec::new();
    let mut executables = 0;
    for line in seen {
        if let Some(file) = File::parse(line) {
            if file.path == DRILL {
                continue;
            }
            executables += usize::from(file.is_executable());
            let may_execute = file.path == SHIPPED_INIT || file.path.starts_with("/bin/ward-");
            let what = if file.mode & 0o6000 != 0 {
                "gives rights away"
            } else if file.begins == "script" {
                "is for an interpreter"
            } else if file.begins == "unread" || !["-", "elf", "other"].contains(&file.begins) {
                "cannot be read"
            } else if file.is_executable() && !(may_execute && file.begins == "elf") {
                "is executable"
            } else if file.kind == "l" {
                "is another name"
            } else if file.mode & 0o022 != 0 && file.kind != "c" {
                "can be written by others"
            } else {
                continue;
            };
            findings.push(format!("{}: {what}", file.path));
        } else if line.starts_with("mapping drill ") || line.starts_with("mount ") {
            // The one is its own, planted; the others are read below.
            findings.extend(line.strip_prefix("mapping drill ").map(|_| "drill: wx".to_owned()));
        } else if line.starts_with("mapping ") || line.starts_with("unread ") {
            findings.push(line.clone());
        }
    }
    if executables > limit::EXECUTABLES_MAX {
        findings.push(format!("{executables} executables"));
    }
    findings
}

fn field<'l>(seen: &'l [String], name: &str) -> &'l str {
    seen.iter().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn inside_are_four_programs_and_no_way_to_a_fifth() {
    let folder = folder("inside");
    let lab = Lab::of_agent("echo", &folder);
    let machine = with_orders(&lab, 256, &folder);
    let seen = machine.obey("look");
    let mut list = String::new();
    for file in seen.iter().filter_map(|line| File::parse(line)) {
        if file.path == DRILL {
            continue;
        }
        // Under the name that it has where there is no drill.
        let path = if file.path == SHIPPED_INIT { DRILL } else { file.path };
        list += &format!(
            "{} {:04o} {:>3} {:>9} {:<5} {path}\n",
            file.kind, file.mode, file.owner, file.size, file.begins
        );
    }
    std::fs::write(root().join("target/image-files.txt"), &list).unwrap();
    println!("{list}");
    for line in seen.iter().filter(|line| !line.starts_with("file ")) {
        println!("{line}");
    }
    assert_eq!(findings(&seen), [] as [&str; 0]);
    let executables = seen.iter().filter_map(|line| File::parse(line));
    let executables = executables.filter(|file| file.is_executable() && file.path != DRILL);
    assert_eq!(executables.count(), limit::EXECUTABLES_MAX);
    // EROFS: nothing is added to it, not even by root.
    assert_eq!(field(&seen, "write "), "30");
    // PID 1, the supervisor and its four, the network role, and the one that looks; each has mappings.
    let looked: Vec<u32> =
        field(&seen, "looked ").split(' ').map(|word| word.parse().unwrap()).collect();
    assert!(looked[0] == 8 && looked[1] > 8 * 5, "{looked:?}");
    // Negative control: it does find what may not be there.
    assert_eq!(machine.obey("plant"), ["true true"]);
    let found = findings(&machine.obey("look"));
    let planted = ["/planted: gives rights away", "drill: wx", "5 executables"];
    assert_eq!(found, planted.map(str::to_owned));
    std::fs::remove_dir_all(folder).unwrap();
}
