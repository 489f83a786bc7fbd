//! Single kernel families, over shapes of real models: they show the effect of a kernel change before whole steps do.
//!
//! Names are `family_extents`. Each case is a program of one operation, so it measures the variant that the graph would
//! pick.

use seqloom::prelude::custom::*;

use super::subject::{Calculation, Subject};
use crate::error::{Result, XtaskError};

/// The cases: thin, square and long shapes of every family except recurrent layers and attention, which W2, W3 and W6
/// measure.
pub const CASES: &[&str] = &[
    "matmul_32x256x1024",
    "matmul_2048x128x768",
    "matmul_2048x512x128",
    "matmul_nt_2048x128x96",
    "matmul_tn_256x2048x1024",
    "add_1048576",
    "tanh_1048576",
    "sum_rows_2048x1024",
    "sum_columns_2048x1024",
    "transpose_1024x1024",
    "softmax_4096x256",
    "softmax_256x4096",
    "cross_entropy_2048x96",
    "cross_entropy_512x8192",
    "embedding_2048x96x128",
];

/// A case of [`CASES`].
///
/// # Errors
/// [`XtaskError::Unknown`] for a family that does not exist; the device's.
pub fn subject(device: &Device, case: &str) -> Result<Box<dyn Subject>> {
    let (family, extents) = case.rsplit_once('_').unwrap_or((case, ""));
    let extents: Vec<usize> = extents.split('x').filter_map(|extent| extent.parse().ok()).collect();
    let extent = |at: usize| extents.get(at).copied().unwrap_or(1);
    let [a, b, c] = [extent(0), extent(1), extent(2)];
    let of = |shapes: &[&[usize]], record| Calculation::new(device, shapes, false, record);
    let calculation = match family {
        "matmul" => of(&[&[a, b], &[b, c]], Box::new(|x| x[0].matmul(x[1]))),
        "matmul_nt" => of(&[&[a, b], &[c, b]], Box::new(|x| x[0].matmul_t(x[1]))),
        "matmul_tn" => of(&[&[b, a], &[b, c]], Box::new(|x| x[0].t_matmul(x[1]))),
        "add" => of(&[&[a], &[a]], Box::new(|x| x[0] + x[1])),
        "tanh" => of(&[&[a]], Box::new(|x| x[0].tanh())),
        "sum_rows" => of(&[&[a, b]], Box::new(|x| x[0].sum(-1))),
        "sum_columns" => of(&[&[a, b]], Box::new(|x| x[0].sum(0))),
        "transpose" => of(&[&[a, b]], Box::new(|x| x[0].transpose(0, 1))),
        "softmax" => of(&[&[a, b]], Box::new(|x| x[0].softmax())),
        "cross_entropy" => {
            of(&[&[a, b]], Box::new(move |x| x[0].cross_entropy(spread(x[0].graph(), a, b), None)))
        }
        "embedding" => of(&[&[b, c]], Box::new(move |x| x[0].gather_rows(spread(x[0].graph(), a, b)))),
        _ => {
            let known = CASES.join(", ");
            return Err(XtaskError::Unknown { what: "kernel case", asked: case.to_owned(), known });
        }
    };
    Ok(Box::new(calculation?))
}

/// `count` ids below `below`, in no order.
fn spread(graph: &Graph, count: usize, below: usize) -> Tensor<'_> {
    // A large odd number, so neighbours land far from each other.
    let id = |at: usize| (at.wrapping_mul(2_654_435_761) % below) as u32;
    graph.literal_u32(&[count], (0..count).map(id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_runs_and_does_work() {
        let device = Device::open(DeviceOptions { no_cache: true, ..DeviceOptions::default() }).unwrap();
        for case in CASES {
            let mut subject = subject(&device, case).unwrap();
            subject.step().unwrap();
            let bytes: u64 = subject.program().unwrap().infos().iter().map(|info| info.bytes).sum();
            assert!(bytes > 0, "{case}");
        }
        assert!(subject(&device, "magic_8x8").is_err());
    }
}
