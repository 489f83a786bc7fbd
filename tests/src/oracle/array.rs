//! A dense `f64` array: operand and result of the oracles of the graph's operations.

/// Row-major elements under a shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Elements.
    pub data: Vec<f64>,
}

impl Array {
    /// An array whose element at an index is `value(index)`.
    pub fn from_fn(shape: &[usize], mut value: impl FnMut(&[usize]) -> f64) -> Self {
        let len: usize = shape.iter().product();
        let data = (0..len).map(|linear| value(&unravel(shape, linear))).collect();
        Self { shape: shape.to_vec(), data }
    }

    /// The element at an index.
    pub fn at(&self, index: &[usize]) -> f64 {
        let linear = index.iter().zip(&self.shape).fold(0, |at, (i, size)| at * size + i);
        self.data[linear]
    }

    /// The element at `index` of a shape that this array broadcasts to.
    pub fn stretched_at(&self, index: &[usize]) -> f64 {
        let own = &index[index.len() - self.shape.len()..];
        let own: Vec<_> =
            own.iter().zip(&self.shape).map(|(i, size)| if *size == 1 { 0 } else { *i }).collect();
        self.at(&own)
    }

    /// `function` of every element.
    pub fn map(&self, function: impl Fn(f64) -> f64) -> Self {
        Self { shape: self.shape.clone(), data: self.data.iter().map(|&x| function(x)).collect() }
    }

    /// `function` of every pair of elements, broadcast to their common shape.
    pub fn zip(&self, other: &Self, function: impl Fn(f64, f64) -> f64) -> Self {
        let rank = self.shape.len().max(other.shape.len());
        let size = |shape: &[usize], axis: usize| {
            let lead = rank - shape.len();
            if axis < lead { 1 } else { shape[axis - lead] }
        };
        let shape: Vec<_> = (0..rank).map(|a| size(&self.shape, a).max(size(&other.shape, a))).collect();
        Self::from_fn(&shape, |index| function(self.stretched_at(index), other.stretched_at(index)))
    }

    /// `function` of the elements along `axis`, which disappears.
    pub fn fold(&self, axis: usize, function: impl Fn(&[f64]) -> f64) -> Self {
        let mut shape = self.shape.clone();
        let len = shape.remove(axis);
        Self::from_fn(&shape, |index| {
            let along: Vec<_> = (0..len)
                .map(|i| {
                    let mut full = index.to_vec();
                    full.insert(axis, i);
                    self.at(&full)
                })
                .collect();
            function(&along)
        })
    }
}

fn unravel(shape: &[usize], mut linear: usize) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for axis in (0..shape.len()).rev() {
        index[axis] = linear % shape[axis];
        linear /= shape[axis];
    }
    index
}
