//! `cargo xtask tools`: the scripts that bpftrace's package ships, loaded and attached with `--dry-run` on this machine's
//! kernel and in guests, and a table of what became of each.
//!
//! They are read where the package is installed (`HARK_PEER_ROOT`, or `target/lab/sid`) when this runs; none of them is
//! part of the repository.

mod refusals;

use std::collections::BTreeMap;
use std::fs::{read_dir, write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::image::Image;
use crate::kernels::{KERNELS, Kernel, named};
use crate::report::Tally;
use crate::shell::{cargo, lab, output, root, succeeds};
use crate::{guest, setup};
use refusals::REFUSALS;

/// What every kernel is asked to do with each script in the directory `$1`, hark being `$2`. Its report is, tab
/// separated: `tool NAME STATUS`, then what hark said, each line behind `|`; `end` at the very end.
const LOOP: &str = r#"
for script in "$1"/*.bt; do
    said=$(timeout 120 "$2" --dry-run "$script" 2>&1 </dev/null)
    printf 'tool\t%s\t%s\n' "$(basename "$script" .bt)" $?
    printf '%s\n' "$said" | sed 's/^/|\t/'
done
echo end
"#;

/// What a kernel made of one script.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    status: i32,
    said: Vec<String>,
}

impl Answer {
    /// `Attached 5 probes`, or the first error without its place.
    fn summary(&self) -> String {
        if self.status == 0 {
            let attached = self.said.iter().find(|line| line.starts_with("Attached "));
            return attached.map_or("no probes attached", String::as_str).to_owned();
        }
        let error = self.said.iter().find_map(|line| line.split_once("ERROR: "));
        error.map_or_else(|| format!("status {}", self.status), |(_, message)| message.to_owned())
    }

    fn cell(&self) -> String {
        if self.status != 0 {
            return "refused".to_owned();
        }
        let count = self.summary().split(' ').nth(1).unwrap_or("0").to_owned();
        let warnings = self.said.iter().filter(|line| line.contains("WARNING: ")).count();
        if warnings == 0 { count } else { format!("{count} ({warnings} warned)") }
    }
}

/// Scripts by name.
type Answers = BTreeMap<String, Answer>;

/// Runs what the flags ask for. True if every script loaded or was refused as the list says.
pub(crate) fn run(flags: &[String]) -> Result<bool> {
    let kernels = chosen(flags)?;
    let Some(dir) = scripts_dir() else {
        println!(
            "skipped: bpftrace's scripts are not installed; set HARK_PEER_ROOT, or run `cargo xtask bench startup`"
        );
        return Ok(true);
    };
    let missing = setup::run()?;
    if !succeeds(&mut cargo(["build", "--release", "--quiet", "--package", "hark-cli"]))? {
        bail!("hark does not build");
    }
    let scripts = scripts(&dir)?;
    println!("{} scripts in {}", scripts.len(), dir.display());
    let mut columns = vec![("native".to_owned(), native(&dir)?)];
    if missing.is_empty() {
        let mut image = Image::build()?;
        image.add("tools", &scripts)?;
        columns.extend(guests(&kernels, &image)?);
    } else if !kernels.is_empty() {
        println!("guests cannot be run without {}", missing.join(", "));
    }
    let names: Vec<String> = scripts.iter().map(|path| stem(path)).collect();
    let text = table(&names, &columns);
    print!("\n{text}");
    write(lab().join("tools.md"), &text)?;
    let (tally, problems) = judge(&names, &columns);
    for problem in &problems {
        println!("{problem}");
    }
    println!("\n{tally}");
    Ok(tally.failed == 0)
}

fn chosen(flags: &[String]) -> Result<Vec<&'static Kernel>> {
    let mut chosen = Vec::new();
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        match flag.as_str() {
            "--guest" => chosen.push(named(flags.next().context("--guest needs a value")?)?),
            "--no-guests" => return Ok(Vec::new()),
            other => bail!("unknown flag {other}"),
        }
    }
    Ok(if chosen.is_empty() { KERNELS.iter().collect() } else { chosen })
}

/// Where bpftrace's package puts its scripts, below its root directory.
pub(crate) const SCRIPTS: &str = "usr/sbin";

/// Where the scripts are installed.
fn scripts_dir() -> Option<PathBuf> {
    let peer = std::env::var_os("HARK_PEER_ROOT").map_or_else(|| lab().join("sid"), PathBuf::from);
    let dir = peer.join(SCRIPTS);
    scripts(&dir).is_ok_and(|found| !found.is_empty()).then_some(dir)
}

/// The scripts in a directory, by name.
pub(crate) fn scripts(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "bt") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn native(dir: &Path) -> Result<Answers> {
    let mut shell = Command::new("sh");
    shell.args(["-c", LOOP, "sh"]).arg(dir).arg(root().join("target/release/hark"));
    let text = output(shell.stdin(Stdio::null()))?;
    let mut reader = Reader::default();
    for line in text.lines() {
        reader.line(line);
    }
    Ok(reader.answers)
}

fn guests(kernels: &[&'static Kernel], image: &Image) -> Result<Vec<(String, Answers)>> {
    let mut columns = Vec::new();
    for kernel in kernels {
        match one_guest(kernel, image) {
            Ok(answers) => columns.push((kernel.version.to_owned(), answers)),
            Err(error) if kernel.required => return Err(error),
            Err(error) => println!("guest {:<5} skipped: {error:#}", kernel.version),
        }
    }
    Ok(columns)
}

fn one_guest(kernel: &Kernel, image: &Image) -> Result<Answers> {
    let mut reader = Reader::default();
    let command = format!("set -- /tools /bin/hark\n{LOOP}");
    match guest::command(kernel, image, &command, &mut |line| reader.line(line))? {
        None => Ok(reader.answers),
        Some(problem) => bail!("{problem}, after {} scripts", reader.answers.len()),
    }
}

/// Reads a report.
#[derive(Default)]
struct Reader {
    answers: Answers,
    current: String,
}

impl Reader {
    /// Takes one line. True if it was the last.
    fn line(&mut self, line: &str) -> bool {
        let line = line.trim_end_matches('\r');
        let mut parts = line.splitn(3, '\t');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("tool"), Some(name), Some(status)) => {
                self.current = name.to_owned();
                let status = status.parse().unwrap_or(-1);
                self.answers.insert(name.to_owned(), Answer { status, said: Vec::new() });
            }
            (Some("|"), Some(_), _) => {
                if let Some(answer) = self.answers.get_mut(&self.current) {
                    answer.said.push(line[2..].to_owned());
                }
            }
            (Some("end"), None, None) => return true,
            _ => {}
        }
        false
    }
}

/// Script × kernel, how many probes are attached; what was refused below.
fn table(names: &[String], columns: &[(String, Answers)]) -> String {
    let mut text = String::from("| script |");
    for (kernel, _) in columns {
        text.push_str(&format!(" {kernel} |"));
    }
    text.push_str(&format!("\n|---|{}\n", "---|".repeat(columns.len())));
    for name in names {
        text.push_str(&format!("| {name} |"));
        for (_, answers) in columns {
            let cell = answers.get(name).map_or_else(|| "not run".to_owned(), Answer::cell);
            text.push_str(&format!(" {cell} |"));
        }
        text.push('\n');
    }
    text.push('\n');
    for name in names {
        let mut reasons: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (kernel, answers) in columns {
            if let Some(answer) = answers.get(name).filter(|answer| answer.status != 0) {
                reasons.entry(answer.summary()).or_default().push(kernel);
            }
        }
        for (reason, kernels) in reasons {
            text.push_str(&format!("- {name} ({}): {reason}\n", kernels.join(", ")));
        }
    }
    text
}

/// Compares the answers with the list of refusals.
fn judge(names: &[String], columns: &[(String, Answers)]) -> (Tally, Vec<String>) {
    let mut tally = Tally::default();
    let mut problems = Vec::new();
    for (kernel, answers) in columns {
        for name in names {
            let expected: Vec<&str> = REFUSALS
                .iter()
                .filter(|row| row.0 == name && concerns(row.1, kernel))
                .map(|row| row.2)
                .collect();
            let verdict = match answers.get(name) {
                None => Err("was not run".to_owned()),
                Some(answer) if answer.status == 0 && expected.is_empty() => Ok(true),
                Some(answer) if answer.status == 0 && kernel == "native" => Ok(true),
                Some(answer) if answer.status == 0 => {
                    Err("loads, though tools/refusals.rs says that it cannot".into())
                }
                Some(answer)
                    if expected.iter().any(|part| answer.said.iter().any(|line| line.contains(part))) =>
                {
                    Ok(false)
                }
                Some(answer) => Err(format!("refused: {}", answer.said.join("\n      "))),
            };
            match verdict {
                Ok(true) => tally.add(Tally::of(true)),
                Ok(false) => tally.add(Tally { skipped: 1, ..Tally::default() }),
                Err(problem) => {
                    problems.push(format!("FAIL  {name} on {kernel}: {problem}"));
                    tally.add(Tally::failure());
                }
            }
        }
    }
    (tally, problems)
}

/// Whether a row about `place` is about this kernel.
fn concerns(place: &str, kernel: &str) -> bool {
    match place {
        "guests" => kernel != "native",
        place => place == kernel,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_becomes_a_row() {
        let mut reader = Reader::default();
        let lines =
            ["tool\tcpuwalk\t0", "|\tAttached 2 probes", "tool\tx\t1", "|\tx.bt:1:1: ERROR: no\tway [H0403]"];
        assert!(lines.iter().all(|line| !reader.line(line)));
        assert!(reader.line("end\r"));
        let names = ["cpuwalk", "x", "y"].map(str::to_owned);
        let columns = [("6.1".to_owned(), reader.answers)];
        let text = table(&names, &columns);
        assert!(text.contains("| cpuwalk | 2 |\n| x | refused |\n| y | not run |\n"), "{text}");
        assert!(text.ends_with("- x (6.1): no\tway [H0403]\n"), "{text}");
        let (tally, problems) = judge(&names, &columns);
        assert_eq!((tally.passed, tally.failed), (1, 2), "{problems:?}");
    }
}
