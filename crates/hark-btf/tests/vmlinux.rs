//! The BTF of the kernel that runs the tests, where it shows one: what every kernel since 5.4 must contain.

use hark_btf::{Btf, Kind};

/// `None`, with a word on stderr, on a machine without BTF.
fn vmlinux() -> Option<Btf> {
    match std::fs::read("/sys/kernel/btf/vmlinux") {
        Ok(bytes) => Some(Btf::parse(bytes).expect("the kernel's own BTF is sound")),
        Err(e) => {
            eprintln!("skipped: /sys/kernel/btf/vmlinux: {e}");
            None
        }
    }
}

#[test]
fn knows_the_task() {
    let Some(btf) = vmlinux() else { return };
    let task = btf.find(Kind::Struct, "task_struct").expect("struct task_struct");
    let comm = btf.resolve_path(task, &["comm"]).expect("comm");
    assert_eq!(btf.type_name(comm.ty), "char[16]");
    let parent = btf.resolve_path(task, &["real_parent"]).expect("real_parent");
    assert_eq!(btf.type_name(parent.ty), "struct task_struct *");
    assert!(comm.offset + 16 <= btf.size_of(task).expect("size"));
    let path = btf.resolve_path(task, &["se", "vruntime"]).expect("nested");
    assert_eq!(btf.size_of(path.ty), Some(8));
    let error = btf.resolve_path(task, &["se", "vruntme"]).expect_err("no such member");
    assert_eq!(error.to_string(), "struct sched_entity has no member `vruntme`");
}

#[test]
fn knows_functions_and_constants() {
    let Some(btf) = vmlinux() else { return };
    let read = btf.func_proto("vfs_read").expect("vfs_read");
    let params: Vec<_> = read.params.iter().map(|p| btf.declaration(p.ty, p.name)).collect();
    assert_eq!(params.join(", "), "struct file *file, char *buf, size_t count, loff_t *pos");
    assert_eq!(btf.type_name(read.ret), "ssize_t");
    let (of, value) = btf.enumerator("PIDTYPE_SID").expect("PIDTYPE_SID");
    assert_eq!((btf.type_name(of).as_str(), value.value), ("enum pid_type", 3));
}

#[test]
fn scan_and_index_agree() {
    let Some(btf) = vmlinux() else { return };
    let names = ["task_struct", "file", "no_such_struct", "sock", "dentry", "qstr", "path", "inode"];
    let by_scan = names.map(|n| btf.find(Kind::Struct, n));
    let by_index = names.map(|n| btf.find(Kind::Struct, n));
    let again = names.map(|n| btf.find(Kind::Struct, n));
    assert_eq!((by_scan, by_index), (by_index, again));
    assert_eq!(by_scan[2], None);
}

/// Every type of a real kernel can be asked everything.
#[test]
fn answers_for_every_type() {
    let Some(btf) = vmlinux() else { return };
    for ty in btf.own_types() {
        if ty.kind().is_composite() {
            let layout = btf.layout(ty.id()).unwrap_or_else(|| panic!("layout of {ty:?}"));
            assert!(layout.fields.iter().all(|f| f.at.offset <= layout.size), "{ty:?}");
        }
        assert!(!btf.type_name(ty.id()).contains("<broken"), "{ty:?}");
    }
}
