// Which part of a result a workgroup computes, where the parts have a place in three dimensions.
//
// A grid of as many workgroups along x, y and z has an own limit on each axis. Where that is too few, `grid` in launch.rs asks for
// a grid of x and y alone. Its workgroups are then numbered, and the number gives the place: x runs fastest, z slowest.

// `size` is the number of parts along x and y. Workgroups past the last part get a z beyond those that exist.
fn tile_of_workgroup(id: vec3<u32>, groups: vec3<u32>, size: vec2<u32>) -> vec3<u32> {
    if all(groups.xy == size) { return id; }
    let at = id.x + groups.x * id.y;
    let line = at / size.x;
    let z = line / size.y;
    return vec3(at - line * size.x, line - z * size.y, z);
}
