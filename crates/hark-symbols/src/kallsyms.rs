//! `/proc/kallsyms`: names of kernel addresses.
//!
//! The text has 100,000 to 250,000 lines, and most scripts look up a dozen addresses. It stays text: the kernel's own
//! part is sorted by address, so a look-up is a binary search over lines; only the modules' part, short and unsorted,
//! is indexed, once.

use std::cmp::Ordering;
use std::sync::OnceLock;

use crate::map_file::FileBytes;

/// The text of `/proc/kallsyms`.
#[derive(Debug)]
pub struct Kallsyms {
    text: FileBytes,
    /// Where the modules' lines begin.
    modules_at: usize,
    /// Address and start of each of the modules' lines, by address; made when first needed.
    modules: OnceLock<Vec<(u64, usize)>>,
}

/// A line of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelSymbol<'a> {
    /// Address; 0 when hidden from this process.
    pub addr: u64,
    /// Letter that `nm` prints: `T`/`t` for code, upper case for global.
    pub letter: u8,
    /// Name.
    pub name: &'a str,
    /// Module; `None` for the kernel itself, `bpf` for programs.
    pub module: Option<&'a str>,
}

/// How far from a module's symbol an address may be and still belong to it: its size is not told.
const MODULE_REACH: u64 = 16 << 20;

impl Kallsyms {
    /// Takes the text, of which nothing but about 20 lines is read now.
    pub fn parse(text: impl Into<FileBytes>) -> Kallsyms {
        let text = text.into();
        let modules_at = first_line(&text, text.len(), |line| line.ends_with(b"]"));
        Kallsyms { text, modules_at, modules: OnceLock::new() }
    }

    /// Whether the kernel shows zeros instead of addresses: `kernel.kptr_restrict`, or too few privileges.
    pub fn is_hidden(&self) -> bool {
        let before = line_start(&self.text, self.modules_at.saturating_sub(2));
        self.line(before).is_none_or(|s| s.addr == 0)
    }

    /// All symbols, in the kernel's order.
    pub fn symbols(&self) -> impl Iterator<Item = KernelSymbol<'_>> {
        self.text.split(|b| *b == b'\n').filter_map(symbol)
    }

    /// The symbol at or before an address, and the distance to it. Of several names at one address the first, as the
    /// kernel itself prints them. `None` for addresses that are in no code or data of the kernel.
    pub fn lookup(&self, addr: u64) -> Option<(KernelSymbol<'_>, u64)> {
        let core = self.lookup_core(addr);
        let module = self.lookup_module(addr);
        let best = match (core, module) {
            (Some(a), Some(b)) if b.addr > a.addr => b,
            (a, b) => a.or(b)?,
        };
        Some((best, addr - best.addr))
    }

    fn lookup_core(&self, addr: u64) -> Option<KernelSymbol<'_>> {
        let after = first_line(&self.text, self.modules_at, |line| {
            symbol(line).is_none_or(|s| s.addr.cmp(&addr) == Ordering::Greater)
        });
        // Nothing says how far the last symbol (`_end`) reaches: not at all.
        let mut at = line_start(&self.text, after.checked_sub(2)?);
        let mut found = self.line(at)?;
        if found.addr > addr || found.addr == 0 || (after >= self.modules_at && found.addr != addr) {
            return None;
        }
        while let Some(before) = at.checked_sub(2).map(|i| line_start(&self.text, i)) {
            match self.line(before) {
                Some(alias) if alias.addr == found.addr => (at, found) = (before, alias),
                _ => break,
            }
        }
        Some(found)
    }

    fn lookup_module(&self, addr: u64) -> Option<KernelSymbol<'_>> {
        let index = self.modules.get_or_init(|| {
            let mut index = Vec::new();
            let mut at = self.modules_at;
            for line in self.text[self.modules_at..].split(|b| *b == b'\n') {
                index.extend(symbol(line).map(|s| (s.addr, at)));
                at += line.len() + 1;
            }
            index.sort_unstable();
            index
        });
        let i = index.partition_point(|(start, _)| *start <= addr).checked_sub(1)?;
        let start = index[i].0;
        let first = index[..i].partition_point(|(s, _)| *s < start);
        (start != 0 && addr - start < MODULE_REACH).then(|| self.line(index[first].1))?
    }

    /// The address of a symbol; the kernel's own before a module's. 0 when hidden.
    pub fn addr_of(&self, name: &str) -> Option<u64> {
        let fits = |line: &&[u8]| {
            line.get(NAME_AT..)
                .and_then(|l| l.strip_prefix(name.as_bytes()))
                .is_some_and(|rest| matches!(rest.first(), None | Some(b'\t')))
        };
        let line = self.text.split(|b| *b == b'\n').find(fits)?;
        symbol(line).filter(|s| s.name == name).map(|s| s.addr)
    }

    fn line(&self, at: usize) -> Option<KernelSymbol<'_>> {
        let tail = self.text.get(at..)?;
        symbol(&tail[..tail.iter().position(|b| *b == b'\n').unwrap_or(tail.len())])
    }
}

/// Column of the name: 16 digits, space, letter, space.
const NAME_AT: usize = 19;

/// `ffffffff81000000 T _text` or, of a module, with `\t[name]` after it.
fn symbol(line: &[u8]) -> Option<KernelSymbol<'_>> {
    let line = std::str::from_utf8(line).ok()?;
    let (addr, rest) = line.split_at_checked(16)?;
    let addr = u64::from_str_radix(addr, 16).ok()?;
    let [b' ', letter, b' ', ..] = rest.as_bytes() else { return None };
    let letter = *letter;
    let (name, module) = match rest[3..].split_once('\t') {
        Some((name, module)) => (name, module.strip_prefix('[')?.strip_suffix(']')),
        None => (&rest[3..], None),
    };
    (!name.is_empty()).then_some(KernelSymbol { addr, letter, name, module })
}

/// Start of the line that holds the byte `at`.
fn line_start(text: &[u8], at: usize) -> usize {
    let at = at.min(text.len());
    text[..at].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1)
}

/// Start of the first line before `end` that `is_after` accepts, given that it accepts all that follow; `end` if none.
fn first_line(text: &[u8], end: usize, is_after: impl Fn(&[u8]) -> bool) -> usize {
    let (mut low, mut high) = (0, end);
    while low < high {
        let start = line_start(text, low + (high - low) / 2).max(low);
        let len = text[start..end].iter().position(|b| *b == b'\n').unwrap_or(end - start);
        if len > 0 && is_after(&text[start..start + len]) {
            high = start;
        } else {
            low = (start + len + 1).min(end);
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000100 t do_one_initcall
ffffffff81000200 T vfs_read
ffffffff81000300 B _end
ffffffffc0002000 t later\t[ext4]
ffffffffc0001000 t ext4_read\t[ext4]
ffffffffc0001000 t ext4_alias\t[ext4]
ffffffffc0003000 t bpf_prog_6deef7357e7b4530_x\t[bpf]
";

    fn text_of(symbols: &Kallsyms, addr: u64) -> String {
        match symbols.lookup(addr) {
            Some((s, off)) => format!("{}+{off} [{}]", s.name, s.module.unwrap_or("-")),
            None => "none".to_owned(),
        }
    }

    #[test]
    fn names_addresses() {
        let k = Kallsyms::parse(TEXT.as_bytes().to_vec());
        assert!(!k.is_hidden());
        assert_eq!(text_of(&k, 0xffff_ffff_8100_0000), "_stext+0 [-]");
        assert_eq!(text_of(&k, 0xffff_ffff_8100_01ff), "do_one_initcall+255 [-]");
        assert_eq!(text_of(&k, 0xffff_ffff_8100_0204), "vfs_read+4 [-]");
        assert_eq!(text_of(&k, 0xffff_ffff_8100_0301), "none");
        assert_eq!(text_of(&k, 0xffff_ffff_c000_1004), "ext4_read+4 [ext4]");
        assert_eq!(text_of(&k, 0xffff_ffff_c000_2001), "later+1 [ext4]");
        assert_eq!(text_of(&k, 0xffff_ffff_d000_2001), "none");
        assert_eq!(text_of(&k, 0x1000), "none");
    }

    #[test]
    fn finds_addresses_of_names() {
        let k = Kallsyms::parse(TEXT.as_bytes().to_vec());
        assert_eq!(k.addr_of("vfs_read"), Some(0xffff_ffff_8100_0200));
        assert_eq!(k.addr_of("ext4_read"), Some(0xffff_ffff_c000_1000));
        assert_eq!(k.addr_of("vfs_rea"), None);
        assert_eq!(k.symbols().count(), 10);
    }

    #[test]
    fn says_when_addresses_are_hidden() {
        let hidden = Kallsyms::parse(b"0000000000000000 T _text\n0000000000000000 T _end\n".to_vec());
        assert!(hidden.is_hidden());
        assert_eq!(hidden.lookup(0x1000), None);
        assert!(Kallsyms::parse(Vec::new()).is_hidden());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn agrees_with_a_linear_search(
            mut starts in proptest::collection::btree_set(1u64..500, 1..40),
            probe in 0u64..600,
        ) {
            let last = starts.pop_last().expect("not empty");
            let line = |a: &u64| format!("{a:016x} T f{a}\n");
            let text: String = starts.iter().chain([&last]).map(line).collect();
            let k = Kallsyms::parse(text.into_bytes());
            let expected = match starts.range(..=probe).next_back() {
                _ if probe == last => Some(last),
                Some(a) if probe < last => Some(*a),
                _ => None,
            };
            prop_assert_eq!(k.lookup(probe).map(|(s, _)| s.addr), expected);
        }

        #[test]
        fn takes_any_bytes(text in proptest::collection::vec(any::<u8>(), 0..200), addr in any::<u64>()) {
            let k = Kallsyms::parse(text);
            let _ = (k.lookup(addr), k.addr_of("x"), k.is_hidden(), k.symbols().count());
        }
    }
}
