//! W1: matrix products, one at a time or several queued before one wait.

use seqloom::prelude::*;

use super::subject::{Calculation, Subject};
use crate::error::Result;

/// Rows, inner length and columns of the batched case, and how many there are.
const BATCHED: [usize; 4] = [16, 256, 64, 256];

/// The case's operands: `n512` is 512×512 by 512×512; `batched16` 16 × (256×64 by 64×256).
fn shapes(base: &str) -> (Vec<usize>, Vec<usize>) {
    match base.strip_prefix('n').and_then(|n| n.parse().ok()) {
        Some(n) => (vec![n, n], vec![n, n]),
        None => {
            let [batch, rows, inner, columns] = BATCHED;
            (vec![batch, rows, inner], vec![batch, inner, columns])
        }
    }
}

/// Number of products that the peers queue.
fn depth(base: &str) -> usize {
    match base {
        "n1024" => 8,
        "n2048" => 4,
        _ => 20,
    }
}

/// A case of W1; a name with `_pipe` at its end queues several.
///
/// # Errors
/// The device's.
pub fn subject(device: &Device, case: &str) -> Result<Box<dyn Subject>> {
    let base = case.strip_suffix("_pipe");
    let (a, b) = shapes(base.unwrap_or(case));
    let product = Calculation::new(device, &[&a, &b], false, Box::new(|x| x[0].matmul(x[1])))?;
    Ok(Box::new(product.queued(base.map_or(1, depth))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_sizes() {
        assert_eq!(shapes("n256"), (vec![256, 256], vec![256, 256]));
        assert_eq!(shapes("batched16"), (vec![16, 256, 64], vec![16, 64, 256]));
        assert_eq!((depth("n512"), depth("n1024"), depth("n2048"), depth("batched16")), (20, 8, 4, 20));
    }
}
