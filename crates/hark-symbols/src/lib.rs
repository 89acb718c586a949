//! ELF symbols, USDT notes, kallsyms, /proc maps.
