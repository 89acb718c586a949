//! `.bt`: scripts, compiled for a small kernel of our own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use hark_btf::Btf;
use hark_compiler::{KernelTypes, Options, Stage, Target, compile, dump};
use hark_diag::{Diagnostic, FileId, SourceMap, Style, render};

use super::env;
use super::host::FixtureHost;
use crate::case::CaseFile;
use crate::golden::{Finding, Stages};

/// A script: what the stages of the compiler make of it, and what they have to say.
pub(super) struct Script {
    types: KernelTypes,
    host: Arc<FixtureHost>,
}

/// How many CPUs the small machine has.
const CPUS: u32 = 4;
/// The name that diagnostics show.
const FILE: &str = "case.bt";

impl Script {
    /// Reads the small kernel from `fixtures`.
    pub(super) fn new(fixtures: &Path) -> Result<Self> {
        let path: PathBuf = fixtures.join("mini.btf");
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let btf = Btf::parse(bytes).with_context(|| path.display().to_string())?;
        Ok(Self { types: KernelTypes::ready(btf), host: Arc::new(FixtureHost::read(fixtures)?) })
    }

    fn target(&self, case: &CaseFile) -> Result<Target> {
        Ok(Target {
            profile: env::profile(case)?,
            btf: self.types.clone(),
            catalog: Arc::<FixtureHost>::clone(&self.host),
            n_cpus: CPUS,
            pid_namespace: false,
        })
    }

    fn options(case: &CaseFile) -> Result<Options> {
        Ok(Options {
            positional: case.strings("args")?,
            disabled_passes: case.strings("without")?,
            allow_unsafe: case.get("unsafe").and_then(|value| value.as_bool()).unwrap_or(false),
            ..Options::default()
        })
    }

    /// Errors and warnings, in the order in which they are shown.
    fn messages(&self, case: &CaseFile, map: &SourceMap, file: FileId) -> Result<Vec<Diagnostic>> {
        Ok(match compile(map, file, &self.target(case)?, &Self::options(case)?) {
            Ok(compilation) => compilation.warnings,
            Err(diagnostics) => diagnostics,
        })
    }
}

fn source(case: &CaseFile) -> (SourceMap, FileId) {
    let mut map = SourceMap::default();
    let file = map.add(FILE.to_owned(), case.input_in_place());
    (map, file)
}

impl Stages for Script {
    fn keys(&self) -> &[&str] {
        &["kernel", "args", "without", "unsafe"]
    }

    fn names(&self) -> &[&str] {
        &["ast", "types", "ir", "ir-opt", "mir", "regalloc", "asm", "maps", "object", "diag"]
    }

    fn render(&self, case: &CaseFile, stage: &str) -> Result<String> {
        let (map, file) = source(case);
        if stage == "diag" {
            return Ok(render(&map, &self.messages(case, &map, file)?, Style::Plain));
        }
        let Some(stage) = Stage::named(stage) else { bail!("no stage {stage}") };
        let text = dump(stage, &map, file, &self.target(case)?, &Self::options(case)?);
        Ok(text.unwrap_or_else(|diagnostics| render(&map, &diagnostics, Style::Plain)))
    }

    fn diagnostics(&self, case: &CaseFile) -> Result<Option<Vec<Finding>>> {
        let (map, file) = source(case);
        let messages = self.messages(case, &map, file)?;
        let line = |message: &Diagnostic| {
            message
                .primary
                .as_ref()
                .map_or(0, |label| usize::try_from(map.line_col(label.span).line).unwrap_or(0))
        };
        let finding = |message: &Diagnostic| Finding {
            line: line(message),
            severity: message.severity,
            code: message.code,
        };
        Ok(Some(messages.iter().map(finding).collect()))
    }
}
