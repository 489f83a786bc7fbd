//! What can be trained: anything that records a loss of a batch.

use seqloom_graph::{Graph, Tensor};

/// A model that a trainer can train over batches of type `B`.
///
/// A closure is one too. One that is kept in a variable goes through [`recorder`], which tells the compiler that it serves
/// graphs of every lifetime:
///
/// ```
/// # use seqloom_graph::{Graph, Params};
/// # use seqloom_nn::{Batch, Inputs, Model, recorder};
/// struct Mean;
///
/// impl Model<Inputs> for Mean {
///     fn loss<'g>(&self, g: &'g Graph, batch: &Inputs) -> seqloom_graph::Tensor<'g> {
///         batch.bind(g).get("x").mean_all()
///     }
/// }
///
/// let model = recorder(|g, batch: &Inputs| Mean.loss(g, batch));
/// # let batch = Inputs::new().floats("x", &[2], vec![0.0; 2]);
/// # assert!(model.loss(&Graph::inference(&Params::seeded(1)), &batch).shape().is_empty());
/// ```
pub trait Model<B: ?Sized> {
    /// Records the loss of a batch, a scalar. It is called once for each shape of batch and kind of program, and must record the
    /// same model every time.
    fn loss<'g>(&self, g: &'g Graph, batch: &B) -> Tensor<'g>;
}

impl<B: ?Sized, F> Model<B> for F
where
    F: for<'g> Fn(&'g Graph, &B) -> Tensor<'g>,
{
    fn loss<'g>(&self, g: &'g Graph, batch: &B) -> Tensor<'g> {
        self(g, batch)
    }
}

/// The closure as it is, with the signature that a trainer wants. Without it the compiler takes the lifetime of a closure in a
/// variable for one lifetime, and says that it may not live long enough.
pub fn recorder<B: ?Sized, F>(record: F) -> F
where
    F: for<'g> Fn(&'g Graph, &B) -> Tensor<'g>,
{
    record
}
