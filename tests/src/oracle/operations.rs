//! The meaning of every operation of a tensor that is not pointwise, by its method's name: one `pub fn` each, over [`Array`]s.
//!
//! They are plain formulas; those that a kernel family's oracle already has are called there.

use seqloom_kernels::recurrent::{Activation, Cell};

use super::array::Array;
use super::recurrent::{Inputs, Layout, Outputs, forward};
use super::{attention, embedding, norm};

/// out[.., i, j] = Σₚ a[.., i, p]·b[.., p, j]; a `b` of two dimensions serves every matrix of `a`.
pub fn matmul(a: &Array, b: &Array) -> Array {
    let (rank_a, rank_b) = (a.shape.len(), b.shape.len());
    let mut shape = a.shape.clone();
    shape[rank_a - 1] = b.shape[rank_b - 1];
    Array::from_fn(&shape, |index| {
        let (lead, i, j) = (&index[..rank_a - 2], index[rank_a - 2], index[rank_a - 1]);
        let own = if rank_b == 2 { &[][..] } else { lead };
        (0..a.shape[rank_a - 1])
            .map(|p| a.at(&[lead, &[i, p]].concat()) * b.at(&[own, &[p, j]].concat()))
            .sum()
    })
}

/// a·bᵀ
pub fn matmul_t(a: &Array, b: &Array) -> Array {
    matmul(a, &transpose(b, b.shape.len() - 2, b.shape.len() - 1))
}

/// aᵀ·b
pub fn t_matmul(a: &Array, b: &Array) -> Array {
    matmul(&transpose(a, a.shape.len() - 2, a.shape.len() - 1), b)
}

/// The same elements under another shape.
pub fn reshape(x: &Array, shape: &[usize]) -> Array {
    Array { shape: shape.to_vec(), data: x.data.clone() }
}

/// Axes `a` and `b` exchanged.
pub fn transpose(x: &Array, a: usize, b: usize) -> Array {
    let swapped = |of: &[usize]| {
        let mut of = of.to_vec();
        of.swap(a, b);
        of
    };
    Array::from_fn(&swapped(&x.shape), |index| x.at(&swapped(index)))
}

/// Axis i of the result is axis `order[i]`.
pub fn permute(x: &Array, order: &[usize]) -> Array {
    let shape: Vec<_> = order.iter().map(|&axis| x.shape[axis]).collect();
    Array::from_fn(&shape, |index| {
        let mut from = vec![0; order.len()];
        order.iter().zip(index).for_each(|(&axis, &at)| from[axis] = at);
        x.at(&from)
    })
}

/// `len` indices of `axis` from `start`.
pub fn slice(x: &Array, axis: usize, start: usize, len: usize) -> Array {
    let mut shape = x.shape.clone();
    shape[axis] = len;
    Array::from_fn(&shape, |index| {
        let mut from = index.to_vec();
        from[axis] += start;
        x.at(&from)
    })
}

/// `len` indices of `axis`: `start` and those that lie `step` behind one another.
pub fn slice_step(x: &Array, axis: usize, start: usize, len: usize, step: isize) -> Array {
    let mut shape = x.shape.clone();
    shape[axis] = len;
    Array::from_fn(&shape, |index| {
        let mut from = index.to_vec();
        from[axis] = (start as isize + index[axis] as isize * step) as usize;
        x.at(&from)
    })
}

/// Each of `axes` in reverse order.
pub fn flip(x: &Array, axes: &[usize]) -> Array {
    Array::from_fn(&x.shape, |index| {
        let mut from = index.to_vec();
        axes.iter().for_each(|&axis| from[axis] = x.shape[axis] - 1 - index[axis]);
        x.at(&from)
    })
}

/// Repeated `times[i]` times along axis i; as many numbers as axes.
pub fn tile(x: &Array, times: &[usize]) -> Array {
    let shape: Vec<_> = x.shape.iter().zip(times).map(|(size, times)| size * times).collect();
    Array::from_fn(&shape, |index| {
        let from: Vec<_> = index.iter().zip(&x.shape).map(|(at, size)| at % size).collect();
        x.at(&from)
    })
}

/// Windows of `size` indices of `axis` as a new last axis, `step` behind one another, their elements `dilation` apart.
pub fn windows(x: &Array, axis: usize, size: usize, step: usize, dilation: usize) -> Array {
    let mut shape = x.shape.clone();
    shape[axis] = (x.shape[axis] - (size - 1) * dilation - 1) / step + 1;
    shape.push(size);
    Array::from_fn(&shape, |index| {
        let (place, window) = (index[x.shape.len()], index[axis]);
        let mut from = index[..x.shape.len()].to_vec();
        from[axis] = window * step + place * dilation;
        x.at(&from)
    })
}

/// Zeros before and after along `axis`.
pub fn pad(x: &Array, axis: usize, before: usize, after: usize) -> Array {
    pad_with(x, axis, before, after, 0.0)
}

/// `value` before and after along `axis`.
pub fn pad_with(x: &Array, axis: usize, before: usize, after: usize, value: f64) -> Array {
    let mut shape = x.shape.clone();
    shape[axis] += before + after;
    Array::from_fn(&shape, |index| match index[axis].checked_sub(before) {
        Some(at) if at < x.shape[axis] => {
            let mut from = index.to_vec();
            from[axis] = at;
            x.at(&from)
        }
        _ => value,
    })
}

/// Joined along `axis`.
pub fn concat(a: &Array, b: &Array, axis: usize) -> Array {
    let mut shape = a.shape.clone();
    shape[axis] += b.shape[axis];
    Array::from_fn(&shape, |index| match index[axis].checked_sub(a.shape[axis]) {
        None => a.at(index),
        Some(at) => {
            let mut from = index.to_vec();
            from[axis] = at;
            b.at(&from)
        }
    })
}

/// Stretched to a shape.
pub fn broadcast_to(x: &Array, shape: &[usize]) -> Array {
    Array::from_fn(shape, |index| x.stretched_at(index))
}

/// Softmax over the last axis.
pub fn softmax(x: &Array) -> Array {
    Array { shape: x.shape.clone(), data: super::softmax::softmax(columns(x), &x.data) }
}

/// Its logarithm.
pub fn log_softmax(x: &Array) -> Array {
    Array { shape: x.shape.clone(), data: super::softmax::log_softmax(columns(x), &x.data) }
}

/// (x − m)/√(v + eps)·weight + bias over the last axis.
pub fn layer_norm(x: &Array, weight: &Array, bias: &Array, eps: f64) -> Array {
    let data = norm::forward(columns(x), &x.data, &weight.data, Some(&bias.data), eps);
    Array { shape: x.shape.clone(), data }
}

/// x/√(mean x² + eps)·weight over the last axis.
pub fn rms_norm(x: &Array, weight: &Array, eps: f64) -> Array {
    Array { shape: x.shape.clone(), data: norm::forward(columns(x), &x.data, &weight.data, None, eps) }
}

/// Mean of −Σ w·log_softmax(logits), w the smoothed one-hot target, over the targets that count; 0 if none does.
pub fn cross_entropy(logits: &Array, targets: &[u32], ignore: Option<u32>, smoothing: f64) -> Array {
    let options = super::cross_entropy::Options { cols: columns(logits), ignore, smoothing };
    let losses = super::cross_entropy::cross_entropy(options, &logits.data, targets).losses;
    let counted = targets.iter().filter(|&&target| Some(target) != ignore).count().max(1);
    Array { shape: vec![], data: vec![losses.iter().sum::<f64>() / counted as f64] }
}

/// Rows of a table.
pub fn gather_rows(table: &Array, ids: &[u32]) -> Array {
    let channels = columns(table);
    Array { shape: vec![ids.len(), channels], data: embedding::forward(channels, &table.data, ids) }
}

/// A cache [B, S, C] with the rows [B, T, C] of each sequence from its `first` on.
pub fn append(cache: &Array, rows: &Array, first: &[u32]) -> Array {
    Array::from_fn(&cache.shape, |at| {
        let new = at[1].checked_sub(first[at[0]] as usize).filter(|&t| t < rows.shape[1]);
        new.map_or_else(|| cache.at(at), |t| rows.at(&[at[0], t, at[2]]))
    })
}

/// x with elements zeroed and the others divided by the probability to keep them; which, `kept` tells.
pub fn dropout(x: &Array, p: f64, kept: &[bool]) -> Array {
    let data = x.data.iter().zip(kept).map(|(x, kept)| if *kept { x / (1.0 - p) } else { 0.0 }).collect();
    Array { shape: x.shape.clone(), data }
}

/// Padded sequences [B, T, C] to [N, C]: step by step, the rows that live at each by falling length; zeros behind.
pub fn pack(x: &Array, lengths: &[u32], rows: usize) -> Array {
    let mut data: Vec<f64> = packing(lengths).iter().flat_map(|&(b, t)| steps(x, b, t).to_vec()).collect();
    data.resize(rows * columns(x), 0.0);
    Array { shape: vec![rows, columns(x)], data }
}

/// Its inverse: [N, C] to [B, T, C], zeros on padded steps.
pub fn unpack(x: &Array, lengths: &[u32], time: usize) -> Array {
    let places = packing(lengths);
    Array::from_fn(&[lengths.len(), time, columns(x)], |at| {
        let row = places.iter().position(|&place| place == (at[0], at[1]));
        row.map_or(0.0, |row| x.at(&[row, at[2]]))
    })
}

/// One direction of a vanilla RNN layer over sequences of any lengths.
pub fn rnn(activation: Activation, layout: &Layout, inputs: &Inputs) -> Outputs {
    forward(Cell::Rnn(activation), layout, inputs)
}

/// One direction of an LSTM layer.
pub fn lstm(layout: &Layout, inputs: &Inputs) -> Outputs {
    forward(Cell::Lstm, layout, inputs)
}

/// One direction of a GRU layer.
pub fn gru(layout: &Layout, inputs: &Inputs) -> Outputs {
    forward(Cell::Gru, layout, inputs)
}

/// (row, step) of each packed row.
fn packing(lengths: &[u32]) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&b| std::cmp::Reverse(lengths[b]));
    let longest = lengths.iter().copied().max().unwrap_or(0) as usize;
    let live =
        |t: usize| order.iter().copied().filter(move |&b| lengths[b] as usize > t).map(move |b| (b, t));
    (0..longest).flat_map(live).collect()
}

/// Step t of row b of [B, T, C].
fn steps(x: &Array, b: usize, t: usize) -> &[f64] {
    &x.data[(b * x.shape[1] + t) * columns(x)..][..columns(x)]
}

/// Attention of every head, [B, Tq, H, Dv].
pub fn attention(sizes: &attention::Sizes, inputs: &attention::Inputs) -> Array {
    let shape = vec![sizes.batch, sizes.queries, sizes.heads, sizes.value_width];
    Array { shape, data: attention::forward(sizes, inputs) }
}

/// Its weights, [B, H, Tq, Tk].
pub fn attention_weights(sizes: &attention::Sizes, inputs: &attention::Inputs) -> Array {
    let shape = vec![sizes.batch, sizes.heads, sizes.queries, sizes.keys];
    Array { shape, data: attention::weights(sizes, inputs) }
}

fn columns(x: &Array) -> usize {
    *x.shape.last().unwrap_or(&1)
}
