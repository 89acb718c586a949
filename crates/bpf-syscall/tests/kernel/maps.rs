//! Maps from user space.

use crate::kernel;
use bpf_facts::MapType;
use bpf_syscall::{Errno, Kernel, MapCreate, MapFd, MapShape, UpdateMode, drain, walk};
use std::collections::BTreeMap;
use std::fs::File;

/// A value as long as `map` wants it, whose every CPU holds `n` (plus the CPU's number).
fn value(map: &MapFd, n: u64) -> Vec<u8> {
    (0..u64::from(map.shape().copies)).flat_map(|cpu| (n + cpu).to_ne_bytes()).collect()
}

fn contents(kernel: &dyn Kernel, map: &MapFd) -> BTreeMap<u32, Vec<u8>> {
    let mut found = BTreeMap::new();
    walk(kernel, map, &mut |key, value| {
        let key = u32::from_ne_bytes(key.try_into().expect("4 bytes"));
        assert!(found.insert(key, value.to_vec()).is_none(), "{key} came twice");
    })
    .expect("walked");
    found
}

#[test]
fn hashes_keep_what_they_are_given() {
    let Some(kernel) = kernel() else { return };
    for ty in [MapType::Hash, MapType::PercpuHash, MapType::LruHash, MapType::LruPercpuHash] {
        let map = kernel.map_create(&MapCreate::new("hash", ty, 4, 8, 64)).expect("a map");
        let mut out = value(&map, 0);
        let key = 7u32.to_ne_bytes();
        assert!(!kernel.map_lookup(&map, &key, &mut out).expect("asked"), "{ty:?}: nothing there yet");
        let missing = kernel.map_update(&map, &key, &value(&map, 1), UpdateMode::Replace);
        assert_eq!(missing.expect_err("nothing to replace").errno, Errno::ENOENT);
        kernel.map_update(&map, &key, &value(&map, 40), UpdateMode::Create).expect("created");
        let twice = kernel.map_update(&map, &key, &value(&map, 1), UpdateMode::Create);
        assert_eq!(twice.expect_err("there already").errno, Errno::EEXIST);
        assert!(kernel.map_lookup(&map, &key, &mut out).expect("asked"));
        assert_eq!(out, value(&map, 40), "{ty:?}");
        assert!(kernel.map_delete(&map, &key).expect("deleted"));
        assert!(!kernel.map_delete(&map, &key).expect("asked"));
        assert!(!kernel.map_next_key(&map, None, &mut [0; 4]).expect("asked"), "{ty:?}: empty again");
    }
}

#[test]
fn arrays_are_full_of_zeroes() {
    let Some(kernel) = kernel() else { return };
    for ty in [MapType::Array, MapType::PercpuArray] {
        let map = kernel.map_create(&MapCreate::new("array", ty, 4, 8, 3)).expect("a map");
        kernel.map_update(&map, &1u32.to_ne_bytes(), &value(&map, 9), UpdateMode::Any).expect("set");
        let zero = vec![0; map.shape().value_bytes()];
        let expected = BTreeMap::from([(0, zero.clone()), (1, value(&map, 9)), (2, zero)]);
        assert_eq!(contents(&kernel, &map), expected, "{ty:?}");
        let full = kernel.map_update(&map, &3u32.to_ne_bytes(), &value(&map, 9), UpdateMode::Any);
        assert_eq!(full.expect_err("out of range").errno, Errno::E2BIG);
    }
}

#[test]
fn walking_and_draining_see_every_entry_once() {
    let Some(kernel) = kernel() else { return };
    for ty in [MapType::Hash, MapType::PercpuHash] {
        let map = kernel.map_create(&MapCreate::new("many", ty, 4, 8, 10_000)).expect("a map");
        let mut expected = BTreeMap::new();
        for key in 0..5000u32 {
            kernel
                .map_update(&map, &key.to_ne_bytes(), &value(&map, key.into()), UpdateMode::Any)
                .expect("set");
            expected.insert(key, value(&map, key.into()));
        }
        assert_eq!(contents(&kernel, &map), expected);
        let mut drained = BTreeMap::new();
        drain(&kernel, &map, &mut |key, value| {
            drained.insert(u32::from_ne_bytes(key.try_into().expect("4 bytes")), value.to_vec());
        })
        .expect("drained");
        assert_eq!(drained, expected);
        assert!(contents(&kernel, &map).is_empty());
    }
}

#[test]
fn queues_have_no_keys() {
    let Some(kernel) = kernel() else { return };
    let map = kernel.map_create(&MapCreate::new("queue", MapType::Queue, 0, 8, 4)).expect("a map");
    for n in [1u64, 2] {
        kernel.map_update(&map, &[], &n.to_ne_bytes(), UpdateMode::Any).expect("pushed");
    }
    let mut out = [0; 8];
    assert!(kernel.map_lookup_and_delete(&map, &[], &mut out).expect("popped"));
    assert_eq!(u64::from_ne_bytes(out), 1);
}

#[test]
fn frozen_maps_are_read_only() {
    let Some(kernel) = kernel() else { return };
    let map = kernel.map_create(&MapCreate::new("frozen", MapType::Array, 4, 8, 1)).expect("a map");
    kernel.map_freeze(&map).expect("frozen");
    let error = kernel.map_update(&map, &[0; 4], &[0; 8], UpdateMode::Any).expect_err("read-only");
    assert_eq!(error.errno, Errno::EPERM);
}

#[test]
fn the_kernel_never_gets_a_buffer_that_is_too_short() {
    let Some(kernel) = kernel() else { return };
    let map = kernel.map_create(&MapCreate::new("small", MapType::PercpuArray, 4, 8, 1)).expect("a map");
    let invalid = |result: bpf_syscall::Result<bool>| result.expect_err("refused").errno;
    let short = map.shape().value_bytes() - 1;
    assert_eq!(invalid(kernel.map_lookup(&map, &[0; 4], &mut vec![0; short])), Errno::EINVAL);
    assert_eq!(invalid(kernel.map_lookup(&map, &[0; 3], &mut value(&map, 0))), Errno::EINVAL);
    assert_eq!(invalid(kernel.map_next_key(&map, None, &mut [0; 3])), Errno::EINVAL);

    // Nor a map whose shape is only claimed.
    let null = File::open("/dev/null").expect("a file");
    let shape = MapShape { ty: MapType::Array, key_size: 4, value_size: 8, max_entries: 1, copies: 1 };
    let simulated = MapFd::simulated(null.into(), shape, "simulated");
    assert_eq!(invalid(kernel.map_lookup(&simulated, &[0; 4], &mut [0; 8])), Errno::EBADF);
    assert_eq!(kernel.open_ring(&simulated).err().expect("refused").errno, Errno::EINVAL);
}

#[test]
fn errors_name_the_map() {
    let Some(kernel) = kernel() else { return };
    let error =
        kernel.map_create(&MapCreate::new("@huge", MapType::Hash, 4, 1 << 30, u32::MAX)).expect_err("huge");
    assert!(error.to_string().starts_with("bpf(BPF_MAP_CREATE) of @huge: "), "{error}");
    assert!(error.hint.is_some());
}
