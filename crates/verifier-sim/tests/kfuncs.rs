//! Kernel functions, in a kernel made for the test.

use bpf_facts::{AttachType, KernelProfile, ProgType};
use hark_btf::{Btf, Builder, Endian, Linkage, TypeId};
use verifier_sim::{Options, ProgEnv, Verdict, verify};

struct Lab {
    btf: Btf,
    target: TypeId,
    acquire: TypeId,
    release: TypeId,
    lock: TypeId,
    unlock: TypeId,
}

/// A kernel with tasks, a tracepoint about one, and functions on them.
fn lab() -> Lab {
    let mut b = Builder::new(Endian::Little);
    let int = b.int("int", 4, true);
    let task = b.structure("task_struct", 4, vec![hark_btf::DefMember::new("pid", int, 0)]);
    let pointer = b.ptr(task);
    let nothing = b.ptr(TypeId::VOID);
    let void = b.func_proto(TypeId::VOID, &[]);
    let take = b.func_proto(pointer, &[("p", pointer)]);
    let give = b.func_proto(TypeId::VOID, &[("p", pointer)]);
    let acquire = b.func("bpf_task_acquire", take, Linkage::Static);
    let release = b.func("bpf_task_release", give, Linkage::Static);
    let lock = b.func("bpf_rcu_read_lock", void, Linkage::Static);
    let unlock = b.func("bpf_rcu_read_unlock", void, Linkage::Static);
    let traced = b.func_proto(TypeId::VOID, &[("__data", nothing), ("p", pointer)]);
    let traced = b.ptr(traced);
    let target = b.typedef("btf_trace_task_newtask", traced);
    Lab { btf: Btf::parse(b.build()).expect("sound"), target, acquire, release, lock, unlock }
}

fn verdict(text: &str) -> (Verdict, String) {
    let lab = lab();
    let ids = [("ACQUIRE", lab.acquire), ("RELEASE", lab.release), ("LOCK", lab.lock), ("FREE", lab.unlock)];
    let text =
        ids.iter().fold(text.to_string(), |t, (name, id)| t.replace(name, &format!("kfunc({})", id.0)));
    let program = ebpf_asm::parse(&text).expect("assembly");
    let env = ProgEnv {
        attach_type: AttachType::TraceRawTp,
        attach_btf_id: Some(lab.target.0),
        btf: Some(&lab.btf),
        ..ProgEnv::new(ProgType::Tracing, &[])
    };
    let profile = KernelProfile::named("6.12").expect("a version");
    let report = verify(&program, &env, &profile, &Options::default());
    (report.verdict, report.to_string())
}

#[track_caller]
fn accepted(text: &str) {
    let (verdict, report) = verdict(text);
    assert_eq!(verdict, Verdict::Accept, "{report}");
}

#[track_caller]
fn rejected(text: &str, why: &str) {
    let (verdict, report) = verdict(text);
    assert_eq!(verdict, Verdict::Reject, "{report}");
    assert!(report.contains(why), "{report}");
}

#[test]
fn references_are_acquired_and_released() {
    accepted(
        "r1 = *(u64 *)(r1 + 0)\ncall ACQUIRE\nif r0 == 0 goto out\nr1 = r0\ncall RELEASE\nout:\nr0 = 0\nexit",
    );
    rejected("r1 = *(u64 *)(r1 + 0)\ncall ACQUIRE\nr0 = 0\nexit", "rule=reference");
    rejected("r1 = *(u64 *)(r1 + 0)\ncall ACQUIRE\nr1 = r0\ncall RELEASE\nr0 = 0\nexit", "not NULL");
    rejected("r1 = *(u64 *)(r1 + 0)\ncall RELEASE\nr0 = 0\nexit", "that was acquired");
    rejected("r1 = 5\ncall ACQUIRE\nr0 = 0\nexit", "a struct task_struct");
}

#[test]
fn read_side_sections_are_left() {
    accepted("call LOCK\ncall FREE\nr0 = 0\nexit");
    rejected("call LOCK\nr0 = 0\nexit", "not left");
    rejected("call FREE\nr0 = 0\nexit", "without a lock");
}
