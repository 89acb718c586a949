//! The code of the processes that are traced: heard of while they run, for when their addresses are to be named.

use crate::error::RunError;
use crate::names::Names;
use bpf_syscall::wait::Poller;
use bpf_syscall::{CodeWatch, Kernel};
use hark_object::{EventKind, Field, MapRole, Object, ProbeSpec, StackMode, Ty};
use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;

/// Word of the code of the process that the run is about, or of all, where the script asks for names of addresses.
pub(crate) struct Code {
    watch: Option<Rc<RefCell<CodeWatch>>>,
}

impl Code {
    /// Begins to listen to `pid`, the child or the traced process, or to everybody. Without the kernel's permission, or
    /// if the script wants nothing kept, names are found as long as a process is there; of those that are gone the
    /// files of the script's probes are all that is known. `promptly`: whoever waits is woken by everything that comes,
    /// and not only when it is much.
    pub(crate) fn listen(
        kernel: &dyn Kernel,
        names: &dyn Names,
        object: &Object,
        pid: Option<u32>,
        promptly: bool,
    ) -> Code {
        if !asks_for_names(object) || object.config.cache_user_symbols == "NONE" {
            return Code { watch: None };
        }
        for probe in &object.probes {
            if let ProbeSpec::Uprobe { binary, .. } | ProbeSpec::Usdt { binary, .. } = &probe.spec {
                names.expect(Path::new(binary));
            }
        }
        // A kernel in this process has no other processes.
        let real = kernel.due().is_none();
        let watch = real
            .then(|| CodeWatch::open(kernel, pid, promptly).ok())
            .flatten()
            .map(|w| Rc::new(RefCell::new(w)));
        if let Some(pid) = pid {
            names.remember(pid);
        }
        if let Some(watch) = &watch {
            names.listen_to(watch.clone(), pid.is_none().then(|| std::thread::spawn(code_of_all)));
        }
        Code { watch }
    }

    /// Has `poller` wake whoever waits when much has come, with `token`.
    ///
    /// # Errors
    /// As `Poller::add`.
    pub(crate) fn wakes(&self, poller: &Poller, token: u64) -> Result<(), RunError> {
        if let Some(watch) = &self.watch {
            for fd in watch.borrow().fds() {
                poller.add(fd, token)?;
            }
        }
        Ok(())
    }
}

/// The lines about code in `/proc/PID/maps` of every process. It may take longer than a user wants to wait for the first
/// event, so it runs beside.
fn code_of_all() -> Vec<(u32, String)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let text = fs::read(format!("/proc/{pid}/maps")).ok()?;
        let text = String::from_utf8_lossy(&text);
        let is_code =
            |line: &&str| line.split(' ').nth(1).is_some_and(|flags| flags.as_bytes().get(2) == Some(&b'x'));
        let code: Vec<&str> = text.lines().filter(is_code).collect();
        (!code.is_empty()).then(|| (pid, code.join("\n")))
    })
    .collect()
}

/// Whether anything that the script prints or keeps is an address of a process.
fn asks_for_names(object: &Object) -> bool {
    let of_field = |field: &Field| names_user(&field.ty);
    let printed = object.events.iter().any(|event| match &event.kind {
        EventKind::Printf(format)
        | EventKind::Message(_, format, _)
        | EventKind::Cat(format)
        | EventKind::System(format) => format.args.iter().any(of_field),
        EventKind::Print(field) => of_field(field),
        EventKind::PrintMapValue { key, value, .. } => of_field(key) || of_field(value),
        _ => false,
    });
    let kept = object.maps.iter().any(|map| match &map.role {
        MapRole::User(user) => user.key.as_ref().is_some_and(names_user) || names_user(&user.value),
        _ => false,
    });
    printed || kept
}

/// Whether a value of this type holds an address of a process.
fn names_user(ty: &Ty) -> bool {
    match ty {
        Ty::Usym => true,
        Ty::UStack { mode, .. } => *mode != StackMode::Raw,
        Ty::Tuple(members) => members.iter().any(names_user),
        Ty::Record(fields) => fields.iter().any(|field| names_user(&field.ty)),
        Ty::Array { elem, .. } => names_user(elem),
        _ => false,
    }
}
