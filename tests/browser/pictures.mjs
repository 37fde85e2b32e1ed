// Pictures made in code, for the fake server: a room, people who walk through it, a box around each blurred head.
//
// In: which look (the camera) and which moment. Out: a PNG of 320 x 180. Invariant: the same numbers give the same bytes.

import { deflateSync } from 'node:zlib';

const [WIDTH, HEIGHT] = [320, 180];
const LOOKS = 12;
const MOMENTS = 24;
const made = new Map();

export function picture(camera, moment) {
  const key = `${camera % LOOKS} ${moment % MOMENTS}`;
  if (!made.has(key)) made.set(key, png(draw(camera % LOOKS, moment % MOMENTS)));
  return made.get(key);
}

function draw(look, moment) {
  const pixels = Buffer.alloc(WIDTH * HEIGHT * 3);
  const heads = people(look, moment);
  for (let y = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++) pixels.set(colour(look, heads, x, y), (y * WIDTH + x) * 3);
  }
  return pixels;
}

function people(look, moment) {
  return Array.from({ length: 1 + (look % 3) }, (_, n) => {
    const along = (moment / MOMENTS + n / 3 + look / 7) % 1;
    return { x: 40 + 240 * Math.abs(2 * along - 1), y: 62 + 14 * n, r: 15 + 4 * ((look + n) % 3), tone: (look * 5 + n * 3) % 8 };
  });
}

function colour(look, heads, x, y) {
  for (const { x: cx, y: cy, r, tone } of heads) {
    const edge = Math.max(Math.abs(x - cx) / (r * 1.1), Math.abs(y - cy) / (r * 1.35));
    if (edge < 1 && edge > 1 - 1.6 / r) return [86, 202, 187];
    // The head in blocks, as a mosaic leaves it.
    const [bx, by] = [Math.floor(x / 6) * 6 + 3, Math.floor(y / 6) * 6 + 3];
    if (((bx - cx) / r) ** 2 + ((by - cy) / (r * 1.25)) ** 2 < 1) return [215 - tone * 14 - (by - cy), 170 - tone * 12 - (by - cy) / 2, 140 - tone * 10];
    if (((x - cx) / (r * 2)) ** 2 + ((y - cy - r * 3.2) / (r * 2)) ** 2 < 1) return [50 + tone * 12, 70 + look * 6, 96 + (tone % 3) * 30];
  }
  const window = (x + look * 37) % 110 < 46 && y > 22 && y < 74;
  const floor = y > 132 ? 26 : 0;
  const light = 64 + (x * 44) / WIDTH + (window ? 74 : 0) - floor - (y * 26) / HEIGHT;
  return [light + (look % 4) * 6, light + (look % 3) * 5, light + 8 - (look % 5) * 5];
}

/** PNG as in its specification: signature, IHDR (8 bits, RGB), one IDAT, IEND. */
function png(rgb) {
  const rows = Buffer.alloc((WIDTH * 3 + 1) * HEIGHT);
  for (let y = 0; y < HEIGHT; y++) rgb.copy(rows, y * (WIDTH * 3 + 1) + 1, y * WIDTH * 3, (y + 1) * WIDTH * 3);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(WIDTH, 0);
  header.writeUInt32BE(HEIGHT, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))]);
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}

/** CRC-32 as in the PNG specification, annex D. */
function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return ~crc >>> 0;
}
