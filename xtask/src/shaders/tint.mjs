// Compiles WGSL in Tint, the compiler of Chrome, through Dawn for Node (the npm package `webgpu`).
//
// Usage: node tint.mjs FILE. FILE holds a JSON array of texts. Writes a JSON array: for each text that does not compile its
// number and what Tint says. The null back end has every feature and needs no driver: Tint checks a text before a driver sees it.

import { readFileSync } from 'node:fs';
import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);

// It must outlive the device, so it is kept here.
const gpu = create(['backend=null']);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice({ requiredFeatures: ['subgroups', 'shader-f16'] });

async function faults(code) {
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code });
  const refused = await device.popErrorScope();
  const { messages } = await module.getCompilationInfo();
  const told = messages
    .filter((message) => message.type === 'error')
    .map((message) => `${message.lineNum}:${message.linePos} ${message.message}`);
  return refused && told.length === 0 ? [refused.message] : told;
}

const failed = [];
for (const [variant, code] of JSON.parse(readFileSync(process.argv[2], 'utf8')).entries()) {
  const found = await faults(code);
  if (found.length > 0) failed.push({ variant, faults: found });
}
console.log(JSON.stringify(failed));
process.exit(0); // Dawn's own threads would keep the process alive
