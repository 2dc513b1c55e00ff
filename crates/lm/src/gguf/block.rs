//! The types of stored values, and turning them into `f32`.
//!
//! A quantised type stores blocks of 32 or 256 values: small integers and the scales that they share. What a block
//! decodes to is defined by ggml; every function here gives its result bit for bit, as Python's `gguf` computes it
//! (`tests/golden/gguf-blocks.json`). Nothing here is checked for being finite; that is for whoever asked.

use half::{bf16, f16};

/// A type of stored values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an `f32`.
    Bf16,
    /// 4 bits, a scale for 32.
    Q4_0,
    /// 4 bits, a scale and an offset for 32.
    Q4_1,
    /// 5 bits, a scale for 32.
    Q5_0,
    /// 5 bits, a scale and an offset for 32.
    Q5_1,
    /// 8 bits, a scale for 32.
    Q8_0,
    /// 4 bits; a scale and an offset for 32, themselves of 6 bits with a scale for 256.
    Q4K,
    /// 5 bits, else as `Q4K`.
    Q5K,
    /// 6 bits; a scale for 16, itself of 8 bits with a scale for 256.
    Q6K,
}

impl ValueType {
    /// Every type that can be read.
    pub const ALL: [Self; 11] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    /// Returns the name that people know.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Returns the number of values in a block.
    pub fn block_values(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Returns the number of bytes in a block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Returns the number of bytes that `values` values take.
    ///
    /// # Panics
    /// If they are not whole blocks.
    pub fn bytes(self, values: usize) -> usize {
        assert!(
            values.is_multiple_of(self.block_values()),
            "{values} values are not whole blocks of {}",
            self.name()
        );
        values / self.block_values() * self.block_bytes()
    }

    /// Writes the values that `bytes` hold to `out`.
    ///
    /// # Panics
    /// If `bytes` is not as long as [`ValueType::bytes`] of `out`'s length.
    pub fn decode(self, bytes: &[u8], out: &mut [f32]) {
        assert_eq!(bytes.len(), self.bytes(out.len()), "{}", self.name());
        match self {
            Self::F32 => each(bytes, out, |b, [x]: &mut [f32; 1]| {
                *x = f32::from_le_bytes(*b)
            }),
            Self::F16 => each(bytes, out, |b: &[u8; 2], [x]: &mut [f32; 1]| *x = half(b)),
            Self::Bf16 => each(bytes, out, |b, [x]: &mut [f32; 1]| {
                *x = bf16::from_le_bytes(*b).to_f32();
            }),
            Self::Q4_0 => each(bytes, out, q4_0),
            Self::Q4_1 => each(bytes, out, q4_1),
            Self::Q5_0 => each(bytes, out, q5_0),
            Self::Q5_1 => each(bytes, out, q5_1),
            Self::Q8_0 => each(bytes, out, q8_0),
            Self::Q4K => each(bytes, out, q4_k),
            Self::Q5K => each(bytes, out, q5_k),
            Self::Q6K => each(bytes, out, q6_k),
        }
    }
}

/// Decodes block after block.
fn each<const BYTES: usize, const VALUES: usize>(
    bytes: &[u8],
    out: &mut [f32],
    decode: impl Fn(&[u8; BYTES], &mut [f32; VALUES]),
) {
    let (blocks, _) = bytes.as_chunks::<BYTES>();
    let (outs, _) = out.as_chunks_mut::<VALUES>();
    for (block, out) in blocks.iter().zip(outs) {
        decode(block, out);
    }
}

/// Reads a half-precision number off the front of `bytes`.
fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// Writes `value(integer)` for 32 values of 4 bits: the low halves of 16 bytes, then the high ones.
fn nibbles(bytes: &[u8], out: &mut [f32; 32], value: impl Fn(u8, usize) -> f32) {
    let (low, high) = out.split_at_mut(16);
    for (i, ((&byte, low), high)) in bytes.iter().zip(low).zip(high).enumerate() {
        *low = value(byte & 15, i);
        *high = value(byte >> 4, i + 16);
    }
}

/// Scale, 16 bytes of halves. Value: scale · (q - 8).
fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let scale = half(block);
    nibbles(&block[2..], out, |q, _| scale * (f32::from(q) - 8.0));
}

/// Scale, offset, 16 bytes of halves. Value: scale · q + offset.
fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (scale, offset) = (half(block), half(&block[2..]));
    nibbles(&block[4..], out, |q, _| scale * f32::from(q) + offset);
}

/// Returns a function that adds the fifth bit of value `i`, which is bit `i` of `bits`.
fn fifth_bit(bits: &[u8]) -> impl Fn(u8, usize) -> f32 {
    let bits = u32::from_le_bytes([bits[0], bits[1], bits[2], bits[3]]);
    move |q, i| f32::from(q | (bits >> i << 4) as u8 & 16)
}

/// Scale, 32 fifth bits, 16 bytes of halves. Value: scale · (q - 16).
fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let (scale, five_bits) = (half(block), fifth_bit(&block[2..]));
    nibbles(&block[6..], out, |q, i| scale * (five_bits(q, i) - 16.0));
}

/// Scale, offset, 32 fifth bits, 16 bytes of halves. Value: scale · q + offset.
fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (scale, offset, five_bits) = (half(block), half(&block[2..]), fifth_bit(&block[4..]));
    nibbles(&block[8..], out, |q, i| scale * five_bits(q, i) + offset);
}

/// Scale, 32 signed bytes. Value: scale · q.
fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let scale = half(block);
    for (x, &q) in out.iter_mut().zip(&block[2..]) {
        *x = scale * f32::from(q.cast_signed());
    }
}

/// Returns the factor and the offset of eight groups of 32 values, each of 6 bits in 12 bytes.
///
/// Bytes 0 to 3 hold factors 0 to 3 in their low 6 bits, bytes 4 to 7 offsets 0 to 3. Bytes 8 to 11 hold the low 4 bits
/// of factors 4 to 7 and, in their high halves, of offsets 4 to 7; the high 2 bits of those are the high 2 bits of bytes
/// 0 to 3 and 4 to 7.
fn group_scales(bytes: &[u8]) -> [(u8, u8); 8] {
    std::array::from_fn(|group| match group {
        0..4 => (bytes[group] & 63, bytes[group + 4] & 63),
        _ => (
            bytes[group + 4] & 15 | bytes[group - 4] >> 6 << 4,
            bytes[group + 4] >> 4 | bytes[group] >> 6 << 4,
        ),
    })
}

/// Scale of factors, scale of offsets, 12 bytes of both, then `fifth` bytes of fifth bits, 128 bytes of halves.
///
/// Value: (scale · factor) · q - (scale of offsets · offset). Two groups share 32 bytes of halves, low and high. Bit `g`
/// of the fifth-bit byte `i` belongs to value `i` of group `g`.
fn k_blocks(block: &[u8], fifth: Option<&[u8]>, halves: &[u8], out: &mut [f32; 256]) {
    let (scale, offset_scale) = (half(block), half(&block[2..]));
    let scales = group_scales(&block[4..16]);
    let (outs, _) = out.as_chunks_mut::<32>();
    for (group, (out, (factor, offset))) in outs.iter_mut().zip(scales).enumerate() {
        let factor = scale * f32::from(factor);
        let offset = offset_scale * f32::from(offset);
        let halves = &halves[group / 2 * 32..][..32];
        let shift = group % 2 * 4;
        for (i, (x, &byte)) in out.iter_mut().zip(halves).enumerate() {
            let high = fifth.map_or(0, |bits| bits[i] >> group & 1);
            let q = byte >> shift & 15 | high << 4;
            *x = factor * f32::from(q) - offset;
        }
    }
}

fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    k_blocks(block, None, &block[16..], out);
}

fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    k_blocks(block, Some(&block[16..48]), &block[48..], out);
}

/// 128 bytes of low 4 bits, 64 of high 2 bits, 16 signed factors, scale. Value: (scale · factor) · (q - 32).
///
/// Each half of the block is four groups of 32 values; the table in the code says where their bits are.
fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let scale = half(&block[208..]);
    let (outs, _) = out.as_chunks_mut::<32>();
    for (index, out) in outs.iter_mut().enumerate() {
        let (part, group) = (index / 4, index % 4);
        // group:           0    1    2    3
        // low bits, bytes: 0..  32.. 0..  32..   of the 64 of this part
        // low bits, shift: 0    0    4    4
        // high bits, shift 0    2    4    6      of its 32 bytes
        let low = &block[part * 64 + group % 2 * 32..][..32];
        let high = &block[128 + part * 32..][..32];
        let factors = &block[192 + part * 8 + group * 2..][..2];
        for (i, x) in out.iter_mut().enumerate() {
            let q = low[i] >> (group / 2 * 4) & 15 | (high[i] >> (group * 2) & 3) << 4;
            let factor = scale * f32::from(factors[i / 16].cast_signed());
            *x = factor * (f32::from(q) - 32.0);
        }
    }
}
