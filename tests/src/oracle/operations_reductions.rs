//! The meaning of reductions over several axes, of running sums and of what indices pick; as in `operations.rs`.

use super::{array::Array, reduce};

/// Sum along axes.
pub fn sum(x: &Array, axes: &[usize]) -> Array {
    over(x, axes, |along| along.iter().sum())
}

/// Mean along axes.
pub fn mean(x: &Array, axes: &[usize]) -> Array {
    over(x, axes, |along| along.iter().sum::<f64>() / along.len() as f64)
}

/// Greatest along axes.
pub fn max(x: &Array, axes: &[usize]) -> Array {
    over(x, axes, |along| along.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}

/// Least along axes.
pub fn min(x: &Array, axes: &[usize]) -> Array {
    over(x, axes, |along| along.iter().copied().fold(f64::INFINITY, f64::min))
}

/// Product along axes.
pub fn prod(x: &Array, axes: &[usize]) -> Array {
    over(x, axes, |along| along.iter().product())
}

/// ln Σ eˣ along axes.
pub fn logsumexp(x: &Array, axes: &[usize]) -> Array {
    over(x, axes, |along| along.iter().map(|x| x.exp()).sum::<f64>().ln())
}

/// Index of the first greatest element along an axis.
pub fn argmax(x: &Array, axis: usize) -> Array {
    over(x, &[axis], |along| reduce::arg(false, along) as f64)
}

/// Index of the first least element along an axis.
pub fn argmin(x: &Array, axis: usize) -> Array {
    over(x, &[axis], |along| reduce::arg(true, along) as f64)
}

/// y_t = Σ x_s over s ≤ t along an axis.
pub fn cumsum(x: &Array, axis: usize) -> Array {
    Array::from_fn(&x.shape, |index| {
        let upto = |s: usize| [&index[..axis], &[s], &index[axis + 1..]].concat();
        (0..=index[axis]).map(|s| x.at(&upto(s))).sum()
    })
}

/// The elements that an index of the result's shape names along an axis.
pub fn gather(x: &Array, axis: usize, shape: &[usize], index: &[u32]) -> Array {
    let mut picks = index.iter();
    Array::from_fn(shape, |at| {
        let mut from = at.to_vec();
        from[axis] = *picks.next().expect("an index for each element") as usize;
        x.at(&from)
    })
}

/// A row of zeros with a one for each id.
pub fn one_hot(ids: &[u32], classes: usize) -> Array {
    Array::from_fn(&[ids.len(), classes], |at| f64::from(u8::from(ids[at[0]] as usize == at[1])))
}

/// `function` of the elements along ascending axes, in row-major order; the axes disappear.
fn over(x: &Array, axes: &[usize], function: impl Fn(&[f64]) -> f64) -> Array {
    let left: Vec<usize> = (0..x.shape.len()).filter(|axis| !axes.contains(axis)).collect();
    let shape: Vec<usize> = left.iter().map(|&axis| x.shape[axis]).collect();
    Array::from_fn(&shape, |index| {
        let mut along = Vec::new();
        let _ = Array::from_fn(&x.shape, |at| {
            if left.iter().zip(index).all(|(&axis, &i)| at[axis] == i) {
                along.push(x.at(at));
            }
            0.0
        });
        function(&along)
    })
}
