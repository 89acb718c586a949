//! Calendar time in the zone of this machine, by libc.

#![expect(unsafe_code, reason = "libc's calendar takes pointers, and nix does not wrap it")]

use std::ffi::CString;
use std::mem::MaybeUninit;

/// Formats `seconds` since 1970 as strftime(3) does, in local time.
///
/// `None` if the year does not fit libc's calendar or the format holds a NUL. Conversions for parts of seconds are
/// the caller's to replace beforehand.
pub fn strftime(format: &str, seconds: i64) -> Option<String> {
    /// Longer than any sensible format; what does not fit is refused.
    const MAX: usize = 1 << 16;
    let time = local(seconds)?;
    // The blank at the end tells an empty result from one that does not fit: both return 0.
    let format = CString::new(format!("{format} ")).ok()?;
    let mut buffer = vec![0u8; 128];
    loop {
        // SAFETY: the buffer has the stated length, the format ends with NUL, time was filled by localtime_r.
        let len = unsafe { libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), &time) };
        if len > 0 {
            buffer.truncate(len - 1);
            return Some(String::from_utf8_lossy(&buffer).into_owned());
        }
        if buffer.len() >= MAX {
            return None;
        }
        buffer.resize(buffer.len() * 4, 0);
    }
}

fn local(seconds: i64) -> Option<libc::tm> {
    let mut time = MaybeUninit::<libc::tm>::zeroed();
    let seconds: libc::time_t = seconds;
    // SAFETY: both pointers are valid for the call; localtime_r is the variant without shared state.
    let filled = unsafe { libc::localtime_r(&seconds, time.as_mut_ptr()) };
    if filled.is_null() {
        return None;
    }
    // SAFETY: localtime_r returned its argument, so it has filled it; all-zero was a valid tm already.
    Some(unsafe { time.assume_init() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_as_libc_does() {
        // Any zone is at most 14 hours away, so this day is in 2001 everywhere.
        assert_eq!(strftime("%Y", 1_000_000_000).as_deref(), Some("2001"));
        assert_eq!(strftime("", 0).as_deref(), Some(""));
        assert_eq!(strftime("%%", 0).as_deref(), Some("%"));
        assert_eq!(strftime(&"x".repeat(1000), 0).map(|text| text.len()), Some(1000));
        assert_eq!(strftime("\0", 0), None);
        assert_eq!(strftime("%Y", i64::MAX), None);
    }
}
