//! Static probes in user programs: the notes that `DTRACE_PROBE` and `STAP_PROBE` leave.
//!
//! Format: <https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation>.

use byteorder::{BigEndian, ByteOrder, LittleEndian};
use goblin::container::Ctx;

use crate::elf::{Elf, string_at};

/// One place in a program where a static probe was compiled in. A probe may have many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsdtProbe<'a> {
    /// Provider, usually the program's or library's name.
    pub provider: &'a str,
    /// Name of the probe.
    pub name: &'a str,
    /// Virtual address of the instruction, before relocation.
    pub addr: u64,
    /// Offset of the instruction in the file: what a uprobe is attached to.
    pub offset: u64,
    /// Virtual address of the 16-bit counter that switches the probe on while it is above 0; `None` if the probe is
    /// always on.
    pub semaphore: Option<u64>,
    /// Offset of that counter in the file, for the kernel to count (`ref_ctr_offset`).
    pub semaphore_offset: Option<u64>,
    /// Where the arguments are: see [`crate::parse_args`].
    pub args: &'a str,
}

pub(crate) struct Note<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) ty: u32,
    pub(crate) desc: &'a [u8],
}

/// The notes of a section. Stops at the first that does not fit.
pub(crate) fn notes(mut data: &[u8], ctx: Ctx) -> impl Iterator<Item = Note<'_>> {
    let number =
        move |b: &[u8]| if ctx.le.is_little() { LittleEndian::read_u32(b) } else { BigEndian::read_u32(b) };
    std::iter::from_fn(move || {
        let (head, rest) = data.split_at_checked(12)?;
        let (name_len, desc_len, ty) =
            (number(head) as usize, number(&head[4..]) as usize, number(&head[8..]));
        let name = rest.get(..name_len)?;
        let rest = rest.get(name_len.checked_next_multiple_of(4)?..)?;
        let desc = rest.get(..desc_len)?;
        data = desc_len.checked_next_multiple_of(4).and_then(|n| rest.get(n..)).unwrap_or(&[]);
        Some(Note { name: name.strip_suffix(b"\0").unwrap_or(name), ty, desc })
    })
}

const NT_STAPSDT: u32 = 3;

impl Elf {
    /// The static probes of this file, in file order. Places outside every segment are left out.
    pub fn usdt_probes(&self) -> Vec<UsdtProbe<'_>> {
        let Some(data) = self.section(".note.stapsdt") else { return Vec::new() };
        // Prelinking moves sections but not notes; this section says by how much.
        let base_now = self.section_address(".stapsdt.base");
        notes(data, self.ctx())
            .filter(|note| note.name == b"stapsdt" && note.ty == NT_STAPSDT)
            .filter_map(|note| self.usdt_probe(note.desc, base_now))
            .collect()
    }

    fn usdt_probe<'a>(&self, desc: &'a [u8], base_now: Option<u64>) -> Option<UsdtProbe<'a>> {
        let width = if self.ctx().is_big() { 8 } else { 4 };
        let (addresses, texts) = desc.split_at_checked(3 * width)?;
        let word = |i: usize| {
            let bytes = &addresses[i * width..(i + 1) * width];
            if self.ctx().le.is_little() {
                LittleEndian::read_uint(bytes, width)
            } else {
                BigEndian::read_uint(bytes, width)
            }
        };
        let moved = base_now.map_or(0, |now| now.wrapping_sub(word(1)));
        let addr = word(0).wrapping_add(moved);
        let semaphore = (word(2) != 0).then(|| word(2).wrapping_add(moved));
        let provider = string_at(texts, 0)?;
        let texts = &texts[provider.len() + 1..];
        let name = string_at(texts, 0)?;
        let args = string_at(&texts[name.len() + 1..], 0).unwrap_or("");
        Some(UsdtProbe {
            provider,
            name,
            addr,
            offset: self.file_offset(addr)?,
            semaphore,
            semaphore_offset: semaphore.and_then(|addr| self.data_offset(addr)),
            args,
        })
    }

    /// Offset of a datum: as [`Elf::file_offset`], but data before code.
    fn data_offset(&self, addr: u64) -> Option<u64> {
        let data = self.segments().iter().filter(|s| !s.executable);
        let inside = |s: &&crate::elf::Segment| addr.checked_sub(s.addr).is_some_and(|n| n < s.file_size);
        match data.clone().find(inside) {
            Some(s) => (addr - s.addr).checked_add(s.offset),
            None => self.file_offset(addr),
        }
    }
}
