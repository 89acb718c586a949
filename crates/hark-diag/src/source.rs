//! Source files and places in them.

/// A file of the [`SourceMap`] it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileId(pub u32);

/// A half-open range of bytes in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub lo: u32,
    /// One past the last byte.
    pub hi: u32,
}

impl Span {
    /// A span of `lo..hi` in `file`.
    pub fn new(file: FileId, lo: u32, hi: u32) -> Self {
        Self { file, lo, hi }
    }

    /// The smallest span that covers both; both must be of one file, otherwise `self` is returned.
    pub fn to(self, other: Span) -> Span {
        if self.file != other.file {
            return self;
        }
        Span { file: self.file, lo: self.lo.min(other.lo), hi: self.hi.max(other.hi) }
    }
}

/// A place as people count it: both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineCol {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub col: u32,
}

/// One text with a name.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// What messages call it: a path, or `stdin` for `-e` and `-`.
    pub name: String,
    /// The text.
    pub text: String,
    line_starts: Vec<u32>,
}

/// All texts that a script is made of.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// Adds a text. A text of 4 GiB or more is cut, as spans count in `u32`.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let text: String = text.into();
        let starts = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i as u32 + 1))
            .collect();
        let id = FileId(self.files.len() as u32);
        self.files.push(SourceFile { name: name.into(), text, line_starts: starts });
        id
    }

    /// All of them, in the order in which they were added.
    pub fn files(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter()
    }

    /// The file of `id`, which must come from this map.
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// The text under `span`; empty if the span does not fit the file.
    pub fn text(&self, span: Span) -> &str {
        self.files
            .get(span.file.0 as usize)
            .and_then(|f| f.text.get(span.lo as usize..span.hi as usize))
            .unwrap_or("")
    }

    /// Line and column of the first byte of `span`.
    pub fn line_col(&self, span: Span) -> LineCol {
        self.position(span.file, span.lo)
    }

    /// Line and column of one byte offset.
    pub fn position(&self, file: FileId, offset: u32) -> LineCol {
        let f = self.file(file);
        let line = f.line_starts.partition_point(|&s| s <= offset).max(1);
        let start = f.line_starts[line - 1] as usize;
        let end = (offset as usize).min(f.text.len());
        let col =
            f.text.as_bytes().get(start..end).map_or(0, |b| b.iter().filter(|b| **b & 0xc0 != 0x80).count());
        LineCol { line: line as u32, col: col as u32 + 1 }
    }

    /// How messages name a place: `file:LINE:COL-COL`, or `file:LINE-LINE` for one of several lines.
    pub fn place(&self, span: Span) -> String {
        let name = &self.file(span.file).name;
        let start = self.line_col(span);
        let end = self.position(span.file, span.hi.max(span.lo + 1));
        if start.line == end.line {
            format!("{name}:{}:{}-{}", start.line, start.col, end.col)
        } else {
            format!("{name}:{}-{}", start.line, end.line)
        }
    }

    /// The text of one line, from 1, without its line end; empty past the end.
    pub fn line(&self, file: FileId, line: u32) -> &str {
        let f = self.file(file);
        let Some(&start) = f.line_starts.get((line as usize).wrapping_sub(1)) else { return "" };
        let end = f.line_starts.get(line as usize).map_or(f.text.len(), |e| *e as usize);
        f.text.get(start as usize..end).unwrap_or("").trim_end_matches(['\n', '\r'])
    }
}
