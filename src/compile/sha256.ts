// SHA-256 (FIPS 180-4), synchronous and portable: the platform's own is asynchronous in browsers.

const K = fractions(64, 1 / 3)
const INITIAL = fractions(8, 1 / 2)

/** Returns the SHA-256 of bytes as lower-case hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  const state = INITIAL.slice()
  const words = new Int32Array(64)
  const whole = bytes.length - (bytes.length % 64)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let start = 0; start < whole; start += 64) compress(state, words, view, start)
  const rest = bytes.length - whole
  const last = new Uint8Array(rest < 56 ? 64 : 128)
  last.set(bytes.subarray(whole))
  last[rest] = 0x80
  const end = new DataView(last.buffer)
  end.setUint32(last.length - 8, Math.floor(bytes.length / 2 ** 29))
  end.setUint32(last.length - 4, (bytes.length * 8) >>> 0)
  for (let start = 0; start < last.length; start += 64) compress(state, words, end, start)
  return Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, '0')).join('')
}

// One block. Single variables and no arrays: three times as fast, and bundles have megabytes.
function compress(state: Int32Array, w: Int32Array, view: DataView, start: number): void {
  for (let i = 0; i < 16; i++) w[i] = view.getInt32(start + i * 4)
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15]!
    const y = w[i - 2]!
    const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3)
    const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10)
    w[i] = (w[i - 16]! + s0 + w[i - 7]! + s1) | 0
  }
  let a = state[0]!
  let b = state[1]!
  let c = state[2]!
  let d = state[3]!
  let e = state[4]!
  let f = state[5]!
  let g = state[6]!
  let h = state[7]!
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
  state[0]! += a
  state[1]! += b
  state[2]! += c
  state[3]! += d
  state[4]! += e
  state[5]! += f
  state[6]! += g
  state[7]! += h
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
