//! The code of the processes that are traced: heard of while they run, for when their addresses are to be named.

use crate::error::RunError;
use crate::names::Names;
use bpf_syscall::wait::Poller;
use bpf_syscall::{CodeWatch, Kernel};
use hark_object::{EventKind, Field, MapRole, Object, ProbeSpec, Ty};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

/// Word of the code of the process that the run is about, where the script asks for names of its addresses.
pub(crate) struct Code {
    watch: Option<Rc<RefCell<CodeWatch>>>,
}

impl Code {
    /// Begins to listen to `pid`, the child or the traced process. Without one the files of the script's probes are
    /// all that is known of processes that are gone. Without the kernel's permission names are found as long as a
    /// process is there.
    pub(crate) fn listen(kernel: &dyn Kernel, names: &dyn Names, object: &Object, pid: Option<u32>) -> Code {
        if !asks_for_names(object) {
            return Code { watch: None };
        }
        for probe in &object.probes {
            if let ProbeSpec::Uprobe { binary, .. } | ProbeSpec::Usdt { binary, .. } = &probe.spec {
                names.expect(Path::new(binary));
            }
        }
        let watch = pid.and_then(|pid| {
            let watch = CodeWatch::open(kernel, pid).ok().map(|watch| Rc::new(RefCell::new(watch)));
            names.remember(pid);
            watch
        });
        if let Some(watch) = &watch {
            names.listen_to(watch.clone());
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
        Ty::Usym | Ty::UStack { .. } => true,
        Ty::Tuple(members) => members.iter().any(names_user),
        Ty::Record(fields) => fields.iter().any(|field| names_user(&field.ty)),
        Ty::Array { elem, .. } => names_user(elem),
        _ => false,
    }
}
