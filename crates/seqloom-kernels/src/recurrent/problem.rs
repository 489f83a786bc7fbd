//! The recurrence problem: its cell and sizes, and the two sizes that decide which form suits.

/// Values that the form for CPUs loads at once.
pub(super) const QUAD: usize = 4;

/// Invocations of a workgroup of the loop form, and so the widest hidden state that it takes.
pub(super) const LOOP_WORKGROUP: u32 = 64;

/// What an RNN does to its pre-activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// (eᶻ - e⁻ᶻ) / (eᶻ + e⁻ᶻ).
    Tanh,
    /// max(z, 0); its derivative at 0 is 0.
    Relu,
    /// 1 / (1 + e⁻ᶻ).
    Sigmoid,
}

/// The recurrence; PyTorch's equations, W = w_hh, x the row of `x_proj`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cell {
    /// h ← a(x + W·h).
    Rnn(Activation),
    /// z = x + W·h; i, f, o = σ(zᵢ, z_f, z_o), g = tanh(z_g); c ← f∘c + i∘g; h ← o∘tanh(c). Gates in the order i, f, g, o.
    Lstm,
    /// r, z = σ(x_r + W_r·h, x_z + W_z·h); m = W_n·h + b_hn; n = tanh(x_n + r∘m); h ← (1 - z)∘n + z∘h. Gates in the
    /// order r, z, n.
    Gru,
}

impl Cell {
    /// Rows of `w_hh` and columns of `x_proj`, in units of H.
    #[must_use]
    pub fn gates(self) -> usize {
        match self {
            Cell::Rnn(_) => 1,
            Cell::Lstm => 4,
            Cell::Gru => 3,
        }
    }

    /// The operation's name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Cell::Rnn(_) => "rnn",
            Cell::Lstm => "lstm",
            Cell::Gru => "gru",
        }
    }
}

/// A batch of sequences through one direction of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// The recurrence.
    pub cell: Cell,
    /// N, rows of the matrices: B·T unless packed; if packed, at least the steps of all sequences together.
    pub rows: usize,
    /// B, sequences.
    pub batch: usize,
    /// T, steps of the longest, at least 1.
    pub time: usize,
    /// H, width of the hidden state, at least 1.
    pub hidden: usize,
    /// Whether rows are time-major without padding (sequence b at step t in row `steps[t].start + b`), and not
    /// `[B, T, ·]`. Rows past the last step's are then set to 0 in what sums over rows read.
    pub packed: bool,
    /// Whether time is walked from T - 1 to 0.
    pub reverse: bool,
}
