//! The probes that tests name, as if the machine had them, and what the machine really has.

use crate::play::Fired;
use crate::syntax::Value;
use hark_object::{
    Catalog, CatalogError, Clock, KernelFunction, ProbeSpec, UsdtSite, UserFunction, UserLocation,
};
use hark_runtime::{FilePlace, Frame, Names};
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;

/// Where the functions that tests name begin; each has as many bytes as there are to the next.
const KERNEL_TEXT: u64 = 0xffff_ffff_8100_0000;
const USER_TEXT: u64 = 0x40_0000;
const FUNCTION_BYTES: u64 = 0x1000;

/// A host on which everything exists that a test fires.
pub(crate) struct TestCatalog {
    host: Arc<dyn Catalog>,
    fired: Vec<Fired>,
}

impl TestCatalog {
    pub(crate) fn new(host: Arc<dyn Catalog>, fired: Vec<Fired>) -> TestCatalog {
        TestCatalog { host, fired }
    }

    /// The kernel functions that tests name, each once, sorted.
    fn functions(&self) -> Vec<KernelFunction> {
        let mut all: Vec<KernelFunction> =
            self.fired.iter().filter_map(|fired| function(&fired.spec)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.dedup();
        all
    }

    /// Functions of binaries, likewise, with the binary.
    fn user(&self) -> Vec<(&str, &str)> {
        let mut all: Vec<(&str, &str)> =
            self.fired.iter().filter_map(|fired| user_function(&fired.spec)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Where a fired probe's function begins, if it is one.
    pub(crate) fn address(&self, spec: &ProbeSpec) -> Option<u64> {
        let at = |base, i: usize| base + i as u64 * FUNCTION_BYTES;
        if let Some(wanted) = function(spec) {
            return self.functions().iter().position(|f| *f == wanted).map(|i| at(KERNEL_TEXT, i));
        }
        let wanted = user_function(spec)?;
        self.user().iter().position(|f| *f == wanted).map(|i| at(USER_TEXT, i))
    }
}

fn function(spec: &ProbeSpec) -> Option<KernelFunction> {
    match spec {
        ProbeSpec::Kprobe { module, func, .. } | ProbeSpec::Fentry { module, func, .. } => {
            Some(KernelFunction { name: func.clone(), module: module.clone() })
        }
        _ => None,
    }
}

fn user_function(spec: &ProbeSpec) -> Option<(&str, &str)> {
    match spec {
        ProbeSpec::Uprobe { binary, at: UserLocation::Symbol { name, .. }, .. } => Some((binary, name)),
        _ => None,
    }
}

impl Catalog for TestCatalog {
    fn tracepoints(&self) -> Result<Arc<[(String, String)]>, CatalogError> {
        let mut all: Vec<(String, String)> =
            self.host.tracepoints().map_or_else(|_| Vec::new(), |t| t.to_vec());
        all.extend(self.fired.iter().filter_map(|fired| match &fired.spec {
            ProbeSpec::Tracepoint { category, event } => Some((category.clone(), event.clone())),
            _ => None,
        }));
        all.sort();
        all.dedup();
        Ok(all.into())
    }

    /// Where the machine does not say: a record of the fields that tests give, texts as pointers, numbers as words.
    fn tracepoint_format(&self, category: &str, event: &str) -> Result<Option<String>, CatalogError> {
        let real = self.host.tracepoint_format(category, event);
        if matches!(real, Ok(Some(_))) {
            return real;
        }
        let same = |spec: &ProbeSpec| matches!(spec, ProbeSpec::Tracepoint { category: c, event: e } if c == category && e == event);
        let fired: Vec<&Fired> = self.fired.iter().filter(|fired| same(&fired.spec)).collect();
        if fired.is_empty() {
            return real;
        }
        let mut fields: Vec<(&str, &str)> = Vec::new();
        for assignment in fired.iter().flat_map(|fired| &fired.fields) {
            let name = assignment.name.strip_prefix("args.").unwrap_or(&assignment.name);
            let ty = match assignment.value {
                Value::Number(_) => "long ",
                Value::Text(_) | Value::Struct(..) => "const char * ",
                Value::List(_) => "const char *const * ",
            };
            match fields.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) if ty.len() > known.len() => *known = ty,
                Some(_) => {}
                None => fields.push((name, ty)),
            }
        }
        let mut text = format!("name: {event}\nID: 1\nformat:\n");
        // What every record begins with, and in those of system calls the number of the call.
        let mut row = |declaration: &str, offset: usize, size: usize| {
            let _ = writeln!(text, "\tfield:{declaration};\toffset:{offset};\tsize:{size};\tsigned:0;");
        };
        row("unsigned short common_type", 0, 2);
        row("unsigned char common_flags", 2, 1);
        row("unsigned char common_preempt_count", 3, 1);
        row("int common_pid", 4, 4);
        row("long __syscall_nr", 8, 8);
        for (i, (name, ty)) in fields.iter().enumerate() {
            row(&format!("{ty}{name}"), 16 + 8 * i, 8);
        }
        Ok(Some(text))
    }

    fn kernel_functions(&self) -> Result<Arc<[KernelFunction]>, CatalogError> {
        let mut all = self.host.kernel_functions().map_or_else(|_| Vec::new(), |f| f.to_vec());
        all.extend(self.functions());
        all.sort_by(|a, b| (&a.name, &a.module).cmp(&(&b.name, &b.module)));
        all.dedup();
        Ok(all.into())
    }

    fn kernel_symbol(&self, name: &str) -> Result<Option<u64>, CatalogError> {
        match self.functions().iter().position(|f| f.name == name) {
            Some(i) => Ok(Some(KERNEL_TEXT + i as u64 * FUNCTION_BYTES)),
            None => self.host.kernel_symbol(name),
        }
    }

    fn binaries(&self, spec: &str) -> Result<Vec<String>, CatalogError> {
        if self.user().iter().any(|(binary, _)| *binary == spec) {
            return Ok(vec![spec.to_owned()]);
        }
        self.host.binaries(spec)
    }

    fn user_functions(&self, path: &str) -> Result<Arc<[UserFunction]>, CatalogError> {
        let of_path = self.user().into_iter().enumerate().filter(|(_, (binary, _))| *binary == path);
        let made: Vec<UserFunction> = of_path
            .map(|(i, (_, name))| {
                let addr = USER_TEXT + i as u64 * FUNCTION_BYTES;
                UserFunction { name: name.to_owned(), addr, size: FUNCTION_BYTES, offset: addr - USER_TEXT }
            })
            .collect();
        if made.is_empty() { self.host.user_functions(path) } else { Ok(made.into()) }
    }

    fn file_offset(&self, path: &str, addr: u64) -> Result<Option<u64>, CatalogError> {
        match addr.checked_sub(USER_TEXT) {
            Some(offset) if self.user().iter().any(|(binary, _)| *binary == path) => Ok(Some(offset)),
            _ => self.host.file_offset(path, addr),
        }
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

/// Names of what a test prints: the functions it fires, user 0, and moments that begin with 1970.
impl Names for TestCatalog {
    fn kernel(&self, addr: u64) -> Option<Rc<Frame>> {
        let (i, offset) = place(addr, KERNEL_TEXT)?;
        let name = self.functions().get(i)?.name.clone();
        Some(Rc::new(Frame { name, offset, module: String::new(), line: None, inlined: false }))
    }

    fn user(&self, _pid: u64, addr: u64) -> Rc<[Frame]> {
        let Some((i, offset)) = place(addr, USER_TEXT) else { return [].into() };
        match TestCatalog::user(self).get(i) {
            Some((binary, name)) => [Frame {
                name: (*name).to_owned(),
                offset,
                module: (*binary).to_owned(),
                line: None,
                inlined: false,
            }]
            .into(),
            None => [].into(),
        }
    }

    fn file_place(&self, _pid: u64, _addr: u64) -> Option<Rc<FilePlace>> {
        None
    }

    fn login(&self, uid: u64) -> Option<Rc<str>> {
        (uid == 0).then(|| "root".into())
    }

    fn cgroup_paths(&self, _id: u64, _filter: &str) -> Rc<str> {
        "".into()
    }

    fn wall_ns(&self, _clock: Clock, ns: u64) -> i128 {
        i128::from(ns)
    }

    fn strftime(&self, format: &str, seconds: i64) -> Option<String> {
        bpf_syscall::strftime(format, seconds)
    }
}

/// Which function after `base` an address is in, and where.
fn place(addr: u64, base: u64) -> Option<(usize, u64)> {
    let distance = addr.checked_sub(base)?;
    Some((usize::try_from(distance / FUNCTION_BYTES).ok()?, distance % FUNCTION_BYTES))
}
