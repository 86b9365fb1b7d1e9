//! Where keys and channels are: Redis Cluster's slots, and the partitions that spread evenly over them.
//!
//! Keys are stored under these tags, so neither the tags nor `partition_of` may ever change.

/// How many slots a Redis Cluster has.
pub(crate) const SLOTS: u16 = 16384;

/// How many partitions rooms and other topics fall into. A power of two, so that partition `p` can own the `p`-th 256th
/// of the slots: any number of masters up to it has an even share of the partitions whenever it has an even share of slots.
pub const PARTITIONS: u16 = 256;

/// The slot of a key or of a shard channel: CRC-16/XMODEM of what is in the first `{…}`, or of all of it if there
/// is none or it is empty (Redis Cluster specification, "Hash tags").
pub fn slot(key: &[u8]) -> u16 {
    let tag = key
        .iter()
        .position(|&byte| byte == b'{')
        .and_then(|open| {
            let rest = &key[open + 1..];
            let close = rest.iter().position(|&byte| byte == b'}')?;
            (close > 0).then(|| &rest[..close])
        })
        .unwrap_or(key);
    crc16(tag) % SLOTS
}

/// The partition of an id, below [`PARTITIONS`].
pub fn partition_of(id: &str) -> u16 {
    crc16(id.as_bytes()) % PARTITIONS
}

/// The tag of a partition, taken modulo [`PARTITIONS`]: two or three characters that, in braces, put a key or channel into
/// the partition's share of the slots.
pub fn tag(partition: u16) -> &'static str {
    TAGS[usize::from(partition % PARTITIONS)]
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (crc << 8) ^ CRC16[usize::from((crc >> 8) as u8 ^ byte)]
    })
}

const CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 {
                (crc << 1) ^ 0x1021
            } else {
                crc << 1
            };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

/// The shortest, then first, of `a0` … `zz`, `a00` … `z99` that hashes into the partition's 64 slots.
#[rustfmt::skip]
const TAGS: [&str; PARTITIONS as usize] = [
    "cv", "bl", "cr", "u8", "c07", "d7", "cz", "d3", "e4", "a49", "e0", "by", "co", "bu", "e8", "bq",
    "g6", "c36", "g2", "oz", "am", "ov", "v9", "or", "at", "oo", "ap", "f9", "a78", "f5", "ax", "f1",
    "kz", "c2", "c76", "c6", "ds", "r9", "dw", "em", "b9", "ep", "dn", "et", "b1", "ex", "b5", "a38",
    "q8", "gr", "fl", "gv", "o2", "gz", "o6", "c47", "fy", "a0", "a09", "a4", "fq", "a8", "fu", "go",
    "cw", "bm", "cs", "u9", "c06", "d6", "lz", "d2", "e5", "a48", "e1", "bx", "cn", "bt", "e9", "bp",
    "g7", "c37", "g3", "qy", "al", "ow", "v8", "os", "au", "on", "aq", "f8", "a79", "f4", "ay", "f0",
    "dz", "c3", "c77", "c7", "dr", "r8", "dv", "el", "b8", "eq", "do", "eu", "b0", "ey", "b4", "a39",
    "q9", "gs", "fm", "gw", "o3", "hz", "o7", "c46", "fx", "a1", "a08", "a5", "fp", "a9", "ft", "gn",
    "bn", "ct", "d9", "cp", "d5", "a58", "d1", "cx", "c16", "e6", "mz", "e2", "bw", "cm", "bs", "t9",
    "a69", "g4", "ox", "g0", "ot", "ao", "op", "g8", "om", "av", "w8", "ar", "f7", "c27", "f3", "az",
    "c0", "dy", "c4", "a29", "c8", "dq", "eo", "du", "er", "s8", "ev", "dl", "ez", "b3", "c67", "b7",
    "gp", "o8", "gt", "fn", "gx", "o0", "a18", "o4", "a2", "iz", "a6", "c56", "p9", "fs", "gm", "fw",
    "bo", "cu", "d8", "cq", "d4", "a59", "d0", "cy", "c17", "e7", "bz", "e3", "bv", "cl", "br", "t8",
    "a68", "g5", "oy", "g1", "ou", "an", "oq", "g9", "ol", "aw", "w9", "as", "f6", "c26", "f2", "nz",
    "c1", "dx", "c5", "a28", "c9", "dp", "en", "dt", "es", "s9", "ew", "dm", "jz", "b2", "c66", "b6",
    "gq", "o9", "gu", "fo", "gy", "o1", "a19", "o5", "a3", "fz", "a7", "c57", "p8", "fr", "gl", "fv",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot(b"foo"), 12182);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
        assert_eq!(slot(b"foo{bar"), crc16(b"foo{bar") % SLOTS);
        assert_eq!(slot(b""), 0);
    }

    #[test]
    fn partition_p_lies_in_the_pth_256th_of_the_slots() {
        for partition in 0..PARTITIONS {
            let key = format!("room:{{{}}}:head", tag(partition));
            assert_eq!(slot(key.as_bytes()) / (SLOTS / PARTITIONS), partition);
        }
    }

    #[test]
    fn ids_spread_over_the_partitions() {
        let mut counts = [0; PARTITIONS as usize];
        for number in 0..256_000 {
            counts[usize::from(partition_of(&format!("room-{number}")))] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1200).contains(count)),
            "{counts:?}"
        );
    }
}
