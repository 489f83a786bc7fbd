// The numbers of one training step. The host writes them before each step, so none is frozen into a program.

struct Control {
    beta1: f32,         // decays of the moments
    beta2: f32,
    share: f32,         // of this batch in a step over several batches
    clip_norm: f32,     // 0 or less: no clip
    loss_scale: f32,    // the loss was multiplied with this
    seed: u32,          // of this step's random numbers
    applied: u32,       // updates that the host knows to be applied
    lr: array<f32, 8>,  // learning rates of the updates applied + 1, applied + 2, ...
}
