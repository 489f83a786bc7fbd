// Chains of multiply-adds in registers and nothing else: how much arithmetic a device does.
//
// out[i] = sum of 12 chains x <- x·m + a after `rounds` times four links each, a value near 1.
//
// Shapes: out [invocations].
// Grid: any number of workgroups in x; every invocation works on its own.
// Numeric: the map contracts to a / (1 - m) = 1, so no value overflows, and none becomes denormal, which is slow on CPUs. 12 chains are
// enough to hide the latency of a multiply-add and few enough for 16 vector registers. A driver without fused multiply-add does two
// operations for it (lavapipe of Mesa 22.3 does); they count as two anyway.
//
// Joined: nothing

const WORKGROUP: u32 = 64u; // spec

struct Params {
    rounds: u32,
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read_write> out: array<f32>; // [invocations]

fn link(x: vec4<f32>) -> vec4<f32> {
    return fma(x, vec4<f32>(0.75f), vec4<f32>(0.25f));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
    // The starts are known at run time only, so nothing folds.
    var x = vec4<f32>(f32(gid.x)) + vec4<f32>(0.0f, 1.0f, 2.0f, 3.0f);
    var y = x + 4.0f;
    var z = x + 8.0f;
    for (var round = 0u; round < params.rounds; round++) {
        x = link(x);
        y = link(y);
        z = link(z);
        x = link(x);
        y = link(y);
        z = link(z);
        x = link(x);
        y = link(y);
        z = link(z);
        x = link(x);
        y = link(y);
        z = link(z);
    }
    let sum = x + y + z;
    out[gid.x] = sum.x + sum.y + sum.z + sum.w;
}
