//! Attention, how it learns positions, and the blocks that Transformers are built of.
//!
//! | module | subject |
//! |---|---|
//! | [`positions`], [`relative_positions`], [`tree_positions`] | how a Transformer knows positions |
//! | [`multi_head`] | multi-head attention |
//! | [`scores`] | attention of recurrent decoders to an encoder's outputs |
//! | [`transformer_block`], [`transformer_stack`] | attention, feed-forward and norms as one block, and a stack of them |
//! | [`transformer_dropout`] | where they apply dropout |

pub mod multi_head;
pub mod positions;
pub mod relative_positions;
pub mod scores;
pub mod transformer_block;
pub mod transformer_dropout;
pub mod transformer_stack;
pub mod tree_positions;
