//! Files that a script takes in: `import "…"`, `#include "…"`, and headers named on the command line.
//!
//! Compilation reads no files. [`gather`] asks the host for each, through [`Files`], before compilation begins, and
//! gives the result as a value; [`crate::compile`] puts the parts together. A file is taken in once, however often it
//! is named. Parts stand in the order in which they depend on each other.

use crate::target::Target;
use hark_diag::{Code, Diagnostic, FileId, SourceMap, Span};
use hark_syntax::ast::Script;
use hark_syntax::{ParseOptions, Parsed};
use std::collections::BTreeSet;

/// Files taking in files that are followed.
const MAX_DEPTH: u32 = 32;
/// Most files that a script is made of.
const MAX_FILES: usize = 256;

/// A file that the host found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceText {
    /// What messages call it.
    pub name: String,
    /// What tells it from others, however it was named: its absolute path.
    pub key: String,
    /// Its text.
    pub text: String,
}

/// Where files come from.
pub trait Files {
    /// The files that `import "path"` means in the file named `from`: one, those of a directory, or none where
    /// nothing needs to be imported.
    ///
    /// # Errors
    /// Why there are none: for people.
    fn import(&self, from: &str, path: &str) -> Result<Vec<SourceText>, String>;

    /// The header that `#include` means in the file named `from`; `None` if there is none.
    ///
    /// # Errors
    /// It is there and cannot be read: for people.
    fn header(&self, from: &str, path: &str, system: bool) -> Result<Option<SourceText>, String>;
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Script,
    Header,
}

/// The files that a script takes in, in the order in which they stand before it.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    parts: Vec<(FileId, Kind)>,
    diags: Vec<Diagnostic>,
    /// Whether anyone looked for them.
    gathered: bool,
}

impl Sources {
    /// What could not be taken in.
    pub(crate) fn failures(&self) -> &[Diagnostic] {
        &self.diags
    }
}

/// Finds everything that the script in `file` takes in, and the headers that the command line names.
pub fn gather(
    map: &mut SourceMap,
    file: FileId,
    target: &Target,
    files: &dyn Files,
    headers: &[String],
) -> Sources {
    let mut gather = Gather {
        map,
        files,
        predefined: predefined(target),
        have_btf: target.btf.exists(),
        seen: BTreeSet::new(),
        out: Sources { gathered: true, ..Sources::default() },
    };
    let nowhere = gather.map.file(file).name.clone();
    for path in headers {
        match files.header(&nowhere, path, false) {
            Ok(Some(text)) => gather.take(text, Kind::Header, Span::new(file, 0, 0), 0),
            Ok(None) => gather.complain(None, format!("--include: there is no file {path}"), None),
            Err(e) => gather.complain(None, format!("--include: {e}"), None),
        }
    }
    gather.follow(file, Kind::Script, 0);
    gather.out
}

/// Names that are `#define`d from the beginning.
fn predefined(target: &Target) -> Vec<String> {
    let mut names = vec!["BPFTRACE".to_string()];
    if target.btf.exists() {
        names.push("BPFTRACE_HAVE_BTF".to_string());
    }
    names
}

struct Gather<'a> {
    map: &'a mut SourceMap,
    files: &'a dyn Files,
    predefined: Vec<String>,
    have_btf: bool,
    seen: BTreeSet<String>,
    out: Sources,
}

impl Gather<'_> {
    fn complain(&mut self, span: Option<Span>, message: String, help: Option<String>) {
        let diag = match span {
            Some(span) => Diagnostic::error(Code::CANNOT_READ, span, message),
            None => Diagnostic::error_without_span(Code::CANNOT_READ, message),
        };
        self.out.diags.push(help.into_iter().fold(diag, Diagnostic::with_help));
    }

    /// Takes in what the file names.
    fn follow(&mut self, file: FileId, kind: Kind, depth: u32) {
        let source = self.map.file(file);
        if !source.text.contains("include") && !source.text.contains("import") {
            return;
        }
        let name = source.name.clone();
        let script = parsed(self.map, file, kind, &self.predefined).script;
        for include in &script.includes {
            match self.files.header(&name, &include.path, include.system) {
                Ok(Some(text)) => self.take(text, Kind::Header, include.span, depth),
                // The kernel's own headers say what its BTF says.
                Ok(None) if include.system || (self.have_btf && of_the_kernel(&include.path)) => {}
                Ok(None) => {
                    let message = format!("there is no header {}", include.path);
                    let help = "it is looked for beside the file, then in the directories of -I";
                    self.complain(Some(include.span), message, Some(help.into()));
                }
                Err(e) => self.complain(Some(include.span), e, None),
            }
        }
        for import in &script.imports {
            match self.files.import(&name, &import.path) {
                Ok(texts) => {
                    for text in texts {
                        let kind = if text.name.ends_with(".h") { Kind::Header } else { Kind::Script };
                        self.take(text, kind, import.span, depth);
                    }
                }
                Err(e) => self.complain(Some(import.span), e, None),
            }
        }
    }

    /// Takes in a file, after those that it takes in.
    fn take(&mut self, text: SourceText, kind: Kind, span: Span, depth: u32) {
        if !self.seen.insert(text.key) {
            return;
        }
        if depth >= MAX_DEPTH || self.out.parts.len() >= MAX_FILES {
            let message = format!("{} is one file too many: they go too deep", text.name);
            return self.complain(Some(span), message, None);
        }
        let id = self.map.add(text.name, text.text);
        self.follow(id, kind, depth + 1);
        self.predefined.extend(parsed(self.map, id, kind, &self.predefined).defined);
        self.out.parts.push((id, kind));
    }
}

/// Whether the name is that of a header which the kernel brings.
fn of_the_kernel(path: &str) -> bool {
    const DIRS: &[&str] = &["linux", "asm", "asm-generic", "net", "uapi", "trace", "crypto", "scsi", "sound"];
    path.split_once('/').is_some_and(|(dir, _)| DIRS.contains(&dir))
}

fn parsed(map: &SourceMap, file: FileId, kind: Kind, predefined: &[String]) -> Parsed {
    let options = ParseOptions { predefined: predefined.to_vec(), ..ParseOptions::default() };
    let text = &map.file(file).text;
    match kind {
        Kind::Script => hark_syntax::parse(file, text, &options),
        Kind::Header => hark_syntax::parse_header(file, text, &options),
    }
}

/// The script in `file` with everything that it takes in.
pub(crate) fn parse(
    map: &SourceMap,
    file: FileId,
    target: &Target,
    sources: &Sources,
) -> (Script, Vec<Diagnostic>) {
    let mut diags = sources.diags.clone();
    let mut predefined = predefined(target);
    let mut before = Script::default();
    for (id, kind) in &sources.parts {
        let part = parsed(map, *id, *kind, &predefined);
        predefined.extend(part.defined);
        diags.extend(part.diags);
        if let Some(item) = part.script.config.first() {
            let message = "an imported file has no config block: settings are the script's own";
            diags.push(Diagnostic::error(Code::SECTION_ORDER, item.key.span, message));
        }
        before.defines.extend(part.script.defines);
        before.c_defs.extend(part.script.c_defs);
        before.items.extend(part.script.items);
    }
    let Parsed { mut script, diags: more, .. } = parsed(map, file, Kind::Script, &predefined);
    diags.extend(more);
    if !sources.gathered {
        for import in &script.imports {
            let message = format!("cannot import {}: there are no files here", import.path);
            diags.push(Diagnostic::error(Code::CANNOT_READ, import.span, message));
        }
    }
    if !sources.parts.is_empty() {
        script.defines.splice(0..0, before.defines);
        script.c_defs.splice(0..0, before.c_defs);
        script.items.splice(0..0, before.items);
    }
    (script, diags)
}
