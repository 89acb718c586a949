//! The guests' kernels: Debian packages, found by pattern and unpacked below `target/lab/kernels`.
//!
//! Which mirror to ask, and which keys to trust, is taken from the machine's own apt configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::btf;
use crate::shell::{lab, output};

/// A kernel that guests run.
pub(crate) struct Kernel {
    /// The name of its series; the guest's name.
    pub(crate) version: &'static str,
    suite: &'static str,
    /// A package's name must begin and end like this; the highest version between them is taken.
    prefix: &'static str,
    suffix: &'static str,
    /// Tests fail if it cannot be had; the others are skipped with a message.
    pub(crate) required: bool,
}

/// Every kernel that is tested, oldest first.
pub(crate) const KERNELS: &[Kernel] = &[
    Kernel {
        version: "5.10",
        suite: "bullseye",
        prefix: "linux-image-5.10.0-",
        suffix: "-cloud-amd64",
        required: false,
    },
    Kernel {
        version: "6.1",
        suite: "bookworm",
        prefix: "linux-image-6.1.0-",
        suffix: "-cloud-amd64",
        required: true,
    },
    Kernel {
        version: "6.12",
        suite: "trixie",
        prefix: "linux-image-6.12.",
        suffix: "+deb13-cloud-amd64",
        required: false,
    },
    Kernel {
        version: "6.18",
        suite: "trixie-backports",
        prefix: "linux-image-6.18.",
        suffix: "+deb13-cloud-amd64",
        required: false,
    },
    Kernel {
        version: "7.3",
        suite: "trixie-backports",
        // From 7.1 on the image itself lies in a package of this name, and linux-image only depends on it.
        prefix: "linux-binary-7.3.",
        suffix: "+deb13-cloud-amd64",
        required: false,
    },
];

/// The module that guests load, so that there is one to trace: a network device that throws everything away.
const MODULE: &str = "dummy.ko";

/// The kernel of a series.
///
/// # Errors
/// There is none; the message lists them.
pub(crate) fn named(version: &str) -> Result<&'static Kernel> {
    match KERNELS.iter().find(|kernel| kernel.version == version) {
        Some(kernel) => Ok(kernel),
        None => {
            let known: Vec<&str> = KERNELS.iter().map(|kernel| kernel.version).collect();
            bail!("no guest has kernel {version}; there are {}", known.join(", "))
        }
    }
}

/// Fetches all kernels. False if a required one cannot be had.
pub(crate) fn fetch_all() -> Result<bool> {
    let mut complete = true;
    for kernel in KERNELS {
        match kernel.fetch() {
            Ok(path) => {
                println!("{:<5} {}", kernel.version, path.display());
                if let Err(error) = btf::file(kernel) {
                    println!("{:<5} its types cannot be had: {error:#}", kernel.version);
                }
            }
            Err(error) => {
                println!("{:<5} cannot be had: {error:#}", kernel.version);
                complete &= !kernel.required;
            }
        }
    }
    Ok(complete)
}

impl Kernel {
    /// The path of the kernel's image, which is downloaded if it is not there yet.
    ///
    /// # Errors
    /// The machine has no apt, or its mirror has no such package or cannot be reached.
    pub(crate) fn fetch(&self) -> Result<PathBuf> {
        let dir = lab().join("kernels").join(self.version);
        let image = dir.join("vmlinuz");
        if image.exists() {
            return Ok(image);
        }
        let work = lab().join("apt").join(self.version);
        drop(fs::remove_dir_all(&work));
        let apt = Apt::new(self.suite, &work)?;
        apt.update()?;
        let package = self
            .newest(&apt.names(self.prefix)?)
            .with_context(|| format!("{} has no package {}*{}", self.suite, self.prefix, self.suffix))?;
        let archive = apt.download(&package)?;
        let unpacked = work.join("unpacked");
        output(Command::new("dpkg-deb").arg("-x").args([&archive, &unpacked]))?;
        // In `boot`, or from 7.1 on among the modules.
        let found =
            find_file(&unpacked, "vmlinuz")?.with_context(|| format!("{package} holds no vmlinuz"))?;
        fs::create_dir_all(&dir)?;
        // Under its final name only when complete.
        fs::copy(&found, dir.join("partial"))?;
        fs::rename(dir.join("partial"), &image)?;
        fs::write(dir.join("package"), format!("{package}\n"))?;
        fs::remove_dir_all(&work)?;
        Ok(image)
    }

    /// The path of a module for the kernel, which is downloaded if it is not there yet.
    ///
    /// # Errors
    /// As [`Kernel::fetch`].
    pub(crate) fn module(&self) -> Result<PathBuf> {
        let dir = lab().join("kernels").join(self.version);
        let module = dir.join(MODULE);
        if module.exists() {
            return Ok(module);
        }
        self.fetch()?;
        let package =
            fs::read_to_string(dir.join("package"))?.trim().replace("linux-binary-", "linux-modules-");
        let work = lab().join("apt").join(format!("{}-module", self.version));
        drop(fs::remove_dir_all(&work));
        let apt = Apt::new(self.suite, &work)?;
        apt.update()?;
        let archive = apt.download(&package)?;
        let unpacked = work.join("unpacked");
        output(Command::new("dpkg-deb").arg("-x").args([&archive, &unpacked]))?;
        let found = find_file(&unpacked, MODULE)?.with_context(|| format!("{package} holds no {MODULE}"))?;
        let partial = dir.join("partial-module");
        if found.extension().is_some_and(|extension| extension == "xz") {
            output(Command::new("xz").arg("-d").arg(&found))?;
            fs::copy(found.with_extension(""), &partial)?;
        } else {
            fs::copy(&found, &partial)?;
        }
        fs::rename(partial, &module)?;
        fs::remove_dir_all(&work)?;
        Ok(module)
    }

    /// The name with the highest version between prefix and suffix.
    fn newest(&self, names: &[String]) -> Option<String> {
        let number = |name: &str| -> Option<Vec<u32>> {
            let middle = name.strip_prefix(self.prefix)?.strip_suffix(self.suffix)?;
            middle.split('.').map(|part| part.parse().ok()).collect()
        };
        names.iter().filter_map(|name| Some((number(name)?, name))).max().map(|(_, name)| name.clone())
    }
}

/// Finds the file whose name begins so.
fn find_file(top: &Path, begin: &str) -> Result<Option<PathBuf>> {
    let mut pending = vec![top.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() && !path.is_symlink() {
                pending.push(path);
            } else if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(begin)) {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

/// apt with one suite and a state of its own, so that the machine's is left alone.
struct Apt {
    options: Vec<String>,
    work: PathBuf,
}

impl Apt {
    fn new(suite: &str, work: &Path) -> Result<Self> {
        let source = own_mirror()?;
        fs::create_dir_all(work.join("lists/partial"))?;
        fs::create_dir_all(work.join("cache/archives/partial"))?;
        let list = work.join("sources.list");
        fs::write(&list, format!("deb {}{} {suite} main\n", source.signed_by(), source.uri))?;
        let option = |key: &str, value: String| [String::from("-o"), format!("{key}={value}")];
        let path = |name: &str| work.join(name).display().to_string();
        let options = [
            option("Dir::Etc::SourceList", list.display().to_string()),
            option("Dir::Etc::SourceParts", "/dev/null".into()),
            option("Dir::State::Lists", path("lists")),
            option("Dir::Cache", path("cache")),
            option("APT::Sandbox::User", "root".into()),
            option("Acquire::Languages", "none".into()),
            option("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false".into()),
            option("Acquire::IndexTargets::deb::CNF::DefaultEnabled", "false".into()),
            option("Acquire::Retries", "2".into()),
        ];
        Ok(Self { options: options.concat(), work: work.to_owned() })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(&self.options).current_dir(&self.work);
        command
    }

    fn update(&self) -> Result<()> {
        output(self.command("apt-get").args(["-q", "update", "--error-on=any"])).map(drop)
    }

    fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let text = output(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    fn download(&self, package: &str) -> Result<PathBuf> {
        output(self.command("apt-get").args(["-q", "download", package]))?;
        fs::read_dir(&self.work)?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|e| e == "deb"))
            .with_context(|| format!("apt-get download left no file of {package}"))
    }
}

/// A package source: where it is, and the keys that sign it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) uri: String,
    keys: Option<String>,
}

impl Source {
    fn signed_by(&self) -> String {
        self.keys.as_ref().map_or(String::new(), |keys| format!("[signed-by={keys}] "))
    }
}

/// The source that the machine takes its own release from.
pub(crate) fn own_mirror() -> Result<Source> {
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let field = |key: &str| {
        release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|value| value.trim_matches('"'))
    };
    if field("ID") != Some("debian") {
        bail!("guests' kernels are Debian packages, and this machine has no Debian mirror configured");
    }
    let codename = field("VERSION_CODENAME").context("/etc/os-release has no VERSION_CODENAME")?;
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.filter_map(Result::ok).map(|entry| entry.path()));
    }
    files.sort();
    files
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .find_map(|text| stanza_source(&text, codename).or_else(|| line_source(&text, codename)))
        .with_context(|| format!("apt has no source for {codename}"))
}

/// Finds the suite in a file of `URIs:`/`Suites:` stanzas.
fn stanza_source(text: &str, suite: &str) -> Option<Source> {
    text.split("\n\n").find_map(|stanza| {
        let field = |key: &str| stanza.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        field("Suites")?.split_whitespace().find(|name| *name == suite)?;
        let uri = field("URIs")?.split_whitespace().next()?.to_owned();
        // An embedded key spans lines and is none of a path.
        let keys = field("Signed-By").map(str::trim).filter(|path| path.starts_with('/')).map(str::to_owned);
        Some(Source { uri, keys })
    })
}

/// Finds the suite in a file of `deb [signed-by=…] URI SUITE main` lines.
fn line_source(text: &str, suite: &str) -> Option<Source> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let uri = words.next()?.to_owned();
        words.next().filter(|name| *name == suite)?;
        let keys = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="))
            .map(str::to_owned);
        Some(Source { uri, keys })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(uri: &str, keys: Option<&str>) -> Option<Source> {
        Some(Source { uri: uri.into(), keys: keys.map(str::to_owned) })
    }

    #[test]
    fn finds_the_mirror_in_both_forms() {
        let stanzas = "Types: deb\nURIs: http://m/security\nSuites: bookworm-security\n\n\
                       Types: deb\n# a comment\nURIs: http://m/debian\nSuites: bookworm bookworm-updates\nSigned-By: /k.gpg\n";
        assert_eq!(stanza_source(stanzas, "bookworm"), source("http://m/debian", Some("/k.gpg")));
        assert_eq!(stanza_source(stanzas, "trixie"), None);
        let lines = "# deb http://x/y bookworm main\ndeb http://m/security bookworm-security main\n\
                     deb [arch=amd64 signed-by=/k.gpg] http://m/debian bookworm main\n";
        assert_eq!(line_source(lines, "bookworm"), source("http://m/debian", Some("/k.gpg")));
        assert_eq!(
            line_source("deb http://m/debian bookworm main", "bookworm"),
            source("http://m/debian", None)
        );
    }

    #[test]
    fn takes_the_highest_version() {
        let names = ["9", "12", "12-rt", "7-cloud"].map(|n| format!("linux-image-5.10.0-{n}-cloud-amd64"));
        assert_eq!(KERNELS[0].newest(&names).as_deref(), Some("linux-image-5.10.0-12-cloud-amd64"));
        assert_eq!(KERNELS[1].newest(&names), None);
    }

    #[test]
    fn a_kernel_is_known_by_its_series() {
        assert!(named("6.1").unwrap().required);
        assert!(named("6.2").err().unwrap().to_string().contains("6.12"));
    }
}
