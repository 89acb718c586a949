//! Maps of an object: those of `.maps` (defined by BTF), of `maps` (a struct of numbers), and those that hold its
//! variables.

use super::{ElfError, Kernel};
use crate::case::{CaseMap, MapBtf};
use crate::special::special_fields;
use bpf_facts::{MapFlags, MapType, map_type};
use hark_btf::{Btf, Kind, TypeId};
use hark_symbols::ObjectFile;
use std::sync::Arc;

/// Bytes of a page, of which a ring buffer has a power of two.
const PAGE: u32 = 4096;
/// Words of a legacy definition: type, key and value size, entries, flags.
const LEGACY_WORDS: usize = 5;

/// What a symbol refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The map itself.
    Map(u32),
    /// So many bytes into its one value.
    Value(u32, u32),
}

/// The maps, and which symbols and sections they belong to.
pub(super) struct MapTable {
    maps: Vec<CaseMap>,
    /// Map of a section and offset.
    defined: Vec<(usize, u64, u32)>,
    /// Map of a section of variables.
    data: Vec<(usize, u32)>,
    /// Variables of the kernel's configuration, by name: offset in their map.
    config: Option<(u32, Vec<(String, u32)>)>,
}

impl MapTable {
    pub(super) fn of(
        object: &ObjectFile<'_>,
        btf: Option<&Arc<Btf>>,
        kernel: &Kernel,
    ) -> Result<MapTable, ElfError> {
        let mut table = MapTable { maps: Vec::new(), defined: Vec::new(), data: Vec::new(), config: None };
        if let Some(section) = object.section("maps") {
            table.legacy(object, section)?;
        }
        if let (Some(section), Some(btf)) = (object.section(".maps"), btf) {
            table.by_btf(object, section, btf, kernel)?;
        }
        for (i, section) in object.sections.iter().enumerate() {
            let is = |prefix: &str| section.name == prefix || section.name.starts_with(&format!("{prefix}."));
            if !section.contents || section.code || section.size == 0 {
                continue;
            }
            let read_only = is(".rodata");
            if !(read_only || is(".data") || is(".bss")) {
                continue;
            }
            let data =
                if section.data.is_empty() { vec![0; section.size as usize] } else { section.data.to_vec() };
            table.variables(section.name, data, read_only, btf, Some(i));
        }
        if let Some(btf) = btf {
            table.configuration(btf, kernel)?;
        }
        Ok(table)
    }

    pub(super) fn maps(&self) -> &[CaseMap] {
        &self.maps
    }

    /// What `off` in `section` belongs to, where that holds maps or variables.
    pub(super) fn place(&self, section: usize, off: u64) -> Option<Place> {
        if let Some((_, map)) = self.data.iter().find(|(i, _)| *i == section) {
            return Some(Place::Value(*map, off as u32));
        }
        self.defined.iter().find(|(i, at, _)| (*i, *at) == (section, off)).map(|(.., map)| Place::Map(*map))
    }

    /// The place of a variable of the kernel's configuration.
    pub(super) fn config_place(&self, name: &str) -> Option<Place> {
        let (map, vars) = self.config.as_ref()?;
        vars.iter().find(|(n, _)| n == name).map(|(_, off)| Place::Value(*map, *off))
    }

    fn legacy(&mut self, object: &ObjectFile<'_>, section: usize) -> Result<(), ElfError> {
        let data = object.sections[section].data;
        let mut symbols: Vec<_> = object
            .symbols
            .iter()
            .filter(|s| s.section == Some(section) && !s.section_start && !s.name.is_empty())
            .collect();
        symbols.sort_by_key(|s| s.value);
        for symbol in symbols {
            let failed = |why: &str| ElfError::Map { name: symbol.name.to_string(), why: why.to_string() };
            let words: Vec<u32> = data
                .get(symbol.value as usize..)
                .unwrap_or_default()
                .chunks_exact(4)
                .take(LEGACY_WORDS)
                .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect();
            let &[ty, key, value, max, flags] = words.as_slice() else {
                return Err(failed("its definition is cut short"));
            };
            let ty = MapType::from_number(ty).ok_or_else(|| failed("its type is not known"))?;
            let mut map = CaseMap::new(symbol.name, ty, key, value, max);
            map.flags = flags;
            self.defined.push((section, symbol.value, self.maps.len() as u32));
            self.maps.push(map);
        }
        Ok(())
    }

    fn by_btf(
        &mut self,
        object: &ObjectFile<'_>,
        section: usize,
        btf: &Arc<Btf>,
        kernel: &Kernel,
    ) -> Result<(), ElfError> {
        let Some(id) = btf.find(Kind::Datasec, ".maps") else { return Ok(()) };
        let Some(datasec) = btf.type_by_id(id) else { return Ok(()) };
        for var in datasec.section_vars() {
            let Some(ty) = btf.type_by_id(var.var) else { continue };
            let name = ty.name().to_string();
            let failed = |why: String| ElfError::Map { name: name.clone(), why };
            let definition = ty.target().and_then(|id| btf.resolve(id));
            let definition = definition
                .filter(|ty| ty.kind() == Kind::Struct)
                .ok_or_else(|| failed("it is not defined by a struct".into()))?;
            let map = definition_of(&name, &definition, btf, kernel, true).map_err(failed)?;
            self.defined.push((section, u64::from(var.offset), self.maps.len() as u32));
            self.maps.push(map);
        }
        let _ = object;
        Ok(())
    }

    fn variables(
        &mut self,
        name: &str,
        data: Vec<u8>,
        read_only: bool,
        btf: Option<&Arc<Btf>>,
        section: Option<usize>,
    ) -> u32 {
        let mut map = CaseMap::new(name, MapType::Array, 4, data.len() as u32, 1);
        map.flags = MapFlags::MMAPABLE | if read_only { MapFlags::RDONLY_PROG } else { 0 };
        map.frozen = read_only;
        map.data = Some(data);
        if let Some(btf) = btf
            && let Some(id) = btf.find(Kind::Datasec, name)
        {
            map.special = special_fields(btf, id.0, None);
            map.btf = Some(MapBtf { btf: Arc::clone(btf), key: 0, value: id.0 });
        }
        let index = self.maps.len() as u32;
        if let Some(section) = section {
            self.data.push((section, index));
        }
        self.maps.push(map);
        index
    }

    fn configuration(&mut self, btf: &Arc<Btf>, kernel: &Kernel) -> Result<(), ElfError> {
        let Some(id) = btf.find(Kind::Datasec, ".kconfig") else { return Ok(()) };
        let Some(datasec) = btf.type_by_id(id) else { return Ok(()) };
        let mut data = vec![0; datasec.stated_size().unwrap_or(0) as usize];
        let mut places = Vec::new();
        for var in datasec.section_vars() {
            let name = btf.type_by_id(var.var).map_or("", |ty| ty.name());
            places.push((name.to_string(), var.offset));
            let value = config_value(name, kernel);
            let at = var.offset as usize;
            let size = (var.size as usize).min(data.len().saturating_sub(at));
            for (byte, v) in data[at..at + size].iter_mut().zip(value.iter()) {
                *byte = *v;
            }
        }
        let map = self.variables(".kconfig", data, true, Some(btf), None);
        self.config = Some((map, places));
        Ok(())
    }
}

/// The bytes of a variable of the kernel's configuration; none if the kernel says nothing of it.
fn config_value(name: &str, kernel: &Kernel) -> Vec<u8> {
    if name == "LINUX_KERNEL_VERSION" {
        let v = kernel.version;
        return (u32::from(v.0) << 16 | u32::from(v.1) << 8).to_le_bytes().to_vec();
    }
    let Some((_, value)) = kernel.config.iter().find(|(n, _)| n == name) else {
        return match name {
            // Every kernel that is traced has these.
            "LINUX_HAS_BPF_COOKIE" | "LINUX_HAS_SYSCALL_WRAPPER" => vec![1],
            _ => Vec::new(),
        };
    };
    match value.as_str() {
        // `enum libbpf_tristate`.
        "y" => vec![1],
        "m" => vec![2],
        "n" => vec![0],
        text if text.starts_with('"') => text.trim_matches('"').bytes().chain([0]).collect(),
        number => {
            let number = number.strip_prefix("0x").map_or_else(
                || number.parse::<i64>().unwrap_or(0),
                |hex| u64::from_str_radix(hex, 16).unwrap_or(0) as i64,
            );
            number.to_le_bytes().to_vec()
        }
    }
}

/// The number that a definition's member states: `int (*name)[N]`.
fn stated(btf: &Btf, member: TypeId) -> Result<u32, String> {
    let pointer = btf.resolve(member).filter(|ty| ty.kind() == Kind::Ptr);
    let array = pointer.and_then(|ty| btf.resolve(ty.target()?)).and_then(|ty| ty.array());
    array.map(|array| array.len).ok_or_else(|| "a number of its definition is not given as `__uint`".into())
}

fn pointed(btf: &Btf, member: TypeId) -> Option<TypeId> {
    btf.resolve(member).filter(|ty| ty.kind() == Kind::Ptr)?.target()
}

fn definition_of(
    name: &str,
    definition: &hark_btf::Type<'_>,
    btf: &Arc<Btf>,
    kernel: &Kernel,
    outer: bool,
) -> Result<CaseMap, String> {
    let mut map = CaseMap::new(name, MapType::Hash, 0, 0, 0);
    let (mut ty, mut key, mut value) = (0, 0, 0);
    for member in definition.members() {
        match member.name {
            "type" => ty = stated(btf, member.ty)?,
            "max_entries" => map.max_entries = stated(btf, member.ty)?,
            "map_flags" => map.flags = stated(btf, member.ty)?,
            "map_extra" => map.extra = u64::from(stated(btf, member.ty)?),
            "key_size" => map.key_size = stated(btf, member.ty)?,
            "value_size" => map.value_size = stated(btf, member.ty)?,
            "key" | "value" => {
                let id = pointed(btf, member.ty).ok_or("its key or value is not given as `__type`")?;
                let size = btf.size_of(id).ok_or("its key or value has no size")?;
                let size = u32::try_from(size).map_err(|_| "its key or value is too large")?;
                if member.name == "key" {
                    (key, map.key_size) = (id.0, size);
                } else {
                    (value, map.value_size) = (id.0, size);
                }
            }
            "values" if outer => {
                let array = btf.resolve(member.ty).and_then(|ty| ty.array());
                let element =
                    array.and_then(|array| pointed(btf, array.element)).and_then(|id| btf.resolve(id));
                match element {
                    Some(inner) if inner.kind() == Kind::Struct => {
                        let inner = definition_of(&format!("{name}.inner"), &inner, btf, kernel, false)?;
                        map.inner = Some(Box::new(inner));
                    }
                    // Functions, of a program array.
                    _ => {}
                }
                (map.key_size, map.value_size) = (4, 4);
            }
            _ => {}
        }
    }
    map.ty = MapType::from_number(ty).ok_or_else(|| format!("map type {ty} is not known"))?;
    adjust(&mut map, kernel);
    if (key != 0 || value != 0) && has_types(map.ty) {
        map.special = special_fields(btf, value, kernel.btf.as_deref());
        map.btf = Some(MapBtf { btf: Arc::clone(btf), key, value });
    }
    Ok(map)
}

/// What a definition may leave to the loader.
fn adjust(map: &mut CaseMap, kernel: &Kernel) {
    match map.ty {
        MapType::PerfEventArray if map.max_entries == 0 => map.max_entries = kernel.n_cpus,
        MapType::Ringbuf | MapType::UserRingbuf => {
            map.max_entries = map.max_entries.max(PAGE).checked_next_power_of_two().unwrap_or(1 << 31);
        }
        _ => {}
    }
    let def = map_type(map.ty);
    let exactly = |rule| matches!(rule, bpf_facts::SizeRule::Exactly(_));
    if map.key_size == 0 && def.is_some_and(|def| exactly(def.key)) {
        map.key_size = 4;
    }
    if map.value_size == 0
        && matches!(map.ty, MapType::PerfEventArray | MapType::CgroupArray | MapType::ProgArray)
    {
        map.value_size = 4;
    }
}

/// Whether the kernel takes types of keys and values for maps of this type.
fn has_types(ty: MapType) -> bool {
    !matches!(
        ty,
        MapType::PerfEventArray
            | MapType::CgroupArray
            | MapType::StackTrace
            | MapType::ArrayOfMaps
            | MapType::HashOfMaps
            | MapType::Devmap
            | MapType::DevmapHash
            | MapType::Cpumap
            | MapType::Xskmap
            | MapType::Sockmap
            | MapType::Sockhash
            | MapType::Queue
            | MapType::Stack
            | MapType::Arena
    )
}
