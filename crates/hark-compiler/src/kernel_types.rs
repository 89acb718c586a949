//! The kernel's BTF, read when something first asks for it: most scripts never do.

use hark_btf::{Btf, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

type Load = dyn Fn() -> Option<Btf> + Send + Sync;
type LoadModule = dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync;

/// BTF that may not have been read yet.
#[derive(Clone)]
pub struct KernelTypes(Arc<Lazy>);

struct Lazy {
    exists: bool,
    load: Box<Load>,
    load_module: Box<LoadModule>,
    btf: OnceLock<Option<Arc<Btf>>>,
    /// The module whose types these are besides the kernel's.
    module: Option<String>,
    /// Those of modules that were asked for.
    modules: Mutex<HashMap<String, Option<KernelTypes>>>,
}

impl KernelTypes {
    /// A kernel without BTF.
    pub fn none() -> Self {
        Self::lazy(false, || None)
    }

    /// BTF that `load` reads, once. `exists` tells whether there is any, without reading it.
    pub fn lazy(exists: bool, load: impl Fn() -> Option<Btf> + Send + Sync + 'static) -> Self {
        Self::with_modules(exists, load, |_| None)
    }

    /// As [`KernelTypes::lazy`]; `load_module` reads the BTF of a module, which builds on the kernel's.
    pub fn with_modules(
        exists: bool,
        load: impl Fn() -> Option<Btf> + Send + Sync + 'static,
        load_module: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Lazy {
            exists,
            load: Box::new(load),
            load_module: Box::new(load_module),
            btf: OnceLock::new(),
            module: None,
            modules: Mutex::default(),
        }))
    }

    /// BTF at hand.
    pub fn ready(btf: Btf) -> Self {
        let types = Self::lazy(true, || None);
        let _ = types.0.btf.set(Some(Arc::new(btf)));
        types
    }

    /// Whether the kernel has any.
    pub fn exists(&self) -> bool {
        self.0.exists
    }

    /// The types; reads them the first time. `None` if there are none or they are broken.
    pub fn get(&self) -> Option<&Btf> {
        self.shared().map(|btf| &**btf)
    }

    fn shared(&self) -> Option<&Arc<Btf>> {
        self.0.btf.get_or_init(|| (self.0.load)().map(Arc::new)).as_ref()
    }

    /// The kernel's types and those of a module. `None` if the module is not there or has no BTF.
    pub fn of_module(&self, module: &str) -> Option<KernelTypes> {
        let mut modules = self.0.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = modules.get(module) {
            return known.clone();
        }
        let read = || {
            let base = self.shared()?.clone();
            let btf = Btf::parse_split(base, (self.0.load_module)(module)?).ok()?;
            let types = Self(Arc::new(Lazy {
                exists: true,
                load: Box::new(|| None),
                load_module: Box::new(|_| None),
                btf: OnceLock::from(Some(Arc::new(btf))),
                module: Some(module.to_string()),
                modules: Mutex::default(),
            }));
            Some(types)
        };
        let types = read();
        modules.insert(module.to_string(), types.clone());
        types
    }

    /// The module that a type belongs to; `None` if it is the kernel's own.
    pub fn module_of(&self, id: TypeId) -> Option<&str> {
        let module = self.0.module.as_deref()?;
        self.get()?.own_ids().contains(&id.0).then_some(module)
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
