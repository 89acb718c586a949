//! A program with the functions it calls, in one piece.

use super::Kernel;
use super::btf_ext::{BtfExt, records};
use super::core_relo::{self, Core};
use super::maps::{MapTable, Place};
use crate::case::{Case, FuncInfo, LineInfo};
use bpf_facts::{ProgType, SECTIONS};
use ebpf_asm::unlinked::{
    self, BTF_VAR, CALL, CALL_KFUNC, CALL_LOCAL, FUNC, LOAD_IMM64, MAP_FD, MAP_VALUE, set_imm, set_src,
};
use hark_btf::{Btf, Kind, TypeId};
use hark_symbols::{ObjectFile, ObjectSymbol};

/// Bytes of an instruction.
const SLOT: u64 = 8;
/// Opcodes: a load of two slots, a call.
/// Call of a helper that no kernel has, for what must not be reached.
const POISON: i32 = 0x0bad_2310;
/// What an address that only the running kernel could tell is taken to be.
const SOME_ADDRESS: u64 = 0xffff_ffff_8100_0000;
/// Most functions of one program.
const MAX_FUNCTIONS: usize = 256;

pub(super) struct Linker<'a> {
    pub(super) object: &'a ObjectFile<'a>,
    pub(super) btf: Option<&'a Btf>,
    pub(super) ext: &'a BtfExt,
    pub(super) kernel: &'a Kernel,
}

/// A function that was put into the program: where it was, and where it is now.
struct Placed {
    section: usize,
    first: u32,
    slots: u32,
    at: u32,
}

type Link<T> = Result<T, String>;

impl<'a> Linker<'a> {
    /// The programs: functions in sections other than `.text`, in order.
    pub(super) fn programs(&self) -> Vec<(usize, &'a ObjectSymbol<'a>)> {
        let mut found = Vec::new();
        for (i, section) in self.object.sections.iter().enumerate() {
            if !section.code || section.name == ".text" {
                continue;
            }
            let mut inside: Vec<_> = self
                .object
                .symbols
                .iter()
                .filter(|s| s.function && s.global && s.section == Some(i))
                .collect();
            inside.sort_by_key(|s| s.value);
            found.extend(inside.into_iter().map(|s| (i, s)));
        }
        found
    }

    /// One program, linked. Its type is not set yet.
    pub(super) fn link(&self, section: usize, symbol: &ObjectSymbol<'_>, maps: &mut MapTable) -> Link<Case> {
        let mut case =
            Case::new(symbol.name, SECTIONS.first().map_or(ProgType::SocketFilter, |d| d.ty), Vec::new());
        let mut placed: Vec<Placed> = Vec::new();
        self.place(&mut case, &mut placed, section, symbol)?;
        let mut done = 0;
        // The kernel does not mind the order; libbpf follows calls as they come, depth first.
        self.relocate(&mut case, &mut placed, &mut done, 0, maps)?;
        case.funcs.sort_by_key(|f| f.slot);
        case.lines.sort_by_key(|l| l.slot);
        Ok(case)
    }

    /// Appends a function.
    fn place(
        &self,
        case: &mut Case,
        placed: &mut Vec<Placed>,
        section: usize,
        symbol: &ObjectSymbol<'_>,
    ) -> Link<usize> {
        if placed.len() >= MAX_FUNCTIONS {
            return Err(format!("it calls more than {MAX_FUNCTIONS} functions"));
        }
        let data = self.object.sections[section].data;
        let range = symbol.value as usize..(symbol.value.saturating_add(symbol.size)) as usize;
        let code =
            data.get(range).ok_or_else(|| format!("function {} lies outside of its section", symbol.name))?;
        let (slots, rest) = code.as_chunks::<8>();
        if slots.is_empty() || !rest.is_empty() {
            return Err(format!("function {} is no whole number of instructions", symbol.name));
        }
        let at = case.slots.len() as u32;
        case.slots.extend_from_slice(slots);
        let first = (symbol.value / SLOT) as u32;
        let name = self.object.sections[section].name;
        let inside = |slot: u32| (first..first + slots.len() as u32).contains(&slot);
        for record in records(&self.ext.funcs, name).iter().filter(|r| inside(r.slot)) {
            case.funcs.push(FuncInfo { slot: record.slot - first + at, type_id: record.type_id });
        }
        for r in records(&self.ext.lines, name).iter().filter(|r| inside(r.slot)) {
            let (line, column) = (r.line_col >> 10, r.line_col & 0x3ff);
            case.lines.push(LineInfo { slot: r.slot - first + at, file: r.file, text: r.text, line, column });
        }
        if let Some(btf) = self.btf {
            let core = Core { local: btf, kernel: self.kernel.btf.as_deref() };
            for record in records(&self.ext.core, name).iter().filter(|r| inside(r.slot)) {
                let place = (record.slot - first + at) as usize;
                core_relo::apply(&core, record, &mut case.slots, place)?;
            }
        }
        placed.push(Placed { section, first, slots: slots.len() as u32, at });
        Ok(placed.len() - 1)
    }

    /// Fills in what function `which` refers to, appending the functions it calls.
    fn relocate(
        &self,
        case: &mut Case,
        placed: &mut Vec<Placed>,
        done: &mut usize,
        which: usize,
        maps: &mut MapTable,
    ) -> Link<()> {
        *done += 1;
        if *done > MAX_FUNCTIONS {
            return Err(format!("it calls more than {MAX_FUNCTIONS} functions"));
        }
        let Placed { section, first, slots, at } = placed[which];
        let relocations = &self.object.sections[section].relocations;
        let mut i = 0;
        while i < slots {
            let place = (at + i) as usize;
            let slot = case.slots[place];
            let here = u64::from(first + i) * SLOT;
            let symbol = relocations
                .binary_search_by_key(&here, |r| r.offset)
                .ok()
                .and_then(|r| self.object.symbols.get(relocations[r].symbol));
            let imm = unlinked::imm(&slot);
            if slot[0] == CALL && unlinked::src(&slot) == CALL_LOCAL {
                let target = match symbol {
                    Some(symbol) => match symbol.section {
                        None => {
                            self.call_kernel(case, place, symbol)?;
                            i += 1;
                            continue;
                        }
                        Some(section) => (section, (symbol.value / SLOT) as i64 + i64::from(imm) + 1),
                    },
                    None => (section, i64::from(first + i) + i64::from(imm) + 1),
                };
                let to = self.function(case, placed, done, target, maps)?;
                set_imm(&mut case.slots[place], to as i32 - place as i32 - 1);
            } else if slot[0] == CALL && symbol.is_some_and(|s| s.section.is_none()) {
                self.call_kernel(case, place, symbol.expect("just looked at"))?;
            } else if slot[0] == LOAD_IMM64 {
                if let Some(symbol) = symbol {
                    self.load(case, placed, done, place, symbol, imm, maps)?;
                }
                i += 1;
            }
            i += 1;
        }
        Ok(())
    }

    /// Where the function at a slot of a section is in the program.
    fn function(
        &self,
        case: &mut Case,
        placed: &mut Vec<Placed>,
        done: &mut usize,
        (section, slot): (usize, i64),
        maps: &mut MapTable,
    ) -> Link<u32> {
        if let Some(p) = placed.iter().find(|p| p.section == section && i64::from(p.first) == slot) {
            return Ok(p.at);
        }
        let symbol = self
            .object
            .symbols
            .iter()
            .find(|s| s.function && s.section == Some(section) && (s.value / SLOT) as i64 == slot)
            .ok_or_else(|| {
                format!(
                    "it calls what is no function: slot {slot} of section {}",
                    self.object.sections[section].name
                )
            })?;
        let which = self.place(case, placed, section, symbol)?;
        self.relocate(case, placed, done, which, maps)?;
        Ok(placed[which].at)
    }

    #[expect(clippy::too_many_arguments, reason = "an instruction and what it refers to")]
    fn load(
        &self,
        case: &mut Case,
        placed: &mut Vec<Placed>,
        done: &mut usize,
        place: usize,
        symbol: &ObjectSymbol<'_>,
        imm: i32,
        maps: &mut MapTable,
    ) -> Link<()> {
        let Some(section) = symbol.section else { return self.load_extern(case, place, symbol, maps) };
        if self.object.sections[section].code {
            let target = (section, (symbol.value / SLOT) as i64 + i64::from(imm) / SLOT as i64);
            let to = self.function(case, placed, done, target, maps)?;
            set_src(&mut case.slots[place], FUNC);
            set_imm(&mut case.slots[place], to as i32 - place as i32 - 1);
            return Ok(());
        }
        let off = symbol.value.wrapping_add_signed(i64::from(imm));
        match maps.place(section, off) {
            Some(found) => refer(case, place, found),
            None => {
                return Err(format!(
                    "it refers to {:?} in section {}",
                    symbol.name, self.object.sections[section].name
                ));
            }
        }
        Ok(())
    }

    fn load_extern(
        &self,
        case: &mut Case,
        place: usize,
        symbol: &ObjectSymbol<'_>,
        maps: &MapTable,
    ) -> Link<()> {
        if let Some(found) = maps.config_place(symbol.name) {
            refer(case, place, found);
            return Ok(());
        }
        let name = essential_name(symbol.name);
        let typed = self.btf.and_then(|btf| {
            let var = btf.type_by_id(btf.find(Kind::Var, symbol.name)?)?;
            Some(btf.resolve(var.target()?).is_some_and(|ty| ty.kind() != Kind::Void))
        });
        let is_func = self.btf.is_some_and(|btf| btf.find(Kind::Func, symbol.name).is_some());
        let kernel = self.kernel.btf.as_deref();
        let kind = if is_func { Kind::Func } else { Kind::Var };
        let id = kernel.and_then(|btf| btf.find(kind, name));
        match id {
            Some(TypeId(id)) if typed == Some(true) => {
                set_src(&mut case.slots[place], BTF_VAR);
                set_imm(&mut case.slots[place], id as i32);
                set_imm(&mut case.slots[place + 1], 0);
            }
            Some(_) => set_const(case, place, SOME_ADDRESS),
            None if symbol.weak => set_const(case, place, 0),
            None if typed == Some(false) => set_const(case, place, SOME_ADDRESS),
            None => return Err(format!("the kernel has no {name}")),
        }
        Ok(())
    }

    fn call_kernel(&self, case: &mut Case, place: usize, symbol: &ObjectSymbol<'_>) -> Link<()> {
        let name = essential_name(symbol.name);
        let id = self.kernel.btf.as_deref().and_then(|btf| btf.find(Kind::Func, name));
        match id {
            Some(id) => {
                set_src(&mut case.slots[place], CALL_KFUNC);
                set_imm(&mut case.slots[place], id.0 as i32);
            }
            None if symbol.weak => poison(&mut case.slots[place]),
            None => return Err(format!("the kernel has no function {name}")),
        }
        Ok(())
    }
}

/// A name without what follows three underscores.
pub(super) fn essential_name(name: &str) -> &str {
    match name.rfind("___") {
        Some(at) if at > 0 => &name[..at],
        _ => name,
    }
}

fn refer(case: &mut Case, place: usize, found: Place) {
    let (src, low, high) = match found {
        Place::Map(map) => (MAP_FD, map, 0),
        Place::Value(map, off) => (MAP_VALUE, map, off),
    };
    set_src(&mut case.slots[place], src);
    set_imm(&mut case.slots[place], low as i32);
    set_imm(&mut case.slots[place + 1], high as i32);
}

fn set_const(case: &mut Case, place: usize, value: u64) {
    set_src(&mut case.slots[place], 0);
    set_imm(&mut case.slots[place], value as i32);
    set_imm(&mut case.slots[place + 1], (value >> 32) as i32);
}

/// Replaces an instruction by one that may stand only where it is never reached.
pub(super) fn poison(slot: &mut [u8; 8]) {
    *slot = [CALL, 0, 0, 0, 0, 0, 0, 0];
    set_imm(slot, POISON);
}
