// The numbers of one training step, written by the host before each step, so that none is frozen into a program.

struct Control {
    lr: f32,
    beta1: f32,
    beta2: f32,
    eps: f32,
    weight_decay: f32,
    correction1: f32, // 1 / (1 - beta1^t)
    correction2: f32, // 1 / (1 - beta2^t)
    clip_norm: f32,   // 0 or less: no clip
    loss_scale: f32,  // the loss was multiplied with this
    seed: u32,        // of this step's random numbers
    step: u32,
    reserved: u32,
}
