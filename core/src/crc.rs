//! Checksums. A page is read over the network, and tables of them do not compress: there they are made when they are
//! first asked for. Elsewhere crates compute them with what the processor has.

#[cfg(not(target_arch = "wasm32"))]
mod fast {
    pub use crc32c::{crc32c, crc32c_append};

    /// Of IEEE 802.3, as gzip has it.
    pub fn crc32(bytes: &[u8]) -> u32 {
        crc32fast::hash(bytes)
    }
}

#[cfg(any(target_arch = "wasm32", test))]
#[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
mod small {
    use std::sync::OnceLock;

    /// `tables[i][b]` is the checksum's change by the byte `b` with `i` zeros behind it.
    struct Tables([[u32; 256]; 8]);

    impl Tables {
        fn new(polynomial: u32) -> Self {
            let mut tables = [[0; 256]; 8];
            for byte in 0..256 {
                let mut crc = byte as u32;
                for table in &mut tables {
                    for _ in 0..8 {
                        crc = (crc >> 1) ^ if crc & 1 == 1 { polynomial } else { 0 };
                    }
                    table[byte] = crc;
                }
            }
            Tables(tables)
        }

        fn append(&self, crc: u32, bytes: &[u8]) -> u32 {
            let at = |zeros: usize, byte: u32| self.0[zeros][(byte & 0xff) as usize];
            let (words, rest) = bytes.as_chunks::<8>();
            let crc = words.iter().fold(!crc, |crc, &[a, b, c, d, e, f, g, h]| {
                let crc = crc ^ u32::from_le_bytes([a, b, c, d]);
                let first = at(7, crc) ^ at(6, crc >> 8) ^ at(5, crc >> 16) ^ at(4, crc >> 24);
                first ^ at(3, e.into()) ^ at(2, f.into()) ^ at(1, g.into()) ^ at(0, h.into())
            });
            !rest.iter().fold(crc, |crc, byte| at(0, crc ^ u32::from(*byte)) ^ (crc >> 8))
        }
    }

    pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
        static TABLES: OnceLock<Tables> = OnceLock::new();
        TABLES.get_or_init(|| Tables::new(0x82f6_3b78)).append(crc, bytes)
    }

    pub fn crc32c(bytes: &[u8]) -> u32 {
        crc32c_append(0, bytes)
    }

    /// Of IEEE 802.3, as gzip has it.
    pub fn crc32(bytes: &[u8]) -> u32 {
        static TABLES: OnceLock<Tables> = OnceLock::new();
        TABLES.get_or_init(|| Tables::new(0xedb8_8320)).append(0, bytes)
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub use fast::{crc32, crc32c, crc32c_append};
#[cfg(target_arch = "wasm32")]
pub use small::{crc32, crc32c, crc32c_append};

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::{fast, small};

    #[test]
    fn a_page_computes_what_a_server_does() {
        let bytes: Vec<u8> = (0..1000u32).map(|at| ((at * at) >> 3) as u8).collect();
        for from in [0, 1, 8, 13, 995, 1000] {
            let bytes = &bytes[from..];
            assert_eq!(small::crc32(bytes), fast::crc32(bytes), "from {from}");
            assert_eq!(small::crc32c(bytes), fast::crc32c(bytes), "from {from}");
            assert_eq!(small::crc32c_append(7, bytes), fast::crc32c_append(7, bytes), "from {from}");
        }
    }
}
