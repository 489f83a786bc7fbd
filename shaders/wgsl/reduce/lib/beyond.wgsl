// Which of two elements an argmax takes, or with the constant LEAST an argmin.

// Whether `value` takes the place of `best`, which stands before it: it is greater (with LEAST, less), or the first NaN. A NaN shows
// by being unequal to itself, written as in value.wgsl.
fn beyond(value: f32, best: f32) -> bool {
    let further = select(value > best, value < best, LEAST);
    return (best == best) & (further | !(value == value));
}
