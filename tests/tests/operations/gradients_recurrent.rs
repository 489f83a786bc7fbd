//! Gradients of the recurrent operations and of the moves between padded and packed rows, in the middle of a graph
//! (`seqloom_tests::mid_graph`), against finite differences of the loss.

use seqloom_graph::{Activation, HostTensor, Lengths};
use seqloom_kernels::recurrent::Cell;
use seqloom_tests::layer::{operands, record};
use seqloom_tests::mid_graph::{check, ids, tensor, wave};

#[test]
fn gradient_of_pack() {
    let lengths = ids(&[3], &[2, 4, 1]);
    check(&[wave(&[3, 4, 2], 0), lengths], |x| vec![Lengths::of(x[1], 4).pack(x[0]).tanh()]);
}

#[test]
fn gradient_of_unpack() {
    let lengths = ids(&[3], &[2, 4, 1]);
    check(&[wave(&[8, 2], 0), lengths], |x| vec![Lengths::of(x[1], 4).within(8).unpack(x[0]).exp()]);
}

/// Values of one sign in every column, so that no sum of a ReLU's is near its kink.
fn one_signed(shape: &[usize], salt: usize) -> HostTensor {
    tensor(shape, |k| 0.4 + 0.2 * ((k * 7 + salt * 13) as f32 * 1.3).sin())
}

/// A layer over full rows and over ragged ones, in both directions; all outputs together, and one alone.
fn layer(cell: Cell, make: impl Fn(&[usize], usize) -> HostTensor) {
    let (batch, time, hidden) = (3, 4, 3);
    let operands: Vec<_> =
        operands(cell, batch, time, hidden).iter().enumerate().map(|(i, shape)| make(shape, i)).collect();
    let ragged: Vec<_> = operands.iter().cloned().chain([ids(&[batch], &[2, 4, 1])]).collect();
    for reverse in [false, true] {
        check(&operands, |x| record(cell, x, reverse, None));
        // As few packed rows as the lengths need, and with surplus ones.
        check(&ragged, |x| record(cell, x, reverse, Some(Lengths::of(x[x.len() - 1], time).within(7))));
        check(&ragged, |x| record(cell, x, reverse, Some(Lengths::of(x[x.len() - 1], time))));
    }
    // A loss that sees only one of the outputs leaves the others' gradients out.
    check(&ragged, |x| record(cell, x, false, Some(Lengths::of(x[x.len() - 1], time))).split_off(1));
    check(&ragged, |x| record(cell, x, true, Some(Lengths::of(x[x.len() - 1], time))).drain(..1).collect());
}

#[test]
fn gradient_of_rnn() {
    layer(Cell::Rnn(Activation::Tanh), wave);
    layer(Cell::Rnn(Activation::Sigmoid), wave);
    layer(Cell::Rnn(Activation::Relu), one_signed);
}

#[test]
fn gradient_of_lstm() {
    layer(Cell::Lstm, wave);
}

#[test]
fn gradient_of_gru() {
    layer(Cell::Gru, wave);
}
