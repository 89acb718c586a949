//! The kernel's BTF, read when something first asks for it: most scripts never do.

use hark_btf::Btf;
use std::fmt;
use std::sync::{Arc, OnceLock};

type Load = dyn Fn() -> Option<Btf> + Send + Sync;

/// BTF that may not have been read yet.
#[derive(Clone)]
pub struct KernelTypes(Arc<Lazy>);

struct Lazy {
    exists: bool,
    load: Box<Load>,
    btf: OnceLock<Option<Btf>>,
}

impl KernelTypes {
    /// A kernel without BTF.
    pub fn none() -> Self {
        Self::lazy(false, || None)
    }

    /// BTF that `load` reads, once. `exists` tells whether there is any, without reading it.
    pub fn lazy(exists: bool, load: impl Fn() -> Option<Btf> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Lazy { exists, load: Box::new(load), btf: OnceLock::new() }))
    }

    /// BTF at hand.
    pub fn ready(btf: Btf) -> Self {
        let types = Self::lazy(true, || None);
        let _ = types.0.btf.set(Some(btf));
        types
    }

    /// Whether the kernel has any.
    pub fn exists(&self) -> bool {
        self.0.exists
    }

    /// The types; reads them the first time. `None` if there are none or they are broken.
    pub fn get(&self) -> Option<&Btf> {
        self.0.btf.get_or_init(|| (self.0.load)()).as_ref()
    }
}

impl Default for KernelTypes {
    fn default() -> Self {
        Self::none()
    }
}

impl fmt::Debug for KernelTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KernelTypes(exists: {}, read: {})", self.0.exists, self.0.btf.get().is_some())
    }
}
