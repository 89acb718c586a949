//! Takes the type information (BTF) of a guest's kernel out of its image, so that scripts can be checked for that kernel
//! without booting it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::kernels::Kernel;
use crate::shell::lab;

/// The file with the kernel's BTF, taken out of the image at first use.
///
/// # Errors
/// The kernel cannot be had, or its image is packed in a way that no program here unpacks.
pub(crate) fn file(kernel: &Kernel) -> Result<PathBuf> {
    let path = lab().join("kernels").join(kernel.version).join("btf");
    if path.exists() {
        return Ok(path);
    }
    let elf = unpack(&kernel.fetch()?)?;
    let section = section(&elf, ".BTF").context("the kernel's image has no section .BTF")?;
    let partial = path.with_extension("partial");
    fs::write(&partial, section)?;
    fs::rename(&partial, &path)?;
    Ok(path)
}

/// The kernel proper, an ELF file, out of `vmlinuz`. Where it lies says the head of the image (boot protocol 2.08:
/// Documentation/arch/x86/boot.rst).
fn unpack(vmlinuz: &Path) -> Result<Vec<u8>> {
    let image = fs::read(vmlinuz).with_context(|| format!("cannot read {}", vmlinuz.display()))?;
    let word = |at: usize| -> Result<usize> {
        let bytes = image.get(at..at + 4).context("the image is cut off")?;
        Ok(u32::from_le_bytes(bytes.try_into()?) as usize)
    };
    if image.get(0x202..0x206) != Some(b"HdrS".as_slice()) {
        bail!("{} is no kernel image", vmlinuz.display());
    }
    let sectors = usize::from(image[0x1f1]);
    let start = (sectors + 1) * 512 + word(0x248)?;
    let payload = image.get(start..start + word(0x24c)?).context("the image is cut off")?;
    let program = match payload {
        [0x02, 0x21, 0x4c, 0x18, ..] => "lz4",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [0xfd, b'7', b'z', ..] => "xz",
        [0x1f, 0x8b, ..] => "gzip",
        _ => bail!("the image is packed by a program that is not known here"),
    };
    // The last four bytes are the unpacked size, which is no part of what was packed.
    let packed = &payload[..payload.len() - 4];
    let file = lab().join(format!("payload-{}", std::process::id()));
    fs::write(&file, packed)?;
    let output = Command::new(program)
        .args(["-dc"])
        .stdin(fs::File::open(&file)?)
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {program} (package {program})"));
    fs::remove_file(&file)?;
    // What follows the end of the stream makes some of these programs complain after they have done all.
    Ok(output?.stdout)
}

/// A section of a 64-bit little-endian ELF file.
fn section<'a>(elf: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    let number = |at: usize, len: usize| -> Option<usize> {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(elf.get(at..at.checked_add(len)?)?);
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    };
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size) = (number(0x28, 8)?, number(0x3a, 2)?);
    let (count, names) = (number(0x3c, 2)?, number(0x3e, 2)?);
    let header = |i: usize| table.checked_add(i.checked_mul(size)?);
    let body = |i: usize| -> Option<&'a [u8]> {
        let (at, len) = (number(header(i)? + 0x18, 8)?, number(header(i)? + 0x20, 8)?);
        elf.get(at..at.checked_add(len)?)
    };
    let names = body(names)?;
    (0..count).find_map(|i| {
        let name = names.get(number(header(i)?, 4)?..)?;
        (name.split(|b| *b == 0).next()? == wanted.as_bytes()).then(|| body(i)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with two sections: the names, and `.BTF`.
    fn elf() -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file.extend_from_slice(b"\0.BTF\0");
        file.extend_from_slice(b"types");
        let table = file.len();
        file[0x28..0x30].copy_from_slice(&(table as u64).to_le_bytes());
        file[0x3a..0x40].copy_from_slice(&[64, 0, 2, 0, 0, 0]);
        for (name, at, len) in [(0u32, 64u64, 6u64), (1, 70, 5)] {
            let mut header = [0; 64];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[0x18..0x20].copy_from_slice(&at.to_le_bytes());
            header[0x20..0x28].copy_from_slice(&len.to_le_bytes());
            file.extend_from_slice(&header);
        }
        file
    }

    #[test]
    fn a_section_is_found_by_name() {
        let file = elf();
        assert_eq!(section(&file, ".BTF"), Some(b"types".as_slice()));
        assert_eq!(section(&file, ".text"), None);
        // The last header is read up to its size.
        for len in 0..file.len() - 24 {
            assert_eq!(section(&file[..len], ".BTF"), None);
        }
    }
}
