//! Gradients of operations that move elements in steps, backwards, several times or between other numbers.

use seqloom_tests::mid_graph::{check, wave};

#[test]
fn gradient_of_slice_step() {
    check(&[wave(&[2, 7, 3], 0)], |x| vec![x[0].slice_step(1, 1, 3, 2)]);
    check(&[wave(&[3, 5], 0)], |x| vec![x[0].slice_step(-1, 4, 3, -2).exp()]);
    // Indices that overlap, and some that are never taken.
    check(&[wave(&[8, 2], 0)], |x| vec![x[0].slice_step(0, 0, 3, 3) * x[0].slice_step(0, 6, 3, -3)]);
    check(&[wave(&[4], 1)], |x| vec![x[0].slice_step(0, 3, 1, -9) * x[0].slice(0, 0, 1)]);
}

#[test]
fn gradient_of_flip() {
    check(&[wave(&[2, 3, 4], 0)], |x| vec![x[0].flip(&[1]) * x[0]]);
    check(&[wave(&[2, 3, 4], 0)], |x| vec![x[0].flip(&[0, -1]).tanh()]);
    // Of a slice of a slice.
    check(&[wave(&[3, 6], 0)], |x| vec![x[0].slice(1, 1, 4).flip(&[1]).slice_step(1, 0, 2, 2)]);
}

#[test]
fn gradient_of_permute() {
    check(&[wave(&[2, 3, 4], 0)], |x| vec![x[0].permute(&[1, 2, 0])]);
    check(&[wave(&[2, 3, 2, 2], 0)], |x| vec![x[0].permute(&[3, 0, -2, 1]).exp()]);
}

#[test]
fn gradient_of_windows() {
    // Axis, size, step, dilation; over [2, 9, 3] windows that overlap, touch, lie apart, and reach the end or do not.
    for [size, step, dilation] in [
        [1, 1, 1],
        [3, 1, 1],
        [2, 2, 1],
        [2, 3, 1],
        [2, 5, 3],
        [3, 4, 2],
        [3, 2, 3],
        [3, 2, 4],
        [9, 1, 1],
        [4, 3, 1],
        [2, 1, 8],
    ] {
        check(&[wave(&[2, 9, 3], 0)], |x| vec![x[0].windows(1, size, step, dilation)]);
    }
    check(&[wave(&[5, 2], 0)], |x| {
        vec![x[0].windows(0, 3, 1, 1).exp() * x[0].slice(0, 1, 3).reshape(&[3, 2, 1])]
    });
    check(&[wave(&[7], 0)], |x| vec![x[0].windows(-1, 4, 1, 2)]);
    check(&[wave(&[3, 8], 0)], |x| vec![x[0].windows(1, 3, 2, 1).windows(-1, 2, 1, 1)]);
}

#[test]
fn gradient_of_pad_with() {
    check(&[wave(&[2, 4, 3], 0)], |x| vec![x[0].pad_with(1, 1, 2, 0.5)]);
    check(&[wave(&[3, 4], 0)], |x| vec![x[0].pad_with(-1, 0, 2, -1.5).exp()]);
}

#[test]
fn gradient_of_tile() {
    check(&[wave(&[2, 3], 0)], |x| vec![x[0].tile(&[2, 3])]);
    check(&[wave(&[3], 0)], |x| vec![x[0].tile(&[2, 2]) * 0.5]);
    check(&[wave(&[2, 1, 3], 0)], |x| vec![x[0].tile(&[4, 1]).tanh()]);
}
