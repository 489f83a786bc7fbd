// Counter-based random numbers: the same (seed, stream, index) gives the same number on every device and in every order, so a backward
// pass recomputes a dropout mask instead of storing it.
//
// Hash: `pcg3d` of M. Jarzynski and M. Olano, "Hash Functions for GPU Rendering", JCGT 9(3), 2020. All three words take part in both
// rounds; a chain of one-word hashes would make two streams shifted copies of each other.

// 32 random bits. `seed` is the step's, `stream` names the user of the numbers, `index` the element.
fn random_u32(seed: u32, stream: u32, index: u32) -> u32 {
    var v = vec3<u32>(index, stream, seed) * 1664525u + 1013904223u;
    v.x += v.y * v.z;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v ^= v >> vec3<u32>(16u);
    v.x += v.y * v.z;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    return v.x;
}

// A multiple of 2^-24 in [0, 1): every such value is exact in f32, so 1 is never reached.
fn uniform(seed: u32, stream: u32, index: u32) -> f32 {
    return f32(random_u32(seed, stream, index) >> 8u) * 5.9604644775390625e-8f;
}
