//! Kernel functions, in a kernel made for the test.

use bpf_facts::{AttachType, KernelProfile, MapType, ProgType};
use hark_btf::{Btf, Builder, Endian, Linkage, TypeId};
use verifier_sim::{MapShape, Options, ProgEnv, Verdict, verify};

struct Lab {
    btf: Btf,
    target: TypeId,
    acquire: TypeId,
    release: TypeId,
    lock: TypeId,
    unlock: TypeId,
    new: TypeId,
    next: TypeId,
    destroy: TypeId,
    size: TypeId,
    clone: TypeId,
    slice: TypeId,
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
    let long = b.int("unsigned long", 8, false);
    let iter = b.structure("bpf_iter_num", 8, vec![hark_btf::DefMember::new("opaque", long, 0)]);
    let iter = b.ptr(iter);
    let number = b.ptr(int);
    let new = b.func_proto(int, &[("it", iter), ("start", int), ("end", int)]);
    let new = b.func("bpf_iter_num_new", new, Linkage::Static);
    let next = b.func_proto(number, &[("it", iter)]);
    let next = b.func("bpf_iter_num_next", next, Linkage::Static);
    let destroy = b.func_proto(TypeId::VOID, &[("it", iter)]);
    let destroy = b.func("bpf_iter_num_destroy", destroy, Linkage::Static);
    let halves = vec![hark_btf::DefMember::new("a", long, 0), hark_btf::DefMember::new("b", long, 64)];
    let dynptr = b.structure("bpf_dynptr", 16, halves);
    let dynptr = b.ptr(dynptr);
    let size = b.func_proto(int, &[("p", dynptr)]);
    let size = b.func("bpf_dynptr_size", size, Linkage::Static);
    let clone = b.func_proto(int, &[("p", dynptr), ("clone__uninit", dynptr)]);
    let clone = b.func("bpf_dynptr_clone", clone, Linkage::Static);
    let slice = [("p", dynptr), ("offset", int), ("buffer__opt", nothing), ("buffer__szk", int)];
    let slice = b.func_proto(nothing, &slice);
    let slice = b.func("bpf_dynptr_slice", slice, Linkage::Static);
    let traced = b.func_proto(TypeId::VOID, &[("__data", nothing), ("p", pointer)]);
    let traced = b.ptr(traced);
    let target = b.typedef("btf_trace_task_newtask", traced);
    let btf = Btf::parse(b.build()).expect("sound");
    Lab { btf, target, acquire, release, lock, unlock, new, next, destroy, size, clone, slice }
}

fn verdict(text: &str) -> (Verdict, String) {
    let lab = lab();
    let ids = [("ACQUIRE", lab.acquire), ("RELEASE", lab.release), ("LOCK", lab.lock), ("FREE", lab.unlock)];
    let ids = ids.into_iter().chain([("NEW", lab.new), ("NEXT", lab.next), ("DESTROY", lab.destroy)]);
    let ids = ids.chain([("SIZE", lab.size), ("CLONE", lab.clone), ("SLICE", lab.slice)]);
    let text = ids.fold(text.to_string(), |t, (name, id)| t.replace(name, &format!("kfunc({})", id.0)));
    let maps = [MapShape::new(MapType::Array, 4, 64, 1), MapShape::new(MapType::Ringbuf, 0, 0, 4096)];
    let helper = |name: &str| bpf_facts::helper_by_name(name).map(|def| def.id.0);
    let program = ebpf_asm::parse_with_helpers(&text, &helper).expect("assembly");
    let env = ProgEnv {
        attach_type: AttachType::TraceRawTp,
        attach_btf_id: Some(lab.target.0),
        btf: Some(&lab.btf),
        ..ProgEnv::new(ProgType::Tracing, &maps)
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
    rejected("call LOCK\ncall LOCK\ncall FREE\nr0 = 0\nexit", "do not nest");
}

/// A loop over numbers, with `body` in it, that ends with `end`.
fn counting(body: &str, end: &str) -> String {
    let at = "r1 = r10\nr1 += -8\n";
    format!(
        "r6 = 0\n{at}r2 = 0\nr3 = 10\ncall NEW\nagain:\n{at}call NEXT\nif r0 == 0 goto out\n{body}\ngoto again\n\
         out:\n{at}{end}\nr0 = 0\nexit"
    )
}

#[test]
fn iterators_give_values_until_they_are_drained() {
    accepted(&counting("r1 = *(u32 *)(r0 + 0)\nr6 += r1", "call DESTROY"));
    rejected(&counting("r1 = *(u64 *)(r0 + 0)", "call DESTROY"), "rule=memory-bounds");
    rejected(&counting("*(u32 *)(r0 + 0) = 1", "call DESTROY"), "rule=writable-memory");
    rejected(&counting("r6 += 1", "r0 = 0"), "rule=reference");
    rejected(&counting("r6 += 1", "call DESTROY\nr1 = r10\nr1 += -8\ncall DESTROY"), "an iterator");
    rejected(&counting("r1 = *(u64 *)(r10 - 8)", "call DESTROY"), "an iterator is at r10-8");
    rejected(
        &counting("r1 = r10\nr1 += -8\nr2 = 0\nr3 = 1\ncall NEW", "call DESTROY"),
        "without an iterator",
    );
    rejected("r1 = r10\nr1 += -8\ncall NEXT\nr0 = 0\nexit", "an iterator");
}

#[test]
fn loops_over_iterators_forget_what_changes() {
    // The counter is not known after the second round, and so cannot be an offset.
    let body = "r1 = map_value[0] ll\nr1 += r6\nr2 = *(u8 *)(r1 + 0)\nr6 += 1";
    rejected(&counting(body, "call DESTROY"), "rule=");
    let masked =
        "r1 = map_value[0] ll\nr2 = *(u32 *)(r0 + 0)\nr2 &= 31\nr1 += r2\nr2 = *(u8 *)(r1 + 0)\nr6 += 1";
    accepted(&counting(masked, "call DESTROY"));
}

/// A dynptr to a map value, and what is done with it.
fn local(rest: &str) -> String {
    format!(
        "r1 = map_value[0] ll\nr2 = 64\nr3 = 0\nr4 = r10\nr4 += -16\ncall dynptr_from_mem\n{rest}\nr0 = 0\nexit"
    )
}

#[test]
fn dynptrs_are_used_through_their_functions() {
    let at = "r1 = r10\nr1 += -16\n";
    accepted(&local(&format!("{at}call SIZE")));
    accepted(&local(&format!("{at}r2 = r10\nr2 += -32\ncall CLONE\nr1 = r10\nr1 += -32\ncall SIZE")));
    let data = format!("{at}r2 = 0\nr3 = 8\ncall dynptr_data\nif r0 == 0 goto out\n");
    accepted(&local(&format!("{data}r1 = *(u64 *)(r0 + 0)\nout:")));
    rejected(&local(&format!("{data}r1 = *(u64 *)(r0 + 1)\nout:")), "rule=memory-bounds");
    rejected(&local(&format!("{data}*(u64 *)(r10 - 8) = 0\nr1 = *(u64 *)(r0 + 0)\nout:")), "rule=");
    rejected(&local("r1 = *(u64 *)(r10 - 8)"), "a dynptr is at r10-8");
    rejected(&local("*(u64 *)(r10 - 8) = 0\nr1 = r10\nr1 += -16\ncall SIZE"), "wants a dynptr");
    rejected("r1 = r10\nr1 += -16\ncall SIZE\nr0 = 0\nexit", "wants a dynptr");
    let slice = format!("{at}r2 = 0\nr3 = 0\nr4 = 8\ncall SLICE\nif r0 == 0 goto out\n");
    accepted(&local(&format!("{slice}r1 = *(u64 *)(r0 + 0)\nout:")));
    rejected(&local(&format!("{slice}*(u8 *)(r0 + 0) = 1\nout:")), "rule=writable-memory");
}

#[test]
fn records_behind_dynptrs_are_released() {
    let take = "r1 = map[1] ll\nr2 = 64\nr3 = 0\nr4 = r10\nr4 += -16\ncall ringbuf_reserve_dynptr\n";
    let give = "r1 = r10\nr1 += -16\nr2 = 0\ncall ringbuf_submit_dynptr\n";
    accepted(&format!("{take}{give}r0 = 0\nexit"));
    rejected(&format!("{take}r0 = 0\nexit"), "rule=reference");
    rejected(&format!("{take}{give}{give}r0 = 0\nexit"), "wants a dynptr");
    rejected(&format!("{take}*(u64 *)(r10 - 16) = 0\n{give}r0 = 0\nexit"), "written over");
}
