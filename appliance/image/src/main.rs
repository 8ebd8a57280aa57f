//! `ward-image`: the steps of an image, each from named files to one named file.
//!
//! Exit status 0: written; 1: refused, and nothing is written; 2: wrong usage. It reads no clock, no environment and no file
//! that was not named.
#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use ward_image::bom::{Allowed, Bom, Build, Subject, cyclonedx, provenance};
use ward_image::digest::sha256;
use ward_image::esp::Files;
use ward_image::inspect::{Class, inspect};
use ward_image::list::{self, Source};
use ward_image::uki::{self, Parts};
use ward_image::{compress, cpio, disk, qcow2};

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "ward-image", version, about = "Makes the machine image, step by step")]
#[command(disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The initramfs as an archive, of a list: one `path mode source` a line.
    Cpio {
        /// Lines of `path mode source`; source is `dir`, `char:MAJOR:MINOR` or a file.
        list: PathBuf,
        /// Where to write.
        out: PathBuf,
        /// Pack it, as the kernel unpacks it.
        #[arg(long)]
        zstd: bool,
    },
    /// The boot file.
    Uki(Uki),
    /// The disk with a boot file and, if one is named, a configuration.
    Disk {
        /// The boot file.
        #[arg(long)]
        uki: PathBuf,
        /// The configuration, which becomes `\ward\ward.toml`.
        #[arg(long)]
        config: Option<PathBuf>,
        /// Where to write.
        out: PathBuf,
    },
    /// The disk as QEMU keeps it.
    Qcow2 {
        /// The disk.
        raw: PathBuf,
        /// Where to write.
        out: PathBuf,
    },
    /// The bill of materials of an image, as CycloneDX 1.6.
    Sbom {
        #[command(flatten)]
        of: Materials,
        /// The image: a disk, raw or qcow2, or a boot file.
        #[arg(long)]
        image: PathBuf,
        /// The image's version.
        #[arg(long)]
        release: String,
        /// Where to write.
        out: PathBuf,
    },
    /// What is linked and under which licence; fails on one that `policy/licences.toml` does not have.
    Licences {
        #[command(flatten)]
        of: Materials,
        /// Where to write.
        out: PathBuf,
    },
    /// Where files come from, as an in-toto statement with an SLSA v1 predicate.
    Provenance {
        #[command(flatten)]
        of: Materials,
        /// A file that was built; may be given several times.
        #[arg(long = "subject", required = true)]
        subjects: Vec<PathBuf>,
        /// What was built: an attribute's name; may be given several times.
        #[arg(long = "attribute", required = true)]
        attributes: Vec<String>,
        /// Which way: `host` or `nixpkgs`.
        #[arg(long)]
        way: String,
        /// in-toto's `dirHash1` of the source tree.
        #[arg(long)]
        source_files: String,
        /// The commit of the source tree.
        #[arg(long)]
        source_commit: Option<String>,
        /// Where to write.
        out: PathBuf,
    },
    /// Another configuration on a disk that exists, in its place: the same disk as one made with it.
    Configure {
        /// The disk, which is replaced.
        raw: PathBuf,
        /// The configuration.
        config: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Uki {
    /// systemd-stub, for instance `linuxx64.efi.stub`.
    #[arg(long)]
    stub: PathBuf,
    /// The kernel, a `bzImage`.
    #[arg(long)]
    linux: PathBuf,
    /// The initramfs.
    #[arg(long)]
    initrd: PathBuf,
    /// A file with the kernel's command line; line ends around it do not count.
    #[arg(long)]
    cmdline: PathBuf,
    /// The `os-release` file.
    #[arg(long)]
    os_release: PathBuf,
    /// The kernel's release, for instance `6.12.9`.
    #[arg(long)]
    uname: String,
    /// Where to write.
    out: PathBuf,
}

#[derive(Debug, Args)]
struct Materials {
    /// Output of `cargo tree --edges normal,no-proc-macro --prefix depth --format ' {p}|{l}'` for the programs.
    #[arg(long)]
    tree: PathBuf,
    /// `Cargo.lock`.
    #[arg(long)]
    lock: PathBuf,
    /// What is no crate: a TOML file with a `[[material]]` each.
    #[arg(long)]
    materials: PathBuf,
}

impl Materials {
    fn read(&self) -> Result<Bom, Failure> {
        let (tree, lock, materials) =
            (text(&self.tree)?, text(&self.lock)?, text(&self.materials)?);
        Allowed::built_in()
            .and_then(|allowed| Bom::new(&tree, &lock, &materials, &allowed))
            .map_err(|error| Failure(error.to_string()))
    }
}

/// What went wrong, and with which file.
#[derive(Debug)]
struct Failure(String);

impl Failure {
    fn of(path: &Path, what: impl Display) -> Self {
        Self(format!("{}: {what}", path.display()))
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            error.print().unwrap_or_default();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(what)) => {
            writeln!(std::io::stderr().lock(), "ward-image: {what}").unwrap_or_default();
            ExitCode::from(1)
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Cpio { list, out, zstd } => {
            let archive = archive(&list)?;
            let packed = if zstd {
                compress::pack(&archive).map_err(|error| Failure::of(&list, error))?
            } else {
                archive
            };
            write(&out, &packed)
        }
        Command::Uki(uki) => boot_file(&uki),
        Command::Disk { uki: path, config, out } => {
            let config = config.as_deref().map(read).transpose()?;
            let files = Files { uki: read(&path)?, config };
            write(&out, &disk::write(&files).map_err(|error| Failure::of(&path, error))?)
        }
        Command::Qcow2 { raw, out } => {
            let disk = read(&raw)?;
            write(&out, &qcow2::write(&disk).map_err(|error| Failure::of(&raw, error))?)
        }
        Command::Sbom { of, image, release, out } => {
            let inspection = inspect(&read(&image)?);
            if inspection.verdict() == Some(Class::Damage) {
                return Err(Failure::of(&image, "cannot be read: see `ward verify-image`"));
            }
            let document = cyclonedx(&of.read()?, &inspection, &release);
            write(&out, document.map_err(|error| Failure::of(&image, error))?.as_bytes())
        }
        Command::Licences { of, out } => write(&out, of.read()?.licences().as_bytes()),
        Command::Provenance { of, subjects, attributes, way, source_files, source_commit, out } => {
            let build = Build {
                attributes: &attributes,
                way: &way,
                source_files: &source_files,
                source_commit: source_commit.as_deref(),
            };
            let subjects =
                subjects.iter().map(|path| subject(path)).collect::<Result<Vec<_>, _>>()?;
            let statement = provenance(&of.read()?, &subjects, &build);
            write(&out, statement.map_err(|error| Failure(error.to_string()))?.as_bytes())
        }
        Command::Configure { raw, config } => {
            let configured = disk::configure(&read(&raw)?, Some(read(&config)?));
            write(&raw, &configured.map_err(|error| Failure::of(&raw, error))?)
        }
    }
}

/// The archive that the list at `path` describes; its files are named from the working folder.
fn archive(path: &Path) -> Result<Vec<u8>, Failure> {
    let lines = list::parse(&text(path)?).map_err(|error| Failure::of(path, error))?;
    let mut entries = Vec::new();
    for line in lines {
        let content = match &line.source {
            Source::File(name) => read(Path::new(name))?,
            Source::Directory | Source::CharacterDevice(..) => Vec::new(),
        };
        entries.push(line.entry(content));
    }
    cpio::write(entries).map_err(|error| Failure::of(path, error))
}

fn subject(path: &Path) -> Result<Subject, Failure> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Failure::of(path, "has no plain name"))?.to_owned();
    Ok(Subject { name, sha256: sha256(&read(path)?) })
}

fn boot_file(of: &Uki) -> Result<(), Failure> {
    let (stub, linux, initrd) = (read(&of.stub)?, read(&of.linux)?, read(&of.initrd)?);
    let (os_release, cmdline) = (read(&of.os_release)?, text(&of.cmdline)?);
    let parts = Parts {
        stub: &stub,
        os_release: &os_release,
        cmdline: cmdline.trim_ascii(),
        uname: &of.uname,
        linux: &linux,
        initrd: &initrd,
    };
    write(&of.out, &uki::write(&parts).map_err(|error| Failure::of(&of.out, error))?)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::of(path, error))
}

fn text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::of(path, error))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).map_err(|error| Failure::of(path, error))
}
