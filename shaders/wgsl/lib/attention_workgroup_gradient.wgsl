// What backward kernels need besides attention_workgroup.wgsl. A kernel defines the load value_left, of the owned rows.

// Owned values times walked values.
fn value_products(a: Rows, b: Rows, lid: u32) -> array<f32, 16> {
    var s: array<f32, 16>;
    for (var e = 0u; e < 16u; e++) { s[e] = 0.0f; }
    for (var p0 = 0u; p0 < params.value_width; p0 += DEPTH) {
        workgroupBarrier();
        for (var e = lid; e < SIDE * DEPTH; e += WORKGROUP) {
            let r = e / DEPTH;
            let p = e % DEPTH;
            let inside = p0 + p < params.value_width;
            var x = 0.0f;
            var y = 0.0f;
            if inside && a.first + r < a.end { x = value_left(a.base + (a.first + r) * a.stride + p0 + p); }
            if inside && b.first + r < b.end { y = value_right(b.base + (b.first + r) * b.stride + p0 + p); }
            staged[p * PITCH + r] = x;
            staged[RIGHT + p * PITCH + r] = y;
        }
        workgroupBarrier();
        for (var p = 0u; p < DEPTH; p++) {
            var x: array<f32, 4>;
            var y: array<f32, 4>;
            for (var e = 0u; e < 4u; e++) {
                x[e] = staged[p * PITCH + lid / 8u + 8u * e];
                y[e] = staged[RIGHT + p * PITCH + lid % 8u + 8u * e];
            }
            for (var e = 0u; e < 16u; e++) { s[e] = fma(x[e / 4u], y[e % 4u], s[e]); }
        }
    }
    return s;
}

// mix_values for the walked rows themselves.
fn mix_right(b: Rows, channel: u32, width: u32, sums: array<f32, 32>, lid: u32) -> array<f32, 32> {
    var s = sums;
    for (var r0 = 0u; r0 < SIDE; r0 += DEPTH) {
        workgroupBarrier();
        for (var e = lid; e < DEPTH * CHANNELS; e += WORKGROUP) {
            let r = b.first + r0 + e / CHANNELS;
            let c = channel + e % CHANNELS;
            var x = 0.0f;
            if r < b.end && c < width { x = right(b.base + r * b.stride + c); }
            staged[e / CHANNELS * CHANNEL_PITCH + e % CHANNELS] = x;
        }
        workgroupBarrier();
        for (var r = 0u; r < DEPTH; r++) {
            var x: array<f32, 4>;
            for (var e = 0u; e < 4u; e++) { x[e] = shares[(lid / 8u + 8u * e) * SHARE_PITCH + r0 + r]; }
            for (var e = 0u; e < 32u; e++) {
                s[e] = fma(x[e / 8u], staged[r * CHANNEL_PITCH + lid % 8u + 8u * (e % 8u)], s[e]);
            }
        }
    }
    return s;
}

// 2^(s - lse), and 0 for a score that does not count.
fn weight(s: f32, lse: f32) -> f32 { return select(exp2(s - lse), 0.0f, s <= LOWEST); }
