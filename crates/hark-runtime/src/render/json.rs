//! Records of the JSON output: one object a line.

use super::series::start_ns;
use super::table::{Entries, Selection, key_text};
use super::{Context, decimal, text};
use crate::names::format_time;
use crate::value::{Members, Value};
use hark_object::agg::{Agg, Bucket, Series, View};
use hark_object::{StackMode, Ty};

/// Appends `{"type": KIND, "data": …}` and a line end.
pub fn record(kind: &str, out: &mut Vec<u8>, data: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"{\"type\": \"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\", \"data\": ");
    data(out);
    out.extend_from_slice(b"}\n");
}

/// Appends `{"type": KIND, "NAME": …, …}` and a line end.
pub fn flat_record(kind: &str, fields: &[(&str, Scalar<'_>)], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\": \"");
    out.extend_from_slice(kind.as_bytes());
    out.push(b'"');
    for (name, value) in fields {
        out.extend_from_slice(b", \"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\": ");
        match value {
            Scalar::Text(text) => string(text, out),
            Scalar::Number(n) => decimal(out, *n),
            Scalar::Object(name, n) => {
                out.extend_from_slice(b"{\"");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\": ");
                decimal(out, *n);
                out.push(b'}');
            }
        }
    }
    out.extend_from_slice(b"}\n");
}

/// A field of a [`flat_record`].
#[derive(Clone, Copy, Debug)]
pub enum Scalar<'a> {
    /// A string.
    Text(&'a [u8]),
    /// A number.
    Number(i128),
    /// An object with one number.
    Object(&'a str, i128),
}

/// Appends a map as a record; nothing for a map without entries, unless it keeps averages: those always have a record.
pub fn map(cx: &Context<'_>, entries: &Entries<'_>, selection: Selection, out: &mut Vec<u8>) {
    let order = entries.selected(selection.top);
    let kind = match entries.map.value {
        Ty::Agg(Agg::Hist { .. } | Agg::Lhist { .. }) => "hist",
        Ty::Agg(Agg::Stats { .. } | Agg::Avg { .. }) => "stats",
        Ty::Agg(Agg::Tseries { .. }) => "tseries",
        _ => "map",
    };
    if order.is_empty() {
        if kind == "stats" {
            no_entries(entries.name, out);
        }
        return;
    }
    let mut key_buffer = Vec::new();
    record(kind, out, |out| {
        out.push(b'{');
        string(entries.name.as_bytes(), out);
        out.extend_from_slice(b": ");
        if entries.map.key.is_some() {
            out.push(b'{');
        }
        for (n, i) in order.into_iter().enumerate() {
            if let Some(key) = entries.key(i) {
                if n > 0 {
                    out.extend_from_slice(b", ");
                }
                key_buffer.clear();
                key_text(cx, &key, &mut key_buffer);
                key_buffer.retain(|b| *b != b' ');
                string(&key_buffer, out);
                out.extend_from_slice(b": ");
            }
            value(cx, &entries.value(i), selection.div, out);
        }
        if entries.map.key.is_some() {
            out.push(b'}');
        }
        out.push(b'}');
    });
}

/// Appends the record of a map of averages that has no entry.
pub fn no_entries(name: &str, out: &mut Vec<u8>) {
    record("stats", out, |out| {
        out.push(b'{');
        string(name.as_bytes(), out);
        out.extend_from_slice(b": {}}");
    });
}

/// Appends a value.
pub fn value(cx: &Context<'_>, value: &Value<'_>, div: i64, out: &mut Vec<u8>) {
    match value {
        Value::Void | Value::Null => out.extend_from_slice(b"null"),
        Value::Int { n, .. } => number(text::divided(*n, div), out),
        Value::Enum { n, .. } => number(*n, out),
        Value::Bool(_) => text::value(cx, value, 1, out),
        Value::Ptr(p) => number(i128::from(*p), out),
        // Elements are signed, as programs that read this have come to expect.
        Value::Buf(bytes) => join(bytes.iter().map(|b| *b as i8), b",", b"[", b"]", out, |n, out| {
            decimal(out, i128::from(n));
        }),
        Value::Array(members) | Value::Tuple(members) => elements(cx, members.clone(), div, out),
        Value::Struct(members) => {
            join(members.clone(), b", ", b"{", b"}", out, |(name, member), out| {
                string(name.as_bytes(), out);
                out.extend_from_slice(b": ");
                self::value(cx, &member, div, out);
            });
        }
        Value::Agg(agg, bytes) => view(cx, &agg.view(bytes, div), out),
        Value::Str { .. }
        | Value::Stack {
            mode: StackMode::Bpftrace | StackMode::Perf | StackMode::Raw | StackMode::BuildId,
            ..
        }
        | Value::Ksym(_)
        | Value::Usym { .. }
        | Value::Inet { .. }
        | Value::Mac(_)
        | Value::Time { .. }
        | Value::User(_)
        | Value::Cgroup { .. }
        | Value::Errno(_)
        | Value::Signal(_)
        | Value::Syscall(_) => {
            let mut buffer = Vec::new();
            text::value(cx, value, 1, &mut buffer);
            string(&buffer, out);
        }
    }
}

fn elements(cx: &Context<'_>, members: Members<'_>, div: i64, out: &mut Vec<u8>) {
    join(members, b",", b"[", b"]", out, |(_, member), out| value(cx, &member, div, out));
}

fn view(cx: &Context<'_>, view: &View, out: &mut Vec<u8>) {
    match view {
        View::Number(n) | View::Average(n) => number(*n, out),
        View::Stats { count, average, total } => {
            let fields = [("count", count), ("average", average), ("total", total)];
            join(fields, b", ", b"{", b"}", out, |(name, n), out| {
                string(name.as_bytes(), out);
                out.extend_from_slice(b": ");
                number(*n, out);
            });
        }
        View::Hist(rows) => join(rows, b",", b"[", b"]", out, bucket),
        View::Series(series) => self::series(cx, series, out),
    }
}

/// Ends are inclusive; an open end is left out.
fn bucket(row: &Bucket, out: &mut Vec<u8>) {
    let ends = [("min", row.low), ("max", row.high.map(|high| high - 1)), ("count", Some(row.count.into()))];
    let fields = ends.into_iter().filter_map(|(name, n)| n.map(|n| (name, n)));
    join(fields, b", ", b"{", b"}", out, |(name, n), out| {
        string(name.as_bytes(), out);
        out.extend_from_slice(b": ");
        number(n, out);
    });
}

/// Intervals in which something happened.
fn series(cx: &Context<'_>, series: &Series, out: &mut Vec<u8>) {
    let points = series.points.iter().enumerate().filter_map(|(i, point)| point.map(|value| (i, value)));
    join(points, b",", b"[", b"]", out, |(i, value), out| {
        let start = format_time(cx.names, "%Y-%m-%d %H:%M:%S.%k", start_ns(series, i));
        out.extend_from_slice(b"{\"interval_start\":");
        string(start.as_bytes(), out);
        out.extend_from_slice(b",\"value\":");
        number(value, out);
        out.push(b'}');
    });
}

fn join<T>(
    items: impl IntoIterator<Item = T>,
    between: &[u8],
    open: &[u8],
    close: &[u8],
    out: &mut Vec<u8>,
    mut each: impl FnMut(T, &mut Vec<u8>),
) {
    out.extend_from_slice(open);
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(between);
        }
        each(item, out);
    }
    out.extend_from_slice(close);
}

/// A number; a string with its digits if readers that keep numbers as doubles would change it.
fn number(n: i128, out: &mut Vec<u8>) {
    let exact = (n as f64) as i128 == n;
    if !exact {
        out.push(b'"');
    }
    decimal(out, n);
    if !exact {
        out.push(b'"');
    }
}

/// A string. What is not UTF-8 becomes U+FFFD.
pub fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0..0x20 => out.extend(format!("\\u{byte:04x}").bytes()),
                byte => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::with_entries;
    use super::*;
    use crate::names::FixedNames;
    use hark_object::Ty;

    const CX: Context<'_> = Context { names: &FixedNames, trailer: ".." };

    fn int(bytes: u8, signed: bool) -> Ty {
        Ty::Int { bytes, signed }
    }

    fn shown(ty: &Ty, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        value(&CX, &Value::of(ty, bytes), 1, &mut out);
        serde_json::from_slice::<serde_json::Value>(&out).expect("JSON");
        String::from_utf8(out).expect("utf-8")
    }

    fn table(key: Option<Ty>, value: Ty, entries: &[(&[u8], &[u8])]) -> String {
        with_entries(key, value, entries, |entries| {
            let mut out = Vec::new();
            map(&CX, entries, Selection::ALL, &mut out);
            for line in out.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                serde_json::from_slice::<serde_json::Value>(line).expect("JSON");
            }
            String::from_utf8(out).expect("utf-8")
        })
    }

    #[test]
    fn numbers_that_doubles_cannot_hold_are_strings() {
        for (n, expected) in [
            (5, "5"),
            (9_007_199_254_740_992, "9007199254740992"),
            (9_007_199_254_740_993, "\"9007199254740993\""),
            (-9_007_199_254_740_993, "\"-9007199254740993\""),
            (1 << 60, "1152921504606846976"),
        ] {
            assert_eq!(shown(&Ty::I64, &i64::to_le_bytes(n)), expected);
        }
        assert_eq!(shown(&Ty::U64, &[255; 8]), "\"18446744073709551615\"");
    }

    #[test]
    fn values() {
        let tuple =
            Ty::Tuple(vec![int(1, true), Ty::Str { cap: 2 }, Ty::Tuple(vec![int(1, true), Ty::Bool])]);
        assert_eq!(shown(&tuple, b"\x01x\0\x02\x01"), "[1,\"x\",[2,true]]");
        assert_eq!(shown(&Ty::Buf { cap: 3 }, b"\x03\0\0\0\xff\0A"), "[-1,0,65]");
        assert_eq!(shown(&Ty::Ptr, &[16, 0, 0, 0, 0, 0, 0, 0]), "16");
        assert_eq!(shown(&Ty::Void, b""), "null");
        let field = |name: &str, ty| hark_object::RecordField { name: name.into(), ty };
        let record = Ty::Record(vec![
            field("a", int(1, true)),
            field("c", Ty::Array { elem: int(1, true).into(), len: 2 }),
        ]);
        assert_eq!(shown(&record, &[2, 1, 2]), "{\"a\": 2, \"c\": [1,2]}");
        let raw = Ty::KStack { depth: 1, mode: StackMode::Raw };
        assert_eq!(shown(&raw, &[1, 0, 0, 0, 0, 0, 0, 0, 0xab, 0, 0, 0, 0, 0, 0, 0]), "\"\\nab\\n\"");
    }

    #[test]
    fn strings_are_escaped_and_made_valid() {
        let mut out = Vec::new();
        string("x\"\\\n\t\r\u{8}\u{c}\u{1}\u{1f}/é\u{7f}".as_bytes(), &mut out);
        assert_eq!(out, "\"x\\\"\\\\\\n\\t\\r\\u0008\\u000c\\u0001\\u001f/é\u{7f}\"".as_bytes());
        out.clear();
        string(b"a\xffb", &mut out);
        assert_eq!(out, "\"a\u{fffd}b\"".as_bytes());
    }

    #[test]
    fn maps() {
        assert_eq!(table(None, Ty::I64, &[(b"", &[5])]), "{\"type\": \"map\", \"data\": {\"@m\": 5}}\n");
        let key = Ty::Tuple(vec![Ty::Str { cap: 4 }, int(1, true)]);
        assert_eq!(
            table(Some(key), Ty::I64, &[(b"a b\0\x02", &[3]), (b"b\0\0\0\x01", &[1])]),
            "{\"type\": \"map\", \"data\": {\"@m\": {\"b,1\": 1, \"ab,2\": 3}}}\n"
        );
        assert_eq!(table(Some(Ty::Bool), Ty::I64, &[]), "");
    }

    #[test]
    fn aggregations() {
        let words = |words: &[i64]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
        let stats = Ty::Agg(Agg::Stats { signed: true });
        assert_eq!(
            table(Some(Ty::Str { cap: 2 }), stats, &[(b"a", &words(&[1, 1])), (b"b", &words(&[12, 2]))]),
            "{\"type\": \"stats\", \"data\": {\"@m\": {\"a\": {\"count\": 1, \"average\": 1, \"total\": 1}, \
             \"b\": {\"count\": 2, \"average\": 6, \"total\": 12}}}}\n"
        );
        let avg = Ty::Agg(Agg::Avg { signed: true });
        assert_eq!(
            table(None, avg, &[(b"", &words(&[5, 1]))]),
            "{\"type\": \"stats\", \"data\": {\"@m\": 5}}\n"
        );

        let hist = Agg::Hist { k: 0 };
        let mut counts = vec![0; hist.size() as usize / 8];
        (counts[0], counts[1], counts[3]) = (1, 2, 8);
        assert_eq!(
            table(None, Ty::Agg(hist), &[(b"", &words(&counts))]),
            "{\"type\": \"hist\", \"data\": {\"@m\": [{\"max\": -1, \"count\": 1},\
             {\"min\": 0, \"max\": 0, \"count\": 2},{\"min\": 1, \"max\": 1, \"count\": 0},\
             {\"min\": 2, \"max\": 3, \"count\": 8}]}}\n"
        );
        let lhist = Agg::Lhist { min: 10, max: 40, step: 15 };
        assert_eq!(
            table(Some(int(1, true)), Ty::Agg(lhist), &[(&[1], &words(&[1, 0, 0, 1]))]),
            "{\"type\": \"hist\", \"data\": {\"@m\": {\"1\": [{\"max\": 9, \"count\": 1},\
             {\"min\": 10, \"max\": 24, \"count\": 0},{\"min\": 25, \"max\": 39, \"count\": 0},\
             {\"min\": 40, \"count\": 1}]}}}\n"
        );
        let fun = hark_object::agg::SeriesFn::Sum;
        let series = Agg::Tseries { interval_ns: 1_000_000, n: 3, fun, signed: true };
        assert_eq!(
            table(None, Ty::Agg(series), &[(b"", &words(&[3, 7, 1, 0, 0, 0, 5, 9, 1]))]),
            "{\"type\": \"tseries\", \"data\": {\"@m\": [\
             {\"interval_start\":\"1970-01-01 00:00:00.003000000\",\"value\":7},\
             {\"interval_start\":\"1970-01-01 00:00:00.005000000\",\"value\":9}]}}\n"
        );
    }

    #[test]
    fn flat_records() {
        let mut out = Vec::new();
        let fields = [("count", Scalar::Number(2)), ("data", Scalar::Object("probes", 2))];
        flat_record("attached_probes", &fields, &mut out);
        assert_eq!(out, b"{\"type\": \"attached_probes\", \"count\": 2, \"data\": {\"probes\": 2}}\n");
    }
}
