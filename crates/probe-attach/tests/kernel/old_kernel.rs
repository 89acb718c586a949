//! The running kernel, as if it were older than 5.15.

use bpf_syscall::{
    BtfFd, BtfInfo, Errno, IdKind, Kernel, LinkCreate, LinkFd, LinuxKernel, LoadError, Loaded, MapCreate,
    MapFd, PerfEvent, PerfFd, ProgFd, ProgInfo, ProgLoad, Records, Result, SysError, TestRun, TestRunResult,
    UpdateMode,
};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

/// Knows no links for perf events; everything else as it is.
pub(crate) struct OldKernel<'a>(pub(crate) &'a LinuxKernel);

impl Kernel for OldKernel<'_> {
    fn link_create(&self, link: &LinkCreate<'_>) -> Result<LinkFd> {
        match link {
            LinkCreate::PerfEvent { prog, .. } => {
                Err(SysError::new("bpf(BPF_LINK_CREATE)", prog.name(), Errno::EINVAL))
            }
            other => self.0.link_create(other),
        }
    }
    fn n_possible_cpus(&self) -> u32 {
        self.0.n_possible_cpus()
    }
    fn map_create(&self, map: &MapCreate<'_>) -> Result<MapFd> {
        self.0.map_create(map)
    }
    fn map_lookup(&self, map: &MapFd, key: &[u8], value: &mut [u8]) -> Result<bool> {
        self.0.map_lookup(map, key, value)
    }
    fn map_lookup_and_delete(&self, map: &MapFd, key: &[u8], value: &mut [u8]) -> Result<bool> {
        self.0.map_lookup_and_delete(map, key, value)
    }
    fn map_update(&self, map: &MapFd, key: &[u8], value: &[u8], mode: UpdateMode) -> Result<()> {
        self.0.map_update(map, key, value, mode)
    }
    fn map_delete(&self, map: &MapFd, key: &[u8]) -> Result<bool> {
        self.0.map_delete(map, key)
    }
    fn map_next_key(&self, map: &MapFd, after: Option<&[u8]>, next: &mut [u8]) -> Result<bool> {
        self.0.map_next_key(map, after, next)
    }
    fn map_freeze(&self, map: &MapFd) -> Result<()> {
        self.0.map_freeze(map)
    }
    fn prog_load(&self, prog: &ProgLoad<'_>) -> std::result::Result<Loaded, LoadError> {
        self.0.prog_load(prog)
    }
    fn prog_test_run(&self, prog: &ProgFd, run: &TestRun<'_>) -> Result<TestRunResult> {
        self.0.prog_test_run(prog, run)
    }
    fn iter_create(&self, link: &LinkFd) -> Result<OwnedFd> {
        self.0.iter_create(link)
    }
    fn perf_event_open(&self, event: &PerfEvent) -> Result<PerfFd> {
        self.0.perf_event_open(event)
    }
    fn perf_set_bpf(&self, event: &PerfFd, prog: &ProgFd) -> Result<()> {
        self.0.perf_set_bpf(event, prog)
    }
    fn perf_enable(&self, event: &PerfFd) -> Result<()> {
        self.0.perf_enable(event)
    }
    fn perf_disable(&self, event: &PerfFd) -> Result<()> {
        self.0.perf_disable(event)
    }
    fn btf_load(&self, btf: &[u8]) -> std::result::Result<BtfFd, LoadError> {
        self.0.btf_load(btf)
    }
    fn next_id(&self, kind: IdKind, after: u32) -> Result<Option<u32>> {
        self.0.next_id(kind, after)
    }
    fn prog_by_id(&self, id: u32) -> Result<ProgFd> {
        self.0.prog_by_id(id)
    }
    fn btf_by_id(&self, id: u32) -> Result<BtfFd> {
        self.0.btf_by_id(id)
    }
    fn prog_info(&self, prog: &ProgFd) -> Result<ProgInfo> {
        self.0.prog_info(prog)
    }
    fn btf_info(&self, btf: &BtfFd) -> Result<BtfInfo> {
        self.0.btf_info(btf)
    }
    fn enable_stats(&self) -> Result<OwnedFd> {
        self.0.enable_stats()
    }
    fn obj_pin(&self, object: BorrowedFd<'_>, path: &Path) -> Result<()> {
        self.0.obj_pin(object, path)
    }
    fn obj_get(&self, path: &Path) -> Result<OwnedFd> {
        self.0.obj_get(path)
    }
    fn open_ring(&self, map: &MapFd) -> Result<Box<dyn Records>> {
        self.0.open_ring(map)
    }
}
