//! The maps that generated programs use.

use bpf_facts::{MapFlags, MapType};
use bpf_syscall::{Kernel, MapCreate, MapFd, UpdateMode};
use verifier_sim::MapShape;

/// Content of the read-only array.
pub const CONSTANTS: [u8; 32] = *b"%d %s\0\x01\x02\x03\x04\0\0\0\0\xff\xff\xff\xff\x10\0\0\0\0\0\0abcdef\0";

/// Index of the ring buffer.
pub const RINGBUF: u32 = 2;
/// Index of the array whose value's address may be taken.
pub const DIRECT: u32 = 4;
/// Index of the stack trace map.
pub const STACKS: u32 = 5;
/// Index of the perf event array.
pub const EVENTS: u32 = 6;
/// Index of the read-only array.
pub const READ_ONLY: u32 = 8;
/// Index of the array of programs.
pub const PROGS: u32 = 7;
/// Indices of those that are pushed to.
pub const QUEUES: [u32; 3] = [10, 12, 13];
/// Index of the array of arrays.
pub const MAP_ARRAY: u32 = 14;
/// Those with keys and values for any use.
pub const TABLES: [u32; 7] = [0, 1, 3, 4, 8, 9, 11];

/// What they are.
pub fn shapes() -> Vec<MapShape> {
    let mut maps = vec![
        MapShape::new(MapType::Array, 4, 64, 4),
        MapShape::new(MapType::Hash, 8, 48, 16),
        MapShape::new(MapType::Ringbuf, 0, 0, 4096),
        MapShape::new(MapType::PercpuArray, 4, 16, 2),
        MapShape::new(MapType::Array, 4, 32, 1),
        MapShape::new(MapType::StackTrace, 4, 80, 16),
        MapShape::new(MapType::PerfEventArray, 4, 4, 2),
        MapShape::new(MapType::ProgArray, 4, 4, 4),
        MapShape::new(MapType::Array, 4, 32, 1),
        MapShape::new(MapType::LruHash, 16, 8, 16),
        MapShape::new(MapType::Queue, 0, 8, 16),
        MapShape::new(MapType::Hash, 4, 1024, 16),
        MapShape::new(MapType::Stack, 0, 8, 16),
        MapShape::new(MapType::BloomFilter, 0, 8, 16),
        MapShape::new(MapType::ArrayOfMaps, 4, 4, 2),
        MapShape::new(MapType::PercpuHash, 4, 24, 16),
        MapShape::new(MapType::LruPercpuHash, 8, 8, 16),
        MapShape::new(MapType::CgroupArray, 4, 4, 2),
    ];
    maps[MAP_ARRAY as usize].inner = Some(Box::new(maps[0].clone()));
    let constants = &mut maps[READ_ONLY as usize];
    constants.flags = MapFlags::RDONLY_PROG;
    constants.frozen = true;
    constants.data = Some(CONSTANTS.to_vec());
    maps
}

/// Makes them.
///
/// # Errors
/// If the kernel refuses one.
pub fn create(kernel: &dyn Kernel) -> anyhow::Result<Vec<MapFd>> {
    shapes().iter().enumerate().map(|(i, shape)| Ok(create_one(kernel, i, shape)?)).collect()
}

/// Makes number `i`.
///
/// # Errors
/// If the kernel refuses it.
pub fn create_one(kernel: &dyn Kernel, i: usize, shape: &MapShape) -> bpf_syscall::Result<MapFd> {
    let name = format!("agree{i}");
    let mut map = MapCreate::new(&name, shape.ty, shape.key_size, shape.value_size, shape.max_entries);
    map.flags = shape.flags;
    let inner = shape.inner.as_ref().map(|inner| create_one(kernel, i, inner)).transpose()?;
    map.inner = inner.as_ref();
    let fd = kernel.map_create(&map)?;
    if let Some(data) = &shape.data {
        kernel.map_update(&fd, &[0; 4], data, UpdateMode::Any)?;
        kernel.map_freeze(&fd)?;
    }
    Ok(fd)
}
