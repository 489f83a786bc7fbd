// Sums and maxima of numbers by the reduction tree of tree.wgsl.

alias Node = f32;

const SUM: u32 = 0u;
const MAX: u32 = 1u; // a NaN wins, as in value.wgsl

fn reduced(a: f32, b: f32, how: u32) -> f32 {
    if how == MAX { return select(a, b, (b > a) | !(b == b)); }
    return a + b;
}

fn tree_sum(lane: u32, value: f32) -> f32 { return tree(lane, value, SUM); }
fn tree_max(lane: u32, value: f32) -> f32 { return tree(lane, value, MAX); }
