//! Writes small ELF files for tests: one code and one data segment, symbols, and any further sections.

/// A file to be written. Code is at `CODE` in memory and at `CODE_OFFSET` in the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writer {
    /// Name, address, size, type (`STT_*`).
    pub(crate) symbols: Vec<(&'static str, u64, u64, u8)>,
    /// Name, address, contents.
    pub(crate) sections: Vec<(&'static str, u64, Vec<u8>)>,
    /// 32 bits instead of 64.
    pub(crate) narrow: bool,
    /// Most significant byte first.
    pub(crate) big_endian: bool,
}

pub(crate) const CODE: u64 = 0x40_1000;
pub(crate) const CODE_OFFSET: u64 = 0x1000;
pub(crate) const DATA: u64 = 0x40_3000;
pub(crate) const DATA_OFFSET: u64 = 0x2000;
const SEGMENT: u64 = 0x100;

impl Writer {
    fn n(&self, out: &mut Vec<u8>, value: u64, width: usize) {
        let bytes = value.to_le_bytes();
        let taken = bytes[..width].iter().copied();
        if self.big_endian { out.extend(taken.rev()) } else { out.extend(taken) }
    }

    /// A number of the file's address width.
    fn word(&self, out: &mut Vec<u8>, value: u64) {
        self.n(out, value, if self.narrow { 4 } else { 8 });
    }

    /// A note section's contents.
    pub(crate) fn note(&self, name: &[u8], ty: u64, desc: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.n(&mut out, name.len() as u64, 4);
        self.n(&mut out, desc.len() as u64, 4);
        self.n(&mut out, ty, 4);
        for part in [name, desc] {
            out.extend_from_slice(part);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out
    }

    /// The note of a static probe.
    pub(crate) fn usdt(&self, pc: u64, base: u64, semaphore: u64, texts: &[&str]) -> Vec<u8> {
        let mut desc = Vec::new();
        for n in [pc, base, semaphore] {
            self.word(&mut desc, n);
        }
        for text in texts {
            desc.extend_from_slice(text.as_bytes());
            desc.push(0);
        }
        self.note(b"stapsdt\0", 3, &desc)
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let (ehdr, phdr, sym_size) = if self.narrow { (52, 32, 16) } else { (64, 56, 24) };
        let mut body = vec![0; (DATA_OFFSET + SEGMENT) as usize];
        let (mut names, mut strings) = (vec![0u8], vec![0u8]);
        let intern = |table: &mut Vec<u8>, name: &str| {
            let at = table.len() as u64;
            table.extend_from_slice(name.as_bytes());
            table.push(0);
            at
        };
        let mut symtab = vec![0; sym_size];
        for (name, addr, size, ty) in &self.symbols {
            let name = intern(&mut strings, name);
            self.n(&mut symtab, name, 4);
            let info = u64::from(0x10 | ty);
            if self.narrow {
                for (value, width) in [(*addr, 4), (*size, 4), (info, 1), (0, 1), (1, 2)] {
                    self.n(&mut symtab, value, width);
                }
            } else {
                for (value, width) in [(info, 1), (0, 1), (1, 2), (*addr, 8), (*size, 8)] {
                    self.n(&mut symtab, value, width);
                }
            }
        }
        // (name, type, address, contents, link)
        let mut sections = vec![("", 0u64, 0, Vec::new(), 0)];
        sections.extend(self.sections.iter().map(|(name, addr, data)| (*name, 1, *addr, data.clone(), 0)));
        let strtab = sections.len() as u64 + 1;
        sections.push((".symtab", 2, 0, symtab, strtab));
        sections.push((".strtab", 3, 0, strings, 0));
        let named: Vec<u64> = sections.iter().map(|s| intern(&mut names, s.0)).collect();
        let shstrtab = intern(&mut names, ".shstrtab");
        let mut headers = Vec::new();
        let n_sections = sections.len() as u64 + 1;
        sections.push((".shstrtab", 3, 0, names, 0));
        for (i, (_, ty, addr, data, link)) in sections.iter().enumerate() {
            body.resize(body.len().next_multiple_of(8), 0);
            let offset = body.len() as u64;
            body.extend_from_slice(data);
            self.n(&mut headers, named.get(i).copied().unwrap_or(shstrtab), 4);
            self.n(&mut headers, *ty, 4);
            for value in [0, *addr, offset, data.len() as u64] {
                self.word(&mut headers, value);
            }
            self.n(&mut headers, *link, 4);
            self.n(&mut headers, 0, 4);
            self.word(&mut headers, 8);
            self.word(&mut headers, if *ty == 2 { sym_size as u64 } else { 0 });
        }
        body.resize(body.len().next_multiple_of(8), 0);
        let shoff = body.len() as u64;
        body.extend_from_slice(&headers);

        let mut head = b"\x7fELF".to_vec();
        head.push(if self.narrow { 1 } else { 2 });
        head.push(if self.big_endian { 2 } else { 1 });
        head.push(1);
        head.resize(16, 0);
        for (value, width) in [(3, 2), (62, 2), (1, 4)] {
            self.n(&mut head, value, width);
        }
        for value in [CODE, ehdr, shoff] {
            self.word(&mut head, value);
        }
        self.n(&mut head, 0, 4);
        for value in [ehdr, phdr, 2, if self.narrow { 40 } else { 64 }, n_sections, n_sections - 1] {
            self.n(&mut head, value, 2);
        }
        for (flags, offset, addr) in [(5, CODE_OFFSET, CODE), (6, DATA_OFFSET, DATA)] {
            self.n(&mut head, 1, 4);
            if !self.narrow {
                self.n(&mut head, flags, 4);
            }
            for value in [offset, addr, addr, SEGMENT, SEGMENT] {
                self.word(&mut head, value);
            }
            if self.narrow {
                self.n(&mut head, flags, 4);
            }
            self.word(&mut head, 0x1000);
        }
        body[..head.len()].copy_from_slice(&head);
        body
    }
}
