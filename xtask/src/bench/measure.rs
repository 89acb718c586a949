//! What a command costs: elapsed time, processor time, peak memory.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{lab, output, root};

/// A command to measure.
pub(crate) struct Subject {
    pub(crate) name: String,
    program: String,
    arguments: Vec<String>,
    root: Option<PathBuf>,
}

/// Medians over the runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) wall_ms: f64,
    pub(crate) cpu_ms: f64,
    pub(crate) peak_mib: f64,
}

impl Subject {
    pub(crate) fn new(name: &str, program: &str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { name: name.to_owned(), program: program.to_owned(), arguments, root: None }
    }

    /// Runs it with another root directory.
    pub(crate) fn inside(mut self, root: &Path) -> Self {
        self.root = Some(root.to_owned());
        self
    }
}

/// `bench/measure.c`, built.
pub(crate) struct Meter(PathBuf);

impl Meter {
    pub(crate) fn new() -> Result<Self> {
        let program = lab().join("measure");
        std::fs::create_dir_all(lab())?;
        let source = root().join("bench/measure.c");
        output(Command::new("cc").args(["-O2", "-static", "-o"]).args([&program, &source]))?;
        Ok(Self(program))
    }

    /// Runs the subjects in turn, so that what else the machine does falls on all alike.
    pub(crate) fn interleaved(&self, subjects: &[Subject], rounds: usize) -> Result<Vec<Cost>> {
        let mut runs: Vec<Vec<Cost>> = vec![Vec::new(); subjects.len()];
        // The first round fills caches and is not counted.
        for round in 0..=rounds {
            for (subject, runs) in subjects.iter().zip(&mut runs) {
                let cost = self.once(subject)?;
                if round > 0 {
                    runs.push(cost);
                }
            }
        }
        Ok(runs.iter().map(|runs| medians(runs)).collect())
    }

    fn once(&self, subject: &Subject) -> Result<Cost> {
        let mut command = Command::new(&self.0);
        if let Some(root) = &subject.root {
            command.arg("--root").arg(root);
        }
        let done =
            command.arg(&subject.program).args(&subject.arguments).output().context("cannot measure")?;
        let text = String::from_utf8_lossy(&done.stderr);
        let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match numbers.as_slice() {
            [0.0, wall, cpu, peak] => {
                Ok(Cost { wall_ms: wall / 1e3, cpu_ms: cpu / 1e3, peak_mib: peak / 1024.0 })
            }
            _ => bail!("{} failed: {}", subject.name, text.trim_end()),
        }
    }
}

fn medians(runs: &[Cost]) -> Cost {
    let median = |f: fn(&Cost) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(f).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Cost { wall_ms: median(|c| c.wall_ms), cpu_ms: median(|c| c.cpu_ms), peak_mib: median(|c| c.peak_mib) }
}
