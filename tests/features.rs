//! `features.txt` lists what the language and its output promise. One test for each: that its cases exist, and that they
//! are about it.

use std::fs::read_to_string;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use hark_tests::{root_dir, tests_dir};
use libtest_mimic::{Arguments, Completion, Failed, Trial, run};

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    section: String,
    feature: String,
    /// Text that one of the cases must contain.
    mark: String,
    cases: Cases,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cases {
    Named(Vec<String>),
    NotBuilt(String),
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match trials() {
        Ok(trials) => run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("features.txt: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn trials() -> Result<Vec<Trial>> {
    let text = read_to_string(tests_dir().join("features.txt"))?;
    let rows = parse(&text)?;
    let mut names: Vec<String> = rows.iter().map(|row| format!("{}::{}", row.section, row.feature)).collect();
    names.sort();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        bail!("twice: {}", twice[0]);
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let name = format!("features::{}::{}", row.section, row.feature);
            Trial::ignorable_test(name, move || judge(&row))
        })
        .collect())
}

/// Reads the list.
fn parse(text: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut section = String::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix("== ") {
            title.clone_into(&mut section);
            continue;
        }
        let parts: Vec<&str> = line.splitn(4, " | ").map(str::trim).collect();
        // An empty mark leaves one blank between its bars.
        let [priority, feature, mark, cases] = parts[..] else {
            bail!("line {}: it is not `P | feature | text | cases`", number + 1);
        };
        if !["M", "S"].contains(&priority) {
            bail!("line {}: {priority} is neither M nor S", number + 1);
        }
        let cases = match cases.strip_prefix("not built: ") {
            Some(why) => Cases::NotBuilt(why.to_owned()),
            None => Cases::Named(cases.split(", ").map(str::to_owned).collect()),
        };
        rows.push(Row {
            section: section.clone(),
            feature: feature.to_owned(),
            mark: mark.to_owned(),
            cases,
        });
    }
    Ok(rows)
}

fn judge(row: &Row) -> Result<Completion, Failed> {
    let names = match &row.cases {
        Cases::Named(names) => names,
        Cases::NotBuilt(why) => return Ok(Completion::ignored_with(format!("skipped: not built: {why}"))),
    };
    let mut texts = String::new();
    for name in names {
        texts.push_str(&text_of(name).map_err(|error| Failed::from(format!("{error:#}")))?);
    }
    if texts.contains(&row.mark) {
        Ok(Completion::Completed)
    } else {
        Err(Failed::from(format!("none of {} contains {}", names.join(", "), row.mark)))
    }
}

/// A case, or the source of a Rust test, whose function must exist.
fn text_of(name: &str) -> Result<String> {
    if let Some((file, test)) = name.split_once("::") {
        let text = read_to_string(root_dir().join(file)).with_context(|| format!("no file {file}"))?;
        if !text.contains(&format!("fn {test}(")) {
            bail!("{file} has no test {test}");
        }
        return Ok(text);
    }
    let base: PathBuf = tests_dir().join(name);
    for extension in ["bt", "ir", "mir", "s"] {
        if let Ok(text) = read_to_string(base.with_extension(extension)) {
            return Ok(text);
        }
    }
    bail!("no case {name}: write it")
}
