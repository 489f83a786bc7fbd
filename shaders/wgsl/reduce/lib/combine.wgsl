// How a reduction combines two elements; needs value.wgsl and the constant OP, one of the numbers below.

const SUM: u32 = 0u;
const MAX: u32 = 1u;
const MIN: u32 = 2u;
const PROD: u32 = 3u;

fn combine(a: Value, b: Value) -> Value {
    switch OP {
        case MAX: { return greatest(a, b); }
        case MIN: { return least(a, b); }
        case PROD: { return a * b; }
        default: { return a + b; }
    }
}
