//! Values as text: what `print` prints, what keys and values of maps look like.

use super::{Context, compound, decimal, stack};
use crate::names::format_time;
use crate::value::Value;
use hark_object::agg::View;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Linux' number for internet addresses of version 4.
const AF_INET: u32 = 2;
/// Linux' number for internet addresses of version 6.
const AF_INET6: u32 = 10;

/// Appends a value. Numbers in it are divided by `div` (1 for "as it is").
pub fn value(cx: &Context<'_>, value: &Value<'_>, div: i64, out: &mut Vec<u8>) {
    match value {
        Value::Void => {}
        Value::Null => out.extend_from_slice(b"null"),
        Value::Int { n, .. } => decimal(out, divided(*n, div)),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Enum { name: Some(name), .. } => out.extend_from_slice(name.as_bytes()),
        Value::Enum { n, name: None, .. } => decimal(out, *n),
        Value::Ptr(p) => hex(out, "0x", *p),
        Value::Str { text, cut } => {
            out.extend_from_slice(text);
            if *cut {
                out.extend_from_slice(cx.trailer.as_bytes());
            }
        }
        Value::Buf(bytes) => buffer(bytes, out),
        Value::Array(members) => {
            out.push(b'[');
            for (i, (_, element)) in members.clone().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                self::value(cx, &element, div, out);
            }
            out.push(b']');
        }
        Value::Tuple(members) => {
            out.push(b'(');
            compound::list(cx, members.clone(), div, out);
            out.push(b')');
        }
        Value::Struct(members) => compound::fields(cx, members.clone(), div, out),
        Value::Stack { pid, mode, frames } => stack::render(cx, *pid, *mode, frames, out),
        Value::Ksym(addr) => match cx.names.kernel(*addr) {
            Some(symbol) => out.extend_from_slice(symbol.name.as_bytes()),
            None => address(out, *addr),
        },
        Value::Usym { addr, pid } => match cx.names.user(*pid, *addr).last() {
            Some(symbol) => out.extend_from_slice(symbol.name.as_bytes()),
            None => address(out, *addr),
        },
        Value::Inet { family, addr } => inet(*family, addr, out),
        Value::Mac(bytes) => {
            for (i, byte) in bytes.iter().enumerate() {
                if i > 0 {
                    out.push(b':');
                }
                two_digits(out, *byte, b"0123456789ABCDEF");
            }
        }
        Value::Time { ns, clock, format } => {
            let wall = cx.names.wall_ns(*clock, *ns);
            out.extend_from_slice(format_time(cx.names, format, wall).as_bytes());
        }
        Value::User(uid) => match cx.names.login(*uid) {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            None => decimal(out, i128::from(*uid)),
        },
        Value::Cgroup { id, filter } => {
            out.extend_from_slice(cx.names.cgroup_paths(*id, filter).as_bytes());
        }
        Value::Errno(0) => out.extend_from_slice(b"Success"),
        Value::Errno(n) => {
            out.extend_from_slice(
                bpf_facts::errno(*n).map_or("Unknown error", |def| def.kernel_text()).as_bytes(),
            );
        }
        Value::Signal(n) => signal(*n, out),
        Value::Syscall(n) => {
            out.extend_from_slice(bpf_facts::syscall_name(*n).unwrap_or("Unknown syscall").as_bytes());
        }
        Value::Agg(agg, bytes) => view(&agg.view(bytes, div), out),
    }
}

/// A merged aggregation that fits on one line.
fn view(view: &View, out: &mut Vec<u8>) {
    match view {
        View::Number(n) | View::Average(n) => decimal(out, *n),
        View::Stats { count, average, total } => {
            out.extend_from_slice(b"{ .count = ");
            decimal(out, *count);
            out.extend_from_slice(b", .average = ");
            decimal(out, *average);
            out.extend_from_slice(b", .total = ");
            decimal(out, *total);
            out.extend_from_slice(b" }");
        }
        View::Hist(rows) => super::hist::render(rows, out),
        // Only maps show series; a single value of one has no place in the language.
        View::Series(series) => decimal(out, series.points.last().copied().flatten().unwrap_or(0)),
    }
}

/// Truncating division; 0 and 1 leave the number as it is.
pub fn divided(n: i128, div: i64) -> i128 {
    n.checked_div(i128::from(div)).unwrap_or(n)
}

/// Bytes 32 to 126 as they are, others as `\xNN`.
pub fn buffer(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        if (32..=126).contains(byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(b"\\x");
            two_digits(out, *byte, b"0123456789abcdef");
        }
    }
}

pub(crate) fn two_digits(out: &mut Vec<u8>, byte: u8, digits: &[u8; 16]) {
    out.push(digits[usize::from(byte >> 4)]);
    out.push(digits[usize::from(byte & 15)]);
}

/// A number in hexadecimal after `prefix`.
pub fn hex(out: &mut Vec<u8>, prefix: &str, n: u64) {
    use std::io::Write;
    // Writing to a vector cannot fail.
    let _ = write!(out, "{prefix}{n:x}");
}

/// An address without a name; zero has no prefix.
pub fn address(out: &mut Vec<u8>, addr: u64) {
    hex(out, if addr == 0 { "" } else { "0x" }, addr);
}

fn inet(family: u32, addr: &[u8], out: &mut Vec<u8>) {
    use std::io::Write;
    let mut bytes = [0; 16];
    let n = addr.len().min(16);
    bytes[..n].copy_from_slice(&addr[..n]);
    let _ = match family {
        AF_INET => write!(out, "{}", Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
        // inet_ntop(3) writes addresses that embed one of version 4 so; the standard library does not.
        AF_INET6 if bytes[..12] == [0; 12] && bytes[12..14] != [0; 2] => {
            write!(out, "::{}", Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]))
        }
        AF_INET6 => write!(out, "{}", Ipv6Addr::from(bytes)),
        _ => Ok(()),
    };
}

fn signal(n: i64, out: &mut Vec<u8>) {
    let text = match (bpf_facts::signal(n), n) {
        (Some(def), _) => def.text.to_string(),
        (None, 34..=64) => format!("Real-time signal {}", n - 34),
        (None, 0 | 32 | 33) => format!("Unknown signal {n}"),
        (None, _) => "N/A".into(),
    };
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::FixedNames;
    use hark_object::{Clock, EnumTy, RecordField, StackMode, Ty};
    use std::sync::Arc;

    fn shown(ty: &Ty, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        let cx = Context { names: &FixedNames, trailer: ".." };
        value(&cx, &Value::of(ty, bytes), 1, &mut out);
        String::from_utf8(out).expect("utf-8")
    }

    fn int(bytes: u8, signed: bool) -> Ty {
        Ty::Int { bytes, signed }
    }

    #[test]
    fn scalars() {
        assert_eq!(shown(&Ty::I64, &(-7i64).to_le_bytes()), "-7");
        assert_eq!(shown(&Ty::U64, &u64::MAX.to_le_bytes()), "18446744073709551615");
        assert_eq!(shown(&int(1, true), &[0xfd]), "-3");
        assert_eq!((shown(&Ty::Bool, &[1]), shown(&Ty::Bool, &[0])), ("true".into(), "false".into()));
        assert_eq!(shown(&Ty::Ptr, &20u64.to_le_bytes()), "0x14");
        assert_eq!(shown(&Ty::Ptr, &0u64.to_le_bytes()), "0x0");
        assert_eq!(shown(&Ty::Mac, &[0, 1, 0xab, 0xcd, 0xef, 0xff]), "00:01:AB:CD:EF:FF");
        assert_eq!(shown(&Ty::Void, &[]), "");
    }

    #[test]
    fn texts_and_buffers() {
        assert_eq!(shown(&Ty::Str { cap: 8 }, b"hello\0\0\0"), "hello");
        assert_eq!(shown(&Ty::Str { cap: 6 }, b"hello!"), "hello..");
        assert_eq!(shown(&Ty::Buf { cap: 8 }, b"\x05\0\0\0ab\n\\x\0\0\0"), "ab\\x0a\\x");
        assert_eq!(shown(&Ty::Buf { cap: 8 }, b"\x08\0\0\0hello\x01~\x7f"), "hello\\x01~\\x7f");
    }

    #[test]
    fn compounds() {
        let inner = Ty::Tuple(vec![int(1, true), Ty::Bool]);
        let tuple = Ty::Tuple(vec![int(1, true), Ty::Str { cap: 2 }, inner]);
        assert_eq!(shown(&tuple, b"\x01a\0\x02\x01"), "(1, a, (2, true))");
        assert_eq!(shown(&Ty::Tuple(vec![int(1, true)]), b"\x01"), "(1)");
        let array = Ty::Array { elem: Box::new(int(2, true)), len: 3 };
        assert_eq!(shown(&array, &[1, 0, 2, 0, 0xff, 0xff]), "[1,2,-1]");
        let field = |name: &str, ty| RecordField { name: name.into(), ty };
        let record = Ty::Record(vec![field("a", int(1, true)), field("b", Ty::Str { cap: 4 })]);
        assert_eq!(shown(&record, b"\x01x y\0"), "{ .a = 1, .b = x y }");
        assert_eq!(shown(&Ty::Record(vec![]), b""), "{}");
    }

    #[test]
    fn numbers_with_names() {
        let e = EnumTy { name: "E".into(), bytes: 4, signed: false, variants: vec![(2, "B".into())] };
        let e = Ty::Enum(Arc::new(e));
        assert_eq!((shown(&e, &[2, 0, 0, 0]), shown(&e, &[7, 0, 0, 0])), ("B".into(), "7".into()));
        assert_eq!(shown(&Ty::Ksym, &0xffff_ffff_8100_0008u64.to_le_bytes()), "vfs_read");
        assert_eq!(shown(&Ty::Ksym, &0xabcu64.to_le_bytes()), "0xabc");
        assert_eq!(shown(&Ty::Ksym, &[0; 8]), "0");
        assert_eq!((shown(&Ty::Username, &[0; 8]), shown(&Ty::Username, &[9])), ("root".into(), "9".into()));
        assert_eq!(shown(&Ty::Strerror, &2u64.to_le_bytes()), "No such file or directory");
        assert_eq!(shown(&Ty::Strerror, &(-2i64).to_le_bytes()), "No such file or directory");
        assert_eq!(shown(&Ty::Strerror, &0u64.to_le_bytes()), "Success");
        assert_eq!(shown(&Ty::Strerror, &9999u64.to_le_bytes()), "Unknown error");
        for (n, text) in [(9, "Killed"), (0, "Unknown signal 0"), (34, "Real-time signal 0"), (500, "N/A")] {
            assert_eq!(shown(&Ty::SignalName, &i64::to_le_bytes(n)), text);
        }
        assert_eq!(shown(&Ty::SyscallName, &59u64.to_le_bytes()), "execve");
        assert_eq!(shown(&Ty::SyscallName, &99_999u64.to_le_bytes()), "Unknown syscall");
    }

    #[test]
    fn internet_addresses() {
        let mut bytes = vec![2, 0, 0, 0, 127, 0, 0, 1];
        bytes.resize(20, 0);
        assert_eq!(shown(&Ty::Inet, &bytes), "127.0.0.1");
        bytes[0] = 10;
        bytes[4..20].copy_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(shown(&Ty::Inet, &bytes), "2001:db8::1");
        bytes[4..20].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4]);
        assert_eq!(shown(&Ty::Inet, &bytes), "::ffff:1.2.3.4");
    }

    #[test]
    fn moments() {
        let ty = Ty::Timestamp { format: "%H:%M:%S.%f".into(), clock: Clock::Boot };
        assert_eq!(shown(&ty, &61_000_005_000u64.to_le_bytes()), "00:01:01.000005");
    }

    #[test]
    fn stacks_by_mode() {
        let bytes: Vec<u8> =
            [2, 0xffff_ffff_8100_0010, 0x1234, 0].iter().flat_map(|n: &u64| n.to_le_bytes()).collect();
        for (mode, expected) in [
            (StackMode::Bpftrace, "\n        vfs_read+16\n        0x1234\n"),
            (StackMode::Perf, "\n\tffffffff81000010 vfs_read+16\n\t1234 0x1234\n"),
            (StackMode::Raw, "\nffffffff81000010\n1234\n"),
        ] {
            assert_eq!(shown(&Ty::KStack { depth: 3, mode }, &bytes), expected);
        }
        let bytes: Vec<u8> = [2, 42, 0x7f10, 0x5].iter().flat_map(|n: &u64| n.to_le_bytes()).collect();
        for (mode, expected) in [
            (StackMode::Bpftrace, "\n        read+16\n        0x5\n"),
            (StackMode::Perf, "\n\t7f10 read+16 (/lib/libc.so.6)\n\t5 0x5 ([unknown])\n"),
            (StackMode::BuildId, "\na1b2 0x410\n5\n"),
        ] {
            assert_eq!(shown(&Ty::UStack { depth: 2, mode }, &bytes), expected);
        }
        assert_eq!(shown(&Ty::KStack { depth: 3, mode: StackMode::Raw }, &[0; 8]), "\n");
        let inlined: Vec<u8> = [1, 42, 0x7f81].iter().flat_map(|n: &u64| n.to_le_bytes()).collect();
        for (mode, expected) in [
            (StackMode::Bpftrace, "\n        [inlined] check@read.c:3\n        read+129@read.c:9\n"),
            (
                StackMode::Perf,
                "\n\t7f81 check@read.c:3 (inlined)\n\t7f81 read+129@read.c:9 (/lib/libc.so.6)\n",
            ),
            (StackMode::Raw, "\n7f81\n"),
        ] {
            assert_eq!(shown(&Ty::UStack { depth: 2, mode }, &inlined), expected);
        }
    }
}
