//! `tests/fixtures/mini.btf`, the kernel of the compiler's golden tests, is made here from `mini.h` beside it:
//! `HARK_BLESS=1 cargo test -p hark-btf --test mini`.

#[path = "mini/c_header.rs"]
mod c_header;

use std::path::PathBuf;

use expect_test::expect;
use hark_btf::{BitRange, Btf, Kind};

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../tests/fixtures", name].iter().collect()
}

fn mini() -> Btf {
    Btf::parse(std::fs::read(fixture("mini.btf")).expect("mini.btf is checked in"))
        .expect("mini.btf is sound")
}

#[test]
fn is_made_from_its_header() {
    let header = std::fs::read_to_string(fixture("mini.h")).expect("mini.h is checked in");
    let made = c_header::compile(&header);
    if std::env::var_os("HARK_BLESS").is_some() {
        std::fs::write(fixture("mini.btf"), &made).expect("the fixture can be written");
    }
    let kept = std::fs::read(fixture("mini.btf")).expect("mini.btf is checked in");
    assert!(made == kept, "mini.btf is not what mini.h gives: set HARK_BLESS=1 to write it anew");
}

#[test]
fn definitions_read_like_the_header() {
    let btf = mini();
    let show = |kind, name| btf.find(kind, name).and_then(|id| btf.definition(id)).expect(name);
    expect![[r#"
        struct tcphdr {
        	__be16 source;
        	__be16 dest;
        	__be32 seq;
        	__be32 ack_seq;
        	__u16 res1: 4;
        	__u16 doff: 4;
        	__u16 fin: 1;
        	__u16 syn: 1;
        	__u16 rst: 1;
        	__u16 psh: 1;
        	__u16 ack: 1;
        	__u16 urg: 1;
        	__u16 ece: 1;
        	__u16 cwr: 1;
        	__be16 window;
        	__sum16 check;
        	__be16 urg_ptr;
        };"#]]
    .assert_eq(&show(Kind::Struct, "tcphdr"));
    expect![[r#"
        struct file_operations {
        	struct module *owner;
        	loff_t (*llseek)(struct file *, loff_t, int);
        	ssize_t (*read)(struct file *, char *, size_t, loff_t *);
        	ssize_t (*write)(struct file *, const char *, size_t, loff_t *);
        	int (*open)(struct inode *, struct file *);
        };"#]]
    .assert_eq(&show(Kind::Struct, "file_operations"));
    expect![[r#"
        enum wide_example {
        	WIDE_ONE = 1ULL,
        	WIDE_HUGE = 9223372036854775808ULL,
        };"#]]
    .assert_eq(&show(Kind::Enum64, "wide_example"));
}

#[test]
fn paths_go_through_anonymous_members() {
    let btf = mini();
    let dentry = btf.find(Kind::Struct, "dentry").expect("dentry");
    let len = btf.resolve_path(dentry, &["d_name", "len"]).expect("len");
    // d_flags 4, hole 4, d_parent 8, then qstr: hash 4, len.
    assert_eq!((len.offset, btf.type_name(len.ty).as_str()), (20, "u32"));
    let names = btf.member_names(btf.find(Kind::Struct, "qstr").expect("qstr"));
    assert_eq!(names, ["hash", "len", "hash_len", "name"]);
}

#[test]
fn bitfields_say_what_to_load() {
    let btf = mini();
    let task = btf.find(Kind::Struct, "task_struct").expect("task_struct");
    let field = |name| btf.resolve_path(task, &[name]).expect(name);
    let (first, zero_width) = (field("sched_migrated"), field("in_iowait"));
    assert_eq!(first.bits, Some(BitRange { load: 4, shift: 2, width: 1 }));
    // After `unsigned int : 0` a new word begins.
    assert_eq!(zero_width.offset, first.offset + 4);
    assert_eq!(zero_width.bits, Some(BitRange { load: 4, shift: 2, width: 1 }));
    assert_eq!(field("signed_bits").bits, Some(BitRange { load: 4, shift: 3, width: 5 }));
    assert_eq!(field("pid").bits, None);
}

#[test]
fn sizes_follow_the_abi() {
    let btf = mini();
    let size = |kind, name| btf.size_of(btf.find(kind, name).expect(name)).expect(name);
    assert_eq!(size(Kind::Struct, "pt_regs"), 21 * 8);
    assert_eq!(size(Kind::Struct, "tcphdr"), 20);
    assert_eq!(size(Kind::Struct, "iphdr"), 20);
    assert_eq!(size(Kind::Struct, "in6_addr"), 16);
    assert_eq!(size(Kind::Typedef, "spinlock_t"), 4);
    assert_eq!(size(Kind::Enum64, "wide_example"), 8);
    // A flexible array adds nothing.
    let mm = btf.find(Kind::Struct, "mm_struct").expect("mm_struct");
    assert_eq!(
        btf.resolve_path(mm, &["cpu_bitmap"]).expect("cpu_bitmap").offset,
        size(Kind::Struct, "mm_struct")
    );
}

#[test]
fn functions_have_signatures() {
    let btf = mini();
    let text = |name: &str| {
        let f = btf.func_proto(name).expect(name);
        let params: Vec<_> = f.params.iter().map(|p| btf.declaration(p.ty, p.name)).collect();
        format!("{} ({}{})", btf.type_name(f.ret), params.join(", "), if f.variadic { ", ..." } else { "" })
    };
    assert_eq!(text("vfs_read"), "ssize_t (struct file *file, char *buf, size_t count, loff_t *pos)");
    assert_eq!(text("do_filp_open"), "struct file * (int dfd, struct filename *pathname, const void *op)");
    assert_eq!(text("printk"), "int (const char *fmt, ...)");
    assert_eq!(text("bpf_rcu_read_lock"), "void ()");
    let switch = btf.find(Kind::Typedef, "btf_trace_sched_switch").expect("trace event");
    assert_eq!(btf.func_proto_of(switch).expect("its signature").params.len(), 5);
}

#[test]
fn constants_are_found_in_any_enumeration() {
    let btf = mini();
    let value = |name| btf.enumerator(name).map(|(_, e)| e.value);
    assert_eq!(value("TCP_LISTEN"), Some(10));
    assert_eq!(value("NEGATIVE_MINUS_ONE"), Some(-1));
    assert_eq!(value("WIDE_HUGE"), Some(1 << 63));
    assert_eq!(value("TCP_LISTE"), None);
}
