//! A program's report on its memory, by what shares it.

/// Device memory of a program, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The arenas, shared with all programs over the same store.
    pub parameters: u64,
    /// Inputs, the host's derivations from them, and the control buffer.
    pub inputs: u64,
    /// Tensors known when compiled.
    pub constants: u64,
    /// Slots of intermediate tensors, and scratch. They are shared with the other programs over the same store, which
    /// may need some of them larger.
    pub slots: u64,
    /// Outputs and statistics, and the optimizer's scratch.
    pub outputs: u64,
}

impl Memory {
    /// What this program uses besides the arenas.
    #[must_use]
    pub fn own(&self) -> u64 {
        self.inputs + self.constants + self.slots + self.outputs
    }

    /// Memory that no other program uses: all except arenas and slots. Programs over one store take the sum of this
    /// over all of them, [`crate::ParamStore::bytes`] and [`crate::ParamStore::slot_bytes`].
    #[must_use]
    pub fn unshared(&self) -> u64 {
        self.own() - self.slots
    }

    /// All of it, with the arenas.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.parameters + self.own()
    }
}
