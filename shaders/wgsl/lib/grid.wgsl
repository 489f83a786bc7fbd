// Which tile of a result a workgroup computes, where tiles have a place in three dimensions.
//
// Each axis of a grid has a limit. Where a result has more tiles along an axis, `grid` in launch.rs folds the grid: it asks for a grid of x
// and y alone. The workgroups are then numbered, and the number gives the place: x runs fastest, z slowest.

// `size` is the number of tiles along x and y. A workgroup past the last tile gets a z past the last one.
fn tile_of_workgroup(id: vec3<u32>, groups: vec3<u32>, size: vec2<u32>) -> vec3<u32> {
    if all(groups.xy == size) { return id; }
    let at = id.x + groups.x * id.y;
    let line = at / size.x;
    let z = line / size.y;
    return vec3(at - line * size.x, line - z * size.y, z);
}
