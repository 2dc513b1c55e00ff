//! What GGUF files call the tensors of our families, and in which order they keep the rows of q and k.

use crate::config::{Family, Part, Tensor};

/// Divisors of rotary frequencies, where Llama 3.1's rule applies.
pub(super) const ROPE_FACTORS: &str = "rope_freqs.weight";
/// The head, where it is not the embedding.
pub(super) const HEAD: &str = "output.weight";
/// The embedding.
pub(super) const EMBEDDING: &str = "token_embd.weight";

/// Returns the name of `tensor`.
pub(super) fn name(tensor: Tensor) -> String {
    match tensor {
        Tensor::Embedding => EMBEDDING.to_owned(),
        Tensor::FinalNorm => "output_norm.weight".to_owned(),
        Tensor::Head => HEAD.to_owned(),
        Tensor::Layer(layer, part) => format!("blk.{layer}.{}", part_name(part)),
    }
}

fn part_name(part: Part) -> &'static str {
    match part {
        Part::AttentionNorm => "attn_norm.weight",
        Part::Query => "attn_q.weight",
        Part::Key => "attn_k.weight",
        Part::Value => "attn_v.weight",
        Part::QueryBias => "attn_q.bias",
        Part::KeyBias => "attn_k.bias",
        Part::ValueBias => "attn_v.bias",
        Part::QueryNorm => "attn_q_norm.weight",
        Part::KeyNorm => "attn_k_norm.weight",
        Part::Output => "attn_output.weight",
        Part::PostAttentionNorm => "post_attention_norm.weight",
        Part::FfnNorm => "ffn_norm.weight",
        Part::Gate => "ffn_gate.weight",
        Part::Up => "ffn_up.weight",
        Part::Down => "ffn_down.weight",
        Part::PostFfnNorm => "post_ffw_norm.weight",
    }
}

/// Whether the file keeps the rows of `tensor` in the interleaved order, in which element `2i` of a head turns with
/// `2i + 1`: q and k of the llama family.
pub(super) fn is_interleaved(family: Family, tensor: Tensor) -> bool {
    family == Family::Llama && matches!(tensor, Tensor::Layer(_, Part::Query | Part::Key))
}

/// Returns the row, in a file of interleaved order, of row `row` in the rotate-half order.
pub(super) fn interleaved_row(row: usize, head_width: usize) -> usize {
    let (head, element) = (row / head_width, row % head_width);
    let (half, pair) = (element / (head_width / 2), element % (head_width / 2));
    head * head_width + 2 * pair + half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_head_are_the_even_ones_then_the_odd_ones() {
        let rows: Vec<usize> = (0..12).map(|row| interleaved_row(row, 6)).collect();
        assert_eq!(rows, [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
    }
}
