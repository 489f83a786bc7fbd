//! One direction of a recurrent layer over padded sequences, recorded for tests of its operation.

use seqloom_graph::{Lengths, Tensor};
use seqloom_kernels::recurrent::Cell;

/// Shapes of the float operands: x_proj [B, T, G·H], w_hh [G·H, H], of a GRU b_hn \[H\], h0 and of an LSTM c0 [B, H].
#[must_use]
pub fn operands(cell: Cell, batch: usize, time: usize, hidden: usize) -> Vec<Vec<usize>> {
    let (rows, state) = (cell.gates() * hidden, vec![batch, hidden]);
    let mut shapes = vec![vec![batch, time, rows], vec![rows, hidden]];
    match cell {
        Cell::Rnn(_) => shapes.push(state),
        Cell::Lstm => shapes.extend([state.clone(), state]),
        Cell::Gru => shapes.extend([vec![hidden], state]),
    }
    shapes
}

/// Records it over those operands: y [B, T, H] and the final states. With `lengths` the sequences are packed before and
/// unpacked after.
#[must_use]
pub fn record<'g>(
    cell: Cell,
    x: &[Tensor<'g>],
    reverse: bool,
    lengths: Option<Lengths<'g>>,
) -> Vec<Tensor<'g>> {
    let x_proj = lengths.map_or(x[0], |lengths| lengths.pack(x[0]));
    let unpacked = |y| lengths.map_or(y, |lengths| lengths.unpack(y));
    match cell {
        Cell::Rnn(activation) => {
            let out = x_proj.rnn(x[1], x[2], activation, reverse, lengths);
            vec![unpacked(out.y), out.h_n]
        }
        Cell::Lstm => {
            let out = x_proj.lstm(x[1], x[2], x[3], reverse, lengths);
            vec![unpacked(out.y), out.h_n, out.c_n]
        }
        Cell::Gru => {
            let out = x_proj.gru(x[1], x[2], x[3], reverse, lengths);
            vec![unpacked(out.y), out.h_n]
        }
    }
}
