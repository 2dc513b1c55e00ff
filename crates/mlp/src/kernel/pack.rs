//! Puts a batch of input rows into panels, converting on the way.

use super::super::lane::{LANE, Lane};

/// Rows handled together, so that the source rows of a panel stay in cache.
const BLOCK: usize = 32;

/// Writes row `r` of the batch into lane `r` of each panel: `value(row, column) = bytes · factor - 1`, at most 1.
///
/// Columns beyond the last feature become 0.
#[inline(always)]
pub(crate) fn bytes(
    pixels: &[u8],
    features: usize,
    rows: &[u32],
    factor: f32,
    lanes: &mut [Lane],
    stride: usize,
) {
    for (block, rows) in rows.chunks(BLOCK).enumerate() {
        for (panel, lanes) in lanes
            .chunks_mut(stride)
            .take(features.div_ceil(LANE))
            .enumerate()
        {
            let (start, end) = (panel * LANE, (panel * LANE + LANE).min(features));
            for (&row, lane) in rows.iter().zip(&mut lanes[block * BLOCK..]) {
                let source = &pixels[row as usize * features..][start..end];
                if let Ok(source) = <&[u8; LANE]>::try_from(source) {
                    lane.0 = source.map(|byte| pixel(byte, factor));
                } else {
                    lane.0 = [0.0; LANE];
                    for (value, &byte) in lane.0.iter_mut().zip(source) {
                        *value = pixel(byte, factor);
                    }
                }
            }
        }
    }
}

/// Not `f32::min`, which minds NaN and costs more than one instruction.
#[inline(always)]
fn pixel(byte: u8, factor: f32) -> f32 {
    let value = f32::from(byte) * factor - 1.0;
    if value > 1.0 { 1.0 } else { value }
}

/// Writes 16-bit draws as values in the middle of 65,536 equal steps of (-1, 1): `(2 w + 1) / 65,536 - 1`, exactly.
#[inline(always)]
pub(crate) fn words(words: &[u8], features: usize, row: usize, lanes: &mut [Lane], stride: usize) {
    for (panel, source) in words[..2 * features].chunks(2 * LANE).enumerate() {
        let lane = &mut lanes[panel * stride + row];
        let mut draws = [0u16; LANE];
        for (draw, pair) in draws.iter_mut().zip(source.chunks_exact(2)) {
            *draw = u16::from_le_bytes([pair[0], pair[1]]);
        }
        lane.0 = draws.map(|draw| (f32::from(draw) * 2.0 - 65_535.0) * (1.0 / 65_536.0));
        for padding in lane.0.iter_mut().skip(source.len() / 2) {
            *padding = 0.0;
        }
    }
}

/// Writes one row of `f32`.
#[inline(always)]
pub(crate) fn dense(values: &[f32], row: usize, lanes: &mut [Lane], stride: usize) {
    for (panel, source) in values.chunks(LANE).enumerate() {
        let lane = &mut lanes[panel * stride + row];
        lane.0 = [0.0; LANE];
        lane.0[..source.len()].copy_from_slice(source);
    }
}
