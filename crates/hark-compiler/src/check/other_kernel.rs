//! A kernel that is not running, as far as its BTF and the machine at hand tell of it.

use crate::kernel_types::KernelTypes;
use hark_btf::Kind;
use hark_object::{Catalog, CatalogError, KernelFunction, UsdtSite, UserFunction};
use std::sync::Arc;

/// Where the symbols of a kernel on x86-64 begin.
const KERNEL_TEXT: u64 = 0xffff_ffff_8100_0000;

/// The catalogue of another kernel: its functions and events are those of its BTF, the records of events and all
/// binaries are the host's. Symbols are taken to exist, at an address that stands for theirs.
pub struct OtherKernel {
    host: Arc<dyn Catalog>,
    btf: KernelTypes,
}

impl OtherKernel {
    /// The kernel of this BTF, on a machine like `host`.
    #[expect(
        clippy::arc_with_non_send_sync,
        reason = "a target holds its catalogue so, and is used by one thread"
    )]
    pub fn catalog(host: Arc<dyn Catalog>, btf: KernelTypes) -> Arc<dyn Catalog> {
        Arc::new(Self { host, btf })
    }

    /// Whether the kernel has the event. Every tracepoint of the kernel itself leaves a typedef of its prototype; those
    /// of modules are elsewhere, and those of system calls are made from two.
    fn has_event(&self, category: &str, event: &str) -> bool {
        let Some(btf) = self.btf.get() else { return true };
        if category == "syscalls" {
            let call = event.strip_prefix("sys_enter_").or_else(|| event.strip_prefix("sys_exit_"));
            // The function's name depends on the architecture's wrappers.
            return call.is_some_and(|call| {
                ["__x64_sys_", "__arm64_sys_", "__do_sys_", "sys_"]
                    .iter()
                    .any(|prefix| btf.find(Kind::Func, &format!("{prefix}{call}")).is_some())
            });
        }
        btf.find(Kind::Typedef, &format!("btf_trace_{event}")).is_some()
    }
}

impl Catalog for OtherKernel {
    fn tracepoints(&self) -> Result<Arc<[(String, String)]>, CatalogError> {
        let all = self.host.tracepoints()?;
        Ok(all.iter().filter(|(category, event)| self.has_event(category, event)).cloned().collect())
    }
    fn tracepoint_format(&self, category: &str, event: &str) -> Result<Option<String>, CatalogError> {
        if self.has_event(category, event) { self.host.tracepoint_format(category, event) } else { Ok(None) }
    }
    fn kernel_functions(&self) -> Result<Arc<[KernelFunction]>, CatalogError> {
        let Some(btf) = self.btf.get() else {
            return Err(CatalogError { message: "the kernel's functions are not known".into(), help: None });
        };
        let mut names: Vec<&str> = btf.types_of(Kind::Func).map(|function| function.name()).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names.into_iter().map(|name| KernelFunction { name: name.to_string(), module: None }).collect())
    }
    fn kernel_symbol(&self, _: &str) -> Result<Option<u64>, CatalogError> {
        Ok(Some(KERNEL_TEXT))
    }
    fn binaries(&self, spec: &str) -> Result<Vec<String>, CatalogError> {
        self.host.binaries(spec)
    }
    fn user_functions(&self, path: &str) -> Result<Arc<[UserFunction]>, CatalogError> {
        self.host.user_functions(path)
    }
    fn file_offset(&self, path: &str, addr: u64) -> Result<Option<u64>, CatalogError> {
        self.host.file_offset(path, addr)
    }
    fn usdt_probes(&self, path: &str) -> Result<Arc<[(String, String)]>, CatalogError> {
        self.host.usdt_probes(path)
    }
    fn usdt_sites(&self, path: &str) -> Result<Arc<[UsdtSite]>, CatalogError> {
        self.host.usdt_sites(path)
    }
    fn cgroup_id(&self, path: &str) -> Result<u64, CatalogError> {
        self.host.cgroup_id(path)
    }
}
