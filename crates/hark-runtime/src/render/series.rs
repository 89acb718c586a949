//! Time series as text: a plot that runs downwards.

use super::{Context, decimal, pad};
use crate::names::format_time;
use hark_object::agg::Series;

/// Characters of the plot, frame included.
const WIDTH: usize = 53;

/// How finely times are shown: the length of the interval decides.
fn resolution(series: &Series) -> (&'static str, &'static str) {
    match series.interval_ns {
        // A single interval has no neighbour that would show how far apart they are.
        _ if series.points.len() < 2 => ("hh:mm:ss.ns", "%H:%M:%S.%k"),
        1_000_000_000.. => ("hh:mm:ss", "%H:%M:%S"),
        1_000_000.. => ("hh:mm:ss.ms", "%H:%M:%S.%l"),
        1_000.. => ("hh:mm:ss.μs", "%H:%M:%S.%f"),
        0.. => ("hh:mm:ss.ns", "%H:%M:%S.%k"),
    }
}

/// The beginning of interval number `i` of a series, in nanoseconds since 1970.
pub(super) fn start_ns(series: &Series, i: usize) -> i128 {
    i128::from(series.first + i as u64) * i128::from(series.interval_ns)
}

/// The plot; nothing for an empty series.
pub(super) fn render(cx: &Context<'_>, series: &Series, out: &mut Vec<u8>) {
    let values = || series.points.iter().flatten().copied();
    let (Some(mut min), Some(mut max)) = (values().min(), values().max()) else { return };
    if min == max {
        min -= 1;
        max += 1;
    }
    let (title, format) = resolution(series);
    let first_time = format_time(cx.names, format, start_ns(series, 0));
    let column = first_time.len() + 1;
    let at = |value: i128| ((value - min) * (WIDTH as i128 - 1) / (max - min)) as usize;
    let zero = (min < 0 && max > 0).then(|| at(0));

    scale(column, min, max, out);
    line(column, title, b'|', b'_', out);
    for (i, point) in series.points.iter().enumerate() {
        let from = out.len();
        out.extend_from_slice(format_time(cx.names, format, start_ns(series, i)).as_bytes());
        pad(out, from, column, true, b' ');
        let plot = out.len();
        frame(b'|', b' ', out);
        if let Some(zero) = zero {
            out[plot + zero] = b'.';
        }
        if let Some(value) = point {
            out[plot + at(*value)] = b'*';
        }
        out.extend_from_slice(b" ");
        match point {
            Some(value) => decimal(out, *value),
            None => out.push(b'-'),
        }
        out.push(b'\n');
    }
    line(column, "", b'v', b'_', out);
    scale(column, min, max, out);
}

fn scale(column: usize, min: i128, max: i128, out: &mut Vec<u8>) {
    out.resize(out.len() + column, b' ');
    let from = out.len();
    decimal(out, min);
    let left = out.len() - from;
    let from = out.len();
    decimal(out, max);
    pad(out, from, WIDTH.saturating_sub(left), false, b' ');
    out.push(b'\n');
}

fn line(column: usize, title: &str, edge: u8, fill: u8, out: &mut Vec<u8>) {
    let from = out.len();
    out.extend_from_slice(title.as_bytes());
    pad(out, from, column, true, b' ');
    frame(edge, fill, out);
    out.push(b'\n');
}

fn frame(edge: u8, fill: u8, out: &mut Vec<u8>) {
    out.push(edge);
    out.resize(out.len() + WIDTH - 2, fill);
    out.push(edge);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::FixedNames;

    fn plot(interval_ns: u64, first: u64, points: &[Option<i128>]) -> String {
        let mut out = Vec::new();
        let cx = Context { names: &FixedNames, trailer: "" };
        render(&cx, &Series { interval_ns, first, points: points.to_vec() }, &mut out);
        String::from_utf8(out).expect("utf-8")
    }

    #[test]
    fn marks_values_gaps_and_zero() {
        let points = [Some(-2), None, Some(0), None, Some(7)];
        assert_eq!(
            plot(20_000_000, 37, &points),
            "             -2                                                  7\n\
             hh:mm:ss.ms  |___________________________________________________|\n\
             00:00:00.740 *          .                                        | -2\n\
             00:00:00.760 |          .                                        | -\n\
             00:00:00.780 |          *                                        | 0\n\
             00:00:00.800 |          .                                        | -\n\
             00:00:00.820 |          .                                        * 7\n             \
             v___________________________________________________v\n             \
             -2                                                  7\n"
        );
    }

    #[test]
    fn a_single_value_stands_in_the_middle() {
        assert_eq!(
            plot(2_000_000_000, 7, &[Some(10)]),
            "                   9                                                  11\n\
             hh:mm:ss.ns        |___________________________________________________|\n\
             00:00:14.000000000 |                         *                         | 10\n                   \
             v___________________________________________________v\n                   \
             9                                                  11\n"
        );
    }

    #[test]
    fn the_interval_decides_the_resolution() {
        let points = [Some(1), Some(2)];
        assert!(plot(1_500_000_000, 10, &points).contains("\nhh:mm:ss |__"));
        assert!(plot(1_500_000_000, 11, &points).contains("\n00:00:16 *"));
        // The title is padded by bytes, and the Greek letter has two.
        assert!(plot(100_000, 0, &points).contains("\nhh:mm:ss.μs    |__"));
        assert!(plot(10, 0, &points).contains("\n00:00:00.000000010 |"));
        assert_eq!(plot(10, 0, &[]), "");
    }
}
