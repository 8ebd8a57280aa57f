//! Python programs of the tests, with the packages that they name: installed once, in a folder of their own.

use std::process::Command;
use std::sync::Mutex;

use crate::binaries::root;

/// `python3 tests/FOLDER/SCRIPT` with the packages of `tests/FOLDER/requirements.txt`, which `tests/run` puts into
/// `tests/.cache/CACHE`; they are put there now if `package` is not.
#[must_use]
pub fn python(folder: &str, script: &str, cache: &str, package: &str) -> Command {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let (folder, target) =
        (root().join("tests").join(folder), root().join("tests/.cache").join(cache));
    let alone = INSTALLING.lock().unwrap();
    if !target.join(package).exists() {
        let installed = Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--root-user-action=ignore", "--target"])
            .arg(&target)
            .arg("-r")
            .arg(folder.join("requirements.txt"))
            .status()
            .unwrap();
        assert!(installed.success(), "{package} cannot be installed");
    }
    drop(alone);
    let mut command = Command::new("python3");
    command.arg(folder.join(script)).env("PYTHONPATH", target);
    command
}
