//! The `task_struct` of a made-up task: what scripts reach through `curtask`, and builtins such as `ppid`.

use crate::memory::Objects;
use crate::syntax::Value;
use ebpf_interp::{SimKernel, Task};
use hark_btf::{Btf, Kind, TypeId};
use hark_diag::{FileId, Span};

/// Puts a `task_struct` that says so into the kernel's memory, with its group's leader, its parent, credentials and
/// memory; returns its address. `None` if `btf` does not know the struct.
pub fn task_image(kernel: &SimKernel, btf: &Btf, facts: &Task) -> Option<u64> {
    let ty = btf.find(Kind::Struct, "task_struct")?;
    let mut objects = Objects::new(Some(btf));
    let size = btf.size_of(ty)? as usize;
    let (task, parent) = (objects.add(vec![0; size]), objects.add(vec![0; size]));
    let leader = if facts.pid == facts.tid { task } else { objects.add(vec![0; size]) };
    let mut set = |id, path: &str, value: Value| {
        // What a kernel of this version does not have is left out.
        let _ = objects.set(id, ty, path, &value, Span::new(FileId(0), 0, 0));
    };
    let number = |n: u32| Value::Number(n.into());
    for (id, pid, tgid) in
        [(leader, facts.pid, facts.pid), (task, facts.tid, facts.pid), (parent, facts.ppid, facts.ppid)]
    {
        set(id, "pid", number(pid));
        set(id, "tgid", number(tgid));
    }
    for id in [leader, task] {
        set(id, "comm", Value::Text(facts.comm.clone()));
        set(id, "mm.mm_count.counter", Value::Number(1));
        set(id, "mm.mm_users.counter", Value::Number(1));
        for cred in ["cred", "real_cred"] {
            for (name, n) in
                [("uid", facts.uid), ("euid", facts.uid), ("gid", facts.gid), ("egid", facts.gid)]
            {
                set(id, &format!("{cred}.{name}.val"), number(n));
            }
        }
    }
    let mut point = |from, name: &str, to| {
        if let Some(at) = offset(btf, ty, name) {
            objects.point(from, at, to);
        }
    };
    for id in [leader, task] {
        point(id, "group_leader", leader);
        point(id, "real_parent", parent);
        point(id, "parent", parent);
    }
    point(parent, "group_leader", parent);
    let places = objects.commit(kernel);
    Some(places.of(task))
}

fn offset(btf: &Btf, ty: TypeId, name: &str) -> Option<u64> {
    btf.resolve_path(ty, &[name]).ok().map(|field| field.offset)
}
