// The reduction tree: a Node of each invocation of a workgroup, reduced to one. Needs the constant WORKGROUP, a power of two, the type
// Node and the function `reduced`, which makes one Node of two: those of tree_f32.wgsl or a kernel's own.
//
// WGSL takes no function as an argument, so a number, `how`, chooses among what `reduced` can do. Every call gives a constant:
// compilers inline the call and drop the other branches.
//
// Numeric: the tree has a fixed shape, so the bits of a sum depend on WORKGROUP only.

var<workgroup> nodes: array<Node, WORKGROUP>;

// Every invocation of the workgroup must call it, and each receives the result.
fn tree(lane: u32, own: Node, how: u32) -> Node {
    workgroupBarrier(); // everyone has read the result before this one
    nodes[lane] = own;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half { nodes[lane] = reduced(nodes[lane], nodes[lane + half], how); }
    }
    workgroupBarrier();
    return nodes[0];
}
