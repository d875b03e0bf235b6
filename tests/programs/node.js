// Objects, maps, buffers, JSON and compression, SCALE times over.
const zlib = require('zlib');

let state = 12345;
const random = () => (state = (state * 48271) % 2147483647);

let total = 0;
for (let turn = 1; turn <= Number(process.argv[2]); turn++) {
  const words = Array.from({ length: 20000 }, () =>
    random().toString(36) + 'mn'.repeat(random() % 9));
  const byEnd = new Map();
  for (const word of words) {
    const key = word.slice(-4);
    if (!byEnd.has(key)) byEnd.set(key, []);
    byEnd.get(key).push({ word, length: word.length });
  }
  const text = JSON.stringify([...byEnd]);
  const found = text.match(/[0-9]+(?:mn)+/g).length;
  if (JSON.parse(text).length !== byEnd.size) throw new Error('JSON');
  const buffers = words.map((word) => Buffer.from(word.repeat(3)));
  const packed = zlib.deflateSync(Buffer.concat(buffers));
  const unpacked = zlib.inflateSync(packed);
  for (const word of words.sort()) total = (total * 31 + word.length) % 1000000007;
  const parts = new Function('n', 'return [' + words.slice(0, 500)
    .map((word) => JSON.stringify(word)).join() + '].slice(n).join("")')(100);
  console.log(turn, byEnd.size, text.length, found, unpacked.length, parts.length, total);
}
