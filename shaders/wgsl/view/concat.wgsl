// Joins up to seven tensors along an axis in one launch. All are seen as rows: out[row] = x0[row], x1[row], .. side by side.
//
// Shapes: part j has `rows` rows of part_j.x Words; out has `rows` rows of `width` Words, and the parts fill those from `begin` on.
// A part is read where it lies: its rows are pieces that begin at strides of their own, which cuts and broadcasts of a tensor are too.
// Grid: any number of workgroups in x and y; invocations stride over each part in turn, neighbours copy neighbours.
// Unused parts have rows of 0 Words. Their bindings are never read, so any tensor will do.
// One loop a part and not one over the output: no invocation has to find the part that an element comes from, and vector units
// execute all branches that their lanes take.
// Numeric: words are copied as bits (u32), NaN payloads included.
//
// Joined: view

const WORKGROUP: u32 = 64u; // spec
alias Word = u32; // spec

struct Params {
    // Words of a row, first Word of the part, and strides of its rows over `outer` and over `inner`; a negative one wraps.
    part0: vec4<u32>,
    part1: vec4<u32>,
    part2: vec4<u32>,
    part3: vec4<u32>,
    part4: vec4<u32>,
    part5: vec4<u32>,
    part6: vec4<u32>,
    rows: u32,  // outer * inner
    inner: u32, // rows until the outer stride is taken
    width: u32, // Words of a row of out
    begin: u32, // first Word of a row of out that is written
}

var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> x0: array<Word>;
@group(0) @binding(1) var<storage, read> x1: array<Word>;
@group(0) @binding(2) var<storage, read> x2: array<Word>;
@group(0) @binding(3) var<storage, read> x3: array<Word>;
@group(0) @binding(4) var<storage, read> x4: array<Word>;
@group(0) @binding(5) var<storage, read> x5: array<Word>;
@group(0) @binding(6) var<storage, read> x6: array<Word>;
@group(0) @binding(7) var<storage, read_write> out: array<Word>; // [rows, width]

// Where Word i of a part is read, and where it is written.
fn moved(i: u32, part: vec4<u32>, begin: u32) -> vec2<u32> {
    let row = divide(i, part.x);
    let column = i - row * part.x;
    let outer = divide(row, params.inner);
    let source = part.y + outer * part.z + (row - outer * params.inner) * part.w + column;
    return vec2<u32>(source, row * params.width + begin + column);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(global_invocation_id) gid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = groups.x * WORKGROUP;
    let stride = row * groups.y;
    let first = gid.x + gid.y * row;
    let begin1 = params.begin + params.part0.x;
    let begin2 = begin1 + params.part1.x;
    let begin3 = begin2 + params.part2.x;
    let begin4 = begin3 + params.part3.x;
    let begin5 = begin4 + params.part4.x;
    let begin6 = begin5 + params.part5.x;
    for (var i = first; i < params.rows * params.part0.x; i += stride) {
        let at = moved(i, params.part0, params.begin);
        out[at.y] = x0[at.x];
    }
    for (var i = first; i < params.rows * params.part1.x; i += stride) {
        let at = moved(i, params.part1, begin1);
        out[at.y] = x1[at.x];
    }
    for (var i = first; i < params.rows * params.part2.x; i += stride) {
        let at = moved(i, params.part2, begin2);
        out[at.y] = x2[at.x];
    }
    for (var i = first; i < params.rows * params.part3.x; i += stride) {
        let at = moved(i, params.part3, begin3);
        out[at.y] = x3[at.x];
    }
    for (var i = first; i < params.rows * params.part4.x; i += stride) {
        let at = moved(i, params.part4, begin4);
        out[at.y] = x4[at.x];
    }
    for (var i = first; i < params.rows * params.part5.x; i += stride) {
        let at = moved(i, params.part5, begin5);
        out[at.y] = x5[at.x];
    }
    for (var i = first; i < params.rows * params.part6.x; i += stride) {
        let at = moved(i, params.part6, begin6);
        out[at.y] = x6[at.x];
    }
}
