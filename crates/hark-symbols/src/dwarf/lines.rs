//! From a source line to the instructions it begins with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{DebugError, DebugInfo, Dwarf, Unit, text};

/// Most address ranges of functions looked at in one unit.
const MAX_RANGES: usize = 1 << 20;

/// Most rows of one line looked at in one unit.
const MAX_ROWS: usize = 1024;

/// A place in the code where a source line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinePlace {
    /// The line, which is the one asked for or the next that has code.
    pub line: u64,
    /// Virtual address, before relocation.
    pub addr: u64,
    /// Offset in the file: what a uprobe is attached to.
    pub offset: u64,
}

/// A row of the line table that may be the answer.
struct Row {
    line: u64,
    column: u64,
    addr: u64,
}

impl DebugInfo {
    /// Where a line of a source file begins: one place in each function that has it, and one wherever such a
    /// function was inlined. `file` is a path or the end of one (`main.c`, `src/main.c`). A line without code stands
    /// for the next one that has some, as in debuggers; a column likewise. Empty if the file is not known or has no
    /// code from there on.
    ///
    /// # Errors
    /// [`DebugError::Broken`].
    pub fn line(&self, file: &str, line: u64, column: Option<u64>) -> Result<Vec<LinePlace>, DebugError> {
        let dwarf = self.dwarf();
        let mut by_unit = Vec::new();
        for unit in self.units(&dwarf) {
            let rows = rows(&dwarf, &unit, file, line).map_err(|e| self.broken(e.to_string()))?;
            if !rows.is_empty() {
                by_unit.push((unit, rows));
            }
        }
        let all = || by_unit.iter().flat_map(|(_, rows)| rows);
        let Some(best) = all().map(|r| r.line).min() else { return Ok(Vec::new()) };
        let on_line = all().filter(|r| r.line == best);
        let best_column = column.and_then(|c| on_line.map(|r| r.column).filter(|have| *have >= c).min());
        let mut places = Vec::new();
        for (unit, rows) in &by_unit {
            let scopes = scopes(&dwarf, unit);
            let mut first: BTreeMap<Option<usize>, u64> = BTreeMap::new();
            let fitting = rows.iter().filter(|r| r.line == best && best_column.is_none_or(|c| r.column == c));
            for row in fitting.take(MAX_ROWS) {
                let innermost = scopes.iter().filter(|s| s.start <= row.addr && row.addr < s.end);
                let scope = innermost.max_by_key(|s| s.depth).map(|s| s.entry);
                first.entry(scope).and_modify(|a| *a = (*a).min(row.addr)).or_insert(row.addr);
            }
            places.extend(first.into_values().filter_map(|addr| {
                Some(LinePlace { line: best, addr, offset: self.binary.file_offset(addr)? })
            }));
        }
        places.sort_unstable();
        places.dedup();
        Ok(places)
    }
}

/// The rows of a unit's line table at or after a line of a file.
fn rows(dwarf: &Dwarf<'_>, unit: &Unit<'_>, file: &str, line: u64) -> gimli::Result<Vec<Row>> {
    let mut found = Vec::new();
    let Some(program) = unit.line_program.clone() else { return Ok(found) };
    let header = program.header();
    let dir = unit.comp_dir.and_then(|d| std::str::from_utf8(d.slice()).ok()).unwrap_or("");
    let is_wanted = |index: u64| {
        let entry = header.file(index)?;
        let mut path = PathBuf::from(dir);
        path.push(entry.directory(header).and_then(|d| text(dwarf, unit, d)).unwrap_or(""));
        path.push(text(dwarf, unit, entry.path_name())?);
        // Whole names only: `debug.c` is no `bug.c`.
        path.ends_with(file).then_some(index)
    };
    // Numbered from 0 since DWARF 5, from 1 before.
    let wanted: Vec<u64> = (0..=header.file_names().len() as u64).filter_map(is_wanted).collect();
    if wanted.is_empty() {
        return Ok(found);
    }
    let mut rows = program.rows();
    while let Some((_, row)) = rows.next_row()? {
        let Some(at) = row.line() else { continue };
        if at.get() >= line && row.is_stmt() && !row.end_sequence() && wanted.contains(&row.file_index()) {
            let column = match row.column() {
                gimli::ColumnType::LeftEdge => 0,
                gimli::ColumnType::Column(c) => c.get(),
            };
            found.push(Row { line: at.get(), column, addr: row.address() });
        }
    }
    Ok(found)
}

/// A range of code that belongs to a function or to an inlined copy of one.
struct Scope {
    entry: usize,
    depth: isize,
    start: u64,
    end: u64,
}

fn scopes(dwarf: &Dwarf<'_>, unit: &Unit<'_>) -> Vec<Scope> {
    let mut scopes = Vec::new();
    let mut entries = unit.entries();
    while let Ok(Some(entry)) = entries.next_dfs() {
        if !matches!(entry.tag(), gimli::DW_TAG_subprogram | gimli::DW_TAG_inlined_subroutine) {
            continue;
        }
        let Ok(mut ranges) = dwarf.die_ranges(unit, entry) else { continue };
        while let Ok(Some(range)) = ranges.next() {
            if scopes.len() >= MAX_RANGES {
                return scopes;
            }
            let (entry, depth) = (entry.offset().0, entry.depth());
            scopes.push(Scope { entry, depth, start: range.begin, end: range.end });
        }
    }
    scopes
}
