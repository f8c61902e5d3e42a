// SHA-256 (FIPS 180-4), synchronous and portable: the platform's own is asynchronous in browsers.

const K = fractions(64, 1 / 3)
const INITIAL = fractions(8, 1 / 2)

/** Returns the SHA-256 of bytes as lower-case hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  const blocks = Math.ceil((bytes.length + 9) / 64)
  const state = INITIAL.slice()
  const words = new Int32Array(64)
  const padded = new Uint8Array(64)
  for (let block = 0; block < blocks; block++) {
    const start = block * 64
    padded.fill(0)
    padded.set(bytes.subarray(Math.min(start, bytes.length), start + 64))
    if (bytes.length >= start && bytes.length < start + 64) padded[bytes.length - start] = 0x80
    const view = new DataView(padded.buffer)
    if (block === blocks - 1) {
      view.setUint32(56, Math.floor(bytes.length / 2 ** 29))
      view.setUint32(60, (bytes.length * 8) >>> 0)
    }
    for (let i = 0; i < 16; i++) words[i] = view.getInt32(i * 4)
    compress(state, words)
  }
  return Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, '0')).join('')
}

function compress(state: Int32Array, w: Int32Array): void {
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15]!
    const y = w[i - 2]!
    const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3)
    const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10)
    w[i] = (w[i - 16]! + s0 + w[i - 7]! + s1) | 0
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  for (let i = 0; i < 64; i++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i]! + w[i]!) | 0
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
    h = g
    g = f
    f = e
    e = (d + t1) | 0
    d = c
    c = b
    b = a
    a = (t1 + t2) | 0
  }
  const next = [a, b, c, d, e, f, g, h]
  for (let i = 0; i < 8; i++) state[i] = (state[i]! + next[i]!) | 0
}

function rotate(x: number, n: number): number {
  return (x >>> n) | (x << (32 - n))
}

// The standard's constants: fractional bits of roots of the first primes.
function fractions(count: number, power: number): Int32Array {
  const found: number[] = []
  for (let n = 2; found.length < count; n++) {
    let isPrime = true
    for (let d = 2; d * d <= n; d++) if (n % d === 0) isPrime = false
    if (isPrime) found.push(n)
  }
  return Int32Array.from(found, (prime) => {
    const root = prime ** power
    return Math.floor((root - Math.floor(root)) * 2 ** 32) | 0
  })
}
