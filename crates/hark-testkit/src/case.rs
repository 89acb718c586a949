//! One case is one file: a header, the input, and what is expected of it.
//!
//! ```text
//! //! kernel = "6.1"                      header: `key = value`; other `//!` lines are prose
//! //! Counts reads of one process.
//! kprobe:vfs_read { @ = count(); }        the input
//!
//! //= asm                                 one block for each expectation
//! // r1 = 0
//! ```
//!
//! The input is a script, IR text or assembly; the file's extension says which. Header and blocks look the same in all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::value::Value;

/// A case file, taken apart.
#[derive(Clone, Debug)]
pub struct CaseFile {
    /// Where it was read from.
    pub path: PathBuf,
    /// Its path below the directory of cases, without extension: `opt/const-fold/add`.
    pub name: String,
    header: BTreeMap<String, Value>,
    /// The file up to the first block, as written.
    head: String,
    /// How many lines of `head` are header.
    header_lines: usize,
    /// What is expected, in the order of the file.
    pub blocks: Vec<Block>,
}

/// One `//= name` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What the block speaks of: a stage of the compiler, an output stream.
    pub name: String,
    /// The text without the leading `// `; every line ends with a newline.
    pub text: String,
}

impl CaseFile {
    /// Reads a case from a file; `root` is the directory that its name is relative to.
    ///
    /// # Errors
    /// The file cannot be read, or its header or blocks are malformed.
    pub fn read(root: &Path, path: &Path) -> Result<Self> {
        let name = path.strip_prefix(root).unwrap_or(path).with_extension("").to_string_lossy().into_owned();
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(path, name, &text).with_context(|| path.display().to_string())
    }

    /// Takes a case's text apart.
    ///
    /// # Errors
    /// A header value is malformed, a key stands twice, or text follows a block.
    pub fn parse(path: &Path, name: String, text: &str) -> Result<Self> {
        let mut header = BTreeMap::new();
        let mut header_lines = 0;
        let mut head = String::new();
        let mut blocks: Vec<Block> = Vec::new();
        let mut in_header = true;
        for (number, line) in text.lines().enumerate() {
            let number = number + 1;
            if let Some(name) = line.strip_prefix("//= ") {
                blocks.push(Block { name: name.trim().to_owned(), text: String::new() });
                in_header = false;
            } else if let Some(block) = blocks.last_mut() {
                match line.strip_prefix("//") {
                    Some(rest) => {
                        block.text.push_str(rest.strip_prefix(' ').unwrap_or(rest));
                        block.text.push('\n');
                    }
                    None if line.trim().is_empty() => {}
                    None => bail!("line {number}: only expectations may follow the first `//=` block"),
                }
            } else {
                if in_header && let Some(rest) = line.strip_prefix("//!") {
                    header_lines = number;
                    if let Some((key, value)) = key_value(rest) {
                        let value = Value::parse(value).map_err(|e| anyhow::anyhow!("line {number}: {e}"))?;
                        if header.insert(key.to_owned(), value).is_some() {
                            bail!("line {number}: `{key}` is given twice");
                        }
                    }
                } else if line.starts_with("//!") {
                    bail!("line {number}: the header ended before this line, so it would not be read");
                } else {
                    in_header = false;
                }
                head.push_str(line);
                head.push('\n');
            }
        }
        Ok(Self { path: path.to_owned(), name, header, head, header_lines, blocks })
    }

    /// The input alone: what follows the header and precedes the blocks.
    pub fn input(&self) -> String {
        self.head
            .lines()
            .skip(self.header_lines)
            .flat_map(|line| [line, "\n"])
            .collect::<String>()
            .trim_end()
            .to_owned()
            + "\n"
    }

    /// The input with the header's lines left empty, so that line numbers are those of the file.
    pub fn input_in_place(&self) -> String {
        let blank = "\n".repeat(self.header_lines);
        let body: String = self.head.lines().skip(self.header_lines).flat_map(|line| [line, "\n"]).collect();
        blank + &body
    }

    /// Fails if the header has a key that is not in `known`: a misspelt key must not silently do nothing.
    ///
    /// # Errors
    /// Names the key and the known ones.
    pub fn check_keys(&self, known: &[&str]) -> Result<()> {
        match self.header.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => bail!("unknown header key `{key}`; known are: {}", known.join(", ")),
            None => Ok(()),
        }
    }

    /// The value of a header key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.header.get(key)
    }

    /// The string value of a header key.
    ///
    /// # Errors
    /// The value is not a string.
    pub fn str(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a string", Value::as_str)
    }

    /// The integer value of a header key.
    ///
    /// # Errors
    /// The value is not an integer.
    pub fn int(&self, key: &str) -> Result<Option<i64>> {
        self.typed(key, "an integer", Value::as_int)
    }

    /// The list of strings of a header key; empty if the key is absent.
    ///
    /// # Errors
    /// The value is neither a string nor a list of strings.
    pub fn strings(&self, key: &str) -> Result<Vec<String>> {
        Ok(self.typed(key, "a list of strings", Value::as_strings)?.unwrap_or_default())
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        what: &str,
        get: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.header.get(key) {
            Some(value) => match get(value) {
                Some(typed) => Ok(Some(typed)),
                None => bail!("header key `{key}` must be {what}, not {value}"),
            },
            None => Ok(None),
        }
    }

    /// The file's text with its blocks' contents replaced; `texts` has one entry for each block.
    pub fn with_blocks(&self, texts: &[String]) -> String {
        let mut out = self.head.trim_end().to_owned();
        out.push('\n');
        for (block, text) in self.blocks.iter().zip(texts) {
            out.push_str(&format!("\n//= {}\n", block.name));
            for line in text.lines() {
                out.push_str(format!("// {line}").trim_end());
                out.push('\n');
            }
        }
        out
    }
}

/// Splits `key = value`; prose has no `=` after its first word.
fn key_value(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    let key = key.trim();
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '-' || c == '_');
    is_key.then_some((key, value.trim()))
}

/// Every file below `root` with one of the extensions, sorted by path.
///
/// # Errors
/// A directory cannot be read.
pub fn find(root: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        let entries = std::fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|e| extensions.iter().any(|known| e == *known)) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CaseFile> {
        CaseFile::parse(Path::new("x.bt"), "x".into(), text)
    }

    const CASE: &str = "//! kernel = \"6.1\"\n//! What it shows = nothing.\nBEGIN { }\n\n//= a\n// one\n//\n//   two\n\n//= b\n";

    #[test]
    fn takes_a_file_apart_and_puts_it_together_again() {
        let case = parse(CASE).unwrap();
        assert_eq!(case.str("kernel").unwrap(), Some("6.1"));
        assert_eq!(case.input(), "BEGIN { }\n");
        assert_eq!(case.input_in_place(), "\n\nBEGIN { }\n\n");
        assert_eq!(case.blocks[0].text, "one\n\n  two\n");
        assert_eq!(case.blocks[1].text, "");
        let texts: Vec<String> = case.blocks.iter().map(|block| block.text.clone()).collect();
        assert_eq!(case.with_blocks(&texts), CASE);
    }

    #[test]
    fn refuses_what_would_be_overlooked() {
        assert!(parse("//! kernel = 6.1\n").is_err());
        assert!(parse("//! a = 1\n//! a = 2\n").is_err());
        assert!(parse("//= a\n// one\nstray\n").is_err());
        assert!(parse("//! a = 1\n\n//! b = 2\n").is_err());
        let case = parse("//! kernle = \"6.1\"\n").unwrap();
        assert!(case.check_keys(&["kernel"]).unwrap_err().to_string().contains("kernle"));
        assert!(case.int("kernle").is_err());
    }
}
