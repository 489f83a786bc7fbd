//! Tensors of five and six dimensions: every kind of operation that takes them, against the f64 oracles, and gradients through them.

use seqloom_graph::{Axes, Tensor};
use seqloom_tests::mid_graph::{check, wave};
use seqloom_tests::oracle::array::Array;
use seqloom_tests::oracle::operations as oracle;
use seqloom_tests::oracle::{operations_pointwise as pointwise, operations_reductions as reductions};

use crate::oracles::{numbers, one};

const SHAPE: [usize; 6] = [2, 3, 2, 4, 3, 2];

#[test]
fn arithmetic_broadcasts() {
    let x = numbers(&SHAPE, 1);
    for shape in [
        &[2][..],
        &[3, 1],
        &[4, 1, 1],
        &[2, 1, 2, 1, 3, 1],
        &[1, 3, 1, 4, 1, 2],
        &[3, 2, 1, 3, 2],
        &[2, 1, 1, 1, 1, 1],
    ] {
        let y = numbers(shape, 2);
        let sum = pointwise::add(&pointwise::mul(&x, &y), &x);
        one(&[&x, &y], |t| t[0] * t[1] + t[0], &sum);
        one(&[&y], |t| t[0].broadcast_to(&SHAPE), &oracle::broadcast_to(&y, &SHAPE));
    }
}

#[test]
fn two_operands_that_together_go_over_more_than_four_axes() {
    let (x, y) = (numbers(&[2, 1, 3, 1, 2, 2], 1), numbers(&[1, 3, 1, 2, 2, 1], 2));
    one(&[&x, &y], |t| t[0] * t[1], &pointwise::mul(&x, &y));
    let (x, y) = (numbers(&[2, 3, 2, 2, 3, 4], 1), numbers(&[3, 2, 2, 2, 4, 3], 2));
    let turned = |t: &Array, order: &[usize]| oracle::permute(t, order);
    let product = pointwise::mul(&turned(&x, &[1, 0, 2, 3, 4, 5]), &turned(&y, &[0, 1, 2, 3, 5, 4]));
    one(&[&x, &y], |t| t[0].transpose(0, 1) * t[1].transpose(4, 5), &product);
}

#[test]
fn reductions_take_any_axes() {
    let x = numbers(&SHAPE, 3);
    for axes in [&[0][..], &[3], &[5], &[0, 5], &[1, 3], &[0, 2, 4], &[1, 2, 3, 4], &[0, 1, 2, 3, 4, 5]] {
        let of: Vec<isize> = axes.iter().map(|&axis| axis as isize).collect();
        one(&[&x], |t| t[0].sum(&of[..]), &reductions::sum(&x, axes));
        one(&[&x], |t| t[0].max(&of[..]), &reductions::max(&x, axes));
        let kept: Vec<usize> = SHAPE
            .iter()
            .enumerate()
            .map(|(axis, &size)| if axes.contains(&axis) { 1 } else { size })
            .collect();
        let mean = oracle::reshape(&reductions::mean(&x, axes), &kept);
        one(&[&x], |t| t[0] - t[0].mean(Axes::kept(&of[..])), &pointwise::sub(&x, &mean));
    }
    one(&[&x], |t| t[0].cumsum(3), &reductions::cumsum(&x, 3));
}

#[test]
fn axes_move() {
    let x = numbers(&SHAPE, 4);
    let orders = [
        [5, 4, 3, 2, 1, 0],
        [0, 1, 3, 2, 4, 5],
        [0, 2, 1, 4, 3, 5],
        [3, 1, 5, 0, 4, 2],
        [1, 3, 5, 0, 2, 4],
        [4, 2, 0, 5, 3, 1],
        [5, 0, 1, 2, 3, 4],
        [2, 5, 1, 4, 0, 3],
        [0, 5, 4, 3, 2, 1],
    ];
    for order in orders {
        let (moved, of) = (oracle::permute(&x, &order), order.map(|axis| axis as isize));
        one(&[&x], |t| t[0].permute(&of), &moved);
        // Inside a computation, and beside another view of the same shape.
        let y = numbers(&moved.shape, 5);
        let flipped = oracle::flip(&y, &[0, 3, 5]);
        one(
            &[&x, &y],
            |t| (t[0].permute(&of) * t[1].flip(&[0, 3, 5])).tanh(),
            &pointwise::tanh(&pointwise::mul(&moved, &flipped)),
        );
    }
}

#[test]
fn parts_are_taken_padded_and_joined() {
    let x = numbers(&SHAPE, 6);
    let cut = |t: &Array| {
        let t = oracle::slice_step(&oracle::slice_step(t, 0, 1, 2, -1), 1, 0, 2, 2);
        let t = oracle::slice_step(&oracle::slice(&t, 2, 1, 1), 3, 3, 2, -2);
        oracle::slice_step(&oracle::slice_step(&t, 4, 2, 2, -2), 5, 1, 2, -1)
    };
    one(&[&x], |t| cut_apart(t[0]), &cut(&x));
    one(&[&x], |t| cut_apart(t[0]).exp(), &pointwise::exp(&cut(&x)));
    one(&[&x], |t| t[0].flip(&[0, 2, 5]), &oracle::flip(&x, &[0, 2, 5]));
    for axis in 0..6 {
        one(&[&x], |t| t[0].pad_with(axis as isize, 1, 2, -1.5), &oracle::pad_with(&x, axis, 1, 2, -1.5));
        let y = numbers(&SHAPE, 7);
        one(&[&x, &y], |t| Tensor::concat(t[0], &[t[1]], axis as isize), &oracle::concat(&x, &y, axis));
    }
    one(&[&x], |t| t[0].tile(&[1, 2, 1, 1, 2, 2]), &oracle::tile(&x, &[1, 2, 1, 1, 2, 2]));
    let five = numbers(&[2, 3, 7, 2, 3], 8);
    one(&[&five], |t| t[0].windows(2, 3, 2, 1), &oracle::windows(&five, 2, 3, 2, 1));
    one(&[&five], |t| t[0].windows(0, 2, 1, 1).exp(), &pointwise::exp(&oracle::windows(&five, 0, 2, 1, 1)));
}

/// Some of each axis, forwards and backwards.
fn cut_apart(t: Tensor<'_>) -> Tensor<'_> {
    let t = t.slice_step(0, 1, 2, -1).slice_step(1, 0, 2, 2).slice(2, 1, 1).slice_step(3, 3, 2, -2);
    t.slice_step(4, 2, 2, -2).slice_step(5, 1, 2, -1)
}

#[test]
fn products_are_batched_over_four_axes() {
    let (a, b) = (numbers(&[2, 1, 3, 2, 3, 4], 9), numbers(&[2, 1, 3, 2, 4, 2], 10));
    one(&[&a, &b], |t| t[0].matmul(t[1]), &oracle::matmul(&a, &b));
    let shared = numbers(&[4, 3], 11);
    one(&[&a, &shared], |t| t[0].matmul(t[1]), &oracle::matmul(&a, &shared));
    one(&[&a], |t| t[0].softmax(), &oracle::softmax(&a));
}

/// The joint projection [B, T, 3·H·D] of queries, keys and values, as PyTorch's models split it: [3, B, H, T, D].
#[test]
fn a_joint_projection_is_split() {
    let (b, t, h, d) = (2, 5, 3, 4);
    let joint = numbers(&[b, t, 3 * h * d], 12);
    let split = oracle::permute(&oracle::reshape(&joint, &[b, t, 3, h, d]), &[2, 0, 3, 1, 4]);
    let part = |at| oracle::reshape(&oracle::slice(&split, 0, at, 1), &[b, h, t, d]);
    let scores = oracle::matmul_t(&part(0), &part(1));
    let y = oracle::matmul(&oracle::softmax(&scores), &part(2));
    one(
        &[&joint],
        |x| {
            let split = x[0].reshape(&[b, t, 3, h, d]).permute(&[2, 0, 3, 1, 4]);
            let part = |at| split.slice(0, at, 1).reshape(&[b, h, t, d]);
            part(0).matmul_t(part(1)).softmax().matmul(part(2))
        },
        &y,
    );
}

/// An image [B, h·p, w·p, C] as rows of patches [B, h·w, p·p·C].
#[test]
fn an_image_is_cut_into_patches() {
    let (b, h, w, p, c) = (2, 3, 2, 2, 3);
    let image = numbers(&[b, h * p, w * p, c], 13);
    let apart = oracle::reshape(&image, &[b, h, p, w, p, c]);
    let patches = oracle::reshape(&oracle::permute(&apart, &[0, 1, 3, 2, 4, 5]), &[b, h * w, p * p * c]);
    let weight = numbers(&[5, p * p * c], 14);
    one(
        &[&image, &weight],
        |x| {
            let apart = x[0].reshape(&[b, h, p, w, p, c]).permute(&[0, 1, 3, 2, 4, 5]);
            apart.reshape(&[b, h * w, p * p * c]).matmul_t(x[1])
        },
        &oracle::matmul_t(&patches, &weight),
    );
}

#[test]
fn gradients_pass_through() {
    let small = [2, 2, 1, 3, 2, 2];
    check(&[wave(&small, 0)], |x| vec![x[0].permute(&[5, 4, 3, 2, 1, 0])]);
    check(&[wave(&small, 0)], |x| vec![x[0].permute(&[3, 0, 5, 1, 4, 2]).exp()]);
    check(&[wave(&small, 0), wave(&[1, 2, 3, 1, 2], 1)], |x| vec![x[0] * x[1]]);
    check(&[wave(&small, 0)], |x| vec![x[0].max([1, 3, 5]), x[0].sum([0, 4])]);
    check(&[wave(&small, 0)], |x| {
        vec![x[0].slice_step(3, 2, 2, -2).flip(&[0, 5]).slice(4, 1, 1).pad(1, 1, 0)]
    });
    check(&[wave(&[2, 3, 12], 0)], |x| {
        let split = x[0].reshape(&[2, 3, 3, 2, 2]).permute(&[2, 0, 3, 1, 4]);
        let part = |at| split.slice(0, at, 1).reshape(&[2, 2, 3, 2]);
        vec![part(0).matmul_t(part(1)).matmul(part(2))]
    });
    check(&[wave(&[1, 4, 2, 3], 0)], |x| {
        vec![x[0].reshape(&[1, 2, 2, 1, 2, 3]).permute(&[0, 1, 3, 2, 4, 5]).reshape(&[2, 12])]
    });
    check(&[wave(&[2, 1, 6, 2, 2], 0)], |x| vec![x[0].windows(2, 3, 1, 1), x[0].windows(2, 2, 2, 2)]);
    check(&[wave(&[2, 1, 2], 0)], |x| vec![x[0].broadcast_to(&[2, 1, 2, 2, 3, 2])]);
}
